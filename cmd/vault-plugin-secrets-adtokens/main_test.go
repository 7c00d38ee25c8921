package main

import (
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend"
)

func TestHandleFlags(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args        []string
		code        int
		done        bool
		out, errOut string
	}{
		"started by Vault":     {nil, 0, false, "", ""},
		"with Vault's CA":      {[]string{"-ca-cert=/etc/ca.pem", "-tls-skip-verify"}, 0, false, "", ""},
		"-version":             {[]string{"-version"}, 0, true, backend.Version + "\n", ""},
		"--version":            {[]string{"--version"}, 0, true, backend.Version + "\n", ""},
		"-h":                   {[]string{"-h"}, 0, true, "Usage: vault-plugin-secrets-adtokens [-version]", ""},
		"--help":               {[]string{"--help"}, 0, true, "Usage: vault-plugin-secrets-adtokens [-version]", ""},
		"a flag that is none":  {[]string{"-verbose"}, 2, true, "", "vault-plugin-secrets-adtokens: wrong usage: flag provided but not defined: -verbose"},
		"a value that is none": {[]string{"-version=maybe"}, 2, true, "", "vault-plugin-secrets-adtokens: wrong usage: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errOut strings.Builder
			code, done := handleFlags(&api.PluginAPIClientMeta{}, tc.args, &out, &errOut)
			if code != tc.code || done != tc.done || !strings.HasPrefix(out.String(), tc.out) || !strings.HasPrefix(errOut.String(), tc.errOut) {
				t.Errorf("got code %d, done %t, %q and %q; want %d, %t, %q and %q", code, done, &out, &errOut, tc.code, tc.done, tc.out, tc.errOut)
			}
			if (out.Len() > 0) != (tc.out != "") || (errOut.Len() > 0) != (tc.errOut != "") {
				t.Errorf("it says %q and %q", &out, &errOut)
			}
		})
	}
}
