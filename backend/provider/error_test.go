package provider_test

import (
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err  error
		want string
	}{
		"problem only": {
			err:  &provider.Error{Host: "api.example.com", Problem: "did not answer in time"},
			want: "api.example.com did not answer in time",
		},
		"all there is": {
			err: &provider.Error{
				Kind: provider.RateLimited, Host: "api.example.com", Problem: "limits the rate of requests (HTTP 429)",
				RetryAfter: 90 * time.Second, Code: "RESOURCE_EXHAUSTED", RequestID: "r-1",
			},
			want: "api.example.com limits the rate of requests (HTTP 429) (RESOURCE_EXHAUSTED), request id r-1; it asks to wait 1m30s",
		},
		"refusal":             {err: &provider.Refused{Detail: "It is revoked"}, want: "It is revoked"},
		"refusal with a code": {err: &provider.Refused{Detail: "It is revoked", Code: "invalid_grant"}, want: "It is revoked (invalid_grant)"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.err.Error(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
