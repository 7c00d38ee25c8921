package backend

import (
	"slices"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/resethook"
)

// Fields of an account's reset hook.
const (
	fieldHookURL    = "reset_hook_url"
	fieldHookSecret = "reset_hook_secret"
	fieldHookCACert = "reset_hook_ca_cert"
)

// commonAccountFields are the string fields that accounts of every provider have.
func commonAccountFields() []provider.Field {
	return append([]provider.Field{
		{Name: "contact_email", Check: provider.EmailAddress, Description: "Address that the provider warns about the account's API access. A team's, not a person's."},
		{Name: "ca_cert", Endpoint: true, Check: provider.CACertificates, Description: "PEM encoded CA certificates to trust for the provider's addresses, instead of the system's."},
		{Name: fieldHookCACert, Endpoint: true, Check: provider.CACertificates, Description: "PEM encoded CA certificates to trust for reset_hook_url, instead of the system's."},
	}, resethook.Fields()...)
}

// fieldRedirectURI is where a consent sends the browser back.
const fieldRedirectURI = "redirect_uri"

// consentAccountFields are those of accounts whose platform has a consent.
func consentAccountFields() []provider.Field {
	return []provider.Field{{
		Name: fieldRedirectURI, Default: "http://127.0.0.1/", Check: provider.RedirectURI,
		Description: "Address that a consent sends the browser back to; the platform has to know it. For platforms with a consent.",
	}}
}

// accountFields are all string fields of the provider's accounts.
func accountFields(p *platform) []provider.Field {
	fields := commonAccountFields()
	if slices.ContainsFunc(p.Types, func(kind *provider.TokenType) bool { return kind.Consent != nil }) {
		fields = append(fields, consentAccountFields()...)
	}
	return append(fields, p.AccountFields...)
}

// checkHook wants a hook that is signed for, or none.
func checkHook(settings provider.Values) error {
	switch {
	case settings[fieldHookURL] != "" && settings[fieldHookSecret] == "":
		return badInput("%s is missing: requests to the reset hook are signed with it", fieldHookSecret)
	case settings[fieldHookURL] == "" && (settings[fieldHookSecret] != "" || settings[fieldHookCACert] != ""):
		return badInput(`%s is missing; to remove a hook, give "" for %s and %s too`, fieldHookURL, fieldHookSecret, fieldHookCACert)
	}
	return nil
}
