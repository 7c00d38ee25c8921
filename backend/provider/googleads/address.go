package googleads

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// googleTokenURIs are the token endpoints that Google has written into key files, the present one first. All are
// Google's own, so a key that one of them grants an access token for is proven.
var googleTokenURIs = []string{
	defaultTokenURL,
	"https://accounts.google.com/o/oauth2/token",
	"https://www.googleapis.com/oauth2/v4/token",
	"https://www.googleapis.com/oauth2/v3/token",
}

// detailSelfAsserted is what an acceptance comes to that the credential's own address gave.
const detailSelfAsserted = "An access token was granted at the token_uri that the key file itself names. That is none of Google's own " +
	"addresses, and the account has no token_url: so the key itself chose who answers, which proves to nobody else whose key it is, and " +
	"the account's own key does nothing for it. Set token_url in the account's configuration to the token endpoint that is to be trusted"

// selfAsserted reports whether access tokens for an identity, account settings or a credential, come from an address
// that only the identity's own key file names. A key file that cannot be read could name any.
func selfAsserted(settings, identity provider.Values) bool {
	if settings[fieldTokenURL] != "" || identity[fieldServiceAccountKey] == "" {
		return false
	}
	key, err := parseKeyFile(identity[fieldServiceAccountKey])
	return err != nil || key.TokenURI != "" && !slices.Contains(googleTokenURIs, key.TokenURI)
}

// googleAddress describes one of Google's addresses that an account can override.
type googleAddress struct {
	right string
	// accepted are further addresses of Google's that do the same.
	accepted []string
	// hint completes "<field> must be <right>: …".
	hint string
}

var googleAddresses = map[string]googleAddress{
	fieldBaseURL: {
		right: defaultBaseURL,
		hint:  "the engine adds the version (api_version) and the method, and consoles and other APIs of Google have other addresses",
	},
	fieldTokenURL: {
		right: defaultTokenURL, accepted: googleTokenURIs,
		hint: "the whole address of the token endpoint, which is neither the consent page nor another API of Google's",
	},
	fieldRevokeURL: {
		right: defaultRevokeURL, accepted: []string{"https://accounts.google.com/o/oauth2/revoke"},
		hint: "the whole address of the revocation endpoint, which is no other API of Google's",
	},
	fieldCredentialsURL: {
		right: defaultCredentialsURL,
		hint:  "the engine adds the version and the method, and consoles and other APIs of Google have other addresses",
	},
	fieldSTSURL: {
		right: defaultSTSURL,
		hint:  "the whole address of the endpoint that takes tokens of another identity provider, which is no other API of Google's",
	},
	fieldIAMURL: {
		right: defaultIAMURL,
		hint:  "the engine adds the version and the method, and consoles and other APIs of Google have other addresses",
	},
}

// checkAddress returns the Check of an address that has a default at Google. It finds the mistakes that people make:
// another address of Google's than the one that the field is for, and, in front of what the engine adds by itself, the
// API's version or method. Addresses of proxies and simulators are free.
func checkAddress(field string) func(string) (string, error) {
	known := googleAddresses[field]
	wrong := errors.New("must be " + known.right + ": " + known.hint)
	return func(value string) (string, error) {
		u, err := url.Parse(value)
		if err == nil && isGoogleHost(u.Hostname()) && !known.is(u) {
			return "", wrong
		}
		if err == nil && (field == fieldBaseURL || field == fieldIAMURL || field == fieldCredentialsURL) && namesMethod(u.Path) {
			return "", errors.New("must be the address in front of the API's version, such as " + known.right + ": " + known.hint)
		}
		return provider.EndpointURL(value)
	}
}

// is reports whether the address is one that the field is for. Its scheme is left to provider.EndpointURL.
func (a googleAddress) is(u *url.URL) bool {
	plain := "https://" + strings.ToLower(u.Hostname()) + strings.TrimRight(u.Path, "/")
	port := u.Port() == "" || u.Port() == "443"
	return port && u.RawQuery == "" && u.Fragment == "" && (plain == a.right || slices.Contains(a.accepted, plain))
}

// isGoogleHost reports whether a host is one of Google's public ones. Private Service Connect gives companies addresses
// of their own below p.googleapis.com.
func isGoogleHost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if strings.HasSuffix(host, ".p.googleapis.com") {
		return false
	}
	for _, domain := range []string{"google.com", "googleapis.com"} {
		if host == domain || strings.HasSuffix(host, "."+domain) {
			return true
		}
	}
	return false
}

// adsVersionSegment is what an Ads API version looks like at the end of a path. One digit is left to proxies.
var adsVersionSegment = provider.Pattern(`(?i)/v[1-9][0-9]{1,2}$`)

// namesMethod reports whether a path goes on into what the engine appends: a version at its end, or a method.
func namesMethod(path string) bool {
	return adsVersionSegment().MatchString(strings.TrimRight(path, "/")) ||
		strings.Contains(path, "/customers:") || strings.Contains(path, "/customers/") || strings.Contains(path, "/serviceAccounts")
}
