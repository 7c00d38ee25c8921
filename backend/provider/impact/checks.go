package impact

import (
	"errors"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// exports are resources with a quota of their own that is small, and shared with the customer's integrations.
const exports = "ReportExport (100 requests a day) or ClickExport (10)"

func isExport(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(element string) bool {
		name, _, _ := strings.Cut(element, ".") // of a format, such as .json
		return strings.EqualFold(name, "ReportExport") || strings.EqualFold(name, "ClickExport")
	})
}

// consoleHosts are where people sign in, and where no API answers.
var consoleHosts = []string{"app.impact.com", "www.impact.com", "impact.com"}

// checkBaseURL finds what people paste in place of the API's address: that of a resource, with the account's path in it,
// or the console's. The address of a proxy may have a path.
func checkBaseURL(value string) (string, error) {
	address, err := provider.EndpointURL(value)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("must be a URL such as " + defaultBaseURL)
	}
	for element := range strings.SplitSeq(u.Path, "/") {
		if name := accountPath(element); name != "" {
			return "", errors.New("must be the address without the account's path, such as " + defaultBaseURL + ": leave out everything from /" +
				name + " on, because Vault appends it by account_type and account_sid")
		}
	}
	switch host := strings.ToLower(u.Hostname()); {
	case slices.Contains(consoleHosts, host):
		return "", errors.New("is an address of impact.com's console; the API has " + defaultBaseURL + ", which is the default: " +
			"leave base_url out")
	case "https://"+host == defaultBaseURL && u.Path != "":
		return "", errors.New("must be " + defaultBaseURL + " without a path, which is the default: leave base_url out")
	}
	return address, nil
}

// accountPath returns what an element of a path is called if it belongs to an account or a resource.
func accountPath(element string) string {
	for _, name := range append(slices.Sorted(maps.Values(basePaths)), defaultProbePath) {
		if strings.EqualFold(element, name) {
			return name
		}
	}
	return ""
}

// maxSIDLength is far above the 34 characters that Account SIDs have.
const maxSIDLength = 128

// checkAccountSID takes any identifier that cannot change the path of a request that it goes into. Nobody promises the form
// that Account SIDs have: see usualSID.
func checkAccountSID(value string) (string, error) {
	const want = "must be an Account SID alone: "
	switch {
	case strings.Contains(value, "/"):
		return "", errors.New(want + "this is an address or a path")
	case strings.Contains(value, ":"):
		return "", errors.New(want + "this has a colon, as the pair of user and password does. " +
			"Hand in what stands behind the colon as auth_token")
	case strings.ContainsFunc(value, unicode.IsSpace):
		return "", errors.New(want + "this has blanks")
	}
	if len(value) > maxSIDLength {
		return "", errors.New(want + "this has more than 128 characters")
	}
	return provider.Match(`[0-9A-Za-z_-]+`, "an Account SID: letters and digits, or _ and -")(value)
}

// usualSID is the form of all Account SIDs that are known. It helps to find a mistake after a refusal, and refuses nothing.
var usualSID = regexp.MustCompile(`^IR[0-9A-Za-z]{16,62}$`)

// mixUp says what a refused pair looks like; empty where it looks as it should.
func mixUp(credential provider.Values) string {
	sid, token := credential[fieldAccountSID], credential[fieldAuthToken]
	switch {
	case sid == token:
		return ". auth_token is the same as account_sid: the Auth Token stands beside the Account SID in the console"
	case usualSID.MatchString(token) && !usualSID.MatchString(sid):
		return ". The two look swapped: auth_token looks like an Account SID (IR and letters and digits), and account_sid does not"
	case usualSID.MatchString(token):
		return ". auth_token looks like an Account SID (IR and letters and digits): the Auth Token stands beside it in the console"
	case !usualSID.MatchString(sid):
		return ". account_sid does not look like an Account SID, which is IR and some 32 letters and digits"
	default:
		return ""
	}
}
