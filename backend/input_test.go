package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

func TestNearest_FindsTheFieldThatWasMeant(t *testing.T) {
	t.Parallel()
	legacy := []string{"account_sid", "auth_token", "cas", "reason", "verify"}
	key := []string{"cas", "reason", "retire_previous", "service_account_key", "verify"}
	policy := []string{"account", "refresh_ttl", "rotation_grace_period", "rotation_period", "rotation_schedule", "type", "verify_period"}
	for given, tt := range map[string]struct {
		known []string
		want  string
	}{
		"auth-token":             {legacy, "auth_token"},
		"authToken":              {legacy, "auth_token"},
		"AUTH_TOKEN":             {legacy, "auth_token"},
		"auth_tokn":              {legacy, "auth_token"},
		"auth_tokne":             {legacy, "auth_token"},
		"token":                  {legacy, "auth_token"},
		"resaon":                 {legacy, "reason"},
		"check_and_set":          {legacy, "cas"},
		"CAS":                    {legacy, "cas"},
		"comment":                {legacy, "reason"},
		"service_account_keys":   {key, "service_account_key"},
		"service-account-key":    {key, "service_account_key"},
		"serviceAccountKey":      {key, "service_account_key"},
		"retireprevious":         {key, "retire_previous"},
		"rotation-period":        {policy, "rotation_period"},
		"schedule":               {policy, "rotation_schedule"},
		"tpye":                   {policy, "type"},
		"color":                  {legacy, ""},
		"developer_token":        {key, ""},
		"a7Gq9ZxC1":              {legacy, ""},
		"":                       {legacy, ""},
		strings.Repeat("a", 500): {legacy, ""},
	} {
		if got := nearest(given, tt.known); got != tt.want {
			t.Errorf("for %q got %q, want %q", given, got, tt.want)
		}
	}
}

func TestUnknownFields_AreRefusedAndNothingChanges(t *testing.T) { //nolint:tparallel // each looks whether anything was stored
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	const secret = "theValueOfAnUnknownField"
	for name, tt := range map[string]struct {
		operation logical.Operation
		path      string
		data      map[string]any
		want      []string
		not       []string
	}{
		"a dash":              {logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"auth-token": secret}, []string{"did you mean auth_token=-?", "account_sid, auth_token, cas"}, []string{"developer_token", "force", "account_type", "_previous"}},
		"a retirement":        {logical.UpdateOperation, "tokens/acme-rw/retire", map[string]any{"forec": true}, []string{"did you mean force?", "its fields are force, version"}, nil},
		"a key file's parts":  {logical.CreateOperation, "tokens/new", map[string]any{"private_key": secret, "client_email": "a"}, []string{"service_account_key=@key-file.json"}, nil},
		"beside a right one":  {logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"auth_token": secret, "check_and_set": 1}, []string{"did you mean cas?"}, nil},
		"two of them":         {logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"auth-token": secret, "resaon": secret}, []string{"auth_token=-", "reason", "are no fields"}, nil},
		"a secret as name":    {logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"a7Gq9ZxC1m": "="}, []string{"its name is not repeated", "account_sid"}, []string{"a7Gq9ZxC1m"}},
		"a policy":            {logical.UpdateOperation, "tokens/acme-rw", map[string]any{"rotation_perod": secret}, []string{"did you mean rotation_period?", "probe_path"}, []string{"auth_token,", "force"}},
		"a new token":         {logical.CreateOperation, "tokens/new", map[string]any{"account": "acme", "type": "scoped", "acount_sid": secret}, []string{"did you mean account_sid?", "auth_token", "reason"}, []string{"developer_token"}},
		"an account":          {logical.UpdateOperation, "config/acme", map[string]any{"reset_hook-url": secret}, []string{"did you mean reset_hook_url?", "account_type"}, []string{"login_customer_id"}},
		"a new account":       {logical.CreateOperation, "config/new", map[string]any{"provider": "google_ads", "accountType": secret}, []string{"login_customer_id"}, []string{"account_type"}},
		"a verification":      {logical.UpdateOperation, "tokens/acme-rw/verify", map[string]any{"force": true}, []string{"it takes no fields"}, nil},
		"a deletion":          {logical.DeleteOperation, "tokens/acme-rw", map[string]any{"forse": true}, []string{"a deletion of tokens/acme-rw", "did you mean force?"}, []string{"refresh_ttl"}},
		"a deletion's reason": {logical.DeleteOperation, "tokens/acme-rw", map[string]any{"reason": secret}, []string{"reason is no field of a deletion"}, nil},
		"an account's end":    {logical.DeleteOperation, "config/acme", map[string]any{"force": true}, []string{"force is no field of a deletion of config/acme", "takes no fields"}, nil},
		"another name":        {logical.UpdateOperation, "tokens/acme-rw", map[string]any{"name": "other"}, []string{"name is a part of the path"}, nil},
		"another account":     {logical.UpdateOperation, "config/acme", map[string]any{"account": "other"}, []string{"account is a part of the path"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			puts := f.storage.Puts.Load()
			response, err := f.handle(t, tt.operation, tt.path, tt.data)
			if err != nil || !response.IsError() {
				t.Fatalf("got %v, error %v; want it refused", response, err)
			}
			message := response.Error().Error()
			if !containsAll(message, append(tt.want, "othing was changed")) {
				t.Errorf("%q lacks one of %q", message, tt.want)
			}
			for _, word := range append(tt.not, secret) {
				if strings.Contains(message, word) {
					t.Errorf("%q has %q", message, word)
				}
			}
			if f.storage.Puts.Load() != puts {
				t.Error("something was stored")
			}
		})
	}
	f.write(t, "tokens/acme-rw", map[string]any{"name": "acme-rw", "refresh_ttl": "30s"}) // the path's own name again is harmless
	for path, data := range map[string]map[string]any{"creds/acme-rw": {"version": "1"}, "status": {"limt": "1"}, "config/acme": {"verson": "1"}} {
		if response, err := f.HandleRequest(t.Context(), &logical.Request{
			Operation: logical.ReadOperation, Path: path, Data: data, Storage: f.storage,
		}); err != nil || response.IsError() || len(response.Warnings) != 1 {
			t.Errorf("reading %s with a parameter too many gives %v, error %v; want an answer with a warning", path, response, err)
		}
	}
}

func TestFits_RefusesWhatWouldBeConvertedToSomethingElse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		to    framework.FieldType
		right []any
		wrong []any
	}{
		{
			framework.TypeDurationSecond,
			[]any{0, 90, float64(90), "90", "90s", "15m", "1.5h", "90d", "0", "0s", json.Number("90")},
			[]any{nil, "", " ", "\t", 1.9, -1.0, "1.5s", "500ms", "-1s", "-0.5s", "1h0.5s", 1e30, 9.3e9, true, false, json.Number("1.9")},
		},
		{
			framework.TypeInt,
			[]any{0, 7, float64(7), -1.0, "7", "0", json.Number("7")},
			[]any{nil, "", " ", 1.9, "1.9", 1e30, "1e3", "0x10", "010", true, "seven"},
		},
		{framework.TypeBool, []any{true, false, "true", "0", 1.0, 0}, []any{nil, "", 7.0, 2, -1.0}},
		{framework.TypeKVPairs, []any{map[string]any{}, map[string]any{"a": "b"}, "a=b", []any{"a=b"}, map[string]any{"a": 7.0}}, []any{nil, "", " ", map[string]any{"a": true}, map[string]any{"a": nil}, map[string]any{"a": 1e20}}},
		{framework.TypeString, []any{"", "a", 7, 7.5, 1234567890.0}, []any{nil, true, 1.1e20}},
	} {
		d := func(value any) error {
			data := &framework.FieldData{Raw: map[string]any{"f": value}, Schema: map[string]*framework.FieldSchema{"f": {Type: tt.to}}}
			_, _, err := data.GetOkErr("f")
			return err
		}
		for _, value := range tt.right {
			if !fits(value, tt.to) || d(value) != nil {
				t.Errorf("%v: %#v is refused", tt.to, value)
			}
		}
		for _, value := range tt.wrong {
			if fits(value, tt.to) && d(value) == nil {
				t.Errorf("%v: %#v is taken", tt.to, value)
			}
		}
	}
}

// TestEmptyText_IsRefusedByEveryFieldThatIsNoText looks at what paths declare, so that a new field is looked at, too.
func TestEmptyText_IsRefusedByEveryFieldThatIsNoText(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	looked := 0
	for _, path := range []string{"tokens/acme-rw", "tokens/acme-rw/rotate", "config/acme"} {
		for field, schema := range f.Route(path).Fields {
			if schema.Type == framework.TypeString {
				continue
			}
			looked++
			for _, empty := range []string{"", " "} {
				response, err := f.handle(t, logical.UpdateOperation, path, map[string]any{field: empty})
				if err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), field+" must be") {
					t.Errorf("%s of %s takes %q: %v, error %v", field, path, empty, response, err)
				}
			}
		}
	}
	if looked < 15 {
		t.Errorf("only %d fields were looked at", looked)
	}
}

func TestNames_ThatDoNotFitAreToldTheRule(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	const rule = "letters, digits and underscores, joined by dashes or single dots, at most 128 characters"
	for _, name := range []string{
		"a@b.example", "ends.", "ends-", ".begins", "-begins", "a..b", "a b", "a/b", "a/b/c", "ümlaut", "a:b", "a+b", "..", "a\nb", "+", "*", strings.Repeat("a", 129),
	} {
		for pattern, operations := range map[string][]logical.Operation{
			"tokens/%s":        {logical.ReadOperation, logical.UpdateOperation, logical.CreateOperation, logical.DeleteOperation, logical.ListOperation},
			"tokens/%s/rotate": {logical.ReadOperation, logical.UpdateOperation},
			"tokens/%s/verify": {logical.UpdateOperation},
			"config/%s":        {logical.ReadOperation, logical.UpdateOperation, logical.DeleteOperation},
			"creds/%s":         {logical.ReadOperation},
			"access-token/%s":  {logical.ReadOperation},
		} {
			if len(name) > maxNameLength && !strings.HasPrefix(pattern, "tokens") && !strings.HasPrefix(pattern, "config") {
				continue // no such token exists, and that is what a read says
			}
			for _, operation := range operations {
				response, err := f.HandleRequest(t.Context(), &logical.Request{
					Operation: operation, Path: fmt.Sprintf(pattern, name), Data: map[string]any{}, Storage: f.storage,
				})
				if err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), rule) {
					t.Errorf("%s of %q gives %v, error %v; want the rule for names", operation, fmt.Sprintf(pattern, name), response, err)
				}
			}
		}
	}
	for _, path := range []string{"nothing", "tokens/acme-rw/", "config/acme/"} {
		if response, err := f.HandleRequest(t.Context(), &logical.Request{
			Operation: logical.ListOperation, Path: path, Storage: f.storage,
		}); err != logical.ErrUnsupportedPath { //nolint:errorlint // identity is the point
			t.Errorf("listing %s gives %v, error %v; want an unsupported path", path, response, err)
		}
	}
	response, err := f.handle(t, logical.ReadOperation, "tokens/acme-rw/rotat", nil)
	if err != nil || !strings.Contains(response.Error().Error(), "tokens/<name>/rotate") {
		t.Errorf("a path below a token that does not exist gives %v, error %v; want those that do", response, err)
	}
}

func TestReason_AndMetadataTakeNoTextThatDeceives(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	for name, text := range map[string]string{
		"a control": "a\x07b", "an escape": "a\x1b[2Jb", "C1": "a\u009bb", "a bidirectional override": "a\u202eb", "an isolate": "a\u2066b", "a mark": "a\u200fb",
		"zero width": "a\u200bb", "a joiner": "a\u200db", "a line separator": "a\u2028b", "a paragraph separator": "a\u2029b", "a BOM": "a\ufeffb",
		"invalid UTF-8": "a\xffb", "replaced bytes": "a\ufffdb", "a tag": "a\U000e0041b", "a filler": "a\u3164b", "a variation selector": "a\U000e0101b", "a soft hyphen": "a\u00adb",
		"private use": "a\ue000b", "a line break": "a\nb",
	} {
		for what, write := range map[string]struct {
			path string
			data map[string]any
		}{
			"reason":         {"tokens/acme-rw/rotate", map[string]any{"auth_token": "anyValueAtAll", "verify": false, "reason": text}},
			"metadata":       {"tokens/acme-rw", map[string]any{"custom_metadata": map[string]any{"k": text}}},
			"metadata's key": {"tokens/acme-rw", map[string]any{"custom_metadata": map[string]any{text: "v"}}},
		} {
			response, err := f.handle(t, logical.UpdateOperation, write.path, write.data)
			if err != nil || !response.IsError() || strings.Contains(response.Error().Error(), text) {
				t.Errorf("%s with %s gives %v, error %v; want it refused and not repeated", what, name, response, err)
			}
		}
	}
	for _, text := range []string{"left the team: J. Doe", "Müller ist weg", "離職\u3000した", "ушёл", "عطل", "❤\ufe0f 🎉", "a\u00a0b"} {
		f.write(t, "tokens/acme-rw", map[string]any{"custom_metadata": map[string]any{"k": "v"}})
		f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": f.resetReadWrite(t).AuthToken, "reason": text})
		versions := f.read(t, "tokens/acme-rw/history")["versions"].([]any)
		if got := versions[len(versions)-1].(map[string]any)["reason"]; got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
}

func TestMetadata_TakesNoSecretOfTheWrite(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	credential := f.withImpact(t, nil)
	response, err := f.handle(t, logical.UpdateOperation, "tokens/new", map[string]any{
		"account": "acme", "type": "legacy_read_write", "account_sid": credential.AccountSID, "auth_token": credential.AuthToken,
		"custom_metadata": map[string]any{"note": "the token is " + credential.AuthToken},
	})
	if err != nil || !response.IsError() || strings.Contains(response.Error().Error(), credential.AuthToken) {
		t.Errorf("got an answer other than a refusal that does not repeat the value, error %v", err)
	}
}

func TestDisplayName_IsCleanedOnItsWayIntoTheHistory(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	req := &logical.Request{
		Operation: logical.UpdateOperation, Path: "tokens/acme-rw/rotate", Storage: f.storage, DisplayName: "oidc-jane\u202e\x1b[2J",
		Data: map[string]any{"auth_token": f.resetReadWrite(t).AuthToken},
	}
	if response, err := f.HandleRequest(t.Context(), req); err != nil || response.IsError() {
		t.Fatalf("%v, error %v", response, err)
	}
	tok, err := f.tokens.Load(t.Context(), f.storage, "acme-rw")
	must(t, err)
	if got := tok.History[1].DisplayName; got != "oidc-jane??[2J" {
		t.Errorf("got %q", got)
	}
}

func TestRegister_PanicsWhereANameHidesAnother(t *testing.T) {
	t.Parallel()
	field := func(names ...string) (fields []provider.Field) {
		for _, name := range names {
			fields = append(fields, provider.Field{Name: name})
		}
		return fields
	}
	able := func(kind provider.TokenType) *provider.TokenType {
		kind.Verify = func(context.Context, provider.Account, provider.Token) (v provider.Verification, err error) {
			return v, err
		}
		kind.Runbook = func(provider.Values) (r provider.Runbook) { return r }
		return &kind
	}
	kind := func(name string, fields ...string) []*provider.TokenType {
		return []*provider.TokenType{able(provider.TokenType{Name: name, Fields: field(fields...)})}
	}
	minting := func(name string, fields ...string) []*provider.TokenType {
		kinds := kind(name, fields...)
		kinds[0].Mint = func(context.Context, provider.Account, provider.Token) (a provider.AccessToken, err error) {
			return a, err
		}
		return kinds
	}
	one := &provider.Provider{Name: "one", AccountFields: field("client_id"), Types: kind("key", "value")}
	for name, tt := range map[string]struct {
		with  *provider.Provider
		fails bool
	}{
		"fields of the same names":      {&provider.Provider{Name: "two", AccountFields: field("client_id"), Types: kind("other", "value")}, false},
		"a provider's name":             {&provider.Provider{Name: "one"}, true},
		"a type's name":                 {&provider.Provider{Name: "two", Types: kind("key", "v")}, false}, // it is the provider's
		"a type without abilities":      {&provider.Provider{Name: "two", Types: []*provider.TokenType{{Name: "a", Fields: field("v")}}}, true},
		"what creds/ gives beside it":   {&provider.Provider{Name: "two", Types: []*provider.TokenType{able(provider.TokenType{Name: "a", Fields: field("v"), Connection: field("v")})}}, true},
		"two types of one":              {&provider.Provider{Name: "two", Types: append(kind("a", "v"), kind("a", "w")...)}, true},
		"two fields of a type":          {&provider.Provider{Name: "two", Types: kind("a", "v", "v")}, true},
		"a field and an option":         {&provider.Provider{Name: "two", Types: []*provider.TokenType{able(provider.TokenType{Name: "a", Fields: field("v"), Options: field("v")})}}, true},
		"two fields of accounts":        {&provider.Provider{Name: "two", AccountFields: field("a", "a")}, true},
		"a common field":                {&provider.Provider{Name: "two", AccountFields: field("contact_email")}, true},
		"an input of config/":           {&provider.Provider{Name: "two", AccountFields: field("provider")}, true},
		"an input of rotate":            {&provider.Provider{Name: "two", Types: kind("a", "cas")}, true},
		"an input of tokens/":           {&provider.Provider{Name: "two", Types: kind("a", "rotation_period")}, true},
		"a field of creds/":             {&provider.Provider{Name: "two", Types: kind("a", "version")}, true},
		"a field of an access token":    {&provider.Provider{Name: "two", Types: minting("a", "access_token")}, true},
		"one where there is none":       {&provider.Provider{Name: "two", Types: kind("a", "access_token")}, false},
		"a field that tokens/ has, too": {&provider.Provider{Name: "two", Types: kind("a", "health")}, true},
	} {
		func() {
			defer func() {
				if failed := recover() != nil; failed != tt.fails {
					t.Errorf("%s: panics %v, want %v", name, failed, tt.fails)
				}
			}()
			provider.MustCheck(takenNames(), one, tt.with)
		}()
	}
}

// TestRegister_KnowsAllNamesThatPathsUse keeps its lists complete.
func TestRegister_KnowsAllNamesThatPathsUse(t *testing.T) {
	t.Parallel()
	b := newBackend(time.Now)
	ofProviders := map[string]bool{}
	for _, p := range b.builtIn {
		for _, f := range accountFields(p) {
			ofProviders["config "+f.Name] = true
		}
		for _, kind := range p.Types {
			for _, f := range slices.Concat(kind.Fields, kind.Options) {
				ofProviders["tokens "+f.Name] = true
			}
		}
	}
	for path, taken := range map[string][]string{"config/a": ownAccountNames(), "tokens/a": ownTokenNames(), "tokens/a/rotate": ownTokenNames()} {
		noun, _, _ := strings.Cut(path, "/")
		for _, name := range slices.Sorted(maps.Keys(b.Route(path).Fields)) {
			if !ofProviders[noun+" "+name] && !slices.Contains(taken, name) {
				t.Errorf("%s of %s is not in the list", name, path)
			}
		}
	}
}

func TestAddFieldSchema_IsSensitiveIfAnyProviderSaysSo(t *testing.T) {
	t.Parallel()
	for _, order := range [][]bool{{false, true}, {true, false}} {
		fields := map[string]*framework.FieldSchema{}
		for i, secret := range order {
			addFieldSchema(fields, provider.Field{Name: "value", Secret: secret, Description: fmt.Sprint(i)}, "")
		}
		if !fields["value"].DisplayAttrs.Sensitive {
			t.Errorf("secret in the order %v: it is not declared sensitive", order)
		}
	}
}

func TestTokenEntry_OwnsItsFields(t *testing.T) {
	t.Parallel()
	entry := tokenEntry{RotationSchedule: saturdaysAtThree, RotationWindow: time.Hour, RotationPeriod: time.Minute, DisableAutomatedRotation: true}
	stored, err := json.Marshal(entry)
	must(t, err)
	if want := `"rotation_schedule":"0 3 * * SAT","rotation_window":3600000000000,"rotation_period":60000000000,"disable_automated_rotation":true`; !strings.Contains(string(stored), want) {
		t.Errorf("stored as %s, want %s in it", stored, want)
	}
}

func TestTrigger_OfARotationIsNotItsReason(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": f.resetReadWrite(t).AuthToken, "reason": reasonScheduled})
	text, err := f.metrics.text(&snapshot{})
	must(t, err)
	if want := `adtokens_rotations_total{outcome="accepted",source="assisted",trigger="by_hand"} 1`; !strings.Contains(string(text), want) {
		t.Errorf("the metrics lack %s", want)
	}
}

// TestHandInCommands_CanBeTyped: a token without a value needs all its fields, and says so wherever it says how to fill it.
func TestHandInCommands_CanBeTyped(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	const want = "`vault write team-a/ads/tokens/new/rotate account_sid=… auth_token=-`"
	response, err := f.ask(t, logical.CreateOperation, "tokens/new", map[string]any{"account": "acme", "type": "scoped"})
	if !strings.Contains(err+fmt.Sprint(response), want) {
		t.Errorf("the creation lacks %s: %v %s", want, response, err)
	}
	for path, operation := range map[string]logical.Operation{
		"creds/new": logical.ReadOperation, "tokens/new/verify": logical.UpdateOperation, "tokens/new/rotate": logical.UpdateOperation,
	} {
		if _, text := f.ask(t, operation, path, nil); !strings.Contains(text, want) {
			t.Errorf("%s lacks %s: %s", path, want, text)
		}
	}
	if _, text := f.ask(t, logical.ReadOperation, "access-token/acme-rw", nil); !strings.Contains(text, "`vault read team-a/ads/creds/acme-rw`") {
		t.Errorf("no command to read the credential with: %s", text)
	}
}

// TestInput_ObjectsAndPathsThatPeopleTry get their own sentence.
func TestInput_ObjectsAndPathsThatPeopleTry(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	for name, tt := range map[string]struct {
		path string
		data map[string]any
		want string
	}{
		"an object":            {"tokens/new", map[string]any{"service_account_key": map[string]any{"type": "service_account"}}, "this is an object: send the text of the file as one JSON string"},
		"a list":               {"tokens/new", map[string]any{"service_account_key": []any{"x"}}, "this is a list"},
		"a path below a token": {"tokens/acme-rw/roate", nil, "/retire and tokens/"},
		"a path below a value": {"creds/acme-rw/verify", nil, "has none"},
	} {
		if _, text := f.ask(t, logical.UpdateOperation, tt.path, tt.data); !strings.Contains(text, tt.want) || !strings.Contains(text, "nothing was changed") {
			t.Errorf("%s: %q lacks %q", name, text, tt.want)
		}
	}
}
