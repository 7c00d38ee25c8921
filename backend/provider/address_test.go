package provider_test

import (
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// What is wrong with an address.
const (
	noURL    = "must be a URL such as https://host.example.com"
	noScheme = noURL + ": https:// is missing"
	twice    = noURL + "; this one has https:// twice"
	extras   = "must be a URL without user info, query and fragment; this one has "
	scheme   = "must start with https:// (plain http is for loopback hosts only), because secrets are sent there"
	notASCII = "must name its host in ASCII; a name in other letters has a form that begins with xn--"
	badPort  = "must have a port from 1 to 65535, or none"
)

func TestEndpointURL(t *testing.T) {
	t.Parallel()
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
		"no scheme":                   {value: "api.example.com", wantErr: noScheme},
		"no scheme, with a port":      {value: "api.example.com:8443/x", wantErr: noScheme},
		"no scheme, localhost":        {value: "localhost:8080", wantErr: noScheme},
		"no scheme, an address":       {value: "10.0.0.1:8080", wantErr: noScheme},
		"no scheme, user info":        {value: "user:secret@api.example.com", wantErr: noScheme},
		"scheme without its colon":    {value: "https//api.example.com", wantErr: noScheme},
		"scheme-relative":             {value: "//api.example.com", wantErr: noScheme},
		"scheme twice":                {value: "https://https://api.example.com", wantErr: twice},
		"both schemes":                {value: "https://http:api.example.com", wantErr: noURL},
		"no host":                     {value: "https:///path", wantErr: noURL},
		"port without host":           {value: "https://:443", wantErr: noURL},
		"opaque":                      {value: "https:api.example.com", wantErr: noURL},
		"one slash":                   {value: "https:/api.example.com", wantErr: noURL},
		"not parsable":                {value: "https://api.example.com/%zz", wantErr: noURL},
		"control character":           {value: "https://api.example.com/\x00", wantErr: noURL},
		"user info":                   {value: "https://user:secret@api.example.com", wantErr: extras + "user info (user:password@)"},
		"loopback host as the user":   {value: "http://localhost@api.example.com", wantErr: extras + "user info (user:password@)"},
		"query":                       {value: "https://api.example.com?key=secret", wantErr: extras + "a query (?…)"},
		"empty query":                 {value: "https://api.example.com?", wantErr: extras + "a query (?…)"},
		"fragment":                    {value: "https://api.example.com#secret", wantErr: extras + "a fragment (#…)"},
		"empty fragment":              {value: "https://api.example.com/#", wantErr: extras + "a fragment (#…)"},
		"host in other letters":       {value: "https://аpi.example.com", wantErr: notASCII},
		"host with an override":       {value: "https://api\u202e.example.com", wantErr: notASCII},
		"port beyond the last":        {value: "https://api.example.com:65536", wantErr: badPort},
		"port zero":                   {value: "https://api.example.com:0", wantErr: badPort},
		"port without an end":         {value: "https://api.example.com:99999999999999999999", wantErr: badPort},
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

func TestWebhookURL(t *testing.T) {
	t.Parallel()
	const (
		hidden   = "has ?… where its query was, as an address with a query is shown; give the whole address, or leave this field out to keep it"
		userInfo = "must be a URL without user info (user:password@), which would be shown; a query (?…) is not shown, and every request is signed"
		fragment = "must be a URL without a fragment (#…), which is never sent"
		ascii    = "must be ASCII without spaces: percent-encode other characters"
	)
	kept := map[string]string{ // and what is shown of it
		"https://hook.example.com":                    "https://hook.example.com",
		"https://hook.example.com/":                   "https://hook.example.com/",
		"https://hook.example.com/reset/":             "https://hook.example.com/reset/",
		"https://hook.example.com//reset//":           "https://hook.example.com//reset//",
		"https://hook.example.com/a%2Fb/../c":         "https://hook.example.com/a%2Fb/../c",
		"HTTPS://Hook.Example.com:8443/Reset":         "HTTPS://Hook.Example.com:8443/Reset",
		"http://127.0.0.1:8100/reset/":                "http://127.0.0.1:8100/reset/",
		"https://f.example.com/api/reset?code=a/b==":  "https://f.example.com/api/reset?…",
		"https://f.example.com/?sp=%2Ftriggers&sig=x": "https://f.example.com/?…",
		"https://f.example.com?x?y":                   "https://f.example.com?…",
		"https://f.example.com/reset?":                "https://f.example.com/reset?",
	}
	for value, shown := range kept {
		if got, err := provider.WebhookURL(value); got != value || err != nil {
			t.Errorf("%q: got %q, error %v; want it kept as it is", value, got, err)
		}
		if got := provider.ShowWebhookURL(value); got != shown {
			t.Errorf("%q is shown as %q, want %q", value, got, shown)
		}
		if _, err := provider.WebhookURL(shown); shown != value && errorText(err) != hidden {
			t.Errorf("%q: got error %q, want %q", shown, errorText(err), hidden)
		}
	}
	for value, want := range map[string]string{
		"https://f.example.com/reset?...":         hidden,
		"https://f.example.com/reset?%E2%80%A6":   hidden,
		"https://user:secret@hook.example.com/":   userInfo,
		"https://user@hook.example.com/":          userInfo,
		"https://hook.example.com/#secret":        fragment,
		"https://hook.example.com/#":              fragment,
		"https://hook.example.com/a b":            ascii,
		"https://hook.example.com/ä":              ascii,
		"https://hook.example.com/\u202e":         ascii,
		"https://hook.example.com/?code=\u200b":   ascii,
		"http://hook.example.com/reset?code=x":    scheme,
		"hook.example.com/reset?code=x":           noScheme,
		"https://hook.example.com/\n":             noURL,
		"https://hook.example.com:70000/reset?c=": badPort,
	} {
		if got, err := provider.WebhookURL(value); got != "" || errorText(err) != want {
			t.Errorf("%q: got %q, error %q; want %q", value, got, errorText(err), want)
		}
	}
}
