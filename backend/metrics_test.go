package backend

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

func TestMetricsTellWhatHappened(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	old := f.withImpact(t, map[string]any{"rotation_period": "1h"})
	fresh := f.resetReadWrite(t)
	f.write(t, "tokens/acme-rw/verify", nil)
	if _, err := f.handle(t, logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"auth_token": "a-wrong-value"}); err != nil {
		t.Fatal(err)
	}
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken})
	f.clock.Advance(2 * time.Hour)

	response, err := f.HandleRequest(t.Context(), &logical.Request{Operation: logical.ReadOperation, Path: "metrics", Storage: f.storage})
	if err != nil {
		t.Fatal(err)
	}
	if status, kind := response.Data[logical.HTTPStatusCode], response.Data[logical.HTTPContentType].(string); status != http.StatusOK || !strings.HasPrefix(kind, "application/openmetrics-text") {
		t.Errorf("got status %v and content type %q", status, kind)
	}
	text := string(response.Data[logical.HTTPRawBody].([]byte))
	for _, want := range []string{
		`adtokens_tokens{health="ok"} 1.0`,
		`adtokens_tokens{health="rejected"} 0.0`,
		`adtokens_token_version{token="acme-rw",type="legacy_read_write"} 2.0`,
		`adtokens_token_health{health="ok",token="acme-rw",type="legacy_read_write"} 1.0`,
		`adtokens_token_health{health="rejected",token="acme-rw",type="legacy_read_write"} 0.0`,
		`adtokens_token_age_seconds{token="acme-rw",type="legacy_read_write"} 7200.0`,
		`adtokens_token_overdue{token="acme-rw",type="legacy_read_write"} 1.0`,
		`adtokens_token_last_verification_outcome{outcome="accepted",token="acme-rw",type="legacy_read_write"} 1.0`,
		`adtokens_rotations_total{outcome="accepted",source="assisted",trigger="by_hand"} 1.0`,
		`adtokens_rotations_total{outcome="failed",source="assisted",trigger="by_hand"} 1.0`,
		`adtokens_provider_request_duration_seconds_count{provider="impact",result="2xx"} 2`,
		`adtokens_provider_request_duration_seconds_count{provider="impact",result="4xx"} 3`,
		`adtokens_cache_entries{cache="tokens"} 1.0`,
		`adtokens_build_info{commit=`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if !strings.HasSuffix(text, "# EOF\n") {
		t.Error("the metrics do not end as OpenMetrics text has to")
	}
	for _, secret := range []string{old.AuthToken, fresh.AuthToken, "a-wrong-value"} {
		if strings.Contains(text, secret) {
			t.Error("a secret value is in the metrics")
		}
	}
}

func TestSeriesOfTokensAreBounded(t *testing.T) {
	t.Parallel()
	s := &snapshot{now: testkit.Epoch, readers: func(*token) readerCounts { return readerCounts{} }}
	for i := range maxTokenSeries + 7 {
		s.tokens = append(s.tokens, &token{name: fmt.Sprintf("t%05d", i), tokenEntry: tokenEntry{Type: "scoped", Record: rotation.Record{}}})
	}
	text, err := newMetrics().text(s)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(text), "\nadtokens_token_version{"); got != maxTokenSeries {
		t.Errorf("%d tokens have series, want %d", got, maxTokenSeries)
	}
	if !strings.Contains(string(text), "adtokens_tokens_without_series 7.0") || !strings.Contains(string(text), `adtokens_tokens{health="none"} 1007.0`) {
		t.Error("the others are not counted")
	}
}
