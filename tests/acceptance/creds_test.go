//go:build unix

package acceptance

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

func TestCredsHaveExactlyWhatAnAppNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importDeveloperToken(t)
	legacy := w.importLegacyTokens(t)
	scoped := w.importScopedToken(t)
	client := done(w.sim.CreateOAuthClient(t.Context(), "app"))(t)
	key := done(w.sim.ServiceAccountKey(t.Context(), simulator.DefaultName))(t)
	w.write(t, "tokens/oauth", fields{
		"account": "google", "type": "oauth_client", "client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken,
	})
	w.write(t, "tokens/key", fields{"account": "google", "type": "service_account_key", "service_account_key": string(key), "disable_automated_rotation": true})

	google := fields{"login_customer_id": "1234567890", "base_url": w.sim.GoogleURL, "api_version": "v26"}
	impact := func(credential simulator.ImpactCredential) fields {
		return fields{
			"account_sid": credential.AccountSID, "auth_token": credential.AuthToken,
			"base_url": w.sim.ImpactURL, "account_url": w.sim.ImpactURL + "/Agencies/" + credential.AccountSID,
		}
	}
	tests := map[string]struct{ credential, connection fields }{
		"dev":    {fields{"developer_token": done(w.sim.DeveloperToken(t.Context()))(t)}, google},
		"oauth":  {fields{"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken}, google},
		"key":    {fields{"service_account_key": compact(t, key)}, google},
		"rw":     {nil, impact(legacy.ReadWrite)},
		"ro":     {nil, impact(legacy.ReadOnly)},
		"scoped": {nil, impact(scoped.ImpactCredential)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := w.data(t, "tokens/"+name)
			want := fields{
				"version": 1, "fingerprint": token["fingerprint"], "last_vault_rotation": token["last_vault_rotation"],
				"rotation_period": 60, "ttl": 60,
			}
			maps.Copy(want, tt.credential)
			maps.Copy(want, tt.connection)
			secret, err := w.Read(t.Context(), "creds/"+name)
			succeeded(t, err)
			has(t, secret.Data, want)
			names := make([]string, 0, len(want))
			for name := range want {
				names = append(names, name)
			}
			hasOnly(t, secret.Data, names...)
			isRecent(t, "last_vault_rotation", secret.Data["last_vault_rotation"])
			if secret.LeaseID != "" || secret.Renewable {
				t.Error("the read has a lease")
			}
			warnsNot(t, secret)
		})
	}
}

func compact(t *testing.T, file json.RawMessage) string {
	t.Helper()
	return asJSON(t, file) // encoding/json compacts a RawMessage
}

func TestCredsOfAnImpactAccountHaveAnAPIVersionOnlyWhenTheAccountHas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	if _, there := w.data(t, "creds/rw")["api_version"]; there {
		t.Error("there is an api_version")
	}
	w.write(t, "config/agency", fields{"api_version": 3})
	has(t, w.data(t, "creds/rw"), fields{"api_version": "3"})
}

func TestTTLAndRotationPeriodOfCredsFollowThePolicy(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		policy           fields
		period           int
		minTTL, maxTTL   int
		awaitOverdue     bool
		scheduleRequired bool
	}{
		"nothing planned":                     {policy: fields{}, period: 60, minTTL: 60, maxTTL: 60},
		"refresh_ttl":                         {policy: fields{"refresh_ttl": 5}, period: 5, minTTL: 5, maxTTL: 5},
		"shortest refresh_ttl":                {policy: fields{"refresh_ttl": 1}, period: 1, minTTL: 1, maxTTL: 1},
		"a period far away":                   {policy: fields{"rotation_period": "2160h"}, period: 2160 * 3600, minTTL: 60, maxTTL: 60},
		"a period that is nearly over":        {policy: fields{"rotation_period": "40s"}, period: 40, minTTL: 1, maxTTL: 40},
		"a period that is over":               {policy: fields{"rotation_period": "1s"}, period: 1, minTTL: 60, maxTTL: 60, awaitOverdue: true},
		"a period that is switched off":       {policy: fields{"rotation_period": "40s", "disable_automated_rotation": true}, period: 40, minTTL: 60, maxTTL: 60},
		"a schedule":                          {policy: fields{"rotation_schedule": "0 0 1 1 *"}, period: 60, minTTL: 1, maxTTL: 60, scheduleRequired: true},
		"a schedule with a short refresh_ttl": {policy: fields{"rotation_schedule": "* * * * *", "refresh_ttl": 3}, period: 3, minTTL: 1, maxTTL: 3, scheduleRequired: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.importLegacyTokens(t)
			w.write(t, "tokens/rw", tt.policy)
			if tt.awaitOverdue {
				vaulttest.Await(t, "the token to be overdue", func() bool { return w.data(t, "tokens/rw")["overdue"] == true })
				_, warnings := w.read(t, "tokens/rw")
				warns(t, warnings, "overdue", "tokens/rw/rotate")
			}
			creds := w.data(t, "creds/rw")
			has(t, creds, fields{"rotation_period": tt.period})
			ttl, err := number(creds["ttl"])
			if err != nil || ttl < tt.minTTL || ttl > tt.maxTTL {
				t.Errorf("ttl is %v instead of an integer from %d to %d", creds["ttl"], tt.minTTL, tt.maxTTL)
			}
			if _, there := creds["rotation_schedule"]; there {
				t.Error("there is a rotation_schedule, which the Vault Secrets Operator takes a ttl for a bug with")
			}
			if schedule := w.data(t, "tokens/rw")["rotation_schedule"]; (schedule != "") != tt.scheduleRequired {
				t.Errorf("the token's rotation_schedule is %v", schedule)
			}
		})
	}
}

// number wants a JSON number without a fraction.
func number(value any) (int, error) {
	n, _ := value.(json.Number)
	i, err := n.Int64()
	return int(i), err
}

func TestTheCLIPrintsOneFieldOfACredential(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	credentials := w.importLegacyTokens(t)
	output := w.CLI(t, vaulttest.Command{Args: []string{"read", "-field=auth_token", w.Path + "/creds/rw"}})
	if output.ExitCode != 0 || output.Stdout != credentials.ReadWrite.AuthToken {
		vaulttest.Errorf(t, "exit code %d, output %q: %s", output.ExitCode, output.Stdout, output.Stderr)
	}
}
