package simulator

import (
	"fmt"
	"slices"
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
	return choose(&s.google.DeveloperTokenMode, DeveloperTokenMode(in.Value),
		DeveloperTokenEnforced, DeveloperTokenIgnored, DeveloperTokenHeaderRefused)
}

func (s *Simulator) controlDeveloperTokenStatus(in value) (none, error) {
	return choose(&s.google.DeveloperTokenStatus, DeveloperTokenStatus(in.Value),
		DeveloperTokenApproved, DeveloperTokenNotApproved, DeveloperTokenProhibited, DeveloperTokenNotOnAllowlist)
}

func (s *Simulator) controlProjectAccess(in value) (none, error) {
	return choose(&s.google.ProjectAccess, ProjectAccess(in.Value), ProjectApproved, ProjectNotApproved, ProjectDisabled,
		ProjectNotUnderOrganization, ProjectServiceDenied, ProjectNoTerms, ProjectIncompleteSignup, ProjectAPIDisabled)
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
		credential.RefreshToken = c.RefreshTokens[n-1].Value
	}
	return credential
}

// clientSecretName says which secret of which client an action is about: the value itself.
type clientSecretName struct {
	Client string `json:"client"`
	Secret string `json:"secret"`
}

// maxClientSecrets is the documented number of secrets that a client can have at once.
const maxClientSecrets = 2

func (s *Simulator) controlAddClientSecret(in name) (OAuthCredential, error) {
	client, err := find(s.google.OAuthClients, "OAuth client", in.Name)
	if err != nil {
		return OAuthCredential{}, err
	}
	if len(client.Secrets) >= maxClientSecrets {
		return OAuthCredential{}, fmt.Errorf("the OAuth client %q has %d secrets already: delete one first", in.Name, maxClientSecrets)
	}
	s.addClientSecret(client)
	return client.credential(), nil
}

// secret finds a client and one of its secrets.
func (s *Simulator) secret(in clientSecretName) (*oauthClient, *clientSecret, error) {
	client, err := find(s.google.OAuthClients, "OAuth client", in.Client)
	if err != nil {
		return nil, nil, err
	}
	for _, secret := range client.Secrets {
		if sameSecret(secret.Value, in.Secret) {
			return client, secret, nil
		}
	}
	return nil, nil, fmt.Errorf("the OAuth client %q has no such secret", in.Client)
}

func (s *Simulator) controlDisableClientSecret(in clientSecretName) (none, error) {
	_, secret, err := s.secret(in)
	if err != nil {
		return none{}, err
	}
	secret.Disabled = true
	return none{}, nil
}

// controlDeleteClientSecret wants the secret disabled first, as the Cloud console does.
func (s *Simulator) controlDeleteClientSecret(in clientSecretName) (none, error) {
	client, secret, err := s.secret(in)
	if err != nil {
		return none{}, err
	}
	if !secret.Disabled {
		return none{}, fmt.Errorf("the secret of OAuth client %q is enabled: disable it first", in.Client)
	}
	client.Secrets = slices.DeleteFunc(client.Secrets, func(other *clientSecret) bool { return other == secret })
	return none{}, nil
}

// controlNewConsent gives the client one more refresh token; the older ones stay valid.
func (s *Simulator) controlNewConsent(in name) (OAuthCredential, error) {
	client, err := find(s.google.OAuthClients, "OAuth client", in.Name)
	if err != nil {
		return OAuthCredential{}, err
	}
	s.addRefreshToken(client)
	return client.credential(), nil
}

// controlWithdrawConsent is what a user does who removes the app's access: every refresh token ends.
func (s *Simulator) controlWithdrawConsent(in name) (none, error) {
	client, err := find(s.google.OAuthClients, "OAuth client", in.Name)
	if err != nil {
		return none{}, err
	}
	client.RefreshTokens = nil
	return none{}, nil
}
