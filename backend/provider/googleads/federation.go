package googleads

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google/externalaccount"
	"google.golang.org/api/iam/v1"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// federation is a credential file of a workload identity federation, as far as the engine takes it: whatever else the format has, such as
// programs to run and addresses to ask, is refused.
type federation struct {
	Type             string `json:"type"`
	Audience         string `json:"audience"`
	SubjectTokenType string `json:"subject_token_type"`
	TokenURL         string `json:"token_url"`
	// ImpersonationURL is empty where the federated identity acts by itself.
	ImpersonationURL string `json:"service_account_impersonation_url,omitempty"`
	Impersonation    *struct {
		Lifetime int `json:"token_lifetime_seconds"`
	} `json:"service_account_impersonation,omitempty"`
	TokenInfoURL     string           `json:"token_info_url,omitempty"`
	UniverseDomain   string           `json:"universe_domain,omitempty"`
	QuotaProject     string           `json:"quota_project_id,omitempty"`
	CredentialSource federationSource `json:"credential_source"`
}

type federationSource struct {
	File   string                 `json:"file"`
	Format externalaccount.Format `json:"format,omitzero"`
}

// impersonationPath is what the address of an impersonation ends with.
var impersonationPath = provider.Pattern(`^/v1/projects/-/serviceAccounts/([^/:]+):generateAccessToken$`)

// maxSubjectToken bounds the file that is sent.
const maxSubjectToken = 64 << 10

// parseFederation reads the file strictly. Its errors complete "external_account …".
func parseFederation(value string) (*federation, error) {
	var f federation
	decoder := json.NewDecoder(strings.NewReader(value))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil || decoder.More() {
		return nil, errors.New("must be the JSON file of a workload identity federation whose credential_source is a file: of its members type, audience, " +
			"subject_token_type, token_url, service_account_impersonation_url and credential_source (file, format) are taken, and no others that ask an " +
			"address, run a program or hold a secret")
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return &f, nil
}

// check refuses what would ask, or send to, an address that is none of Google's.
func (f *federation) check() error {
	switch {
	case f.Type != "external_account":
		return errors.New(`must have the type "external_account"; a key file belongs in service_account_key`)
	case f.Audience == "" || f.SubjectTokenType == "":
		return errors.New("must have audience and subject_token_type")
	case f.UniverseDomain != "" && f.UniverseDomain != "googleapis.com":
		return errors.New("must have the universe_domain googleapis.com, or none")
	case !filepath.IsAbs(f.CredentialSource.File):
		return errors.New("must have a credential_source with the absolute path of a file on the Vault server")
	case f.TokenURL != "" && !isGoogleAPI(f.TokenURL, "sts"):
		return errors.New("must have a token_url at sts.googleapis.com; another address is what sts_url of the account is for")
	case f.ImpersonationURL != "" && (f.serviceAccount() == "" || !isGoogleAPI(f.ImpersonationURL, "iamcredentials")):
		return errors.New("must have a service_account_impersonation_url at iamcredentials.googleapis.com; another address is what iamcredentials_url of " +
			"the account is for")
	}
	return f.CredentialSource.check()
}

// check wants a format that says where in the file the token is.
func (s *federationSource) check() error {
	switch s.Format.Type {
	case "", "text":
	case "json":
		if s.Format.SubjectTokenFieldName == "" {
			return errors.New("must have subject_token_field_name in the credential_source's format of the type json")
		}
	default:
		return errors.New("must have a credential_source whose format is text or json")
	}
	return nil
}

// isGoogleAPI says whether the address is one of Google's for a service, which have the form sts.googleapis.com, or
// sts.europe-west1.rep.googleapis.com.
func isGoogleAPI(address, service string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Port() != "" || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	host, ok := strings.CutSuffix(u.Host, ".googleapis.com")
	name, region, regional := strings.Cut(host, ".")
	return ok && name == service && (!regional || strings.HasSuffix(region, ".rep") && !strings.HasPrefix(region, "."))
}

// serviceAccount is whom the file acts for; empty where it is nobody.
func (f *federation) serviceAccount() string {
	u, err := url.Parse(f.ImpersonationURL)
	if err != nil {
		return ""
	}
	found := impersonationPath().FindStringSubmatch(u.Path)
	if found == nil {
		return ""
	}
	email, err := checkImpersonated(found[1])
	if err != nil {
		return ""
	}
	return email
}

// checkExternalAccount is the Check of external_account. Its form is that of one line.
func checkExternalAccount(value string) (string, error) {
	if _, err := parseFederation(value); err != nil {
		return "", err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, []byte(value)); err != nil {
		return "", errors.New("must be JSON")
	}
	return line.String(), nil
}

// grantFederated exchanges the content of the file on the Vault server for an access token, and that for one of the service account where
// the file names one. The addresses are Google's, or the account's own.
func grantFederated(ctx context.Context, a provider.Account, g grantRequest) (*oauth2.Token, error) {
	f, err := parseFederation(g.identity[fieldExternalAccount])
	if err != nil {
		return nil, &provider.Refused{Detail: fieldExternalAccount + " " + err.Error()}
	}
	if err := f.checkSource(); err != nil {
		return nil, err
	}
	config := externalaccount.Config{
		Audience: f.Audience, SubjectTokenType: f.SubjectTokenType, TokenURL: f.tokenURL(a.Settings), Scopes: []string{g.scope},
		CredentialSource: &externalaccount.CredentialSource{File: f.CredentialSource.File, Format: f.CredentialSource.Format},
	}
	email := f.serviceAccount()
	if email != "" {
		config.Scopes = []string{iam.CloudPlatformScope}
	}
	e := &exchange{ctx: ctx, client: a.Client}
	source, err := externalaccount.NewTokenSource(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: e}), config)
	if err != nil {
		return nil, &provider.Refused{Detail: "external_account cannot be used as it is: check its audience and credential_source"}
	}
	token, err := source.Token()
	if e.err == nil && e.response == nil {
		return nil, &provider.Refused{Detail: "the file of external_account's credential_source does not hold a token of the form that its format says"}
	}
	if token, err = e.granted(a, provider.Values{fieldServiceAccountKey: g.identity[fieldExternalAccount]}, federationRefusals, token, err); err != nil {
		return nil, err
	}
	if email == "" {
		return token, nil
	}
	return generateToken(ctx, a, token, email, g.scope)
}

// federationRefusals are what the refusals of the Security Token Service mean.
var federationRefusals = map[string]string{
	oauthInvalidGrant: "Google refuses the token in the file of credential_source: it is expired, or not one that the pool's provider takes",
	"invalid_request": "Google refuses the exchange of external_account: check its audience and subject_token_type",
	"invalid_target":  "Google does not know the audience of external_account: check the pool and the provider in it, and that they are enabled",
	"unauthorized_client": "Google does not let the token in the file of credential_source in: its attributes do not fit the condition of the " +
		"pool's provider",
}

// tokenURL is the account's, or Google's that the file names.
func (f *federation) tokenURL(settings provider.Values) string {
	switch {
	case settings[fieldSTSURL] != "":
		return settings[fieldSTSURL]
	case f.TokenURL != "":
		return f.TokenURL
	}
	return defaultSTSURL
}

// checkSource looks that the file can be read and is no larger than a token.
func (f *federation) checkSource() error {
	info, err := os.Stat(f.CredentialSource.File)
	switch {
	case err != nil:
		return &provider.Error{Host: "The Vault server", NotSent: true, Problem: "cannot read the file of external_account's credential_source: is it there, and may Vault's user read it?"}
	case !info.Mode().IsRegular() || info.Size() == 0 || info.Size() > maxSubjectToken:
		return &provider.Error{Host: "The Vault server", NotSent: true, Problem: "finds no token in the file of external_account's credential_source: it must be a file with 1 to 65,536 bytes"}
	}
	return nil
}
