package simulator

import (
	"encoding/json"
	"fmt"
)

// OAuthCredential is what an app needs of an OAuth client: its id, its newest enabled secret and its newest refresh token.
type OAuthCredential struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	RefreshToken string `json:"refresh_token"`
}

func (s *Simulator) controlResetDeveloperToken(none) (value, error) {
	return value{s.resetDeveloperToken()}, nil
}

func (s *Simulator) controlShowDeveloperToken(none) (value, error) {
	return value{s.google.DeveloperToken}, nil
}

func (s *Simulator) controlDeveloperTokenMode(in value) (none, error) {
	return choose(&s.google.DeveloperTokenMode, in.Value,
		DeveloperTokenEnforced, DeveloperTokenIgnored, DeveloperTokenHeaderRefused)
}

func (s *Simulator) controlDeveloperTokenStatus(in value) (none, error) {
	return choose(&s.google.DeveloperTokenStatus, in.Value,
		DeveloperTokenApproved, DeveloperTokenNotApproved, DeveloperTokenProhibited, DeveloperTokenNotOnAllowlist)
}

func (s *Simulator) controlProjectAccess(in value) (none, error) {
	return choose(&s.google.ProjectAccess, in.Value, ProjectApproved, ProjectNotApproved)
}

func (s *Simulator) controlCreateOAuthClient(in name) (OAuthCredential, error) {
	if err := free(s.google.OAuthClients, in.Name); err != nil {
		return OAuthCredential{}, err
	}
	return s.addOAuthClient(in.Name).credential(), nil
}

func (s *Simulator) controlShowOAuthClient(in name) (OAuthCredential, error) {
	client, err := find(s.google.OAuthClients, "OAuth client", in.Name)
	if err != nil {
		return OAuthCredential{}, err
	}
	return client.credential(), nil
}

// credential leaves fields empty that the client has no live value for.
func (c *oauthClient) credential() OAuthCredential {
	credential := OAuthCredential{ClientID: c.ClientID}
	for _, secret := range c.Secrets {
		if !secret.Disabled {
			credential.ClientSecret = secret.Value
		}
	}
	if n := len(c.RefreshTokens); n > 0 {
		credential.RefreshToken = c.RefreshTokens[n-1]
	}
	return credential
}

func (s *Simulator) controlCreateServiceAccount(in name) (json.RawMessage, error) {
	if err := free(s.google.ServiceAccounts, in.Name); err != nil {
		return nil, err
	}
	key, err := s.addKey(s.addServiceAccount(in.Name))
	if err != nil {
		return nil, err
	}
	return key.File, nil
}

// controlShowServiceAccountKey shows the newest key's file. Google shows it only once; the console of a simulator may repeat it.
func (s *Simulator) controlShowServiceAccountKey(in name) (json.RawMessage, error) {
	account, err := find(s.google.ServiceAccounts, "service account", in.Name)
	if err != nil {
		return nil, err
	}
	if n := len(account.Keys); n > 0 {
		return account.Keys[n-1].File, nil
	}
	if account.Name != DefaultName {
		return nil, fmt.Errorf("the service account %q has no key", account.Name)
	}
	key, err := s.addKey(account)
	if err != nil {
		return nil, err
	}
	return key.File, nil
}
