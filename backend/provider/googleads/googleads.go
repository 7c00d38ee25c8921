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
	typeImpersonated      = "impersonated_service_account"
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
	fieldCredentialsURL    = "iamcredentials_url"
	fieldSTSURL            = "sts_url"
	fieldExternalAccount   = "external_account"
	fieldHostIdentity      = "use_host_identity"
	fieldServiceAccount    = "service_account_email"
)

// Google's addresses, which hold where an account overrides nothing.
const (
	defaultBaseURL   = "https://googleads.googleapis.com"
	defaultTokenURL  = "https://oauth2.googleapis.com/token"
	defaultRevokeURL = "https://oauth2.googleapis.com/revoke"
	defaultIAMURL    = "https://iam.googleapis.com"

	defaultCredentialsURL = "https://iamcredentials.googleapis.com"
	defaultSTSURL         = "https://sts.googleapis.com/v1/token"
)

// defaultAPIVersion is the newest major version of the Google Ads API. Google brings four a year, and each lives about a
// year.
const defaultAPIVersion = "v26"

// New returns the Google Ads platform.
func New() *provider.Provider {
	return &provider.Provider{
		Name: "google_ads", Title: "Google Ads API", AccountFields: accountFields(), CheckAccount: checkAccount, VerifyAccount: verifyAccount,
		Types: tokenTypes(),
	}
}

func accountFields() []provider.Field {
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
		{Name: fieldCredentialsURL, Endpoint: true, Check: checkAddress(fieldCredentialsURL), Description: "Address of the IAM Service Account " +
			"Credentials API. Default: iam_url where it is set, else " + defaultCredentialsURL + "."},
		{Name: fieldSTSURL, Endpoint: true, Check: checkAddress(fieldSTSURL), Description: "Address of the Security Token Service. " +
			"Default: the file's token_url at googleapis.com."},
		{
			Name: fieldExternalAccount, Secret: true, File: true, Members: []string{"subject_token_type", "credential_source"}, Check: checkExternalAccount,
			Description: "The account's own identity without a key: JSON file of a workload identity federation, whose credential_source is a file on " +
				"the Vault server. Its content is sent to the Security Token Service.",
		},
		{Name: fieldHostIdentity, Flag: true, Check: provider.OneOf("true"), Description: "The account's own identity without a key: that of the Vault server's host at Google, from its " +
			"metadata server. Whoever may use this account then acts with the host's rights in Google Ads and IAM."},
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
		{Name: fieldServiceAccountKey, Secret: true, File: true, Members: []string{"private_key", "private_key_id", "client_email"}, Check: checkKeyFile, Description: purpose + "JSON key file of a service account, as it " +
			"is or in base64."},
	}
}

// checkAccount wants no identity or one that is complete.
func checkAccount(settings provider.Values) error {
	var set, missing []string
	for _, name := range []string{fieldClientID, fieldClientSecret, fieldRefreshToken} {
		if settings[name] == "" {
			missing = append(missing, name)
		} else {
			set = append(set, name)
		}
	}
	identities := 0
	for _, name := range []string{fieldServiceAccountKey, fieldExternalAccount, fieldHostIdentity} {
		if settings[name] != "" {
			identities++
		}
	}
	if len(set) > 0 {
		identities++
	}
	switch {
	case identities > 1:
		return errors.New("an account has one OAuth identity: set either service_account_key, external_account, use_host_identity, or client_id, " +
			`client_secret and refresh_token; an empty value ("", or false) removes one`)
	case len(set) > 0 && len(missing) > 0:
		return errors.New(strings.Join(missing, " and ") + " must be set too: client_id, client_secret and refresh_token belong together")
	default:
		return nil
	}
}

func tokenTypes() []*provider.TokenType {
	oauth, key := identityFields("")[:3], identityFields("")[3:]
	return []*provider.TokenType{
		{
			Name:           typeDeveloperToken,
			Title:          "Developer token",
			Description:    "Developer token of a manager account. Google retired developer tokens on 9 September 2026.",
			ResetSemantics: provider.Immediate,
			Fields: []provider.Field{{
				Name: fieldDeveloperToken, Secret: true, Check: checkDeveloperToken,
				Description: "Developer token, 22 characters: letters, digits, - and _.",
			}},
			Subject:    subject(),
			Connection: connection(),
			Connect:    connect,
			Verify:     verifyDeveloperToken,
			Runbook:    developerTokenRunbook,
		},
		{
			Name:           typeOAuthClient,
			Title:          "OAuth client with a refresh token",
			Description:    "OAuth client with a refresh token.",
			ResetSemantics: provider.Overlapping,
			Fields:         oauth,
			Subject:        subject(),
			Connection:     connection(),
			Connect:        connect,
			Verify:         verifyCredential,
			Runbook:        oauthClientRunbook,
			Mint:           mint,
			Retire:         revoke,
			EndPrevious:    "revoke_previous",
			Consent:        consent(),
			Identity:       func(credential provider.Values) string { return credential[fieldRefreshToken] },
		},
		{
			Name:           typeServiceAccountKey,
			Title:          "Service account key",
			Description:    "Key of a service account.",
			ResetSemantics: provider.Overlapping,
			Fields:         key,
			Subject:        subject(),
			Connection:     connection(),
			Connect:        connect,
			Verify:         verifyCredential,
			Runbook:        serviceAccountKeyRunbook,
			Mint:           mint,
			Keys:           keys{},
			Identity:       keyIdentity,
			Content:        keyContent,
		},
		impersonatedType(),
	}
}

func subject() []string { return []string{fieldLoginCustomerID} }

func connection() []provider.Field {
	return []provider.Field{
		{Name: fieldBaseURL, Description: "Address of the provider's API."},
		{Name: fieldAPIVersion, Description: "API version."},
		{Name: fieldLoginCustomerID, Description: "The manager account's id, if the account has one configured."},
	}
}

func connect(settings provider.Values, _ provider.Token) provider.Values {
	info := provider.Values{fieldBaseURL: baseURL(settings), fieldAPIVersion: apiVersion(settings)}
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
