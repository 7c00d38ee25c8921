package backend

import (
	"context"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// withLater makes an engine with a provider whose fields no path declares, an account of it, and a token of another provider.
func withLater(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	works := func(context.Context, provider.Account, provider.Token) (provider.Verification, error) {
		return provider.Verification{Outcome: provider.Accepted, Detail: "it works"}, nil
	}
	noRunbook := func(provider.Values) (r provider.Runbook) { return r }
	// The provider came after the paths were declared, which know nothing of its fields.
	p := &provider.Provider{
		Name:          "later",
		AccountFields: []provider.Field{{Name: "region", Check: provider.OneOf("eu", "us"), Default: "eu"}, {Name: "app_secret", Secret: true}},
		Types: []*provider.TokenType{
			{
				Name: "later_key", ResetSemantics: provider.Immediate, Verify: works, Runbook: noRunbook,
				Fields:  []provider.Field{{Name: "key_id"}, {Name: "later_value", Secret: true, Check: provider.Opaque}},
				Options: []provider.Field{{Name: "probe_resource"}},
			},
			{Name: "later_other", ResetSemantics: provider.Immediate, Verify: works, Runbook: noRunbook, Fields: []provider.Field{{Name: "other_value", Secret: true}}},
		},
	}
	f.builtIn[p.Name] = &platform{Provider: p, origin: originEngine}
	f.withImpact(t, nil)
	f.askRight(t, logical.CreateOperation, "config/late", map[string]any{"provider": "later", "region": "us", "app_secret": "theSecretOfTheApp", "contact_email": "a@b.example"})
	return f
}

// askRight sends a request that is to succeed, with all that it has used.
func (f *fixture) askRight(t *testing.T, operation logical.Operation, path string, data map[string]any) map[string]any {
	t.Helper()
	response, said := f.ask(t, operation, path, data)
	if response.IsError() || !strings.HasPrefix(said, "<nil>") || strings.Contains(said, "unrecognized") {
		t.Fatalf("%s: %s", path, said)
	}
	if response == nil {
		return nil
	}
	return response.Data
}

func TestInputs_OfATypeThatNoPathDeclares(t *testing.T) {
	t.Parallel()
	f := withLater(t)
	if got := f.askRight(t, logical.ReadOperation, "config/late", nil); got["region"] != "us" {
		t.Errorf("the account's region is %v, want us", got["region"])
	}
	f.askRight(t, logical.CreateOperation, "tokens/late", map[string]any{
		"account": "late", "type": "later_key", "key_id": float64(12345678), "later_value": " first-value ", "probe_resource": "me",
	})
	f.askRight(t, logical.UpdateOperation, "tokens/late", map[string]any{"probe_resource": "you", "refresh_ttl": "30s"})
	f.askRight(t, logical.UpdateOperation, "tokens/late/rotate", map[string]any{"later_value": "second-value", "verify": true, "cas": 1})
	creds := f.askRight(t, logical.ReadOperation, "creds/late", nil)
	if creds["key_id"] != "12345678" || creds["later_value"] != "second-value" || creds["version"] != 2 {
		t.Errorf("got version %v with key_id %v", creds["version"], creds["key_id"])
	}
	if got := f.askRight(t, logical.ReadOperation, "tokens/late", nil); got["probe_resource"] != "you" {
		t.Errorf("the option is %v, want you", got["probe_resource"])
	}
	f.askRight(t, logical.UpdateOperation, "config/late", map[string]any{"region": ""})
	if got := f.askRight(t, logical.ReadOperation, "config/late", nil); got["region"] != "eu" {
		t.Errorf("the account's region is %v, want the default", got["region"])
	}
}

func TestInputs_OfATypeThatNoPathDeclaresAreCheckedAsDeclaredOnesAre(t *testing.T) { //nolint:tparallel // each looks whether anything was stored
	t.Parallel()
	f := withLater(t)
	f.askRight(t, logical.CreateOperation, "tokens/late", map[string]any{"account": "late", "type": "later_key", "key_id": "1", "later_value": "first-value"})
	const secret = "theValueInTheWrongPlace"
	for name, tt := range map[string]struct {
		path string
		data map[string]any
		want []string
		not  []string
	}{
		"an object":                {"tokens/late/rotate", map[string]any{"later_value": map[string]any{"a": secret}}, []string{"later_value must be a string, and this is an object"}, nil},
		"a list":                   {"tokens/late/rotate", map[string]any{"later_value": []any{secret}}, []string{"later_value must be a string, and this is a list"}, nil},
		"a boolean":                {"tokens/late/rotate", map[string]any{"later_value": true}, []string{"later_value must be a string"}, nil},
		"null":                     {"tokens/late/rotate", map[string]any{"later_value": nil}, []string{"later_value must be a string"}, nil},
		"a number that is too big": {"tokens/late/rotate", map[string]any{"key_id": 1e20}, []string{"key_id must be a string"}, nil},
		"a wrong form":             {"tokens/late/rotate", map[string]any{"later_value": "has a blank " + secret}, []string{"later_value must be printable ASCII"}, nil},
		"nothing":                  {"tokens/late/rotate", map[string]any{"later_value": " "}, []string{"later_value must not be empty"}, nil},
		"a misspelt value":         {"tokens/late/rotate", map[string]any{"later-value": secret}, []string{"did you mean later_value=-?", "its fields are accept_other_identity, cas, key_id, later_value, reason, verify"}, []string{"auth_token"}},
		"another type's":           {"tokens/late/rotate", map[string]any{"other_value": secret}, []string{"other_value is no field of tokens/late/rotate", "later_value"}, nil},
		"another provider's":       {"tokens/late/rotate", map[string]any{"auth_token": secret}, []string{"auth_token is no field of a later_key; its fields are key_id, later_value"}, nil},
		"an option to rotate":      {"tokens/late/rotate", map[string]any{"probe_resource": "me"}, []string{"probe_resource is no field of tokens/late/rotate"}, nil},
		"at another's token":       {"tokens/acme-rw/rotate", map[string]any{"later_value": secret}, []string{"later_value is no field of tokens/acme-rw/rotate", "auth_token"}, []string{"key_id"}},
		"a value to the policy":    {"tokens/late", map[string]any{"later_value": secret}, []string{"later_value is accepted only when a token is created", "`vault write team-a/ads/tokens/late/rotate later_value=-`"}, nil},
		"another's option":         {"tokens/late", map[string]any{"probe_path": "x"}, []string{"probe_path is no setting of a later_key"}, nil},
		"a misspelt option":        {"tokens/late", map[string]any{"probe_resorce": "x"}, []string{"did you mean probe_resource?"}, []string{"later_value", "auth_token"}},
		"an option's shape":        {"tokens/late", map[string]any{"probe_resource": []any{"x"}}, []string{"probe_resource must be a string"}, nil},
		"a new token":              {"tokens/new", map[string]any{"account": "late", "type": "later_key", "later_valu": secret}, []string{"did you mean later_value=-?"}, []string{"other_value", "auth_token"}},
		"a new token, type wrong":  {"tokens/new", map[string]any{"account": "late", "type": "later", "later_valu": secret}, []string{"later_value", "other_value"}, []string{"auth_token"}},
		"a new token, no type":     {"tokens/new", map[string]any{"account": "late", "later_value": secret}, []string{"type must be one of later_key, later_other"}, nil},
		"a new token, no account":  {"tokens/new", map[string]any{"type": "later_key", "later_value": secret}, []string{"account is missing"}, nil},
		"a setting":                {"config/late", map[string]any{"app-secret": secret}, []string{"did you mean app_secret=-?", "region"}, []string{"account_type"}},
		"a setting's form":         {"config/late", map[string]any{"region": "mars"}, []string{"region must be one of eu, us"}, nil},
		"a setting's shape":        {"config/late", map[string]any{"app_secret": map[string]any{}}, []string{"app_secret must be a string"}, nil},
		"a setting elsewhere":      {"config/acme", map[string]any{"region": "eu"}, []string{"region is no field of config/acme", "account_type"}, nil},
		"a setting of no account":  {"config/new", map[string]any{"region": "eu"}, []string{"provider is missing"}, nil},
		"another's setting":        {"config/late", map[string]any{"account_type": "agency"}, []string{"account_type is a field of impact accounts; the provider of this account is later"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			puts := f.storage.Puts.Load()
			var operation logical.Operation = logical.UpdateOperation
			if strings.HasSuffix(tt.path, "/new") {
				operation = logical.CreateOperation
			}
			response, said := f.ask(t, operation, tt.path, tt.data)
			if !response.IsError() || !containsAll(said, tt.want) {
				t.Errorf("%s lacks one of %q", said, tt.want)
			}
			for _, word := range append(tt.not, secret) {
				if strings.Contains(said, word) {
					t.Errorf("%s has %q", said, word)
				}
			}
			if f.storage.Puts.Load() != puts {
				t.Error("something was stored")
			}
		})
	}
}
