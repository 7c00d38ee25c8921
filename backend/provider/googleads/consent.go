package googleads

import (
	"context"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// authorizeURL is where a person agrees.
const authorizeURL = "https://accounts.google.com/o/oauth2/v2/auth"

// consent is how a Google Ads user gives a refresh token.
func consent() *provider.Consent {
	return &provider.Consent{
		PKCE:         true,
		Needs:        func() []string { return []string{fieldClientID, fieldClientSecret} },
		Gives:        func() []string { return []string{fieldRefreshToken} },
		AuthorizeURL: consentURL, Exchange: exchangeCode,
	}
}

// consentConfig is the OAuth client of a credential.
func consentConfig(settings provider.Values, t provider.Token, asked provider.ConsentRequest) *oauth2.Config {
	return &oauth2.Config{
		ClientID: t.Credential[fieldClientID], ClientSecret: t.Credential[fieldClientSecret], RedirectURL: asked.RedirectURI,
		Scopes:   []string{scopeAdWords},
		Endpoint: oauth2.Endpoint{AuthURL: authorizeURL, TokenURL: TokenURL(settings, ""), AuthStyle: oauth2.AuthStyleInParams},
	}
}

// consentURL asks for a refresh token, also where the user has agreed before: without prompt=consent Google gives none then.
func consentURL(settings provider.Values, t provider.Token, asked provider.ConsentRequest) (string, error) {
	return consentConfig(settings, t, asked).AuthCodeURL(asked.State,
		oauth2.AccessTypeOffline, oauth2.SetAuthURLParam("prompt", "consent"), oauth2.S256ChallengeOption(asked.Verifier)), nil
}

// codeRefusals are what Google's refusals of a code mean.
var codeRefusals = map[string]string{
	oauthInvalidGrant: "Google refuses the code: it was used before, is too old, or belongs to another OAuth client or redirect_uri; " +
		"a new consent gives a new one",
	oauthInvalidClient:      clientRefusals[oauthInvalidClient],
	oauthDeletedClient:      clientRefusals[oauthDeletedClient],
	oauthDisabledClient:     clientRefusals[oauthDisabledClient],
	oauthUnauthorizedClient: "Google does not let this OAuth client use the code: check client_id",
	"redirect_uri_mismatch": "Google refuses the code: redirect_uri is not one of those that are registered for the OAuth client",
}

// exchangeCode makes a refresh token of the code of a consent.
func exchangeCode(ctx context.Context, a provider.Account, t provider.Token, code string, asked provider.ConsentRequest) (provider.Values, error) {
	e := &exchange{ctx: ctx, client: a.Client, once: true}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: e})
	token, err := consentConfig(a.Settings, t, asked).Exchange(ctx, code, oauth2.VerifierOption(asked.Verifier))
	// Under names that count as secret.
	secrets := provider.Values{fieldClientSecret: t.Credential[fieldClientSecret], fieldRefreshToken: code, fieldDeveloperToken: asked.Verifier}
	if token, err = e.granted(a, secrets, codeRefusals, token, err); err != nil {
		return nil, err
	}
	if _, err := provider.Opaque(token.RefreshToken); err != nil || token.RefreshToken == "" {
		return nil, &provider.Refused{Detail: "Google takes the code and gives no refresh token for it: give the consent anew, and take nothing away from what is asked"}
	}
	return provider.Values{fieldRefreshToken: token.RefreshToken}, nil
}
