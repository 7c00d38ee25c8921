//go:build unix

package vaulttest

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const example = `s3cr3t+value/with "quotes" & more`

const examplePEM = "-----BEGIN PRIVATE KEY-----\n" +
	"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n" +
	"MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu\n" +
	"-----END PRIVATE KEY-----\n"

func exampleFinder(t *testing.T) *finder {
	t.Helper()
	known := secrets{values: []secret{{"example", example}, {"private key", examplePEM}}}
	forms, err := known.forms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return newFinder(forms)
}

func quote(t *testing.T, value string) string {
	t.Helper()
	quoted, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(quoted)
}

func TestASecretIsFoundInEveryWrittenForm(t *testing.T) {
	t.Parallel()
	lines := map[string]string{
		"as it is":                    "token=" + example + " rejected",
		"in JSON":                     `{"token":` + quote(t, example) + `}`,
		"in a query":                  "GET /?" + url.Values{"token": {example}}.Encode(),
		"in a path":                   "GET /" + url.PathEscape(example) + "/x",
		"base64":                      base64.StdEncoding.EncodeToString([]byte(example)),
		"base64 without padding":      base64.RawURLEncoding.EncodeToString([]byte(example)),
		"Basic authorisation":         "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("IR1:"+example)),
		"Basic, shifted by one":       "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("IR12:"+example+"x")),
		"Basic, shifted by two":       "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("IR123:"+example+"yz")),
		"PEM in a JSON key file":      `{"private_key":` + quote(t, examplePEM) + `}`,
		"one line of PEM":             strings.Split(examplePEM, "\n")[2],
		"PEM in base64, as IAM sends": base64.StdEncoding.EncodeToString([]byte(`{"k":` + quote(t, examplePEM) + `}`)),
	}
	f := exampleFinder(t)
	for name, line := range lines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for kind, finding := range map[string]string{"log": judgeLog(f, line), "audit": judgeAudit(f, line)} {
				if !strings.HasPrefix(finding, "a secret was written") || strings.Contains(finding, line) {
					t.Errorf("the %s check answers %q", kind, finding)
				}
			}
		})
	}
}

func TestALogWithoutSecretsPasses(t *testing.T) {
	t.Parallel()
	f := exampleFinder(t)
	for name, line := range map[string]string{
		"a part of a secret": "token=" + example[:10],
		"a PEM marker":       "-----BEGIN PRIVATE KEY-----",
		"a normal line":      "[INFO]  core: successful mount",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if finding := judgeLog(f, line); finding != "" {
				t.Errorf("it answers %q", finding)
			}
		})
	}
}

func TestAPluginThatRacesOrPanicsIsFound(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"[DEBUG] plugin: WARNING: DATA RACE", "[DEBUG] plugin: panic: runtime error"} {
		if judgeLog(exampleFinder(t), line) == "" {
			t.Errorf("it passes %q", line)
		}
	}
}

func TestAnAuditLogMustHoldNothingButHMACsAndExemptedKeys(t *testing.T) {
	t.Parallel()
	const hmac = `"hmac-sha256:0123"`
	tests := map[string]struct {
		data string // of a response
		bad  bool
	}{
		"hashed":                     {data: `{"auth_token":` + hmac + `,"keys":[` + hmac + `],"nested":{"a":` + hmac + `},"ttl":60,"overdue":false,"none":null}`},
		"exempted":                   {data: `{"version":"2","fingerprint":"abc"}`},
		"in clear":                   {data: `{"display_name":"alice"}`, bad: true},
		"in clear in a list":         {data: `{"keys":["a"]}`, bad: true},
		"in clear in a map":          {data: `{"status":{"a":{"b":"c"}}}`, bad: true},
		"exempted in requests only":  {data: `{"reason":"why"}`, bad: true},
		"a time, as OpenBao has it":  {data: `{"last_vault_rotation":"2026-11-22T09:30:00.123456789Z","versions":[{"at":"2026-11-22T09:30:00+01:00"}]}`},
		"a time and more":            {data: `{"note":"2026-11-22T09:30:00Z alice"}`, bad: true},
		"a date":                     {data: `{"note":"2026-11-22"}`, bad: true},
		"exempted key below another": {data: `{"last_verification":{"outcome":"accepted"}}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line := `{"type":"response","request":{"path":"x","mount_type":"` + PluginName + `"},"response":{"data":` + tt.data + `}}`
			if finding := judgeAudit(exampleFinder(t), line); (finding != "") != tt.bad {
				t.Errorf("it answers %q", finding)
			}
		})
	}
}

func TestAnEntryBehindATornLineIsJudged(t *testing.T) {
	t.Parallel()
	const torn = `{"request":{"mount_ty`
	if finding := judgeAudit(exampleFinder(t), torn+`{"request":{"path":"sys/mounts"}}`); finding != "" {
		t.Errorf("what a killed server left before an entry: %s", finding)
	}
	if finding := judgeAudit(exampleFinder(t), torn); finding == "" {
		t.Error("a line that is no JSON is right")
	}
}

func TestOtherEnginesAreNotJudgedByTheirAuditLog(t *testing.T) {
	t.Parallel()
	if finding := judgeAudit(exampleFinder(t), `{"request":{"mount_type":"system","data":{"type":"file"}}}`); finding != "" {
		t.Errorf("it answers %q", finding)
	}
}

func TestEveryLineOfALogIsLookedAt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("one\n"+strings.Repeat("x", 1<<20)+"\nlast, without an end"), 0o600); err != nil {
		t.Fatal(err)
	}
	var lengths []int
	if err := eachLine(path, func(line string) { lengths = append(lengths, len(line)) }); err != nil {
		t.Fatal(err)
	}
	if len(lengths) != 3 || lengths[1] != 1<<20+1 || lengths[2] != len("last, without an end") {
		t.Errorf("lines of %v bytes were seen", lengths)
	}
	if err := eachLine(path+".missing", func(string) { t.Error("a missing file has no lines") }); err != nil {
		t.Error(err)
	}
}
