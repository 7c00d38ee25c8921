// Package impact knows the API tokens of impact.com accounts: how each is proven, and how a person replaces it.
package impact

import (
	"cmp"
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

type platform struct{}

// New returns the impact.com platform. Its accounts have no identity of their own: a token carries all it takes.
func New() provider.Provider { return platform{} }

func (platform) Name() string { return "impact" }

func (platform) AccountFields() []provider.Field {
	return []provider.Field{
		{Name: fieldAccountType, Endpoint: true, Check: provider.OneOf("agency", "brand", "partner"), Description: "Kind of account: agency, brand or partner."},
		{
			Name: fieldAPIVersion, Check: provider.Match(`[1-9][0-9]{0,3}`, "a whole number such as 3"),
			Description: "API version to ask for (IR-Version), a whole number. Default: the token's own version.",
		},
		{Name: fieldBaseURL, Endpoint: true, Default: defaultBaseURL, Check: checkBaseURL, Description: "Address of the impact.com API, without the account's path."},
	}
}

func (platform) CheckAccount(settings provider.Values) error {
	if settings[fieldAccountType] == "" {
		return errors.New("account_type is missing; give one of agency, brand, partner")
	}
	return nil
}

func (platform) TokenTypes() []provider.TokenType {
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
	return []provider.TokenType{
		{
			Name: typeLegacyReadWrite, ResetSemantics: provider.Immediate, Fields: fields, Options: options,
			Description: "The account's legacy Read/Write token.",
		},
		{
			Name: typeLegacyReadOnly, ResetSemantics: provider.Immediate, Fields: fields, Options: options,
			Description: "The account's legacy Read-Only token.",
		},
		{
			Name: typeScoped, ResetSemantics: provider.Overlapping, Fields: fields, Options: options,
			Description: "A scoped token. Its Reset is immediate; a second token can live beside it.",
		},
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

// ConnectionInfo gives base_url, account_url (base_url with the account's path) and, where the account has one,
// api_version.
func (platform) ConnectionInfo(settings provider.Values, t provider.Token) map[string]string {
	info := map[string]string{
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
