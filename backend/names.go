package backend

import (
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// nameForm is letters, digits and underscores, joined by dashes and single dots. The sdk's GenericNameRegex takes ".."
// too, which Vault's storage refuses.
const nameForm = `\w+(?:(?:\.|-+)\w+)*`

var validName = provider.Pattern("^" + nameForm + "$")

// namePattern captures a name in a path.
func namePattern(field string) string {
	return "(?P<" + field + ">" + nameForm + ")"
}

// nameRule is the rule for names of accounts and tokens in words.
const nameRule = "letters, digits and underscores, joined by dashes or single dots, at most 128 characters"

const providersPrefix = "providers/"

const campaignsPrefix = "campaigns/"

const credsPrefix = "creds/"

const accessTokenPrefix = "access-token/"

const reportPrefix = "report/"

// hotName finds the token of a path below creds/ or access-token/.
func hotName(path string) (name string, isCreds, ok bool) {
	if name, ok = strings.CutPrefix(path, credsPrefix); ok {
		return name, true, true
	}
	name, ok = strings.CutPrefix(path, accessTokenPrefix)
	return name, false, ok
}
