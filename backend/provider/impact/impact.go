// Package impact knows the API tokens of impact.com accounts: how each is proven, and how a person replaces it.
package impact

import (
	"cmp"
	"context"
	"errors"
	"io/fs"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// The token types.
const (
	typeLegacyReadWrite = "legacy_read_write"
	typeLegacyReadOnly  = "legacy_read_only"
	typeScoped          = "scoped"
)

// Names of account settings, credential fields and token options.
const (
	fieldAccountType = "account_type"
	fieldAPIVersion  = "api_version"
	fieldBaseURL     = "base_url"
	fieldAccountURL  = "account_url"
	fieldAccountSID  = "account_sid"
	fieldAuthToken   = "auth_token"
	optionProbePath  = "probe_path"
)

const (
	defaultBaseURL   = "https://api.impact.com"
	defaultProbePath = "CompanyInformation"
)

// basePaths are what the address of every resource starts with, by account_type. impact.com's page about authentication
// writes MediaPartners; whether case matters is not said.
var basePaths = map[string]string{
	"agency":  "Agencies",
	"brand":   "Advertisers",
	"partner": "Mediapartners",
}

// New returns the impact.com platform. Its accounts have no identity of their own: a token carries all it takes.
func New() *provider.Provider {
	return &provider.Provider{Name: "impact", Title: "impact.com", AccountFields: accountFields(), CheckAccount: checkAccount, Types: tokenTypes()}
}

func accountFields() []provider.Field {
	return []provider.Field{
		{Name: fieldAccountType, Endpoint: true, Check: provider.OneOf("agency", "brand", "partner"), Description: "Kind of account: agency, brand or partner."},
		{
			Name: fieldAPIVersion, Check: provider.Match(`[1-9][0-9]{0,3}`, "a whole number such as 3"),
			Description: "API version to ask for (IR-Version), a whole number. Default: the token's own version.",
		},
		{Name: fieldBaseURL, Endpoint: true, Default: defaultBaseURL, Check: checkBaseURL, Description: "Address of the impact.com API, without the account's path."},
	}
}

func checkAccount(settings provider.Values) error {
	if settings[fieldAccountType] == "" {
		return errors.New("account_type is missing; give one of agency, brand, partner")
	}
	return nil
}

func tokenTypes() []*provider.TokenType {
	fields := []provider.Field{
		{
			Name: fieldAccountSID, Check: checkAccountSID, Description: "Account SID of the token, the user name of the API.",
		},
		{Name: fieldAuthToken, Secret: true, Check: provider.Opaque, Description: "Auth Token, the password of the API."},
	}
	options := []provider.Field{{
		Name: optionProbePath, Check: checkProbePath,
		Description: "Resource below the account that the token must be able to read, such as Campaigns. Default: " + defaultProbePath + ".",
	}}
	kind := func(name string, semantics provider.ResetSemantics, description string) *provider.TokenType {
		return &provider.TokenType{
			Name: name, Description: description, ResetSemantics: semantics, Fields: fields, Options: options,
			Subject: []string{fieldAccountSID}, Connection: connection(), Connect: connect,
			Verify: func(ctx context.Context, a provider.Account, t provider.Token) (provider.Verification, error) {
				t.Type = name
				return verify(ctx, a, t)
			},
			Runbook: func(settings provider.Values) provider.Runbook { return runbook(settings, name) },
		}
	}
	return []*provider.TokenType{
		kind(typeLegacyReadWrite, provider.Immediate, "The account's legacy Read/Write token."),
		kind(typeLegacyReadOnly, provider.Immediate, "The account's legacy Read-Only token."),
		kind(typeScoped, provider.Overlapping, "A scoped token. Its Reset is immediate; a second token can live beside it."),
	}
}

// checkProbePath wants a path that cannot leave the account's own: fs.ValidPath refuses "..", empty elements, and a
// slash at either end.
func checkProbePath(value string) (string, error) {
	const want = "the path of a resource below the account, such as Campaigns, without a slash at the start or the end"
	if !fs.ValidPath(value) || value == "." {
		return "", errors.New("must be " + want)
	}
	if isExport(value) {
		return "", errors.New("must not be of " + exports + ": verifications would take what the account's own exports need; choose another resource, such as Campaigns")
	}
	return provider.Match(`[0-9A-Za-z._~/-]+`, want)(value)
}

func connection() []provider.Field {
	return []provider.Field{
		{Name: fieldBaseURL, Description: "Address of the provider's API."},
		{Name: fieldAccountURL, Description: "base_url with the account's path."},
		{Name: fieldAPIVersion, Description: "API version, if the account has one."},
	}
}

func connect(settings provider.Values, t provider.Token) provider.Values {
	info := provider.Values{
		fieldBaseURL:    baseURL(settings),
		fieldAccountURL: accountURL(settings, t.Credential[fieldAccountSID]),
	}
	if version := settings[fieldAPIVersion]; version != "" {
		info[fieldAPIVersion] = version
	}
	return info
}

func baseURL(settings provider.Values) string {
	return cmp.Or(settings[fieldBaseURL], defaultBaseURL)
}

func accountURL(settings provider.Values, sid string) string {
	return baseURL(settings) + "/" + basePaths[settings[fieldAccountType]] + "/" + sid
}
