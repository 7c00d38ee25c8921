package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// leaked stands for the first value of acme-rw, of which the corpus has the HMAC.
const (
	leaked     = "the-leaked-value"
	leakedHash = "hmac-sha256:f43b60ad42b111baa9e7b50b6de9fb253494381854bd13e510f06778c2fdf6c6"
)

// startVault plays sys/audit-hash/file, and is the Vault of the environment.
func startVault(t *testing.T) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Input string }
		switch err := json.NewDecoder(r.Body).Decode(&body); {
		case err != nil:
			t.Error(err)
		case r.Header.Get("X-Vault-Token") != "good":
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"errors":["permission denied"]}`)
		case r.URL.Path != "/v1/sys/audit-hash/file":
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"errors":["unknown audit backend"]}`)
		case body.Input == leaked:
			fmt.Fprintf(w, `{"data":{"hash":%q}}`, leakedHash)
		default:
			fmt.Fprint(w, `{"data":{"hash":"hmac-sha256:of-something-else"}}`)
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_TOKEN", "good")
	t.Setenv("VAULT_MAX_RETRIES", "0")
}

func TestAValueIsFoundWithoutBeingShown(t *testing.T) {
	startVault(t)
	for name, value := range map[string]string{"bare": leaked, "with a line break": leaked + "\n"} {
		t.Run(name, func(t *testing.T) {
			got := audit(t, value, "match", "-output=json", corpus)
			if got.code != exitOK {
				t.Fatal(got.stderr)
			}
			var answer matchAnswer
			if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, s := range answer.Sightings {
				found = append(found, fmt.Sprintf("%s %s %s %d", s.Path, s.Field, s.DisplayName, s.Count))
			}
			if want := []string{
				"adtokens/creds/acme-rw response.data.auth_token token-billing 2",
				"adtokens/creds/acme-rw response.data.auth_token approle 1",
				"adtokens/creds/acme-rw response.data.auth_token userpass-alice 1",
				"adtokens/creds/acme-rw response.data.auth_token token 1",
				"sys/wrapping/unwrap response.data.auth_token  1",
				"sys/wrapping/unwrap response.data.auth_token approle 1",
			}; !slices.Equal(found, want) {
				t.Errorf("found\n%s", strings.Join(found, "\n"))
			}
			if strings.Contains(got.stdout+got.stderr, leaked) {
				t.Error("the value is shown")
			}
		})
	}
	table := audit(t, leaked, "match", "-until=2026-10-06", corpus)
	if table.code != exitOK || !strings.Contains(table.stdout, "token-billing") || strings.Contains(table.stdout, "approle") {
		t.Errorf("exit code %d: %s", table.code, table.stdout)
	}
	nothing := audit(t, "another value", "match", corpus)
	if nothing.code != exitOK || !strings.Contains(nothing.stdout, "in no request or answer") {
		t.Errorf("exit code %d: %s", nothing.code, nothing.stdout)
	}
}

func TestVaultsRefusalsAreExplained(t *testing.T) {
	for name, tt := range map[string]struct {
		token, device, want string
	}{
		"no token":       {"", "file", "VAULT_TOKEN is not set"},
		"denied":         {"bad", "file", `path "sys/audit-hash/file" { capabilities = ["update"] }`},
		"unknown device": {"good", "socket", "`vault audit list` tells which there are"},
	} {
		t.Run(name, func(t *testing.T) {
			startVault(t)
			t.Setenv("VAULT_TOKEN", tt.token)
			got := audit(t, leaked, "match", "-device", tt.device, corpus)
			if got.code != exitFailure || !strings.Contains(got.stderr, tt.want) || strings.Contains(got.stderr, leaked) {
				t.Errorf("exit code %d: %s", got.code, got.stderr)
			}
		})
	}
}
