package simulator

import "fmt"

// HookToken is what a company's automation knows of the token that it looks up or resets at the console.
type HookToken struct {
	// TokenType is developer_token, oauth_client, legacy_read_write, legacy_read_only or scoped.
	TokenType string `json:"token_type"`
	// AccountSID finds the impact.com account: the SID of any of its tokens, of the token itself when it is a scoped one.
	AccountSID string `json:"account_sid,omitempty"`
	// LoginCustomerID is the manager account of a developer token, 10 digits.
	LoginCustomerID string `json:"login_customer_id,omitempty"`
	// Client names the OAuth client; empty means DefaultName. A reset gives it a new refresh token.
	Client string `json:"client,omitempty"`
}

// controlHookShow gives the credential fields as the console shows them now.
func (s *Simulator) controlHookShow(in HookToken) (map[string]string, error) {
	switch in.TokenType {
	case "developer_token":
		if in.LoginCustomerID != s.google.ManagerCustomerID {
			return nil, fmt.Errorf("there is no manager account %q", in.LoginCustomerID)
		}
		return map[string]string{"developer_token": s.google.DeveloperToken}, nil
	case "oauth_client":
		credential, err := s.controlShowOAuthClient(in.client())
		if err != nil {
			return nil, err
		}
		return map[string]string{
			"client_id":     credential.ClientID,
			"client_secret": credential.ClientSecret,
			"refresh_token": credential.RefreshToken,
		}, nil
	default:
		_, credential, err := s.impactCredential(in)
		if err != nil {
			return nil, err
		}
		return map[string]string{"account_sid": credential.AccountSID, "auth_token": credential.AuthToken}, nil
	}
}

func (in HookToken) client() name {
	if in.Client == "" {
		return name{DefaultName}
	}
	return name{in.Client}
}

// controlHookReset resets every time it is called: sparing a token a second reset is the automation's business.
func (s *Simulator) controlHookReset(in HookToken) (map[string]string, error) {
	if _, err := s.controlHookShow(in); err != nil {
		return nil, err
	}
	switch in.TokenType {
	case "developer_token":
		s.resetDeveloperToken()
	case "oauth_client":
		if _, err := s.controlNewConsent(in.client()); err != nil {
			return nil, err
		}
	default:
		account, credential, err := s.impactCredential(in)
		if err != nil {
			return nil, err
		}
		s.resetAuthToken(account, credential)
	}
	return s.controlHookShow(in)
}

// impactCredential finds a token of impact.com and its account.
func (s *Simulator) impactCredential(in HookToken) (*impactAccount, *ImpactCredential, error) {
	account, token := s.impactToken(in.AccountSID)
	if account == nil {
		return nil, nil, fmt.Errorf("there is no impact.com token with account SID %q", in.AccountSID)
	}
	switch {
	case in.TokenType == "scoped" && token.scoped != nil:
		return account, &token.scoped.ImpactCredential, nil
	case in.TokenType == "legacy_read_write" && account.Legacy != nil:
		return account, &account.Legacy.ReadWrite, nil
	case in.TokenType == "legacy_read_only" && account.Legacy != nil:
		return account, &account.Legacy.ReadOnly, nil
	default:
		return nil, nil, fmt.Errorf("the account with account SID %q has no token of type %q", in.AccountSID, in.TokenType)
	}
}
