package provider_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

func TestFieldCanonical(t *testing.T) {
	t.Parallel()
	upper := func(value string) (string, error) {
		if value == "bad-value" {
			return "", errors.New("must be better")
		}
		return strings.ToUpper(value), nil
	}
	tests := map[string]struct {
		field   provider.Field
		value   string
		want    string
		wantErr string
	}{
		"white space around is dropped":     {field: provider.Field{Name: "f"}, value: " \t v w \r\n", want: "v w"},
		"empty stays empty, unchecked":      {field: provider.Field{Name: "f", Check: provider.OneOf("a")}, value: "", want: ""},
		"only white space is empty":         {field: provider.Field{Name: "f", Check: provider.OneOf("a")}, value: " \n", want: ""},
		"check gives the canonical form":    {field: provider.Field{Name: "f", Check: upper}, value: " v ", want: "V"},
		"check's error starts with name":    {field: provider.Field{Name: "f", Check: upper}, value: "bad-value", wantErr: "f must be better"},
		"longest value":                     {field: provider.Field{Name: "f"}, value: strings.Repeat("x", 16*1024), want: strings.Repeat("x", 16*1024)},
		"too long a value is not looked at": {field: provider.Field{Name: "f", Check: upper}, value: strings.Repeat("x", 16*1024+1), wantErr: "f must have at most 16384 bytes, this one has 16385"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := tc.field.Canonical(tc.value)
			if errorText(err) != tc.wantErr || got != tc.want {
				t.Errorf("Canonical: got %q, error %q; want %q, error %q", got, errorText(err), tc.want, tc.wantErr)
			}
		})
	}
}

func TestChecks(t *testing.T) {
	t.Parallel()
	digits := provider.Match(`[0-9]{3}|none`, "three digits or none")
	const noLeak = "must be three digits or none"
	tests := map[string]struct {
		check   func(string) (string, error)
		value   string
		wantErr string
	}{
		"Match takes the pattern":               {check: digits, value: "123"},
		"Match takes the alternative":           {check: digits, value: "none"},
		"Match refuses more in front":           {check: digits, value: "x123", wantErr: noLeak},
		"Match refuses more behind":             {check: digits, value: "123\n", wantErr: noLeak},
		"Match refuses more beside alternative": {check: digits, value: "nonesuch", wantErr: noLeak},
		"OneOf takes a member":                  {check: provider.OneOf("a.b", "c"), value: "a.b"},
		"OneOf takes names, not patterns":       {check: provider.OneOf("a.b", "c"), value: "axb", wantErr: "must be one of a.b, c"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := tc.check(tc.value)
			if errorText(err) != tc.wantErr {
				t.Fatalf("got error %q, want %q", errorText(err), tc.wantErr)
			}
			if err == nil && got != tc.value {
				t.Errorf("got %q, want %q", got, tc.value)
			}
		})
	}
}

// TestOpaque_TakesGenuineForms of tokens, and refuses what the readers of the files that values end up in act on.
func TestOpaque(t *testing.T) {
	t.Parallel()
	genuine := map[string]string{
		"OAuth client":             "123456789012-a1b2c3.apps.googleusercontent.com",
		"client secret":            "GOCSPX-a1B2_c3-D4",
		"client secret of old":     "AbC-dEf_gHi123",
		"refresh token":            "1//0abc_-DEF",
		"authorization code":       "4/0AeaYSHB-x_y",
		"access token":             "ya29.a0AfB_by-C",
		"letters and digits":       "e8GYwpy1VwW2l61dJOLJJ3zZa9epa9kT",
		"base64":                   "c2VjcmV0+/==",
		"token68 in all its forms": "AZaz09-._~+/==",
		"JSON web token":           "eyJhbGciOiJIUzI1NiJ9.e30.ZRrHA1JJJW8opsbCGfG_HACGpVUMN_a9IV7pAx_Zmeo",
	}
	for name, value := range genuine {
		if got, err := provider.Opaque(value); got != value || err != nil {
			t.Errorf("%s: got %q, error %v", name, got, err)
		}
	}
	const want = "must be printable ASCII without spaces, and without what a shell or a parser acts on: only letters, digits and . _ ~ + / = - ; " +
		"the character at position 4 is another one"
	for character := range strings.SplitSeq(" \t\n\r\v\x00\x1b\x7f$()`'\"\\;&|<>{}[]*?!#^%@:,é\u00a0\u200b\u202e\u2028\ufeff", "") {
		if got, err := provider.Opaque("abc" + character + "def"); got != "" || errorText(err) != want {
			t.Errorf("%q: got %q, error %q, want %q", character, got, errorText(err), want)
		}
	}
}

func TestFieldShown(t *testing.T) {
	t.Parallel()
	if got := (provider.Field{Name: "f"}).Shown("value"); got != "value" {
		t.Errorf("got %q, want the value", got)
	}
	if got := (provider.Field{Name: "f", Show: func(v string) string { return v[:1] + "…" }}).Shown("value"); got != "v…" {
		t.Errorf("got %q, want what Show gives", got)
	}
}

func TestFieldSame(t *testing.T) {
	t.Parallel()
	field := provider.Field{Name: "f", Check: provider.EndpointURL}
	tests := map[string]struct {
		stored, given string
		want          bool
	}{
		"equal":                         {"https://a.example.com", "https://a.example.com", true},
		"canonical otherwise today":     {"https://a.example.com/", "https://a.example.com", true},
		"another":                       {"https://a.example.com", "https://b.example.com", false},
		"none before":                   {"", "https://b.example.com", false},
		"taken away":                    {"https://a.example.com", "", false},
		"stored and not valid any more": {"https://a.example.com?x", "https://a.example.com", false},
	}
	for name, tc := range tests {
		if got := field.Same(tc.stored, tc.given); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	fields := []provider.Field{{Name: "a"}, {Name: "b", Secret: true}}
	if f, ok := provider.Lookup(fields, "b"); !ok || !f.Secret {
		t.Errorf("Lookup(b): got %+v, %v; want the secret field", f, ok)
	}
	if f, ok := provider.Lookup(fields, "c"); ok {
		t.Errorf("Lookup(c): got %+v, want none", f)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
