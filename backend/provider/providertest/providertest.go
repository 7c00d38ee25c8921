// Package providertest has the tests that every provider has to pass, whatever its platform: what is no useful answer decides
// nothing, and no text holds a secret.
package providertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// Case is a token type, with values to try it with.
type Case struct {
	Provider *provider.Provider
	// Type is the name of the token type.
	Type string
	// Settings are an account's, in canonical form.
	Settings provider.Values
	Token    provider.Token
	// ByStatus are the statuses by which the platform refuses, or lets in, a credential whatever the answer has, as long as it is no
	// page for people.
	ByStatus []int
	// Granted is an answer that grants an access token, for types whose grant is not as in RFC 6749.
	Granted string
}

// Run tests a case.
func Run(t *testing.T, c Case) {
	t.Helper()
	kind := c.Provider.Type(c.Type)
	if kind == nil {
		t.Fatalf("%s has no type %s", c.Provider.Name, c.Type)
	}
	if c.Granted == "" {
		c.Granted = `{"access_token":"an-access-token","token_type":"Bearer","expires_in":3600}`
	}
	c.Token.Type = c.Type
	s := suite{Case: c, kind: kind}
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"Declared", s.declared},
		{"Fields", s.fields},
		{"Runbook", s.runbook},
		{"Connection", s.connection},
		{"NoUsefulAnswer", s.noUsefulAnswer},
		{"NoSecretInTexts", s.noSecretInTexts},
		{"Cancelled", s.cancelled},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t)
		})
	}
}

type suite struct {
	Case
	kind *provider.TokenType
}

// declared looks at what the type says of itself.
func (s suite) declared(t *testing.T) {
	if err := provider.Check(s.Provider, provider.Taken{}); err != nil {
		t.Error(err)
	}
	if s.kind.EndPrevious != "" && s.kind.Retire == nil && s.kind.Keys == nil {
		t.Errorf("EndPrevious is %q, and there is neither Retire nor Keys", s.kind.EndPrevious)
	}
	if s.kind.Refresh != nil && s.kind.Mint == nil {
		t.Error("there is Refresh, and no Mint")
	}
	if s.kind.Renew != nil && s.kind.Renew.Call == nil {
		t.Error("Renew has no Call")
	}
	for _, name := range s.kind.Subject {
		f, known := provider.Lookup(slices.Concat(s.kind.Fields, s.Provider.AccountFields), name)
		if !known || f.Secret {
			t.Errorf("the subject has %s, which is no field or a secret one", name)
		}
	}
	s.described(t)
}

// described wants that every field says what it is.
func (s suite) described(t *testing.T) {
	for _, f := range s.kind.Connection {
		if f.Secret {
			t.Errorf("the connection has %s, which is secret", f.Name)
		}
	}
	for _, f := range slices.Concat(s.Provider.AccountFields, s.kind.Fields, s.kind.Options) {
		if f.Description == "" {
			t.Errorf("the field %s has no description", f.Name)
		}
	}
}

// samples are values of all kinds. Most fields take few of them.
var samples = []string{
	"", "a", "A-b_c.d~e", "123", "123-456-7890", "0123456789", " padded ", "two words", "two\nlines",
	"https://api.example.com/", "https://API.example.com:443/a//",
	"http://127.0.0.1:8080/x/", "../x", "a/b", "ä", "\u202e", "{", "true", "eu", "agency", "v26", "16", "%2e", "=", "K12345678",
}

// fields are in canonical form once they have been brought into it.
func (s suite) fields(t *testing.T) {
	values := slices.Clone(samples)
	for _, own := range []provider.Values{s.Settings, s.Token.Credential, s.Token.Options} {
		values = slices.AppendSeq(values, maps.Values(own))
	}
	for _, f := range slices.Concat(s.Provider.AccountFields, s.kind.Fields, s.kind.Options) {
		for _, value := range append(values, f.Default) {
			once, err := f.Canonical(value)
			if err != nil {
				if f.Secret && len(value) >= minSecretPart && strings.Contains(err.Error(), value) {
					t.Errorf("%s repeats the value in its error", f.Name)
				}
				continue
			}
			if twice, err := f.Canonical(once); err != nil || twice != once {
				t.Errorf("the canonical form %q of %s becomes %q, error %v", once, f.Name, twice, err)
			}
		}
	}
}

func (s suite) runbook(t *testing.T) {
	r := s.kind.Runbook(s.Settings)
	if len(r.Steps) == 0 || r.Previous == "" {
		t.Errorf("got the runbook %+v, want steps, and what becomes of the old value", r)
	}
	for _, text := range slices.Concat(r.Steps, r.Notes) {
		if strings.TrimSpace(text) == "" || strings.Contains(text, "\n") {
			t.Errorf("got the text %q, want one line", text)
		}
	}
	s.wantNoSecret(t, "the runbook", fmt.Sprintf("%+v", r))
}

// connection gives what is declared, and no secret.
func (s suite) connection(t *testing.T) {
	if s.kind.Connect == nil {
		return
	}
	for name, value := range s.kind.Connect(s.Settings, s.Token) {
		if _, declared := provider.Lookup(s.kind.Connection, name); !declared {
			t.Errorf("it gives %s, which is not declared", name)
		}
		if _, hides := provider.Lookup(s.kind.Fields, name); hides {
			t.Errorf("it gives %s, which is the name of a field", name)
		}
		s.wantNoSecret(t, name, value)
	}
}

func (s suite) cancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v, err := s.kind.Verify(ctx, s.account(&transport{reply: reply{err: context.Canceled}}), s.Token)
	if _, ok := errors.AsType[*provider.Error](err); !ok || v != (provider.Verification{}) {
		t.Errorf("got %+v, error %v; want a *provider.Error", v, err)
	}
}

// account is one that is called over a transport.
func (s suite) account(over http.RoundTripper) provider.Account {
	return provider.Account{Settings: s.Settings, Client: &http.Client{
		Transport: over, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// minSecretPart is how much of a secret a text may not have.
const minSecretPart = 12

// secrets are the secret values of the case.
func (s suite) secrets() []string {
	var secrets []string
	add := func(fields []provider.Field, values provider.Values) {
		for _, f := range fields {
			if f.Secret && values[f.Name] != "" {
				secrets = append(secrets, values[f.Name])
			}
		}
	}
	add(s.Provider.AccountFields, s.Settings)
	add(s.kind.Fields, s.Token.Credential)
	return secrets
}

// wantNoSecret wants a text without a part of a secret.
func (s suite) wantNoSecret(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range s.secrets() {
		length := min(minSecretPart, len(secret))
		for end := length; end <= len(secret); end++ {
			if strings.Contains(text, secret[end-length:end]) {
				t.Errorf("%s has a part of a secret: %q", what, text)
				return
			}
		}
	}
}
