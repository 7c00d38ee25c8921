package backend

import (
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
)

// TestShownTexts_HoldNoSecretOfTheMount pastes secrets where they would be shown to whoever may read a token, an account or a history.
func TestShownTexts_HoldNoSecretOfTheMount(t *testing.T) { //nolint:tparallel // each looks whether anything was stored
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.withGoogle(t)
	own := f.read(t, "creds/acme-rw")["auth_token"].(string)
	const clientSecret = "GOCSPX-a-client-secret-of-its-own"
	for name, tt := range map[string]struct {
		operation logical.Operation
		path      string
		data      map[string]any
		want      string
	}{
		"metadata, a value":        {logical.UpdateOperation, "tokens/acme-rw", map[string]any{"custom_metadata": map[string]any{"note": "it is " + own}}, "custom_metadata must not contain"},
		"metadata, a key":          {logical.UpdateOperation, "tokens/acme-rw", map[string]any{"custom_metadata": map[string]any{own: "x"}}, "custom_metadata must not contain"},
		"metadata, another token":  {logical.CreateOperation, "tokens/new", map[string]any{"account": "acme", "type": "scoped", "custom_metadata": map[string]any{"note": own}}, "custom_metadata must not contain"},
		"the reason of a new one":  {logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"auth_token": "another-value", "reason": "instead of " + own}, "reason must not contain"},
		"an account's address":     {logical.UpdateOperation, "config/acme", map[string]any{"contact_email": own + "@acme.example"}, "contact_email must not contain"},
		"a client ID, the secret":  {logical.CreateOperation, "config/other", map[string]any{"provider": "google_ads", "client_id": "x" + clientSecret, "client_secret": clientSecret, "refresh_token": "1//0r", "verify_connection": false}, "client_id must not contain the value of client_secret"},
		"a client ID, a refresh":   {logical.CreateOperation, "config/other", map[string]any{"provider": "google_ads", "client_id": "1//0gAbc"}, "this is a refresh token"},
		"a client ID, a secret":    {logical.CreateOperation, "config/other", map[string]any{"provider": "google_ads", "client_id": "GOCSPX-abc"}, "this is a client secret"},
		"a client ID, an access":   {logical.CreateOperation, "config/other", map[string]any{"provider": "google_ads", "client_id": "ya29.abc"}, "this is an access token"},
		"a client ID, an address":  {logical.CreateOperation, "config/other", map[string]any{"provider": "google_ads", "client_id": "robot@p.iam.gserviceaccount.com"}, "this is an e-mail address"},
		"a key in an account name": {logical.UpdateOperation, "tokens/acme-rw", map[string]any{"custom_metadata": map[string]any{"k": "-----BEGIN PRIVATE KEY-----"}}, "a private key"},
	} {
		t.Run(name, func(t *testing.T) {
			puts := f.storage.Puts.Load()
			response, err := f.handle(t, tt.operation, tt.path, tt.data)
			if err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), tt.want) {
				t.Fatalf("got %v, error %v; want it refused with %q", response, err, tt.want)
			}
			if strings.Contains(response.Error().Error(), own) || f.storage.Puts.Load() != puts {
				t.Errorf("the refusal repeats the value or something was stored: %s", response.Error())
			}
		})
	}
	f.write(t, "tokens/acme-rw", map[string]any{"custom_metadata": map[string]any{"team": "ads"}})
}

// TestRotate_RefusalSaysWhatTheValueIsInstead hands in what people copy by mistake.
func TestRotate_RefusalSaysWhatTheValueIsInstead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.withImpact(t, nil)
	f.write(t, "tokens/acme-old", map[string]any{"account": "acme", "type": "scoped", "account_sid": "IRanother", "auth_token": "the-value-of-another-token", "verify": false})
	fresh := f.resetReadWrite(t)
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken})
	for value, want := range map[string]string{
		"the-value-of-another-token": `auth_token is the one that token "acme-old" has`,
		first.AuthToken:              "it is the value that version 1 of this token had",
	} {
		response, err := f.request(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": value}, "")
		if text := said(response, err); !strings.Contains(text, want) || strings.Contains(text, value) {
			t.Errorf("the refusal lacks %q, or repeats the value: %s", want, text)
		}
	}
}
