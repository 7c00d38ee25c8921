package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

func TestCallSendsWhatVaultGave(t *testing.T) {
	t.Parallel()
	google := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v26/customers:listAccessibleCustomers" || r.Header.Get("Authorization") != "Bearer genuine" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(google.Close)
	tests := map[string]struct {
		token, want string
		fails       bool
	}{
		"accepted": {"genuine", "version 3: 200 OK\n", false},
		"refused":  {"revoked", "version 3: 401 Unauthorized\n", true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, err := json.Marshal(map[string]any{"data": map[string]any{
				"access_token": tc.token, "token_type": "Bearer", "base_url": google.URL, "api_version": "v26", "version": 3,
			}})
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			err = call(t.Context(), nil, cli.Streams{In: bytes.NewReader(in), Out: &out, Err: &out})
			if out.String() != tc.want || (err != nil) != tc.fails {
				t.Errorf("got %q with error %v, want %q", out.String(), err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), tc.token) {
				t.Error("the error repeats the access token")
			}
		})
	}
}

func TestCallExplainsWhatItWants(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{"nothing": "", "no JSON": "Key Value", "another path": `{"data":{"auth_token":"x"}}`} {
		var out bytes.Buffer
		err := call(t.Context(), nil, cli.Streams{In: strings.NewReader(in), Out: &out, Err: &out})
		if !errors.Is(err, cli.ErrUsage) || !strings.Contains(err.Error(), "vault read -format=json") {
			t.Errorf("%s: got %v, want an error that says what to pipe in", name, err)
		}
	}
}
