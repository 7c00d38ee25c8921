package definition_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

func TestParse_MistakesNameThePlaceAndWhatIsRight(t *testing.T) {
	t.Parallel()
	const (
		verify  = "token_types.api_key.verify"
		request = verify + ".request"
		url     = "'{+account.base_url}/v2/{account.region}/{+option.probe_path}'"
		first   = "when: 'status == 200 && has(body.id)'"
	)
	tests := map[string]struct{ old, replacement, place, says string }{
		"unknown variable":           {url, "'{+account.base_url}/{credential.secret}'", request + ".url", "there is no variable {credential.secret} here; known are account.app_id"},
		"variable of a grant":        {"X-Key: '{credential.api_key}', X-Tag", "X-Key: '{grant.access_token}', X-Tag", request + ".headers.X-Key", "no variable {grant.access_token}"},
		"two variables in braces":    {url, "'{+account.base_url}/{account.region,account.tag}'", request + ".url", "one variable and no modifier"},
		"a modifier":                 {url, "'{+account.base_url}/{account.region:3}'", request + ".url", "one variable and no modifier"},
		"an operator":                {url, "'{+account.base_url}{?account.region}'", request + ".url", "one variable and no modifier"},
		"a brace too many":           {url, "'{+account.base_url}/}'", request + ".url", "one variable and no modifier"},
		"a variable without dots":    {"X-Key: '{credential.api_key}', X-Tag", "X-Key: '{api_key}', X-Tag", request + ".headers.X-Key", "write {credential.api_key}"},
		"a blank in an address":      {url, "'{+account.base_url}/a b'", request + ".url", "percent-encode"},
		"no boolean":                 {first, "when: '1 + 1'", verify + ".outcomes[0].when", "must give bool, this gives int"},
		"an unknown name in CEL":     {first, "when: 'code == 200'", verify + ".outcomes[0].when", "undeclared reference to 'code'"},
		"a pattern of the answer":    {first, "when: 'text.matches(body.x)'", verify + ".outcomes[0].when", "must be a text in quotes"},
		"no syntax of CEL":           {first, "when: 'status = 200 and true'", verify + ".outcomes[0].when", "CEL writes ==, &&, || and !"},
		"a template without quotes":  {"X-Key: '{credential.api_key}', X-Tag", "X-Key: {credential.api_key}, X-Tag", request + ".headers.X-Key", "begins with { needs quotes"},
		"a pattern that is none":     {first, `when: 'text.matches("[")'`, verify + ".outcomes[0].when", "is no CEL expression"},
		"credentials in CEL":         {first, `when: 'credential.api_key == "x"'`, verify + ".outcomes[0].when", "undeclared reference to 'credential'"},
		"no such outcome":            {"outcome: accepted, detail: Acme accepts the key", "outcome: ok, detail: x", verify + ".outcomes[0].outcome", "must be one of accepted, rejected"},
		"caveat of a refusal":        {"outcome: rejected, code: 'string(body.error.code)'", "outcome: rejected, caveat: true", verify + ".outcomes[1].caveat", "is for the outcome accepted"},
		"wait of a refusal":          {"outcome: rejected, code: 'string(body.error.code)'", "outcome: rejected, wait: '3'", verify + ".outcomes[1]", "throttled and unavailable"},
		"two waits":                  {"outcome: throttled, wait: 'int(headers[\"x-wait\"])'", "outcome: throttled, wait: '3', wait_until: '4'", verify + ".outcomes[3]", "give one of"},
		"no such field to control":   {"control: {field: key}", "control: {field: api_key}", "token_types.checked_key.verify.control.field", "known are key"},
		"a control without effect":   {"request: {url: '{+account.base_url}/open', headers: {X-Key: '{credential.key}'}}", "request: {url: '{+account.base_url}/open'}", "token_types.checked_key.verify.control.field", "makes no difference"},
		"unknown subject":            {"subject: [key_id, app_id]", "subject: [name]", "token_types.api_key.subject[0]", "known are key_id, api_key"},
		"subject twice":              {"subject: [key_id, app_id]", "subject: [key_id, key_id]", "token_types.api_key.subject[1]", "twice"},
		"unknown field of an answer": {"credential: {api_key: body.key}", "credential: {key: body.key}", "token_types.api_key.rotate.credential.key", "there is no field"},
		"current in a verification":  {"X-Key: '{credential.api_key}', X-Tag", "X-Key: '{current.api_key}', X-Tag", request + ".headers.X-Key", "no variable {current.api_key}"},
		"two kinds of body":          {"bearer: '{credential.api_key}'}", "bearer: '{credential.api_key}', form: {a: b}, text: c}", "token_types.api_key.rotate.request", "one of form, json and text"},
		"two kinds of authorization": {"url: '{+account.base_url}/v2/me', bearer: '{grant.access_token}'", "url: '{+account.base_url}/v2/me', bearer: x, basic: {username: a, password: b}", "token_types.oauth_client.verify.request", "one of bearer, basic"},
		"a bearer of several lines":  {"bearer: '{credential.api_key}'}\n      outcomes:\n        - {when: 'status == 200'", "bearer: \"a\\nb\"}\n      outcomes:\n        - {when: 'status == 200'", "token_types.api_key.rotate.request.bearer", "one line"},
		"a variable in disorder":     {"X-Key: '{credential.api_key}', X-Tag", "X-Key: '{credential.api key}', X-Tag", request + ".headers.X-Key", "is no variable"},
		"a header that is none":      {"X-App: '{account.app_id}', X-Key", "'X App': '{account.app_id}', X-Key", request + ".headers.X App", "is no name of a header"},
		"a header twice":             {"X-App: '{account.app_id}', X-Key", "x-key: '{account.app_id}', X-Key", request + ".headers.X-Key", "twice"},
		"a pattern that is no RE2":   {"pattern: '[0-9]{5,25}'", "pattern: '(?=x)'", "account.settings.app_id.pattern", "is no RE2 pattern"},
		"a huge pattern":             {"pattern: '[0-9]{5,25}'", "pattern: '" + strings.Repeat("a{999}", 40) + "'", "account.settings.app_id.pattern", "is too large"},
		"a default that is none":     {"default: eu", "default: asia", "account.settings.region.default", "must be one of eu, us"},
		"a default of an endpoint":   {"default: https://api.acme.example", "default: http://api.acme.example", "account.endpoints.base_url.default", "must start with https://"},
		"a default with a slash":     {"default: https://api.acme.example", "default: https://api.acme.example/", "account.endpoints.base_url.default", "must be written as it is used"},
		"a secret with a default":    {"partner_key: {secret: true,", "partner_key: {secret: true, default: x,", "account.settings.partner_key", "a definition is no secret"},
		"pattern and choices":        {"region: {choices", "region: {pattern: eu, choices", "account.settings.region", "one of pattern and choices"},
		"no form of a grant":         {"type: refresh_token", "type: password", "token_types.oauth_client.grant.type", "must be one of refresh_token, client_credentials, request"},
		"a grant without url":        {"      url: '{+account.token_url}'\n      client: basic\n      params", "      client: basic\n      params", "token_types.oauth_client.grant", "url is missing"},
		"a request of a grant":       {"type: request\n", "type: client_credentials\n      url: '{+account.token_url}'\n", "token_types.app.grant.request", "is for the type request"},
		"a grant without a token":    {"      access_token: body.token\n", "", "token_types.app.grant", "access_token and expires_in are missing"},
		"what never comes":           {"answer: always, previous: dies", "answer: never, previous: dies", "token_types.oauth_client.grant.refresh_token", "while answer is never"},
		"a consent that is sent to":  {"authorize_url: https://login.acme.example/oauth/authorize", "authorize_url: http://login.acme.example/", "token_types.oauth_client.consent.authorize_url", "begins with https://"},
		"a consent's own state":      {"params: {client_id: '{credential.client_id}', scope: ads.read}\n      pkce", "params: {state: x}\n      pkce", "token_types.oauth_client.consent.params.state", "the engine sets state itself"},
		"limits too tight":           {"every: 1m", "every: 0", "account.limits.verifications.every", "at least 1s"},
		"a duration that is none":    {"lifetime: 365d", "lifetime: a year", "token_types.api_key.lifetime", "such as 30s, 24h or 90d"},
		"a secret in a type of none": {"reset_semantics: immediate", "reset_semantics: none", "token_types.api_key.fields.api_key", "types without a secret"},
		"semantics":                  {"reset_semantics: immediate", "reset_semantics: never", "token_types.api_key.reset_semantics", "must be one of immediate, overlapping, none"},
		"an example of another step": {"{step: rotate, answer", "{step: exchange, answer", "token_types.api_key.examples[2].step", "it has verify, rotate, revoke"},
		"a word of another step":     {"expect: {outcome: done}", "expect: {outcome: accepted}", "token_types.api_key.examples[3].expect.outcome", "must be one of done, refused"},
		"an endpoint as a setting":   {"region: {choices", "base_url: {description: x}\n    region: {choices", "account.settings.base_url", "that of an endpoint too"},
		"a field as an option":       {"options:\n", "options:\n      api_key: {description: x}\n", "token_types.api_key.options.api_key", "that of a field"},
		"a field as a connection":    {"tag: '{account.tag}'\n      key", "key_id: x\n      key", "token_types.api_key.connection.key_id", "that of a field"},
		"a condition of a runbook":   {"when: 'account.region == \"us\"'", "when: 'status == 200'", "token_types.api_key.runbook.notes[0].when", "undeclared reference"},
		"a console":                  {"console_url: https://console.acme.example/keys", "console_url: javascript:alert(1)", "token_types.api_key.runbook.console_url", "begins with https://"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantMistake(t, with(t, tc.old, tc.replacement), tc.place, tc.says)
		})
	}
}

// TestParse_TakenNames: a field with a name of the engine's would hide its own, or be hidden.
func TestParse_TakenNames(t *testing.T) {
	t.Parallel()
	taken := definition.Taken()
	for _, name := range taken.Account {
		wantMistake(t, with(t, "    tag: {description", "    "+name+": {description", "X-Tag: '{account.tag}'", "X-Tag: x", "tag: '{account.tag}'}", "tag: x}",
			"tag: '{account.tag}'\n", "tag: x\n", "tag: '{account.tag}', query", "tag: x, query"), "account.settings."+name, "is taken")
	}
	for _, name := range append(taken.Token, taken.AccessToken...) {
		wantMistake(t, with(t, "      user: {description", "      "+name+": {description", "user: '{credential.user}'", "user: x"), "token_types.app.fields."+name, "is taken")
	}
	for _, name := range taken.Token {
		wantMistake(t, with(t, "      probe_path: {pattern", "      "+name+": {pattern", "/{+option.probe_path}", "/me"), "token_types.api_key.options."+name, "is taken")
	}
	// Types without access tokens have no such names.
	parse(t, with(t, "    fields:\n      key: {secret", "    fields:\n      access_token: {secret", "X-Key: '{credential.key}'", "X-Key: '{credential.access_token}'",
		"control: {field: key}", "control: {field: access_token}"))
}

func TestParse_Bounds(t *testing.T) {
	t.Parallel()
	many := func(n int, format string) string {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, format, i)
		}
		return text.String()
	}
	const rule = "        - {when: 'status == 200 && has(body.id)', outcome: accepted, detail: Acme accepts the key}\n"
	wantMistake(t, with(t, rule, strings.Repeat(rule, 30)), "token_types.api_key.verify.outcomes", "at most 32 elements, this has 35")
	wantMistake(t, with(t, "    tag: {description", many(14, "    s%d: {description: x}\n")+"    tag: {description"), "account.settings", "at most 16 members, this has 18")
	wantMistake(t, with(t, "      key_id: {pattern", many(15, "      f%d: {description: x}\n")+"      key_id: {pattern"), "token_types.api_key.fields", "at most 16 members, this has 17")
	wantMistake(t, with(t, "token_types:\n", "token_types:\n"+many(13, "  t%d: {}\n")), "token_types", "at most 16 members, this has 17")
	wantMistake(t, with(t, "key_id: {pattern", strings.Repeat("k", 64)+": {description: x}\n      key_id: {pattern"), "token_types.api_key.fields."+strings.Repeat("k", 64), "at most 63 characters")
	hints := "outcome: rejected, hints: [" + many(16, "{when: 'option.probe_path == \"%d\"', text: x}, ") + "], code: 'string(body.error.code)'"
	text := with(t, "outcome: rejected, code: 'string(body.error.code)'", hints, "        - {when: 'status == 401 ||", "        - &rule {when: 'status == 401 ||")
	text = strings.Replace(text, "        - {when: 'status == 403', outcome: accepted", strings.Repeat("        - *rule\n", 80)+"        - {when: 'status == 403', outcome: accepted", 1)
	wantMistake(t, text, "token_types.api_key.verify.outcomes", "at most 32 elements")
	if got := mistakesOf(t, text).Error(); !strings.Contains(got, "at most 1000 expressions") {
		t.Errorf("got:\n%s", got)
	}
	wantMistake(t, with(t, "when: 'status == 200 && has(body.id)'", "when: 'status == "+strings.Repeat("1 + ", 600)+"1'"), "token_types.api_key.verify.outcomes[0].when", "at most 2000 characters")
}
