//go:build unix

package acceptance

import (
	"encoding/json"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

func TestTheCatalogShowsThePluginsVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	output := w.CLI(t, vaulttest.Command{Args: []string{"plugin", "list", "-detailed", "secret"}})
	row := regexp.MustCompile(`(?m)^` + vaulttest.PluginName + `\s+secret\s+(\S+)`).FindStringSubmatch(output.Stdout)
	if len(row) != 2 || row[1] != backend.Version {
		t.Errorf("vault plugin list -detailed shows %q: %s", row, output.Stderr)
	}
	output = w.CLI(t, vaulttest.Command{Args: []string{"secrets", "list", "-detailed", "-format=json"}})
	var mounts map[string]struct {
		Running string `json:"running_plugin_version"`
	}
	succeeded(t, json.Unmarshal([]byte(output.Stdout), &mounts))
	if running := mounts[w.Path+"/"].Running; running != backend.Version {
		t.Errorf("the mount runs version %q", running)
	}
}

func TestPathHelpExplainsEveryPath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for path, words := range map[string][]string{
		"":                    {"ad platforms", "creds/", "rotate", "refresh_ttl"},
		"config/acme":         {"contact_email", "verify_connection", "base_url", "write-only"},
		"config":              {"accounts"},
		"tokens/acme-rw":      {"refresh_ttl", "rotation_period", "custom_metadata", "auth_token", "imports"},
		"tokens":              {"tokens"},
		"tokens/acme/rotate":  {"runbook", "FIELD=-", "verify=false", "cas"},
		"tokens/acme/verify":  {"accepted", "rejected", "inconclusive"},
		"tokens/acme/retire":  {"rotation_grace_period", "force=true", "version"},
		"tokens/acme/history": {"who", "versions"},
		"campaigns/x":         {"Jane leaves", "retry=true", "parallel", "read_by"},
		"campaigns":           {"campaigns", "progress"},
		"report/acme-rw":      {"outdated", "status=401", "10 seconds", "retry_after", "capabilities"},
		"creds/acme-rw":       {"current credential", "ttl"},
		"status":              {"every token"},
		"info":                {"version"},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			output := w.CLI(t, vaulttest.Command{Args: []string{"path-help", w.Path + "/" + path}})
			if output.ExitCode != 0 {
				t.Fatalf("vault path-help: %s", output.Stderr)
			}
			mentions(t, "the help", output.Stdout, append(words, "DESCRIPTION")...)
		})
	}
}

// openAPI is the part of an OpenAPI document that clients are generated from.
type openAPI struct {
	Paths      map[string]map[string]json.RawMessage `json:"paths"`
	Components struct {
		Schemas map[string]struct {
			Properties fields `json:"properties"`
		} `json:"schemas"`
	} `json:"components"`
}

type openAPIOperation struct {
	Summary     string                 `json:"summary"`
	OperationID string                 `json:"operationId"`
	RequestBody openAPIBody            `json:"requestBody"`
	Responses   map[string]openAPIBody `json:"responses"`
}

type openAPIBody struct {
	Content map[string]struct {
		Schema struct {
			Ref string `json:"$ref"`
		} `json:"schema"`
	} `json:"content"`
}

// properties are the fields of a body in JSON.
func (d openAPI) properties(body openAPIBody) fields {
	schema := strings.TrimPrefix(body.Content["application/json"].Schema.Ref, "#/components/schemas/")
	return d.Components.Schemas[schema].Properties
}

// mountDocument is the document that the engine gives of itself.
func mountDocument(t *testing.T, m *vaulttest.Mount) openAPI {
	t.Helper()
	var document openAPI
	help := done(m.Client.HelpWithContext(t.Context(), m.Path))(t)
	succeeded(t, json.Unmarshal([]byte(asJSON(t, help.OpenAPI)), &document))
	return document
}

// operations are those of the paths below a prefix, by method and path.
func (d openAPI) operations(t *testing.T, prefix string) map[string]openAPIOperation {
	t.Helper()
	operations := map[string]openAPIOperation{}
	for path, methods := range d.Paths {
		path, below := strings.CutPrefix(path, prefix)
		if !below {
			continue
		}
		for _, method := range []string{"get", "post", "delete"} {
			if raw, there := methods[method]; there {
				var operation openAPIOperation
				succeeded(t, json.Unmarshal(raw, &operation))
				operations[method+" "+path] = operation
			}
		}
	}
	return operations
}

func TestTheOpenAPIDocumentDescribesEveryPathAndItsAnswers(t *testing.T) {
	t.Parallel()
	m := vaulttest.StartDev(t).Mount(t) // alone on its server: Vault describes all mounts at once
	response := done(m.Client.Logical().ReadRawWithContext(t.Context(), "sys/internal/specs/openapi"))(t)
	defer response.Body.Close()
	var server openAPI
	succeeded(t, json.NewDecoder(response.Body).Decode(&server))
	mount := mountDocument(t, m)

	describesEveryPath(t, "the server's document", server.operations(t, "/"+m.Path))
	describesEveryPath(t, "the mount's document", mount.operations(t, ""))
	// Vault drops the references to the answers' schemas from its own document of an external plugin's mount, so they are
	// looked for in the mount's.
	for where, operation := range mount.operations(t, "") {
		for status, answer := range operation.Responses {
			if status == "200" && strings.HasPrefix(where, "get ") && where != "get /metrics" && len(answer.Content) == 0 {
				t.Errorf("the answer of %s is not described", where)
			}
			if _, there := answer.Content["application/json"]; there && len(mount.properties(answer)) == 0 {
				t.Errorf("the answer %s of %s has no fields", status, where)
			}
		}
	}
	for name, schema := range mount.Components.Schemas {
		if len(server.Components.Schemas[name].Properties) != len(schema.Properties) {
			t.Errorf("the server's document has another schema %s", name)
		}
	}
}

func describesEveryPath(t *testing.T, document string, operations map[string]openAPIOperation) {
	t.Helper()
	for _, want := range []string{
		"get /config/", "get /config/{account}", "post /config/{account}", "delete /config/{account}",
		"get /tokens/", "get /tokens/{name}", "post /tokens/{name}", "delete /tokens/{name}",
		"get /tokens/{name}/rotate", "post /tokens/{name}/rotate", "post /tokens/{name}/verify", "post /tokens/{name}/retire", "get /tokens/{name}/history",
		"get /campaigns/", "get /campaigns/{name}", "post /campaigns/{name}", "delete /campaigns/{name}",
		"get /creds/{name}", "post /report/{name}", "get /status", "get /info", "get /metrics",
	} {
		if _, there := operations[want]; !there {
			t.Errorf("%s does not have %s", document, want)
		}
	}
	ids := map[string]string{}
	for where, operation := range operations {
		if operation.Summary == "" || len(operation.Responses) == 0 {
			t.Errorf("in %s, %s has no summary or no response", document, where)
		}
		if other, taken := ids[operation.OperationID]; taken || operation.OperationID == "" {
			t.Errorf("in %s, %s has the operation id %q, as has %q", document, where, operation.OperationID, other)
		}
		ids[operation.OperationID] = where
	}
}

func TestMountsShareOnePluginProcessAndSurviveItsEnd(t *testing.T) {
	t.Parallel()
	server, sim := vaulttest.StartDev(t), vaulttest.StartSimulator(t)
	one, two := &world{server.Mount(t), sim}, &world{server.Mount(t), sim}
	credentials := one.importLegacyTokens(t)
	two.importDeveloperToken(t)
	two.importLegacyTokens(t)
	processes := server.PluginProcesses(t)
	if len(processes) != 1 {
		t.Fatalf("two mounts have the plugin processes %v", processes)
	}
	oneFingerprint, twoFingerprint := one.data(t, "creds/rw")["fingerprint"], two.data(t, "creds/rw")["fingerprint"]
	if oneFingerprint == twoFingerprint {
		t.Error("the same value has the same fingerprint in two mounts: it is no secret of the mount")
	}
	before := [2]fields{one.snapshot(t), two.snapshot(t)}

	succeeded(t, syscall.Kill(processes[0], syscall.SIGKILL))
	// Until Vault has noticed, its answer is HTTP 500, which Vault's clients repeat by default.
	vaulttest.Await(t, "the next request to start the plugin anew", func() bool {
		_, err := one.Read(t.Context(), "creds/rw")
		return err == nil
	})
	one.unchanged(t, before[0])
	two.unchanged(t, before[1])
	if again := server.PluginProcesses(t); len(again) != 1 || again[0] == processes[0] {
		t.Errorf("the plugin processes are now %v", again)
	}
	has(t, one.data(t, "creds/rw"), fields{"version": 1, "auth_token": credentials.ReadWrite.AuthToken})

	// Both mounts go on working.
	reset := done(sim.ResetReadWrite(t.Context(), "agency"))(t)
	for _, w := range []*world{one, two} {
		has(t, w.write(t, "tokens/rw/rotate", fields{"auth_token": reset.AuthToken, "cas": 1}).Data, fields{"version": 2, "previous_credential": "rejected by provider"})
	}
}

func TestASealAndARestartKeepEverything(t *testing.T) {
	t.Parallel()
	server := vaulttest.StartRaft(t)
	w := &world{Mount: server.Mount(t), sim: vaulttest.StartSimulator(t)}
	w.importDeveloperToken(t)
	w.importLegacyTokens(t)
	w.write(t, "tokens/ro", fields{"refresh_ttl": 5, "custom_metadata": fields{"team": "ads"}})
	before := w.snapshot(t)

	steps := map[int]struct {
		name string
		do   func()
	}{
		2: {"a seal", func() { server.Seal(t); server.Unseal(t) }},
		3: {"a restart", func() { server.Restart(t) }},
	}
	for version := 2; version <= 3; version++ {
		steps[version].do()
		w.unchanged(t, before)
		reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
		secret := w.write(t, "tokens/rw/rotate", fields{"auth_token": reset.AuthToken, "reason": "after " + steps[version].name, "cas": version - 1})
		has(t, secret.Data, fields{"version": version, "previous_credential": "rejected by provider"})
		before = w.snapshot(t)
	}
	if versions := w.history(t, "rw"); len(versions) != 3 {
		t.Errorf("the history has %d versions", len(versions))
	}
}
