// Package googleads knows the credentials of Google Ads API apps: how each is proven, and how a person replaces it.
package googleads

import (
	"cmp"
	"errors"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// The token types.
const (
	typeDeveloperToken    = "developer_token"
	typeOAuthClient       = "oauth_client"
	typeServiceAccountKey = "service_account_key"
)

// Names of account settings and credential fields. The OAuth identity has the same names in both.
const (
	fieldDeveloperToken    = "developer_token"
	fieldClientID          = "client_id"
	fieldClientSecret      = "client_secret"
	fieldRefreshToken      = "refresh_token"
	fieldServiceAccountKey = "service_account_key"
	fieldLoginCustomerID   = "login_customer_id"
	fieldAPIVersion        = "api_version"
	fieldBaseURL           = "base_url"
	fieldTokenURL          = "token_url"
	fieldRevokeURL         = "revoke_url"
	fieldIAMURL            = "iam_url"
)

// Google's addresses, which hold where an account overrides nothing.
const (
	defaultBaseURL   = "https://googleads.googleapis.com"
	defaultTokenURL  = "https://oauth2.googleapis.com/token"
	defaultRevokeURL = "https://oauth2.googleapis.com/revoke"
	defaultIAMURL    = "https://iam.googleapis.com"
)

// defaultAPIVersion is the newest major version of the Google Ads API. Google brings four a year, and each lives about a
// year.
const defaultAPIVersion = "v26"

type platform struct{}

var (
	_ provider.AccessTokenMinter = platform{}
	_ provider.Revoker           = platform{}
	_ provider.KeyRotator        = platform{}
)

// New returns the Google Ads platform. It is a provider.AccessTokenMinter for oauth_client and service_account_key,
// a provider.Revoker for oauth_client, and a provider.KeyRotator for service_account_key.
func New() provider.Provider { return platform{} }

func (platform) Name() string { return "google_ads" }

func (platform) AccountFields() []provider.Field {
	fields := []provider.Field{
		{Name: fieldLoginCustomerID, Check: checkCustomerID, Description: "Customer ID of the manager account, 10 digits; what stands between " +
			"them is removed. Sent as login-customer-id."},
		{Name: fieldAPIVersion, Default: defaultAPIVersion, Check: checkAPIVersion, Description: "Major version of the Google Ads API, such " +
			"as v26."},
		{Name: fieldBaseURL, Endpoint: true, Default: defaultBaseURL, Check: checkAddress(fieldBaseURL), Description: "Address of the Google " +
			"Ads API."},
		{Name: fieldTokenURL, Endpoint: true, Check: checkAddress(fieldTokenURL), Description: "Address of the OAuth token endpoint. Default: " +
			"the key file's token_uri, else " + defaultTokenURL + ". Without it, a key file with another token_uri than Google's own proves " +
			"nothing."},
		{Name: fieldRevokeURL, Endpoint: true, Check: checkAddress(fieldRevokeURL), Description: "Address of the OAuth revocation endpoint. " +
			"Default: " + defaultRevokeURL + "."},
		{Name: fieldIAMURL, Endpoint: true, Check: checkAddress(fieldIAMURL), Description: "Address of the IAM API. " +
			"Default: " + defaultIAMURL + "."},
	}
	return append(fields, identityFields("The account's own OAuth identity, which verifies developer tokens, and as a key also manages "+
		"others: ")...)
}

// identityFields are the two kinds of OAuth identity: client_id, client_secret and refresh_token, or a key file.
func identityFields(purpose string) []provider.Field {
	return []provider.Field{
		{Name: fieldClientID, Check: checkClientID, Description: purpose + "client ID of the OAuth client."},
		{Name: fieldClientSecret, Secret: true, Check: provider.Opaque, Description: purpose + "client secret of the OAuth client."},
		{Name: fieldRefreshToken, Secret: true, Check: provider.Opaque, Description: purpose + "refresh token with the scope " + scopeAdWords + "."},
		{Name: fieldServiceAccountKey, Secret: true, File: true, Check: checkKeyFile, Description: purpose + "JSON key file of a service account, as it " +
			"is or in base64."},
	}
}

// CheckAccount wants no OAuth identity or one that is complete.
func (platform) CheckAccount(settings provider.Values) error {
	var set, missing []string
	for _, name := range []string{fieldClientID, fieldClientSecret, fieldRefreshToken} {
		if settings[name] == "" {
			missing = append(missing, name)
		} else {
			set = append(set, name)
		}
	}
	switch {
	case len(set) > 0 && settings[fieldServiceAccountKey] != "":
		return errors.New("an account has one OAuth identity: set either service_account_key, or client_id, client_secret and refresh_token; " +
			`an empty value ("") removes one`)
	case len(set) > 0 && len(missing) > 0:
		return errors.New(strings.Join(missing, " and ") + " must be set too: client_id, client_secret and refresh_token belong together")
	default:
		return nil
	}
}

func (platform) TokenTypes() []provider.TokenType {
	oauth, key := identityFields("")[:3], identityFields("")[3:]
	return []provider.TokenType{
		{
			Name:           typeDeveloperToken,
			Description:    "Developer token of a manager account. Google retired developer tokens on 9 September 2026.",
			ResetSemantics: provider.Immediate,
			Fields: []provider.Field{{
				Name: fieldDeveloperToken, Secret: true, Check: checkDeveloperToken,
				Description: "Developer token, 22 characters: letters, digits, - and _.",
			}},
		},
		{
			Name:           typeOAuthClient,
			Description:    "OAuth client with a refresh token.",
			ResetSemantics: provider.Overlapping,
			Fields:         oauth,
			Identity:       func(credential provider.Values) string { return credential[fieldRefreshToken] },
		},
		{
			Name:           typeServiceAccountKey,
			Description:    "Key of a service account.",
			ResetSemantics: provider.Overlapping,
			Fields:         key,
			Identity:       keyIdentity,
			Content:        keyContent,
		},
	}
}

// ConnectionInfo gives base_url, api_version and, where the account has one, login_customer_id.
func (platform) ConnectionInfo(settings provider.Values, _ provider.Token) map[string]string {
	info := map[string]string{fieldBaseURL: baseURL(settings), fieldAPIVersion: apiVersion(settings)}
	if id := settings[fieldLoginCustomerID]; id != "" {
		info[fieldLoginCustomerID] = id
	}
	return info
}

func baseURL(settings provider.Values) string {
	return cmp.Or(settings[fieldBaseURL], defaultBaseURL)
}

func apiVersion(settings provider.Values) string {
	return cmp.Or(settings[fieldAPIVersion], defaultAPIVersion)
}

// IAMURL is where the account reaches Google's IAM API.
func IAMURL(settings provider.Values) string {
	return cmp.Or(settings[fieldIAMURL], defaultIAMURL)
}

// RevokeURL is where the account revokes refresh tokens.
func RevokeURL(settings provider.Values) string {
	return cmp.Or(settings[fieldRevokeURL], defaultRevokeURL)
}

// TokenURL is where the account gets access tokens. KeyTokenURI is that of the key file, empty for an OAuth client.
func TokenURL(settings provider.Values, keyTokenURI string) string {
	return cmp.Or(settings[fieldTokenURL], keyTokenURI, defaultTokenURL)
}
