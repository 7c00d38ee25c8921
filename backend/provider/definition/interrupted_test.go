package definition_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// givingUp answers, and has the caller give up at that moment.
type givingUp struct {
	status int
	body   string
	giveUp context.CancelFunc
}

func (g givingUp) RoundTrip(r *http.Request) (*http.Response, error) {
	g.giveUp()
	return &http.Response{
		StatusCode: g.status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(g.body)), Request: r,
	}, nil
}

// An answer that has arrived means what it says, also to a caller who has given up: a rule that is not evaluated would not match, so
// that a refused value would be one of which nothing is known, and a new one would be lost.
func TestCalls_ACallerWhoGivesUpChangesNoMeaning(t *testing.T) {
	t.Parallel()
	kind := parse(t, acme(t)).Provider().Type("api_key")
	token := provider.Token{Credential: provider.Values{"key_id": "K12345678", "api_key": "0d4f7c1e9a"}}
	call := func(status int, body string) (context.Context, provider.Account) {
		ctx, cancel := context.WithCancel(t.Context())
		return ctx, provider.Account{
			Settings: provider.Values{"base_url": "http://127.0.0.1", "app_id": "12345"}, Client: &http.Client{Transport: givingUp{status, body, cancel}},
		}
	}
	ctx, account := call(http.StatusUnauthorized, `{}`)
	if v, err := kind.Verify(ctx, account, token); err != nil || v.Outcome != provider.Rejected {
		t.Errorf("a refusal is %q, error %v", v.Outcome, err)
	}
	ctx, account = call(http.StatusOK, `{"key":"f81d4fae7d"}`)
	if values, err := kind.Renew.Call(ctx, account, token); err != nil || values["api_key"] != "f81d4fae7d" {
		t.Errorf("the new value is lost: %v", err)
	}
}
