package backend

import (
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// emailOf is whose key the file is.
func emailOf(t *testing.T, file json.RawMessage) string {
	t.Helper()
	var key struct {
		ClientEmail string `json:"client_email"`
	}
	if err := json.Unmarshal(file, &key); err != nil {
		t.Fatal(err)
	}
	return key.ClientEmail
}

// federated is the file of a workload identity federation whose token is in a file of the test.
func federated(t *testing.T, impersonates string) string {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(simulator.SubjectToken), 0o600); err != nil {
		t.Fatal(err)
	}
	file := map[string]any{
		"type": "external_account", "audience": "//iam.googleapis.com/projects/7/locations/global/workloadIdentityPools/p/providers/v",
		"subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.googleapis.com/v1/token",
		"credential_source": map[string]any{"file": token},
	}
	if impersonates != "" {
		file["service_account_impersonation_url"] = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + impersonates + ":generateAccessToken"
	}
	text, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// keyless configures an account with the identity and a token of the service account "robot".
func (f *fixture) keyless(t *testing.T, identity map[string]any) {
	t.Helper()
	key, err := f.provider.CreateServiceAccount(t.Context(), "robot")
	if err != nil {
		t.Fatal(err)
	}
	account := map[string]any{
		"provider": "google_ads", "base_url": f.server.GoogleURL, "token_url": f.server.GoogleURL + "/token", "iam_url": f.server.GoogleURL,
		"sts_url": f.server.GoogleURL + "/v1/token",
	}
	maps.Copy(account, identity)
	f.write(t, "config/google", account)
	f.write(t, "tokens/robot", map[string]any{"account": "google", "type": "impersonated_service_account", "service_account_email": emailOf(t, key)})
}

// wantKeyless looks that the token gives access tokens and nothing else.
func (f *fixture) wantKeyless(t *testing.T) {
	t.Helper()
	if got := f.read(t, "access-token/robot"); !strings.HasPrefix(got["access_token"].(string), "ya29.") || got["version"] != 1 {
		t.Errorf("got an access token of version %v", got["version"])
	}
	if got := f.write(t, "tokens/robot/verify", nil).Data; got["outcome"] != "accepted" {
		t.Errorf("got %v", got)
	}
	for path, says := range map[string]string{"creds/robot": "access-token/robot", "tokens/robot/rotate": ""} {
		response, err := f.handle(t, logical.ReadOperation, path, nil)
		if err != nil || (says != "") != response.IsError() || says != "" && !strings.Contains(response.Error().Error(), says) {
			t.Errorf("%s: got %v, error %v", path, response, err)
		}
	}
	f.wantNothingToRotate(t)
}

// wantNothingToRotate looks that a rotation is refused in words.
func (f *fixture) wantNothingToRotate(t *testing.T) {
	t.Helper()
	for _, data := range []map[string]any{nil, {"service_account_email": "other@my-project.iam.gserviceaccount.com"}, {"redirect_url": "http://127.0.0.1/"}} {
		response, err := f.handle(t, logical.UpdateOperation, "tokens/robot/rotate", data)
		if text := ""; err != nil || !response.IsError() {
			t.Errorf("rotate with %v: got %v, error %v", data, response, err)
		} else if text = response.Error().Error(); data == nil && !strings.Contains(text, "nothing to rotate") {
			t.Errorf("rotate says %q", text)
		}
	}
	if got := f.read(t, "tokens/robot/rotate"); got["reset_semantics"] != "none" || len(got["fields"].([]string)) != 0 || got["automatic"] != false {
		t.Errorf("got %v", got)
	}
}

func TestKeyless_ByAKeyOfTheAccount(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	key, err := f.provider.ServiceAccountKey(t.Context(), simulator.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	f.keyless(t, map[string]any{"service_account_key": string(key)})
	f.wantKeyless(t)
	// Without the right to act for others nothing works any more, and the sentence says which.
	if err := f.provider.SetKeyAdministration(t.Context(), simulator.DefaultName, simulator.KeyAdministrationDenied); err != nil {
		t.Fatal(err)
	}
	if got := f.write(t, "tokens/robot/verify", nil).Data; got["outcome"] != "rejected" || !strings.Contains(got["detail"].(string), "roles/iam.serviceAccountTokenCreator") {
		t.Errorf("got %v", got)
	}
}

func TestKeyless_ByFederation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.keyless(t, map[string]any{"external_account": federated(t, "")})
	f.wantKeyless(t)
	got := f.read(t, "config/google")
	if got["external_account"] != nil || !slices.Contains(got["secrets_set"].([]string), "external_account") || got["use_host_identity"] != false {
		t.Errorf("got %v", got)
	}
}

func TestKeyless_ByFederationThatActsForAnother(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	key, err := f.provider.CreateServiceAccount(t.Context(), "middle")
	if err != nil {
		t.Fatal(err)
	}
	f.keyless(t, map[string]any{"external_account": federated(t, emailOf(t, key))})
	f.wantKeyless(t)
}

func TestKeyless_ByTheHost(t *testing.T) {
	f := newFixture(t)
	u, err := url.Parse(f.server.GoogleURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GCE_METADATA_HOST", u.Host)
	f.keyless(t, map[string]any{"use_host_identity": true})
	f.wantKeyless(t)
	if got := f.read(t, "config/google"); got["use_host_identity"] != true {
		t.Errorf("got %v", got)
	}
	// An account has one identity.
	response, err := f.handle(t, logical.UpdateOperation, "config/google", map[string]any{"external_account": federated(t, "")})
	if err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), "one OAuth identity") {
		t.Errorf("got %v, error %v", response, err)
	}
}

func TestKeyless_FederationFiles(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := federated(t, "")
	for name, change := range map[string]func(map[string]any){
		"a program": func(m map[string]any) {
			m["credential_source"] = map[string]any{"executable": map[string]any{"command": "/bin/sh"}}
		},
		"an address":            func(m map[string]any) { m["credential_source"] = map[string]any{"url": "https://elsewhere.example"} },
		"a file and an address": func(m map[string]any) { m["credential_source"].(map[string]any)["url"] = "https://elsewhere.example" },
		"of Amazon":             func(m map[string]any) { m["credential_source"] = map[string]any{"environment_id": "aws1"} },
		"a relative path":       func(m map[string]any) { m["credential_source"] = map[string]any{"file": "token"} },
		"another host":          func(m map[string]any) { m["token_url"] = "https://sts.elsewhere.example/v1/token" },
		"a look-alike":          func(m map[string]any) { m["token_url"] = "https://sts.googleapis.com.elsewhere.example/v1/token" },
		"plain HTTP":            func(m map[string]any) { m["token_url"] = "http://sts.googleapis.com/v1/token" },
		"user info":             func(m map[string]any) { m["token_url"] = "https://sts.googleapis.com@elsewhere.example/v1/token" },
		"another impersonation": func(m map[string]any) {
			m["service_account_impersonation_url"] = "https://elsewhere.example/v1/projects/-/serviceAccounts/a@b.iam.gserviceaccount.com:generateAccessToken"
		},
		"a strange account": func(m map[string]any) {
			m["service_account_impersonation_url"] = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/..:generateAccessToken"
		},
		"another universe":       func(m map[string]any) { m["universe_domain"] = "elsewhere.example" },
		"a secret of the client": func(m map[string]any) { m["client_secret"] = "s" },
		"a key file":             func(m map[string]any) { m["type"] = "service_account" },
		"no audience":            func(m map[string]any) { m["audience"] = "" },
	} {
		var file map[string]any
		if err := json.Unmarshal([]byte(good), &file); err != nil {
			t.Fatal(err)
		}
		change(file)
		text, err := json.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		response, err := f.handle(t, logical.UpdateOperation, "config/google", map[string]any{"provider": "google_ads", "external_account": string(text), "verify_connection": false})
		if err != nil || !response.IsError() || !strings.HasPrefix(response.Error().Error(), "external_account must") {
			t.Errorf("%s: got %v, error %v", name, response, err)
		}
	}
}

func TestKeyless_MissingFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const content = "what-only-Vault-may-read"
	for name, size := range map[string]int{"empty": 0, "large": 1<<16 + 1} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat(content, size)[:size]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, says := range map[string]string{
		filepath.Join(dir, "nothing"): "cannot read the file", dir: "finds no token", filepath.Join(dir, "empty"): "finds no token",
		filepath.Join(dir, "large"): "finds no token", "/dev/zero": "finds no token",
	} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			var file map[string]any
			if err := json.Unmarshal([]byte(federated(t, "")), &file); err != nil {
				t.Fatal(err)
			}
			file["credential_source"] = map[string]any{"file": path}
			text, err := json.Marshal(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.handle(t, logical.UpdateOperation, "config/google", map[string]any{
				"provider": "google_ads", "external_account": string(text), "sts_url": f.server.GoogleURL + "/v1/token", "base_url": f.server.GoogleURL,
			})
			if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), content) {
				t.Errorf("got %v, want %q in it", err, says)
			}
		})
	}
}

func TestKeyless_TokenNeedsItsServiceAccount(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withGoogle(t)
	for _, data := range []map[string]any{
		{"account": "google", "type": "impersonated_service_account"},
		{"account": "google", "type": "impersonated_service_account", "service_account_email": "jane@acme.example"},
		{"account": "google", "type": "impersonated_service_account", "service_account_email": "../a@b.iam.gserviceaccount.com"},
	} {
		if response, err := f.handle(t, logical.UpdateOperation, "tokens/robot", data); err != nil || !response.IsError() {
			t.Errorf("%v: got %v, error %v", data, response, err)
		}
	}
}
