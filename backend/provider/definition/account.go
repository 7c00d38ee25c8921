package definition

import (
	"fmt"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// checkAccount wants what is required.
func (d *Definition) checkAccount(settings provider.Values) error {
	for _, f := range d.accountFields() {
		if f.Required && settings[f.name] == "" && f.Default == "" {
			return fmt.Errorf("%s is missing; give %s", f.name, f.want())
		}
	}
	return nil
}

// checkOptions wants what is required.
func (t *tokenType) checkOptions(options provider.Values) error {
	for _, f := range t.options {
		if f.Required && options[f.name] == "" && f.Default == "" {
			return fmt.Errorf("%s is missing; give %s", f.name, f.want())
		}
	}
	return nil
}

// isAddress says whether a template of a connection gives an address.
func isAddress(text string) bool {
	return strings.HasPrefix(text, "{+account.") || strings.HasPrefix(text, "https://")
}
