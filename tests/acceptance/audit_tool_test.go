//go:build unix

package acceptance

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// auditTool asks the audit tool about a mount, on the log of its server.
type auditTool struct {
	*world
	path string
}

func newAuditTool(t *testing.T, w *world) *auditTool {
	t.Helper()
	return &auditTool{world: w, path: vaulttest.BuildProgram(t, "cmd/adtokens-audit", "audit-tool")}
}

// ask returns what the tool prints. It must never be a secret.
func (a *auditTool) ask(t *testing.T, stdin, command string, flags ...string) []byte {
	t.Helper()
	args := append([]string{command}, flags...)
	if command != "match" {
		args = append(args, "-mount="+a.Path)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), a.path, append(args, a.AuditLog)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "VAULT_ADDR=" + a.Address, "VAULT_TOKEN=" + a.Token}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		vaulttest.Fatalf(t, "%s: %v: %s", command, err, stderr.String())
	}
	tellsNoSecret(t, "the answer to "+command, stdout.String()+stderr.String())
	return stdout.Bytes()
}

// list returns the objects of one list of the tool's JSON.
func (a *auditTool) list(t *testing.T, name, stdin, command string, flags ...string) []fields {
	t.Helper()
	var answer map[string]json.RawMessage
	succeeded(t, json.Unmarshal(a.ask(t, stdin, command, append(flags, "-output=json")...), &answer))
	var objects []fields
	succeeded(t, json.Unmarshal(answer[name], &objects))
	return objects
}

// consists fails the test unless the list has these objects in any order, found by their display names.
func consists(t *testing.T, what string, list []fields, want map[string]fields) {
	t.Helper()
	if len(list) != len(want) {
		vaulttest.Errorf(t, "there are %d %s instead of %d: %s", len(list), what, len(want), asJSON(t, list))
	}
	for _, object := range list {
		name, _ := object["display_name"].(string)
		if want[name] == nil {
			vaulttest.Errorf(t, "%q is one of the %s", name, what)
		}
		has(t, object, want[name])
	}
}

// app is a Vault token of an app, without an entity.
func (w *world) app(t *testing.T, name string) *vaulttest.Mount {
	t.Helper()
	policy := w.Path + "-" + name
	succeeded(t, w.Client.Sys().PutPolicyWithContext(t.Context(), policy, `path "`+w.Path+`/creds/*" { capabilities = ["read"] }`))
	secret := done(w.Client.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{DisplayName: name, Policies: []string{policy}}))(t)
	return w.As(t, secret.Auth.ClientToken)
}

func TestTheAuditToolTellsWhoKnowsAToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tool := newAuditTool(t, w)
	first := w.importLegacyTokens(t).ReadWrite.AuthToken
	alice := w.login(t, "alice", `path "`+w.Path+`/creds/*" { capabilities = ["read"] }`)
	billing, etl := w.app(t, "billing"), w.app(t, "etl")
	for range 3 {
		done(billing.Read(t.Context(), "creds/rw"))(t)
	}
	done(alice.Read(t.Context(), "creds/rw"))(t)
	done(alice.Read(t.Context(), "creds/ro"))(t)
	if _, err := alice.Read(t.Context(), "tokens/rw"); err == nil {
		t.Fatal("alice may read the definition, so that a refused read is not tried")
	}
	etl.Client.SetWrappingLookupFunc(func(_, _ string) string { return "5m" })
	wrapped := done(etl.Client.Logical().ReadWithContext(t.Context(), w.Path+"/creds/rw"))(t)
	done(alice.Client.Logical().UnwrapWithContext(t.Context(), wrapped.WrapInfo.Token))(t)

	compromised := time.Now().UTC().Format(time.RFC3339Nano)
	second := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t).AuthToken
	w.write(t, "tokens/rw/rotate", fields{"auth_token": second, "reason": "incident 42"})
	done(billing.Read(t.Context(), "creds/rw"))(t)

	consists(t, "who know the current version", tool.list(t, "readers", "", "exposure", "-token=rw"), map[string]fields{
		"token-billing": {"token": "rw", "version": 2, "state": "current", "reads": 1, "entity_id": "", "addresses": []string{"127.0.0.1"}},
		"token":         {"token": "rw", "version": 2, "handed_in": 1, "version_id": w.data(t, "creds/rw")["fingerprint"]},
	})
	tokens := tool.list(t, "tokens", "", "leaver", "-entity="+alice.entityID)
	if len(tokens) != 2 {
		t.Fatalf("alice knows %d tokens instead of 2", len(tokens))
	}
	has(t, tokens[0], fields{"token": "ro", "reset": "yes", "display_name": alice.displayName, "reads": 1})
	has(t, tokens[1], fields{"token": "rw", "reset": "no", "reads": 1, "unwrapped": 1})

	rotations := tool.list(t, "rotations", "", "rotations", "-token=rw")
	if len(rotations) != 2 {
		t.Fatalf("there are %d rotations instead of 2", len(rotations))
	}
	has(t, rotations[0], fields{"how": "import", "version": 1, "verification": "accepted", "display_name": "token"})
	has(t, rotations[1], fields{
		"how": "handed in", "version": 2, "previous_version": 1, "reason": "incident 42", "previous_credential": "rejected by provider",
	})
	readers := tool.list(t, "readers", "", "incident", "-token=rw", "-since="+compromised)
	consists(t, "readers", readers, map[string]fields{
		alice.displayName: {"state": "stale"}, "token-etl": {"state": "stale"},
		"token-billing": {"state": "current"}, "token": {"state": "current"},
	})
	if readers[0]["state"] != "stale" || readers[1]["state"] != "stale" {
		t.Error("those who have to be told do not come first")
	}
	mentions(t, "the table", string(tool.ask(t, "", "exposure", "-all")), "token-billing", alice.entityID, "wrapped read")

	sightings := map[string]bool{}
	for _, s := range tool.list(t, "sightings", first+"\n", "match") {
		sightings[asJSON(t, []any{s["path"], s["field"], s["display_name"], s["count"]})] = true
	}
	for _, want := range [][]any{
		{w.Path + "/tokens/rw", "request.data.auth_token", "token", 1},
		{w.Path + "/creds/rw", "response.data.auth_token", "token-billing", 3},
		{w.Path + "/creds/rw", "response.data.auth_token", alice.displayName, 1},
		{"sys/wrapping/unwrap", "response.data.auth_token", alice.displayName, 1},
	} {
		if !sightings[asJSON(t, want)] {
			t.Errorf("%v is not among %v", want, sightings)
		}
	}
	if len(sightings) != 4 {
		t.Errorf("there are %d sightings", len(sightings))
	}
}

// unwrapper is somebody with a login who may read credentials and unwrap them.
func (w *world) unwrapper(t *testing.T, name string) person {
	t.Helper()
	return w.login(t, name, `path "`+w.Path+`/creds/*" { capabilities = ["read"] }
path "sys/wrapping/*" { capabilities = ["update"] }
path "sys/leases/renew" { capabilities = ["update"] }`)
}

// wrappedRead returns a wrapping token for a credential.
func wrappedRead(t *testing.T, by *vaulttest.Mount, name string) string {
	t.Helper()
	client := done(by.Client.Clone())(t)
	client.SetToken(by.Client.Token())
	client.SetWrappingLookupFunc(func(_, _ string) string { return "5m" })
	return done(client.Logical().ReadWithContext(t.Context(), by.Path+"/creds/"+name))(t).WrapInfo.Token
}

func TestAuditTool_SeesEveryWayOfUnwrapping(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tool := newAuditTool(t, w)
	w.importLegacyTokens(t)
	alice, bob, carol, dave := w.unwrapper(t, "alice"), w.unwrapper(t, "bob"), w.unwrapper(t, "carol"), w.unwrapper(t, "dave")

	// By the wrapping token itself, from its cubbyhole.
	holder := w.As(t, wrappedRead(t, alice.Mount, "rw"))
	if done(holder.Client.Logical().ReadWithContext(t.Context(), "cubbyhole/response"))(t).Data["response"] == nil {
		t.Fatal("the cubbyhole has no answer")
	}
	// Through a chain of new wrapping tokens.
	chained := wrappedRead(t, bob.Mount, "rw")
	for range 3 {
		chained = done(bob.Client.Logical().WriteWithContext(t.Context(), "sys/wrapping/rewrap", fields{"token": chained}))(t).WrapInfo.Token
	}
	done(carol.Client.Logical().UnwrapWithContext(t.Context(), chained))(t)
	// A look at a wrapping token is no unwrapping.
	looked := wrappedRead(t, bob.Mount, "rw")
	done(dave.Client.Logical().WriteWithContext(t.Context(), "sys/wrapping/lookup", fields{"token": looked}))(t)
	// Whatever else lies in a cubbyhole is somebody else's.
	done(dave.Client.Logical().WriteWithContext(t.Context(), "cubbyhole/response", fields{"response": "a note"}))(t)
	done(dave.Client.Logical().ReadWithContext(t.Context(), "cubbyhole/response"))(t)

	consists(t, "readers", tool.list(t, "readers", "", "exposure", "-token=rw"), map[string]fields{
		"token":                      {"handed_in": 1},
		alice.displayName:            {"wrapped": 1, "unwrapped": 0, "state": "current"},
		bob.displayName:              {"wrapped": 2, "unwrapped": 0},
		carol.displayName:            {"wrapped": 0, "unwrapped": 1, "state": "current", "version": 1},
		"holder of a wrapping token": {"unwrapped": 1, "state": "current", "version": 1},
	})
}
