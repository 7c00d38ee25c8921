package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

func TestFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"-listen 0.0.0.0:8080":                     "is reached from other machines",
		"-listen :8080":                            "is reached from other machines",
		"-listen [::]:8080":                        "is reached from other machines",
		"-listen 192.0.2.1:443":                    "is reached from other machines",
		"-listen console.acme.example:443":         "is reached from other machines",
		"-listen 8080":                             "must be a host and a port",
		"-tls-cert a.pem":                          "go together",
		"-tls-key a.pem":                           "go together",
		"-tls-cert a -tls-key b -behind-tls-proxy": "either the console speaks TLS itself",
		"-vault-addr vault.acme.example:8200":      "must be a URL such as https://",
		"-vault-addr 127.0.0.1:8200":               "must be a URL such as https://",
		"-vault-addr ftp://vault.acme.example":     "must be a URL such as https://",
		"-vault-addr https://":                     "must be a URL such as https://",
		"serve":                                    "no argument",
		"-vault":                                   "not defined",
	} {
		var out bytes.Buffer
		code := program.Execute(t.Context(), strings.Fields(args), cli.Streams{Out: &out, Err: &out})
		if code != cli.ExitUsage || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %d, %s", args, code, out.String())
		}
	}
	for _, args := range []string{
		"-listen 0.0.0.0:443 -tls-cert a -tls-key b", "-listen :8080 -behind-tls-proxy", "-listen localhost:0", "-listen [::1]:8080", "-listen 127.0.0.2:1",
		"-vault-addr https://vault.acme.example", "-vault-addr unix:///run/vault.sock",
	} {
		if _, err := parse(strings.Fields(args), cli.Streams{}); err != nil {
			t.Errorf("%s: %v", args, err)
		}
	}
	o, err := parse(strings.Fields("-mount a/,team/b -mount /c/"), cli.Streams{})
	if err != nil || o.mounts.String() != "a,team/b,c" {
		t.Errorf("the mounts are %v, %v", o.mounts, err)
	}
}
