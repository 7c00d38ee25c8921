package resethook_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/resethook"
)

// canned answers every request alike.
type canned struct {
	status     int
	retryAfter string
	body       []byte
}

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: c.status, Header: http.Header{"Retry-After": {c.retryAfter}}, Body: io.NopCloser(bytes.NewReader(c.body)), Request: r,
	}, nil
}

// FuzzReset looks for answers of a hook that crash the engine, are taken for a credential that they are not, put the
// next attempt off for ever or not at all, or get into an error.
func FuzzReset(f *testing.F) {
	good := `{"account_sid":"` + accountSID + `","auth_token":"` + authToken + `"}`
	for _, seed := range []canned{
		{200, "", []byte(good)},
		{200, "", []byte(`{"auth_token":"` + authToken + `"}`)},
		{200, "", []byte(`{"account_sid":"` + authToken + `","auth_token":["` + authToken + `"]}`)},
		{200, "", []byte(`{"account_sid":null,"auth_token":"` + authToken + " " + authToken + `"}`)},
		{200, "", []byte(authToken)},
		{201, "", []byte(`{"data":[` + good + `,{"auth_token":1e3},{"auth_token":7}]}`)},
		{409, "5", []byte(`[[[[[[` + good + `]]]]]]`)},
		{202, "30", nil},
		{202, "9223372036854775807", nil},
		{409, "-1", nil},
		{401, "", []byte(good)},
		{422, "", []byte(good)},
		{429, "99999999999", []byte(good)},
		{503, "17", []byte(good)},
		{204, "", nil},
		{307, "", nil},
	} {
		f.Add(seed.status, seed.retryAfter, seed.body)
	}
	f.Fuzz(func(t *testing.T, status int, retryAfter string, body []byte) {
		got, err := reset(t.Context(), t, resethook.Request{
			URL: "http://127.0.0.1/reset", Secret: hookSecret, Event: event(), Fields: fields, Current: current, Client: &http.Client{
				Transport:     canned{status, retryAfter, body},
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			},
		})
		var (
			pending  *resethook.Pending
			unusable *resethook.Unusable
			refused  *provider.Refused
			silence  *provider.Error
		)
		switch {
		case err == nil:
			wantCanonical(t, got)
			if len(got) != len(fields) || status/100 != 2 && status != http.StatusConflict {
				t.Errorf("%d fields were taken from an answer of HTTP %d", len(got), status)
			}
		case errors.As(err, &pending):
			if pending.RetryAfter < time.Second || pending.RetryAfter > time.Hour {
				t.Errorf("Retry-After %q makes the engine wait %v", retryAfter, pending.RetryAfter)
			}
		case !errors.As(err, &unusable) && !errors.As(err, &refused) && !errors.As(err, &silence):
			t.Errorf("got an undeclared error: %v", err)
		}
	})
}

func wantCanonical(t *testing.T, got provider.Values) {
	t.Helper()
	for _, field := range fields {
		if canonical, err := field.Canonical(got[field.Name]); err != nil || canonical == "" || canonical != got[field.Name] {
			t.Errorf("%s was taken although it is not valid: %v", field.Name, err)
		}
	}
}

// FuzzSecret looks for secrets that are taken and cannot sign, or that are quoted when they are refused.
func FuzzSecret(f *testing.F) {
	for _, secret := range []string{hookSecret, "whsec_", "whsec_====", strings.TrimPrefix(hookSecret, "whsec_"), hookSecret + "\n", hookSecret + "!", "whsec_" + strings.Repeat("A", 88)} {
		f.Add(secret)
	}
	field, _ := provider.Lookup(resethook.Fields(), "reset_hook_secret")
	f.Fuzz(func(t *testing.T, secret string) {
		canonical, err := field.Canonical(secret)
		if secret = strings.TrimSpace(secret); err != nil {
			if len(secret) > 10 && strings.Contains(err.Error(), secret) {
				t.Errorf("the error quotes the secret: %v", err)
			}
			return
		}
		if canonical == "" {
			return
		}
		webhook, err := standardwebhooks.NewWebhook(canonical)
		if err != nil {
			t.Fatalf("a secret was taken that is none: %v", err)
		}
		now := time.Now()
		signature, err := webhook.Sign("key", now, []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		header := http.Header{}
		header.Set(standardwebhooks.HeaderWebhookID, "key")
		header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
		header.Set(standardwebhooks.HeaderWebhookSignature, signature)
		if err := webhook.Verify([]byte("{}"), header); err != nil {
			t.Errorf("what is signed with it does not verify: %v", err)
		}
	})
}
