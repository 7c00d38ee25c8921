package backend

import (
	"maps"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

func TestPolicy_WarnsOfWhatItWillDo(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	_, hook := f.startHook(t, func() {})
	hooked := map[string]any{"provider": "impact", "account_type": "agency", "base_url": f.server.ImpactURL, "contact_email": "ads@acme.example"}
	maps.Copy(hooked, hook)
	f.write(t, "config/hooked", hooked)
	f.write(t, "tokens/hooked", map[string]any{"account": "hooked", "type": "scoped", "rotation_period": "30d"})
	client, err := f.provider.OAuthClient(t.Context(), simulator.DefaultName)
	must(t, err)
	f.write(t, "config/google", map[string]any{
		"provider": "google_ads", "base_url": f.server.GoogleURL, "token_url": f.server.GoogleURL + "/token", "iam_url": f.server.GoogleURL, "contact_email": "ads@acme.example",
		"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken,
	})
	f.write(t, "tokens/key", map[string]any{"account": "google", "type": "service_account_key", "rotation_period": "30d"})
	for _, tt := range []struct {
		name, token string
		write       map[string]any
		// want has the words of each warning.
		want [][]string
	}{
		{"a period of a person", "acme-rw", map[string]any{"rotation_period": "90d"}, [][]string{{"only a person", "reset hook", "overdue"}}},
		{"a schedule of a person", "acme-rw", map[string]any{"rotation_schedule": saturdaysAtThree}, [][]string{{"only a person"}}},
		{"nothing planned for a person", "acme-rw", map[string]any{"rotation_schedule": ""}, nil},
		{"what is unrelated", "acme-rw", map[string]any{"custom_metadata": map[string]any{"a": "b"}}, nil},
		{"a bare number", "hooked", map[string]any{"rotation_period": "30"}, [][]string{{"rotation_period=30 is 30 seconds", "30d"}}},
		{"a bare number of JSON", "hooked", map[string]any{"rotation_period": float64(30)}, [][]string{{"30 seconds"}}},
		{"a number with its unit", "hooked", map[string]any{"rotation_period": "30s"}, nil},
		{"a bare number of a day", "hooked", map[string]any{"rotation_period": 86400}, nil},
		{"another bare period", "hooked", map[string]any{"rotation_period": "30d", "rotation_grace_period": "7"}, [][]string{{"rotation_grace_period=7 is 7 seconds"}}},
		{"no plan", "hooked", map[string]any{"rotation_period": 0}, [][]string{{"can rotate this token by itself", "rotation_period=30d"}}},
		{"switched off", "hooked", map[string]any{"disable_automated_rotation": true}, nil},
		{"planned and switched off", "hooked", map[string]any{"rotation_period": "30d"}, [][]string{{"disable_automated_rotation"}}},
		{"a key without a value yet", "key", map[string]any{"rotation_period": "30d"}, nil},
		{"a long grace", "key", map[string]any{"rotation_period": "24h", "rotation_grace_period": "48h"}, [][]string{{"not shorter than rotation_period"}}},
		{"a short refresh", "acme-rw", map[string]any{"refresh_ttl": 2}, [][]string{{"Vault Secrets Operator", "3s"}}},
		{"a refresh of three", "acme-rw", map[string]any{"refresh_ttl": 3}, nil},
		{"a lease", "acme-rw", map[string]any{"lease_ttl": "1h"}, [][]string{{"allowStaticCreds"}}},
		{"frequent verifications", "acme-rw", map[string]any{"verify_period": "10s"}, [][]string{{"once a minute", "quota"}}},
		{"a reason without a credential", "acme-rw", map[string]any{"reason": "why"}, [][]string{{"reason and verify belong"}}},
	} {
		response := f.write(t, "tokens/"+tt.token, tt.write)
		var warnings []string
		if response != nil {
			warnings = response.Warnings
		}
		if len(warnings) != len(tt.want) {
			t.Errorf("%s: got %q, want %d warnings", tt.name, warnings, len(tt.want))
			continue
		}
		for i, words := range tt.want {
			if !containsAll(strings.Join(warnings, "\n"), words) {
				t.Errorf("%s: %q lacks one of %q", tt.name, warnings[i], words)
			}
		}
	}
	response := f.write(t, "tokens/another-key", map[string]any{"account": "google", "type": "service_account_key"})
	if !containsAll(strings.Join(response.Warnings, "\n"), []string{"no credential yet", "can rotate this token by itself"}) {
		t.Errorf("a new key without a plan: got %q", response.Warnings)
	}
}
