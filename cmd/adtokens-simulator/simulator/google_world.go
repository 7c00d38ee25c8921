package simulator

import "slices"

// googleProject owns every OAuth client and service account of the world.
const googleProject = "adtokens-simulator"

// DeveloperTokenMode says what the Google Ads API does with the developer-token header.
type DeveloperTokenMode string

// The modes.
const (
	// DeveloperTokenEnforced is how it was before 9 September 2026: the header is required and checked.
	DeveloperTokenEnforced DeveloperTokenMode = "enforced"
	// DeveloperTokenIgnored is how it is since: any value is accepted, and none; an empty header is still refused.
	DeveloperTokenIgnored DeveloperTokenMode = "ignored"
	// DeveloperTokenHeaderRefused is how a future major version, v27 at the earliest, is expected to be: requests that carry
	// the header fail.
	DeveloperTokenHeaderRefused DeveloperTokenMode = "header_refused"
)

// DeveloperTokenStatus is what an enforced, genuine developer token is good for.
type DeveloperTokenStatus string

// The statuses; all but DeveloperTokenApproved are answered with authorizationError DEVELOPER_TOKEN_….
const (
	DeveloperTokenApproved       DeveloperTokenStatus = "approved"
	DeveloperTokenNotApproved    DeveloperTokenStatus = "not_approved"
	DeveloperTokenProhibited     DeveloperTokenStatus = "prohibited"
	DeveloperTokenNotOnAllowlist DeveloperTokenStatus = "not_on_allowlist"
)

// ProjectAccess says whether the Google Cloud project behind a credential may use the Google Ads API in production.
type ProjectAccess string

// The kinds of access.
const (
	ProjectApproved             ProjectAccess = "approved"
	ProjectNotApproved          ProjectAccess = "not_approved" // Test access only
	ProjectDisabled             ProjectAccess = "disabled"
	ProjectNotUnderOrganization ProjectAccess = "not_under_organization"
	ProjectServiceDenied        ProjectAccess = "service_denied"
	ProjectNoTerms              ProjectAccess = "no_terms"
	ProjectIncompleteSignup     ProjectAccess = "incomplete_signup"
	ProjectAPIDisabled          ProjectAccess = "api_disabled"
)

type googleWorld struct {
	ManagerCustomerID    string               `json:"manager_customer_id"`
	DeveloperToken       string               `json:"developer_token"`
	DeveloperTokenMode   DeveloperTokenMode   `json:"developer_token_mode"`
	DeveloperTokenStatus DeveloperTokenStatus `json:"developer_token_status"`
	ProjectAccess        ProjectAccess        `json:"project_access"`
	Revocation           RevocationScope      `json:"revocation"`
	PublishingStatus     PublishingStatus     `json:"publishing_status"`
	ExpiresIn            ExpiresIn            `json:"expires_in"`
	// TokenURI is what new key files name. Assertions for it are accepted beside those for the simulator's own address
	// and those for Google's.
	TokenURI string `json:"token_uri"`

	OAuthClients    map[string]*oauthClient    `json:"oauth_clients"`
	ServiceAccounts map[string]*serviceAccount `json:"service_accounts"`
	IAM             IAMSettings                `json:"iam"`
}

// oauthClient and what was made for it, oldest first.
type oauthClient struct {
	Name          string           `json:"name"`
	ClientID      string           `json:"client_id"`
	Secrets       []*clientSecret  `json:"secrets"`
	RefreshTokens []*refreshToken  `json:"refresh_tokens"`
	State         OAuthClientState `json:"state"`
	AdsAccess     AdsAccess        `json:"ads_access"`
}

type clientSecret struct {
	Value    string `json:"value"`
	Disabled bool   `json:"disabled"`
}

// newGoogleWorld returns the world that New starts with. Its service account gets the first key when somebody looks.
func (s *Simulator) newGoogleWorld() googleWorld {
	s.google = googleWorld{
		ManagerCustomerID:    randomString("123456789", 1) + randomString(digits, 9),
		DeveloperTokenMode:   DeveloperTokenEnforced,
		DeveloperTokenStatus: DeveloperTokenApproved,
		ProjectAccess:        ProjectApproved,
		Revocation:           RevocationOfToken,
		PublishingStatus:     PublishingInProduction,
		ExpiresIn:            ExpiresInTold,
		TokenURI:             s.tokenURL(),
		OAuthClients:         map[string]*oauthClient{},
		ServiceAccounts:      map[string]*serviceAccount{},
		IAM:                  IAMSettings{KeyLimitError: KeyLimitResourceExhausted, KeyCreation: KeyCreationAllowed},
	}
	s.resetDeveloperToken()
	s.addOAuthClient(DefaultName)
	s.addServiceAccount(DefaultName)
	return s.google
}

func (s *Simulator) resetDeveloperToken() string {
	// Google's documentation says alphanumeric, sample tokens in its client libraries have - and _ as well.
	s.google.DeveloperToken = randomString(alphanumeric, 1) + randomString(base64URL, 21)
	s.issue(Secret{GoogleAds, kindDeveloperToken, "manager", s.google.ManagerCustomerID, s.google.DeveloperToken})
	return s.google.DeveloperToken
}

func (s *Simulator) addOAuthClient(name string) *oauthClient {
	client := &oauthClient{
		Name:     name,
		ClientID: randomString(digits, 12) + "-" + randomString(digits+lowerLetters, 32) + ".apps.googleusercontent.com",
		State:    OAuthClientActive, AdsAccess: AdsAccessGranted,
	}
	s.google.OAuthClients[name] = client
	s.addClientSecret(client)
	s.addRefreshToken(client)
	return client
}

func (s *Simulator) addClientSecret(client *oauthClient) {
	secret := &clientSecret{Value: "GOCSPX-" + randomString(base64URL, 28)}
	client.Secrets = append(client.Secrets, secret)
	s.issue(Secret{GoogleToken, kindClientSecret, client.Name, client.ClientID, secret.Value})
}

// maxRefreshTokens is the documented number that a user and client can have; one more silently ends the oldest.
const maxRefreshTokens = 100

func (s *Simulator) addRefreshToken(client *oauthClient) {
	now := s.now()
	token := &refreshToken{
		Value: "1//0" + randomString(base64URL, 99), Made: now, Used: now, Testing: s.google.PublishingStatus == PublishingTesting,
	}
	client.RefreshTokens = append(client.RefreshTokens, token)
	if len(client.RefreshTokens) > maxRefreshTokens {
		client.RefreshTokens = client.RefreshTokens[1:]
	}
	s.issue(Secret{GoogleToken, kindRefreshToken, client.Name, client.ClientID, token.Value})
}

func (s *Simulator) tokenURL() string { return s.options.GoogleURL + "/token" }

// clientByID returns nil for an unknown client id.
func (s *Simulator) clientByID(id string) *oauthClient {
	for _, client := range s.google.OAuthClients {
		if client.ClientID == id {
			return client
		}
	}
	return nil
}

func (c *oauthClient) acceptsSecret(value string) bool {
	return slices.ContainsFunc(c.Secrets, func(secret *clientSecret) bool {
		return !secret.Disabled && sameSecret(secret.Value, value)
	})
}
