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
		"Opaque takes printable ASCII":          {check: provider.Opaque, value: "!~1//0abc_-.+="},
		"Opaque refuses a space":                {check: provider.Opaque, value: "ab cd", wantErr: "must be printable ASCII without spaces; the character at position 3 is not"},
		"Opaque refuses a line break":           {check: provider.Opaque, value: "\nabcd", wantErr: "must be printable ASCII without spaces; the character at position 1 is not"},
		"Opaque refuses other letters":          {check: provider.Opaque, value: "abcé", wantErr: "must be printable ASCII without spaces; the character at position 4 is not"},
		"Opaque refuses DEL":                    {check: provider.Opaque, value: "abc\x7f", wantErr: "must be printable ASCII without spaces; the character at position 4 is not"},
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

func TestEndpointURL(t *testing.T) {
	t.Parallel()
	const (
		noURL  = "must be a URL such as https://host.example.com"
		extras = "must be a URL without user info, query and fragment"
		scheme = "must start with https:// (plain http is for loopback hosts only), because secrets are sent there"
	)
	tests := map[string]struct{ value, want, wantErr string }{
		"https":                       {value: "https://api.example.com", want: "https://api.example.com"},
		"with port and path":          {value: "https://proxy.example.com:8443/ads", want: "https://proxy.example.com:8443/ads"},
		"trailing slashes go":         {value: "https://proxy.example.com/ads//", want: "https://proxy.example.com/ads"},
		"scheme in capitals":          {value: "HTTPS://api.example.com", want: "https://api.example.com"},
		"http to localhost":           {value: "http://LocalHost:8080", want: "http://LocalHost:8080"},
		"http to 127.0.0.0/8":         {value: "http://127.1.2.3", want: "http://127.1.2.3"},
		"http to ::1":                 {value: "http://[::1]:8080/x", want: "http://[::1]:8080/x"},
		"http to elsewhere":           {value: "http://api.example.com", wantErr: scheme},
		"http to a look-alike":        {value: "http://localhost.example.com", wantErr: scheme},
		"http to a look-alike number": {value: "http://127.0.0.1.example.com", wantErr: scheme},
		"http to a private network":   {value: "http://10.0.0.1", wantErr: scheme},
		"other scheme":                {value: "ftp://api.example.com", wantErr: scheme},
		"no scheme":                   {value: "api.example.com", wantErr: noURL},
		"scheme-relative":             {value: "//api.example.com", wantErr: scheme},
		"no host":                     {value: "https:///path", wantErr: noURL},
		"port without host":           {value: "https://:443", wantErr: noURL},
		"opaque":                      {value: "https:api.example.com", wantErr: noURL},
		"not parsable":                {value: "https://api.example.com/%zz", wantErr: noURL},
		"control character":           {value: "https://api.example.com/\x00", wantErr: noURL},
		"user info":                   {value: "https://user:secret@api.example.com", wantErr: extras},
		"query":                       {value: "https://api.example.com?key=secret", wantErr: extras},
		"empty query":                 {value: "https://api.example.com?", wantErr: extras},
		"fragment":                    {value: "https://api.example.com#secret", wantErr: extras},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := provider.EndpointURL(tc.value)
			if got != tc.want || errorText(err) != tc.wantErr {
				t.Errorf("EndpointURL(%q): got %q, error %q; want %q, error %q", tc.value, got, errorText(err), tc.want, tc.wantErr)
			}
		})
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
