//go:build unix

package acceptance

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/catalogue"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// tooLong is more than any field takes.
const tooLong = 1<<14 + 1

// newInputWorld has something to lose at every path that is written to: the accounts google and agency, their tokens dev,
// rw and ro, and the tokens empty, oauth and key without a credential.
func newInputWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.importDeveloperToken(t)
	w.importLegacyTokens(t)
	w.write(t, "tokens/empty", fields{"account": "agency", "type": "scoped"})
	w.write(t, "tokens/oauth", fields{"account": "google", "type": "oauth_client"})
	w.write(t, "tokens/key", fields{"account": "google", "type": "service_account_key"})
	return w
}

// refuses fails the test unless a write is refused as the caller's mistake, with each of the words in the message, which
// it returns.
func (w *world) refuses(t *testing.T, path string, data fields, words ...string) string {
	t.Helper()
	_, err := w.Write(t.Context(), path, data)
	var response *api.ResponseError
	if !errors.As(err, &response) || response.StatusCode != http.StatusBadRequest {
		vaulttest.Fatalf(t, "writing %s to %s should be HTTP 400, not: %v", asJSON(t, data), path, err)
	}
	message := strings.Join(response.Errors, "\n")
	mentions(t, "the message", message, words...)
	return message
}

// writePath is a path that is written to.
type writePath struct {
	// base is what the write needs beside a field to be accepted.
	base fields
	// fields are the strings that it takes.
	fields []string
}

func (w *world) writePaths(t *testing.T) map[string]writePath {
	t.Helper()
	const key = "service_account_key"
	pair := []string{"account_sid", "auth_token"}
	identity := []string{"client_id", "client_secret", "refresh_token"}
	common := []string{"contact_email", "ca_cert", "base_url", "api_version", "reset_hook_url", "reset_hook_secret", "reset_hook_ca_cert"}
	ofGoogle := slices.Concat(common, identity, []string{key, "login_customer_id", "token_url", "revoke_url", "iam_url"})
	ofImpact := slices.Concat(common, []string{"account_type"})
	ofTokens := []string{"account", "type", "reason", "rotation_schedule", "probe_path"}

	google := w.googleFields(t)
	client := fields{}
	for _, field := range identity {
		client[field] = google[field]
	}
	credentials := done(w.sim.ImpactCredentials(t.Context(), "agency"))(t)
	authToken := fields{"auth_token": vaulttest.Secret(t, "auth token beside bad input", "authTokenBesideBadInput")}
	return map[string]writePath{
		"config/new-google":   {google, slices.Concat(ofGoogle, []string{"provider"})},
		"config/google":       {google, ofGoogle},
		"config/new-impact":   {w.impactFields(simulator.Agency), slices.Concat(ofImpact, []string{"provider"})},
		"config/agency":       {nil, ofImpact},
		"tokens/new":          {impactToken("legacy_read_write", credentials.ReadWrite), slices.Concat(ofTokens, pair)},
		"tokens/new-dev":      {fields{"account": "google", "type": "developer_token"}, []string{"developer_token"}},
		"tokens/new-oauth":    {with(with(maps.Clone(client), "account", "google"), "type", "oauth_client"), identity},
		"tokens/new-key":      {fields{"account": "google", "type": key}, []string{key}},
		"tokens/rw":           {nil, slices.Concat([]string{"account", "type", "rotation_schedule", "probe_path"}, pair)},
		"tokens/rw/rotate":    {authToken, slices.Concat([]string{"reason"}, pair)},
		"tokens/dev/rotate":   {nil, []string{"developer_token"}},
		"tokens/oauth/rotate": {client, identity},
		"tokens/key/rotate":   {nil, []string{key}},
		"notifications/new":   {nil, []string{"url", "secret", "ca_cert", "format"}},
		"report/rw":           {nil, []string{"fingerprint"}},
	}
}

func TestStringFieldsRefuseWhatIsNoUsableString(t *testing.T) {
	t.Parallel()
	w := newInputWorld(t)
	before := w.snapshot(t)
	for path, tt := range w.writePaths(t) {
		for _, field := range tt.fields {
			t.Run(path+" "+field, func(t *testing.T) {
				t.Parallel()
				secret := fmt.Sprintf("badInput-%s-%s", strings.ReplaceAll(path, "/", "-"), field)
				if isSecret(field) {
					vaulttest.Secret(t, "value of the wrong type", secret)
				}
				var messages []string
				for name, value := range map[string]any{
					"a list":               []any{secret},
					"an empty list":        []any{},
					"an object":            fields{"value": secret},
					"a boolean":            true,
					"null":                 nil,
					"a NUL":                secret + "\x00" + secret,
					"a line break":         secret + "\n" + secret,
					"an escape":            "\x1b[2J" + secret,
					"a bidirectional mark": secret + "\u202e",
					"too much":             strings.Repeat("x", tooLong),
					"too much, all secret": strings.Repeat(secret, tooLong/len(secret)+1),
				} {
					data := maps.Clone(tt.base)
					if data == nil {
						data = fields{}
					}
					data[field] = value
					messages = append(messages, w.refuses(t, path, data, field))
					if t.Failed() {
						t.Fatalf("with %s", name)
					}
				}
				tellsNoSecret(t, "a message", messages)
				w.unchanged(t, before)
			})
		}
	}
}

func isSecret(field string) bool {
	return slices.Contains([]string{"auth_token", "developer_token", "client_secret", "refresh_token", "service_account_key", "reset_hook_secret", "secret"}, field)
}

// otherFields are those that are no plain strings, by name (a note after it is for the reader): the values that each does
// not take beside unfit, and what the message has one of.
var otherFields = map[string]struct {
	path   string
	values []any
	words  []string
}{
	"request_timeout":            {"config/google", []any{0, -1, "61s", "1h"}, []string{"1s and 60s", "a duration"}},
	"verify_connection":          {"config/google", []any{""}, []string{"true or false"}},
	"reset_hook_timeout":         {"config/google", []any{-1}, []string{"a duration"}},
	"refresh_ttl":                {"tokens/rw", []any{0, -1, "-5s", ""}, []string{"at least 1s", "a duration"}},
	"reader_window":              {"tokens/rw", []any{0, -1, "", "1.5s", "100000h"}, []string{"at least 1s", "a duration"}},
	"retire_after":               {"tokens/rw", []any{"", "never", "Adopted", true}, []string{"grace", "a string"}},
	"rotation_period":            {"tokens/rw", []any{-1, "-5s", "", 1.9, "9223372036854775807", "300000000000", 1e30}, []string{"a duration"}},
	"rotation_window":            {"tokens/rw", []any{-1, 10}, []string{"a duration", "3600 seconds"}},
	"rotation_schedule":          {"tokens/rw", []any{"every day", "* * *", "61 * * * *", "@reboot"}, []string{"five fields", "a string"}},
	"disable_automated_rotation": {"tokens/rw", []any{""}, []string{"true or false"}},
	"verify_period":              {"tokens/rw", []any{-1, "", 1.9, "1.9", "500ms"}, []string{"a duration"}},
	"rotation_grace_period":      {"tokens/rw", []any{-1, "", 1.9}, []string{"a duration"}},
	"lease_ttl":                  {"tokens/rw", []any{-1, "", 1.9}, []string{"a duration"}},
	"force":                      {"tokens/rw", []any{""}, []string{"true or false"}},
	"custom_metadata": {
		"tokens/rw",
		[]any{7, true, "", fields{"a": fields{"b": "c"}}, fields{"a": strings.Repeat("x", 513)}, fields{"a": ""}, manyKeys(65)},
		[]string{"key=value pairs", "64 printable keys"},
	},
	"verify of an import":   {"tokens/new", []any{""}, []string{"true or false"}},
	"verify of a rotation":  {"tokens/rw/rotate", []any{""}, []string{"true or false"}},
	"cas":                   {"tokens/rw/rotate", []any{"1.5", 1.5, -1, true, ""}, []string{"a whole number", "0 or more"}},
	"revoke_previous":       {"tokens/rw/rotate", []any{""}, []string{"true or false"}},
	"retire_previous":       {"tokens/rw/rotate", []any{""}, []string{"true or false"}},
	"version":               {"tokens/rw/retire", []any{"1.5", 1.5, true, ""}, []string{"a whole number"}},
	"force of a retirement": {"tokens/rw/retire", []any{""}, []string{"true or false"}},
	"rotate_on_rejection":   {"tokens/rw", []any{""}, []string{"true or false"}},
	"accept_other_identity": {"tokens/rw/rotate", []any{""}, []string{"true or false"}},
	"version of a report":   {"report/rw", []any{0, -1, 2, "1.5", 1.5, true, ""}, []string{"a whole number", "1 or more", "does not exist"}},
	"status":                {"report/rw", []any{99, 600, -401, "4xx", 401.5, true, ""}, []string{"a whole number", "100 to 599"}},
}

// unfit is what none of the otherFields takes.
var unfit = []any{"soon", []any{"soon"}, []any{1}, fields{"soon": []any{1}}, nil}

func TestOtherFieldsRefuseWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	w := newInputWorld(t)
	before := w.snapshot(t)
	rotation := vaulttest.Secret(t, "auth token beside bad input", "authTokenBesideBadInput")
	for name, tt := range otherFields {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			field, _, _ := strings.Cut(name, " ")
			for _, value := range slices.Concat(unfit, tt.values) {
				data := fields{field: value}
				if tt.path == "tokens/rw/rotate" {
					data["auth_token"] = rotation
				}
				_, err := w.Write(t.Context(), tt.path, data)
				refused(t, err, http.StatusBadRequest, field)
				var response *api.ResponseError
				if errors.As(err, &response) && !containsAny(strings.Join(response.Errors, "\n"), tt.words) {
					t.Errorf("the message has none of %q: %v", tt.words, response.Errors)
				}
				if t.Failed() {
					t.Fatalf("with %#v", value)
				}
			}
			w.unchanged(t, before)
		})
	}
}

func manyKeys(n int) fields {
	keys := fields{}
	for i := range n {
		keys[fmt.Sprint("key", i)] = "value"
	}
	return keys
}

func containsAny(text string, words []string) bool {
	for _, word := range words {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// addTriedElsewhere adds the fields that have tests of their own.
func addTriedElsewhere(tried map[string]bool) {
	// The forms of other platforms' fields are their definitions'; these are tried with those.
	for _, d := range catalogue.All() {
		if d.Name() == "impact" {
			continue
		}
		p := d.Provider()
		for _, f := range p.AccountFields {
			tried["/config/{account} "+f.Name] = true
		}
		for _, kind := range p.Types {
			for _, f := range slices.Concat(kind.Fields, kind.Options) {
				tried["/tokens/{name} "+f.Name], tried["/tokens/{name}/rotate "+f.Name] = true, true
			}
		}
	}
	// These have tests of their own: TestProviders_*, TestExpiry_*, TestConsent_*, TestKeyless_*, TestCampaigns_*, TestNotifications_*.
	for _, field := range []string{"reason", "tokens", "accounts", "providers", "types", "read_by", "parallel", "retry", "cancel", "after", "limit"} {
		tried["/campaigns/{name} "+field] = true
	}
	for _, field := range []string{
		"/notifications/{name} events",
		"/providers/{name} definition", "/tokens/{name} rotate_before_expiry", "/tokens/{name} service_account_email",
		"/tokens/{name}/rotate service_account_email", "/tokens/{name}/rotate code", "/tokens/{name}/rotate redirect_url",
		"/tokens/{name}/rotate state", "/config/{account} redirect_uri", "/config/{account} external_account",
		"/config/{account} use_host_identity", "/config/{account} iamcredentials_url", "/config/{account} sts_url",
	} {
		tried[field] = true
	}
}

func TestEveryFieldThatCanBeWrittenIsTriedWithBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tried := map[string]bool{} // path and field
	shape := func(path, field string) string {
		kind, rest, _ := strings.Cut(path, "/")
		switch _, action, deeper := strings.Cut(rest, "/"); {
		case deeper:
			return "/tokens/{name}/" + action + " " + field
		case kind == "notifications":
			return "/notifications/{name} " + field
		case kind == "config":
			return "/config/{account} " + field
		case kind == "report":
			return "/report/{name} " + field
		default:
			return "/tokens/{name} " + field
		}
	}
	for path, tt := range w.writePaths(t) {
		for _, field := range tt.fields {
			tried[shape(path, field)] = true
		}
	}
	for name, tt := range otherFields {
		field, _, _ := strings.Cut(name, " ")
		tried[shape(tt.path, field)] = true
	}
	addTriedElsewhere(tried)
	document := mountDocument(t, w.Mount)
	for where, operation := range document.operations(t, "") {
		path, isWrite := strings.CutPrefix(where, "post ")
		if !isWrite {
			continue
		}
		for field := range document.properties(operation.RequestBody) {
			if !tried[path+" "+field] && path != "/tokens/{name}/consent" {
				t.Errorf("%s of %s is in none of the tables of this file", field, path)
			}
		}
	}
}

func TestValuesOfTheWrongFormAreRefusedWithTheRightForm(t *testing.T) {
	t.Parallel()
	w := newInputWorld(t)
	before := w.snapshot(t)
	secret := func(value string) string { return vaulttest.Secret(t, "value of the wrong form", value) }
	google := func(field string, value any) fields { return with(w.googleFields(t), field, value) }
	impact := func(field string, value any) fields { return with(w.impactFields(simulator.Agency), field, value) }
	credentials := done(w.sim.ImpactCredentials(t.Context(), "agency"))(t)
	token := func(field string, value any) fields {
		return with(impactToken("legacy_read_write", credentials.ReadWrite), field, value)
	}
	key := func(value string) fields {
		data := w.googleFields(t)
		delete(data, "client_id")
		delete(data, "client_secret")
		delete(data, "refresh_token")
		return with(data, "service_account_key", value)
	}

	tests := map[string]struct {
		path  string
		data  fields
		words []string
	}{
		"developer token, too short":      {"tokens/dev/rotate", fields{"developer_token": secret("tooShortDeveloperTok1")}, []string{"developer_token", "22 characters", "this one has 21"}},
		"developer token, too long":       {"tokens/dev/rotate", fields{"developer_token": secret("tooLongDeveloperToken23")}, []string{"developer_token", "22 characters", "this one has 23"}},
		"developer token, in quotes":      {"tokens/dev/rotate", fields{"developer_token": `"` + secret("developerTokenInQuotes") + `"`}, []string{"developer_token", "quotes around it"}},
		"developer token, with its name":  {"tokens/dev/rotate", fields{"developer_token": "developer_token: " + secret("developerTokenInALine1")}, []string{"developer_token", "a line of a configuration file"}},
		"developer token, with an umlaut": {"tokens/dev/rotate", fields{"developer_token": secret("dëveloperTokenUmlaut22")}, []string{"developer_token", "22 characters", "position 2"}},
		"developer token, a space inside": {"tokens/dev/rotate", fields{"developer_token": secret("developerToken aSpace2")}, []string{"developer_token", "22 characters", "position 15"}},
		"developer token, empty":          {"tokens/dev/rotate", fields{"developer_token": ""}, []string{"developer_token must not be empty"}},
		"developer token, white space":    {"tokens/dev/rotate", fields{"developer_token": " \t\n"}, []string{"developer_token must not be empty"}},
		"developer token, at the import":  {"tokens/new", fields{"account": "google", "type": "developer_token", "developer_token": secret("importedShortToken")}, []string{"22 characters", "this one has 18"}},

		"auth token, empty":              {"tokens/rw/rotate", fields{"auth_token": ""}, []string{"auth_token must not be empty"}},
		"auth token, white space":        {"tokens/rw/rotate", fields{"auth_token": "   "}, []string{"auth_token must not be empty"}},
		"auth token, a space inside":     {"tokens/rw/rotate", fields{"auth_token": secret("auth token with spaces")}, []string{"auth_token", "without spaces"}},
		"auth token, no ASCII":           {"tokens/rw/rotate", fields{"auth_token": secret("authTokenWithÜmlaut")}, []string{"auth_token", "printable ASCII"}},
		"auth token, two lines":          {"tokens/rw/rotate", fields{"auth_token": secret("authTokenLineOne") + "\n" + secret("authTokenLineTwo")}, []string{"auth_token"}},
		"account SID, malformed":         {"tokens/rw/rotate", fields{"account_sid": "XX1234567890123456"}, []string{"account_sid", "Account SID"}},
		"account SID, too short":         {"tokens/rw/rotate", fields{"account_sid": "IR12"}, []string{"account_sid", "Account SID"}},
		"account SID, a path":            {"tokens/rw/rotate", fields{"account_sid": "IR1234567890123456/../../x"}, []string{"account_sid", "Account SID"}},
		"account SID, the auth token":    {"tokens/rw/rotate", fields{"account_sid": credentials.ReadWrite.AuthToken}, []string{"account_sid", "Account SID"}},
		"account SID, left out":          {"tokens/new", token("account_sid", deleted), []string{"account_sid is missing", "account_sid, auth_token"}},
		"auth token, left out":           {"tokens/new", token("auth_token", deleted), []string{"auth_token is missing"}},
		"fields of another type":         {"tokens/rw/rotate", fields{"developer_token": secret("fieldOfAnotherType0022")}, []string{"developer_token is no field of a legacy_read_write", "account_sid, auth_token"}},
		"one of two is of another type":  {"tokens/dev/rotate", fields{"developer_token": secret("fieldOfItsOwnType00022"), "auth_token": secret("fieldOfAnotherType")}, []string{"auth_token is no field of a developer_token"}},
		"at the import":                  {"tokens/new", token("developer_token", secret("fieldAtTheImport000022")), []string{"developer_token is no field of a legacy_read_write"}},
		"an option of another type":      {"tokens/dev", fields{"probe_path": "Campaigns"}, []string{"probe_path is no setting of a developer_token"}},
		"an unknown field":               {"tokens/rw/rotate", fields{"auth_tokn": secret("valueOfAMisspeltField")}, []string{"auth_token=-"}},
		"probe path, out of the account": {"tokens/rw", fields{"probe_path": "../../Other/CompanyInformation"}, []string{"probe_path", "such as Campaigns"}},
		"probe path, absolute":           {"tokens/rw", fields{"probe_path": "/Campaigns"}, []string{"probe_path", "without a slash"}},
		"probe path, with a query":       {"tokens/rw", fields{"probe_path": "Campaigns?Page=2"}, []string{"probe_path"}},
		// No announced secret, because the reason of the refused request stays in the audit log.
		"reason with the new value":       {"tokens/rw/rotate", fields{"auth_token": "authTokenInAReason", "reason": "was authTokenInAReason"}, []string{"reason must not contain", "auth_token"}},
		"reason of two lines":             {"tokens/rw/rotate", fields{"auth_token": secret("authTokenOfTwoLines"), "reason": "one\ntwo"}, []string{"reason must be one line"}},
		"reason without an end":           {"tokens/rw/rotate", fields{"auth_token": secret("authTokenOfALongReason"), "reason": strings.Repeat("x", 513)}, []string{"512 bytes"}},
		"period and schedule":             {"tokens/rw", fields{"rotation_period": "1h", "rotation_schedule": "0 3 * * SAT"}, []string{"rotation_period", "rotation_schedule"}},
		"a window without a schedule":     {"tokens/rw", fields{"rotation_period": "1h", "rotation_window": "2h"}, []string{"rotation_window"}},
		"no account":                      {"tokens/new", token("account", deleted), []string{"account is missing"}},
		"an empty account":                {"tokens/new", token("account", " "), []string{"account is missing"}},
		"an unknown account":              {"tokens/new", token("account", "nobody"), []string{`account "nobody" does not exist`}},
		"an account that is a path":       {"tokens/new", token("account", "../token/rw"), []string{"account"}},
		"an account below another":        {"tokens/new", token("account", "agency/x"), []string{"account"}},
		"no type":                         {"tokens/new", token("type", deleted), []string{"type must be one of legacy_read_write, legacy_read_only, scoped"}},
		"an unknown type":                 {"tokens/new", token("type", "legacy"), []string{"type must be one of legacy_read_write"}},
		"a type of the other provider":    {"tokens/new", token("type", "developer_token"), []string{"type must be one of legacy_read_write", "impact account"}},
		"no provider":                     {"config/new", google("provider", deleted), []string{"provider is missing", "google_ads, impact"}},
		"an unknown provider":             {"config/new", google("provider", "nobody"), []string{"provider must be one of adjust, ", "google_ads, impact, "}},
		"no account type":                 {"config/new", impact("account_type", deleted), []string{"account_type is missing", "agency, brand, partner"}},
		"an unknown account type":         {"config/new", impact("account_type", "publisher"), []string{"account_type must be one of agency, brand, partner"}},
		"customer ID, too short":          {"config/google", fields{"login_customer_id": "12345"}, []string{"login_customer_id", "10 digits"}},
		"customer ID, too long":           {"config/google", fields{"login_customer_id": "123-456-78901"}, []string{"login_customer_id", "10 digits"}},
		"customer ID, letters":            {"config/google", fields{"login_customer_id": "123-456-789O"}, []string{"login_customer_id", "10 digits"}},
		"customer ID, other digits":       {"config/google", fields{"login_customer_id": "١٢٣٤٥٦٧٨٩٠"}, []string{"login_customer_id", "10 digits"}},
		"API version of Google, a minor":  {"config/google", fields{"api_version": "v26.1"}, []string{"api_version", "v26"}},
		"API version of Google, a path":   {"config/google", fields{"api_version": "v26/../v25"}, []string{"api_version", "v26"}},
		"API version of Google, a word":   {"config/google", fields{"api_version": "latest"}, []string{"api_version", "v26"}},
		"API version of impact, a word":   {"config/agency", fields{"api_version": "three"}, []string{"api_version", "whole number"}},
		"API version of impact, zero":     {"config/agency", fields{"api_version": 0}, []string{"api_version", "whole number"}},
		"API version of impact, negative": {"config/agency", fields{"api_version": -3}, []string{"api_version", "whole number"}},
		"contact, no address":             {"config/google", fields{"contact_email": "nobody"}, []string{"contact_email", "e-mail address"}},
		"contact, no domain":              {"config/google", fields{"contact_email": "ads@localhost"}, []string{"contact_email", "e-mail address"}},
		"contact, with a name":            {"config/google", fields{"contact_email": "Ads <ads@acme.example>"}, []string{"contact_email", "e-mail address"}},
		"contact, two of them":            {"config/google", fields{"contact_email": "a@acme.example, b@acme.example"}, []string{"contact_email", "e-mail address"}},
		"URL, plain HTTP":                 {"config/new", impact("base_url", "http://api.impact.com"), []string{"base_url", "https://"}},
		"URL, plain HTTP in a network":    {"config/new", impact("base_url", "http://10.0.0.1"), []string{"base_url", "https://"}},
		"URL, a name like loopback":       {"config/new", impact("base_url", "http://127.0.0.1.example.com"), []string{"base_url", "https://"}},
		"URL, localhost as user":          {"config/new", impact("base_url", "http://localhost@example.com"), []string{"base_url", "user info"}},
		"URL, another scheme":             {"config/new", impact("base_url", "ftp://api.impact.com"), []string{"base_url", "https://"}},
		"URL, a file":                     {"config/new", impact("base_url", "file:///etc/passwd"), []string{"base_url"}},
		"URL, no scheme":                  {"config/new", impact("base_url", "api.impact.com"), []string{"base_url", "such as https://"}},
		"URL, no host":                    {"config/new", impact("base_url", "https://"), []string{"base_url", "such as https://"}},
		"URL, with a password":            {"config/new", impact("base_url", "https://user:"+secret("passwordInAURL")+"@api.impact.com"), []string{"base_url", "user info"}},
		"URL, with a query":               {"config/new", impact("base_url", "https://api.impact.com/?a=b"), []string{"base_url", "query"}},
		"URL, with a fragment":            {"config/new", impact("base_url", "https://api.impact.com/#a"), []string{"base_url", "fragment"}},
		"base URL, with the version":      {"config/new", google("base_url", "https://googleads.googleapis.com/v26"), []string{"base_url must be https://googleads.googleapis.com", "api_version"}},
		"base URL, version at a proxy":    {"config/new", google("base_url", w.sim.GoogleURL+"/v26"), []string{"base_url must be the address in front of the API's version"}},
		"base URL, of the console":        {"config/new", google("base_url", "https://ads.google.com/aw/apicenter?ocid=1"), []string{"base_url must be https://googleads.googleapis.com"}},
		"base URL, of the token endpoint": {"config/new", google("base_url", "https://oauth2.googleapis.com"), []string{"base_url must be https://googleads.googleapis.com"}},
		"token URL, without its path":     {"config/new", google("token_url", "https://oauth2.googleapis.com"), []string{"token_url must be https://oauth2.googleapis.com/token"}},
		"token URL, of the consent":       {"config/new", google("token_url", "https://accounts.google.com/o/oauth2/v2/auth"), []string{"token_url must be https://oauth2.googleapis.com/token"}},
		"IAM URL, with the version":       {"config/new", google("iam_url", "https://iam.googleapis.com/v1"), []string{"iam_url must be https://iam.googleapis.com"}},
		"token URL, plain HTTP":           {"config/new", google("token_url", "http://oauth2.googleapis.com/token"), []string{"token_url", "https://"}},
		"revoke URL, plain HTTP":          {"config/new", google("revoke_url", "http://oauth2.googleapis.com/revoke"), []string{"revoke_url", "https://"}},
		"IAM URL, plain HTTP":             {"config/new", google("iam_url", "http://iam.googleapis.com"), []string{"iam_url", "https://"}},
		"CA, no PEM":                      {"config/new", impact("ca_cert", "no PEM"), []string{"ca_cert", "PEM encoded certificate"}},
		"CA, a private key":               {"config/new", impact("ca_cert", "-----BEGIN PRIVATE KEY-----\n"+secret("MIIEvQIBADANBgkqhkiG9w0BAQEF")+"\n-----END PRIVATE KEY-----\n"), []string{"ca_cert", "PEM encoded certificate"}},
		"CA, broken":                      {"config/new", impact("ca_cert", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), []string{"ca_cert", "PEM encoded certificate"}},
		"an identity without a secret":    {"config/new", google("client_secret", deleted), []string{"client_secret must be set too"}},
		"an identity emptied in part":     {"config/google", fields{"refresh_token": ""}, []string{"refresh_token must be set too"}},
		"two identities":                  {"config/new", google("service_account_key", string(done(w.sim.ServiceAccountKey(t.Context(), simulator.DefaultName))(t))), []string{"one OAuth identity"}},
		"a field of Google for impact":    {"config/agency", fields{"client_secret": secret("secretForTheWrongProvider")}, []string{"client_secret is a field of google_ads accounts"}},
		"a field of impact for Google":    {"config/google", fields{"account_type": "agency"}, []string{"account_type is a field of impact accounts"}},
		"key file, no JSON":               {"config/new", key(secret("this is no JSON at all")), []string{"service_account_key", "JSON key file"}},
		"key file, a list":                {"config/new", key(`["` + secret("key file as a list") + `"]`), []string{"service_account_key", "JSON key file"}},
		"key file, an empty object":       {"config/new", key(`{}`), []string{"service_account_key", `"type"`}},
		"key file, of a user":             {"config/new", key(`{"type":"authorized_user","client_secret":"` + secret("secretOfAUsersFile") + `"}`), []string{"service_account_key", "service_account"}},
		"key file, a number as key":       {"config/new", key(`{"type":"service_account","private_key":12345678}`), []string{"service_account_key", `"private_key" is a string`}},
		"key file, a key that is none":    {"config/new", key(`{"type":"service_account","client_email":"a@b.example","private_key_id":"1","private_key":"` + secret("noPrivateKeyAtAll") + `"}`), []string{"service_account_key", `"private_key"`, "PEM"}},
		"key file, without an address":    {"config/new", key(`{"type":"service_account","private_key":"` + secret("keyWithoutAnAddress") + `"}`), []string{"service_account_key", `"client_email"`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tellsNoSecret(t, "the message", w.refuses(t, tt.path, tt.data, tt.words...))
			w.unchanged(t, before)
		})
	}
}

// deleted stands for a field that is left out.
const deleted = "\x00deleted"

func with(data fields, field string, value any) fields {
	if value == deleted {
		delete(data, field)
	} else {
		data[field] = value
	}
	return data
}

func TestWhiteSpaceAndOtherHarmlessFormsAreNormalised(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	google := w.googleFields(t)
	for field, value := range google {
		if field != "provider" {
			google[field] = fmt.Sprintf(" \t%s\n", value)
		}
	}
	maps.Copy(google, fields{"login_customer_id": " 123-456-7890 ", "api_version": "V25", "base_url": w.sim.GoogleURL + "/ "})
	w.write(t, "config/google", google)
	has(t, w.data(t, "config/google"), fields{
		"login_customer_id": "1234567890", "api_version": "v25", "base_url": w.sim.GoogleURL, "token_url": w.sim.GoogleURL + "/token",
		"contact_email": "ads-api@acme.example",
	})
	value := done(w.sim.DeveloperToken(t.Context()))(t)
	w.write(t, "tokens/dev", fields{"account": " google ", "type": " developer_token\n", "developer_token": value + "\n", "reason": " import "})
	has(t, w.data(t, "creds/dev"), fields{"developer_token": value, "login_customer_id": "1234567890", "api_version": "v25"})
	has(t, w.data(t, "tokens/dev"), fields{"account": "google", "type": "developer_token", "health": "ok"})
	w.write(t, "config/google", fields{"api_version": 26})
	has(t, w.data(t, "config/google"), fields{"api_version": "v26"})
}

func TestNamesWithPathTricksReachNothing(t *testing.T) {
	t.Parallel()
	w := newInputWorld(t)
	before := w.snapshot(t)
	credentials := done(w.sim.ImpactCredentials(t.Context(), "agency"))(t)
	token := asJSON(t, impactToken("legacy_read_write", credentials.ReadWrite))
	account := asJSON(t, w.impactFields(simulator.Agency))
	// Vault itself redirects to the path without dots.
	harmless := []int{http.StatusTemporaryRedirect, http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed}
	// Bytes that are no UTF-8 are left out: Vault cannot send them to any plugin, and answers HTTP 500 by itself.
	names := map[string]string{
		"up":                    "..",
		"up, encoded":           "%2e%2e",
		"up and over":           "..%2fconfig%2fagency",
		"up and over, encoded":  "%2e%2e%2fconfig%2fagency",
		"dots inside":           "a..b",
		"dots and a slash":      "a%2f..%2fb",
		"a slash":               "a%2fb",
		"a backslash":           "a%5cb",
		"a leading dot":         ".hidden",
		"a trailing dot":        "hidden.",
		"a leading dash":        "-rf",
		"a space":               "a%20b",
		"a line break":          "a%0ab",
		"a trailing line break": "a%0a",
		"a NUL":                 "a%00b",
		"an umlaut":             "%c3%bcml",
		"a star":                "a*",
		"a plus":                "+",
		"too long":              strings.Repeat("a", 129),
		"much too long":         strings.Repeat("a", 4000),
	}
	for name, encoded := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var answers []string
			for _, request := range []struct{ method, path, body string }{
				{http.MethodPut, "tokens/%s", token},
				{http.MethodPut, "config/%s", account},
				{http.MethodPut, "tokens/%s/rotate", token},
				{http.MethodPut, "tokens/%s/verify", "{}"},
				{http.MethodGet, "tokens/%s", ""},
				{http.MethodGet, "tokens/%s/history", ""},
				{http.MethodGet, "creds/%s", ""},
				{http.MethodGet, "config/%s", ""},
			} {
				path := fmt.Sprintf(request.path, encoded)
				status, answer := w.send(t, request.method, path, request.body)
				if !slices.Contains(harmless, status) {
					vaulttest.Errorf(t, "%s %s answers HTTP %d: %s", request.method, path, status, answer)
				}
				answers = append(answers, answer)
			}
			tellsNoSecret(t, "an answer", answers)
			w.unchanged(t, before)
		})
	}
}

// send sends a request whose path is not cleaned, as Vault's own client does it. Redirects are not followed.
func (w *world) send(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, w.Address+"/v1/"+w.Path+"/"+path, strings.NewReader(body))
	succeeded(t, err)
	request.Header.Set("X-Vault-Token", w.Token)
	response, err := http.DefaultTransport.RoundTrip(request)
	succeeded(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	succeeded(t, err)
	return response.StatusCode, string(answer)
}

func TestABodyThatIsNoObjectIsRefused(t *testing.T) {
	t.Parallel()
	w := newInputWorld(t)
	before := w.snapshot(t)
	secret := vaulttest.Secret(t, "secret in a broken body", "secretInABrokenBody")
	for _, body := range []string{`{"auth_token": "` + secret, `["` + secret + `"]`, `"` + secret + `"`, secret, "null", "7"} {
		status, answer := w.send(t, http.MethodPut, "tokens/rw/rotate", body)
		if status < http.StatusBadRequest { // which error it is, is Vault's to say: most of these do not reach the plugin
			vaulttest.Errorf(t, "the body %s is answered with HTTP %d: %s", body, status, answer)
		}
		tellsNoSecret(t, "the answer", answer)
	}
	w.unchanged(t, before)
}

func TestTheStatusRefusesPagesThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, limit := range []string{"0", "-1", "many", "1.5"} {
		_, err := w.Client.Logical().ReadWithDataWithContext(t.Context(), w.Path+"/status", url.Values{"limit": {limit}})
		refused(t, err, http.StatusBadRequest, "limit")
	}
}

func TestUnknownFields_AreRefusedBeforeAnythingHappens(t *testing.T) {
	t.Parallel()
	w := newInputWorld(t)
	hook := startHook(t, w)
	w.addHook(t, "agency", hook)
	before := w.snapshot(t)
	secret := vaulttest.Secret(t, "value of an unknown field", "valueOfAnUnknownField")
	for name, tt := range map[string]struct {
		path  string
		data  fields
		words []string
	}{
		"a dash":             {"tokens/rw/rotate", fields{"auth-token": secret}, []string{"auth-token", "did you mean auth_token=-?", "account_sid, auth_token, cas"}},
		"other case":         {"tokens/rw/rotate", fields{"Auth_Token": secret}, []string{"did you mean auth_token=-?"}},
		"a field too many":   {"tokens/key/rotate", fields{"service_account_keys": secret}, []string{"did you mean service_account_key=-?"}},
		"check and set":      {"tokens/rw/rotate", fields{"check_and_set": 1}, []string{"did you mean cas?"}},
		"beside a right one": {"tokens/rw/rotate", fields{"auth_token": secret, "cass": 7, "reason": "why"}, []string{"is no field of tokens/rw/rotate"}},
		"a verification":     {"tokens/rw/verify", fields{"auth_token": secret}, []string{"takes no fields"}},
		"a policy":           {"tokens/rw", fields{"rotation-period": "30d"}, []string{"did you mean rotation_period?"}},
		"a new token":        {"tokens/new", fields{"account": "agency", "type": "scoped", "account-sid": "x", "auth_tokn": secret}, []string{"account_sid", "auth_token=-"}},
		"a new account":      {"config/new", with(w.impactFields(simulator.Agency), "base-url", "x"), []string{"did you mean base_url?"}},
		"an account":         {"config/google", fields{"customer_id": "1"}, []string{"did you mean login_customer_id?"}},
		"the name":           {"tokens/rw", fields{"name": "other"}, []string{"name is a part of the path"}},
	} {
		tellsNoSecret(t, name, w.refuses(t, tt.path, tt.data, tt.words...))
	}
	_, err := w.Client.Logical().DeleteWithDataWithContext(t.Context(), w.Path+"/tokens/rw", url.Values{"forse": {"true"}})
	refused(t, err, http.StatusBadRequest, "did you mean force?")
	w.unchanged(t, before)
	hook.mu.Lock()
	defer hook.mu.Unlock()
	if len(hook.requests) > 0 {
		t.Errorf("the hook was asked %d times", len(hook.requests))
	}
}

func TestUnknownFields_OfReadsAreWarnings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	secret, err := w.Client.Logical().ReadWithDataWithContext(t.Context(), w.Path+"/creds/rw", url.Values{"version": {"1"}})
	succeeded(t, err)
	warns(t, secret.Warnings, "version")
	if secret.Data["auth_token"] == nil {
		t.Error("the credential is not there")
	}
}

func TestEmptyDurations_OfAnUnsetShellVariableAreRefused(t *testing.T) {
	t.Parallel()
	w := newInputWorld(t)
	before := w.snapshot(t)
	for path, names := range map[string][]string{
		"tokens/rw":     {"refresh_ttl", "verify_period", "rotation_grace_period", "lease_ttl", "rotation_period", "rotation_window", "custom_metadata", "disable_automated_rotation", "rotate_on_rejection"},
		"config/google": {"request_timeout", "reset_hook_timeout", "verify_connection"},
	} {
		for _, name := range names {
			output := w.CLI(t, vaulttest.Command{Args: []string{"write", w.Path + "/" + path, name + "="}})
			if output.ExitCode == 0 || !strings.Contains(output.Stderr, name+" must be") {
				t.Errorf("%s= of %s: exit code %d, %s", name, path, output.ExitCode, output.Stderr)
			}
		}
	}
	for _, value := range []any{1.9, "1.9", "500ms", "1.5s", -1, "-0.5s", 1e30} {
		w.refuses(t, "tokens/rw", fields{"verify_period": value}, "verify_period must be", "whole seconds")
	}
	w.write(t, "tokens/ro", fields{"verify_period": "1.5h"})
	has(t, w.data(t, "tokens/ro"), fields{"verify_period": 5400})
	w.write(t, "tokens/ro", fields{"verify_period": "24h"})
	w.unchanged(t, before)
}

func TestSchedule_MistakesAreToldByTheirField(t *testing.T) {
	t.Parallel()
	w := newInputWorld(t)
	before := w.snapshot(t)
	for schedule, words := range map[string][]string{
		"0 3 * * 7":                  {"day of week", "Sunday is 0 or SUN"},
		"60 3 * * *":                 {"minute", "0 to 59"},
		"@weekly":                    {`"0 0 * * 0"`},
		"TZ=Europe/Berlin 0 3 * * *": {"time zone", "UTC"},
		"0 0 3 * * SAT":              {"6 fields"},
		"0 0 30 2 *":                 {"never comes"},
		"0 0 31 4,6,9,11 *":          {"never comes"},
	} {
		w.refuses(t, "tokens/rw", fields{"rotation_schedule": schedule}, append(words, "rotation_schedule", "five fields")...)
	}
	w.unchanged(t, before)
}

func TestNames_ThatDoNotFitAreToldTheRule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	for _, name := range []string{"a@b.example", "a b", "ends.", "team/acme", "ümlaut"} {
		for _, args := range [][]string{
			{"write", "tokens/" + name, "account=agency", "type=scoped"},
			{"write", "tokens/" + name + "/rotate", "auth_token=x"},
			{"read", "tokens/" + name},
			{"read", "creds/" + name},
			{"read", "access-token/" + name},
			{"delete", "tokens/" + name},
			{"write", "config/" + name, "provider=impact"},
			{"read", "config/" + name},
		} {
			args[1] = w.Path + "/" + args[1]
			output := w.CLI(t, vaulttest.Command{Args: args})
			if output.ExitCode == 0 || !strings.Contains(output.Stderr, "Code: 400") || !strings.Contains(output.Stderr, "letters, digits and underscores, joined by dashes or single dots") {
				t.Errorf("vault %s: exit code %d, %s", strings.Join(args, " "), output.ExitCode, output.Stderr)
			}
		}
	}
}

func TestReadOfNothing_SaysOnTheCommandLineWhatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	for _, path := range []string{"creds/nobody", "access-token/nobody", "tokens/nobody/rotate", "tokens/nobody/history"} {
		for _, flag := range []string{"-format=table", "-format=json", "-field=auth_token"} {
			output := w.CLI(t, vaulttest.Command{Args: []string{"read", flag, w.Path + "/" + path}})
			if output.ExitCode == 0 || output.Stdout != "" || !strings.Contains(output.Stderr, `token "nobody" does not exist; `+"`vault list "+w.Path+"/tokens`") {
				t.Errorf("vault read %s %s: exit code %d, %q, %s", flag, path, output.ExitCode, output.Stdout, output.Stderr)
			}
		}
		_, err := w.Read(t.Context(), path)
		refused(t, err, http.StatusNotFound, "does not exist")
	}
	output := w.CLI(t, vaulttest.Command{Args: []string{"read", "-wrap-ttl=60", w.Path + "/creds/nobody"}})
	if output.ExitCode == 0 || strings.Contains(output.Stdout, "wrapping_token") {
		t.Errorf("an error was wrapped: exit code %d, %q, %s", output.ExitCode, output.Stdout, output.Stderr)
	}
	for _, path := range []string{"tokens/nobody", "config/nobody"} { // Terraform makes anew what it finds gone
		secret, err := w.Client.Logical().ReadWithContext(t.Context(), w.Path+"/"+path)
		if secret != nil || err != nil {
			t.Errorf("reading %s gives %v, error %v", path, secret, err)
		}
		output := w.CLI(t, vaulttest.Command{Args: []string{"read", w.Path + "/" + path}})
		if output.ExitCode == 0 || !strings.Contains(output.Stderr, "No value found at "+w.Path+"/"+path) {
			t.Errorf("vault read %s: exit code %d, %s", path, output.ExitCode, output.Stderr)
		}
	}
}

func TestMessages_NameTheMountWhereverItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mount := *w.Mount
	mount.Path = "team-a/" + w.Path
	succeeded(t, w.Client.Sys().MountWithContext(t.Context(), mount.Path, &api.MountInput{Type: vaulttest.PluginName}))
	w.Mount = &mount
	w.importLegacyTokens(t)
	w.write(t, "tokens/empty", fields{"account": "agency", "type": "scoped"})
	w.write(t, "tokens/rw", fields{"rotation_period": "1s"})
	w.refuses(t, "tokens/rw/rotate", fields{}, "`vault write "+mount.Path+"/tokens/rw/rotate auth_token=-`")
	_, err := w.Read(t.Context(), "creds/empty")
	refused(t, err, http.StatusBadRequest, "`vault write "+mount.Path+"/tokens/empty/rotate")
	vaulttest.Await(t, "the token to be overdue", func() bool { return w.data(t, "tokens/rw")["overdue"] == true })
	for _, path := range []string{"tokens/rw", "status"} {
		_, warnings := w.read(t, path)
		warns(t, warnings, "overdue", "`vault read -field=runbook "+mount.Path+"/tokens/rw/rotate`")
	}
	steps := asJSON(t, w.data(t, "tokens/rw/rotate")["steps"])
	mentions(t, "the steps", steps, "`vault write "+mount.Path+"/tokens/rw/rotate auth_token=-`")
	output := mount.CLI(t, vaulttest.Command{Args: []string{"read", "-field=runbook", mount.Path + "/tokens/rw/rotate"}})
	mentions(t, "the runbook", output.Stdout, "`vault write "+mount.Path+"/tokens/rw/rotate auth_token=-`")
}

func TestUntried_WarnsReadersUntilTheProviderHasAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	fresh := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	w.write(t, "tokens/rw/rotate", fields{"auth_token": fresh.AuthToken, "verify": false})
	for _, path := range []string{"creds/rw", "status"} {
		_, warnings := w.read(t, path)
		warns(t, warnings, "version 2", "verify=false", "`vault write -f "+w.Path+"/tokens/rw/verify`")
	}
	w.write(t, "tokens/rw/verify", nil)
	for _, path := range []string{"creds/rw", "status"} {
		_, warnings := w.read(t, path)
		if len(warnings) > 0 {
			t.Errorf("%s warns %q", path, warnings)
		}
	}
}

func TestUntried_IsVerifiedByTheEngineWithinAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	credentials := done(w.sim.ImpactCredentials(t.Context(), "agency"))(t)
	w.write(t, "config/agency", w.impactFields(simulator.Agency))
	w.write(t, "tokens/rw", with(with(impactToken("legacy_read_write", credentials.ReadWrite), "verify", false), "verify_period", 0))
	has(t, w.data(t, "tokens/rw"), fields{"health": "unverified"})
	vaulttest.Await(t, "the engine to verify it", func() bool { return w.data(t, "tokens/rw")["health"] == "ok" })
	_, warnings := w.read(t, "creds/rw")
	if len(warnings) > 0 {
		t.Errorf("it still warns %q", warnings)
	}
}
