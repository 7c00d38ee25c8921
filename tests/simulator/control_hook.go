package simulator

import "fmt"

// HookResetInput is what a company's automation knows of the token that it resets at the console.
type HookResetInput struct {
	// TokenType is developer_token, oauth_client, legacy_read_write, legacy_read_only or scoped.
	TokenType string `json:"token_type"`
	// AccountSID finds the impact.com account: the SID of any of its tokens, of the token itself when it is a scoped one.
	AccountSID string `json:"account_sid,omitempty"`
	// LoginCustomerID is the manager account of a developer token, 10 digits.
	LoginCustomerID string `json:"login_customer_id,omitempty"`
	// Client names the OAuth client that gets a new refresh token; empty means DefaultName.
	Client string `json:"client,omitempty"`
}

// controlHookReset resets every time it is called: sparing a token a second reset is the automation's business.
func (s *Simulator) controlHookReset(in HookResetInput) (map[string]string, error) {
	switch in.TokenType {
	case "developer_token":
		if in.LoginCustomerID != s.google.ManagerCustomerID {
			return nil, fmt.Errorf("there is no manager account %q", in.LoginCustomerID)
		}
		return map[string]string{"developer_token": s.resetDeveloperToken()}, nil
	case "oauth_client":
		if in.Client == "" {
			in.Client = DefaultName
		}
		credential, err := s.controlNewConsent(name{in.Client})
		if err != nil {
			return nil, err
		}
		return map[string]string{
			"client_id":     credential.ClientID,
			"client_secret": credential.ClientSecret,
			"refresh_token": credential.RefreshToken,
		}, nil
	default:
		credential, err := s.impactCredential(in)
		if err != nil {
			return nil, err
		}
		return map[string]string{"account_sid": credential.AccountSID, "auth_token": credential.AuthToken}, nil
	}
}

// impactCredential resets a token of impact.com.
func (s *Simulator) impactCredential(in HookResetInput) (*ImpactCredential, error) {
	account, token := s.impactToken(in.AccountSID)
	if account == nil {
		return nil, fmt.Errorf("there is no impact.com token with account SID %q", in.AccountSID)
	}
	var credential *ImpactCredential
	switch {
	case in.TokenType == "scoped" && token.scoped != nil:
		credential = &token.scoped.ImpactCredential
	case in.TokenType == "legacy_read_write" && account.Legacy != nil:
		credential = &account.Legacy.ReadWrite
	case in.TokenType == "legacy_read_only" && account.Legacy != nil:
		credential = &account.Legacy.ReadOnly
	default:
		return nil, fmt.Errorf("the account with account SID %q has no token of type %q to reset", in.AccountSID, in.TokenType)
	}
	s.resetAuthToken(account, credential)
	return credential, nil
}
