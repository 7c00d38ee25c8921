package catalogue_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// canned answers every request alike.
type canned struct {
	status int
	body   []byte
}

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: c.status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(c.body)), Request: r}, nil
}

// FuzzVerify looks for answers that crash the verification, prove a token although they are none of the API, or get into
// what an operator is told.
func FuzzImpact(f *testing.F) {
	for status, body := range map[int]string{
		200: `{"CompanyName":"` + authToken + `"}`,
		201: `{"Status":"ERROR","Message":"x","CompanyName":"` + authToken + `"}`, 204: "", 302: "", 401: `{"Status":"ERROR","Message":"` + authToken + `"}`, 403: `{"Errors":[{"Field":"` + authToken + `"}]}`,
		404: "<html>" + authToken, 429: "{}", 500: authToken, 599: "[",
	} {
		for kind := range tokenTypes {
			f.Add(status, []byte(body), byte(kind))
		}
	}
	f.Fuzz(func(t *testing.T, status int, body []byte, kind byte) {
		account := provider.Account{
			Settings: provider.Values{"account_type": "agency", "base_url": "http://127.0.0.1"},
			Client:   &http.Client{Transport: canned{status, body}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		}
		v, err := ask(t.Context(), account, token(tokenTypes[int(kind)%len(tokenTypes)]))
		var silence *provider.Error
		if err != nil && !errors.As(err, &silence) {
			t.Errorf("got error %v, want a *provider.Error", err)
		}
		told := v.Detail + v.Code + v.RequestID
		if err != nil {
			told += err.Error()
		}
		if strings.Contains(told, authToken) {
			t.Errorf("the operator is told %q", told)
		}
		var form map[string]any
		_ = json.Unmarshal(body, &form)
		refused := (status == http.StatusUnauthorized || status == http.StatusForbidden) && form["Status"] == "ERROR"
		if object := bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")); v.Outcome == provider.Accepted && !refused && (status/100 != 2 || !object) {
			t.Errorf("HTTP %d with %q proves the token", status, body)
		}
		if v.Outcome == provider.Rejected && !refused {
			t.Errorf("HTTP %d refutes the token", status)
		}
	})
}
