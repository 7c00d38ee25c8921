package simulator

import (
	"fmt"
	"net/url"
)

// adsAccessOf names one identity, and what Google Ads thinks of it.
type adsAccessOf struct {
	Client         string    `json:"client,omitempty"`
	ServiceAccount string    `json:"service_account,omitempty"`
	Access         AdsAccess `json:"access"`
}

func (s *Simulator) controlAdsAccess(in adsAccessOf) (none, error) {
	var access *AdsAccess
	switch {
	case (in.Client == "") == (in.ServiceAccount == ""):
		return none{}, fmt.Errorf("name either an OAuth client or a service account")
	case in.Client != "":
		client, err := find(s.google.OAuthClients, "OAuth client", in.Client)
		if err != nil {
			return none{}, err
		}
		access = &client.AdsAccess
	default:
		account, err := find(s.google.ServiceAccounts, "service account", in.ServiceAccount)
		if err != nil {
			return none{}, err
		}
		access = &account.AdsAccess
	}
	return choose(access, in.Access, AdsAccessGranted, AdsAccessNone, AdsAccessNoTwoStep)
}

// clientState names an OAuth client and what the token endpoint thinks of it.
type clientState struct {
	Client string           `json:"client"`
	State  OAuthClientState `json:"state"`
}

func (s *Simulator) controlOAuthClientState(in clientState) (none, error) {
	client, err := find(s.google.OAuthClients, "OAuth client", in.Client)
	if err != nil {
		return none{}, err
	}
	return choose(&client.State, in.State, OAuthClientActive, OAuthClientDisabled, OAuthClientDeleted, OAuthClientSessionEnded)
}

func (s *Simulator) controlRevocation(in value) (none, error) {
	return choose(&s.google.Revocation, RevocationScope(in.Value), RevocationOfToken, RevocationOfConsent)
}

func (s *Simulator) controlPublishingStatus(in value) (none, error) {
	return choose(&s.google.PublishingStatus, PublishingStatus(in.Value), PublishingInProduction, PublishingTesting)
}

// controlTokenURI says what key files name from now on: Google's own address, where a proxy leads from there to here.
func (s *Simulator) controlTokenURI(in value) (none, error) {
	if address, err := url.Parse(in.Value); err != nil || address.Host == "" {
		return none{}, fmt.Errorf("%q is no address such as https://oauth2.googleapis.com/token", in.Value)
	}
	s.google.TokenURI = in.Value
	return none{}, nil
}

func (s *Simulator) controlExpiresIn(in value) (none, error) {
	return choose(&s.google.ExpiresIn, ExpiresIn(in.Value), ExpiresInTold, ExpiresInOmitted)
}
