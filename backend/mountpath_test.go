package backend

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// at the mount team-a/ads.
func (f *fixture) ask(t *testing.T, operation logical.Operation, path string, data map[string]any) (*logical.Response, string) {
	t.Helper()
	response, err := f.HandleRequest(t.Context(), &logical.Request{Operation: operation, Path: path, Data: data, Storage: f.storage, MountPoint: "team-a/ads/"})
	said := fmt.Sprint(err)
	if response != nil {
		encoded, err := json.Marshal(response.Data)
		must(t, err)
		said += string(encoded) + strings.Join(response.Warnings, "\n")
	}
	return response, said
}

func TestMessages_NameTheRealMount(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, map[string]any{"rotation_period": "1h"})
	f.write(t, "tokens/empty", map[string]any{"account": "acme", "type": "scoped"})
	f.clock.Advance(2 * time.Hour)
	for path, want := range map[string]string{
		"tokens/acme-rw":        "vault read -field=runbook team-a/ads/tokens/acme-rw/rotate",
		"status":                "vault read -field=runbook team-a/ads/tokens/acme-rw/rotate",
		"tokens/acme-rw/rotate": "vault write team-a/ads/tokens/acme-rw/rotate auth_token=-",
		"creds/empty":           "vault write team-a/ads/tokens/empty/rotate",
		"creds/nobody":          "vault list team-a/ads/tokens",
	} {
		if _, said := f.ask(t, logical.ReadOperation, path, nil); !strings.Contains(said, want) || strings.Contains(said, mountPlaceholder) {
			t.Errorf("reading %s says %s, want %q in it", path, said, want)
		}
	}
	for path, want := range map[string]string{
		"tokens/acme-rw/rotate": "vault write team-a/ads/tokens/acme-rw/rotate auth_token=-",
		"tokens/nobody/verify":  "vault list team-a/ads/tokens",
	} {
		if _, said := f.ask(t, logical.UpdateOperation, path, map[string]any{}); !strings.Contains(said, want) {
			t.Errorf("writing %s says %s, want %q in it", path, said, want)
		}
	}
	if _, said := f.ask(t, logical.HelpOperation, "metrics", nil); strings.Contains(said, mountPlaceholder) || !strings.Contains(said, "team-a/ads/metrics") {
		t.Errorf("the help says %s", said)
	}
}

func TestMessages_ChangeNothingThatPeopleGave(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, map[string]any{"custom_metadata": map[string]any{"note": "at <mount>/x"}})
	fresh := f.resetReadWrite(t)
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken, "reason": "see <mount>/x"})
	tok, err := f.tokens.Load(t.Context(), f.storage, "acme-rw")
	must(t, err)
	tok.LastError = "stored: `vault read <mount>/tokens/acme-rw`"
	must(t, f.saveToken(t.Context(), f.storage, tok))
	for path, want := range map[string]string{
		"tokens/acme-rw/history": `see \u003cmount\u003e/x`,
		"tokens/acme-rw":         `at \u003cmount\u003e/x`,
	} {
		if _, said := f.ask(t, logical.ReadOperation, path, nil); !strings.Contains(said, want) {
			t.Errorf("%s says %s, want %s in it", path, said, want)
		}
	}
	for _, path := range []string{"tokens/acme-rw", "status"} {
		if _, said := f.ask(t, logical.ReadOperation, path, nil); !strings.Contains(said, "stored: `vault read team-a/ads/tokens/acme-rw`") {
			t.Errorf("%s says %s, want the mount in the last error", path, said)
		}
	}
	data := map[string]any{"auth_token": "<mount>/", "detail": "<mount>/"}
	response, err := finishAnswer(&logical.Request{Operation: logical.ReadOperation, Path: "creds/x", MountPoint: "m/"}, &logical.Response{Data: data}, nil)
	if err != nil || response.Data["auth_token"] != "<mount>/" || response.Data["detail"] != "<mount>/" {
		t.Errorf("a credential was changed to %v, error %v", response.Data, err)
	}
}

func TestMountPath_IsKnownToTheLogOnceARequestHadIt(t *testing.T) {
	t.Parallel()
	var m mountPath
	err := badInput("`vault list <mount>/tokens`")
	if got := m.fillIn(err); got != err { //nolint:errorlint // it stays as it is
		t.Errorf("got %v", got)
	}
	m.note("team-a/ads/")
	m.note("")
	if got := m.fillIn(err); got.Error() != "`vault list team-a/ads/tokens`" {
		t.Errorf("got %v", got)
	}
	if got := m.fillIn(logical.ErrReadOnly); got != logical.ErrReadOnly { //nolint:errorlint // identity is the point
		t.Errorf("got %v", got)
	}
}

func TestReadOfNothing_IsA404WithItsText(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, path := range []string{"creds/nobody", "access-token/nobody", "tokens/nobody/rotate", "tokens/nobody/history"} {
		response, said := f.ask(t, logical.ReadOperation, path, nil)
		if response == nil || response.Data[logical.HTTPStatusCode] != http.StatusNotFound {
			t.Fatalf("%s gives %s, want HTTP 404", path, said)
		}
		var body struct {
			Errors []string
			Status int
		}
		must(t, json.Unmarshal([]byte(response.Data[logical.HTTPRawBody].(string)), &body))
		if len(body.Errors) != 1 || !strings.Contains(body.Errors[0], "does not exist") || body.Status != http.StatusNotFound {
			t.Errorf("%s has the body %+v", path, body)
		}
	}
	_, err := f.HandleRequest(t.Context(), &logical.Request{
		Operation: logical.ReadOperation, Path: "creds/nobody", Storage: f.storage, MountPoint: "m/", WrapInfo: &logical.RequestWrapInfo{TTL: time.Minute},
	})
	if coded, ok := err.(logical.HTTPCodedError); !ok || coded.Code() != http.StatusNotFound { //nolint:errorlint // Vault looks at the outermost one
		t.Errorf("a wrapped read gives %v, want an error, which is not wrapped", err)
	}
	if response, err := f.HandleRequest(t.Context(), &logical.Request{
		Operation: logical.ReadOperation, Path: "tokens/nobody", Storage: f.storage, MountPoint: "m/",
	}); response != nil || err != nil {
		t.Errorf("a definition that does not exist gives %v, error %v; want nothing, as Terraform expects", response, err)
	}
}
