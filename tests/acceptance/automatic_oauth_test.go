//go:build unix

package acceptance

import (
	"fmt"
	"maps"
	"net/http"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// importOAuthClient makes the account google and its token oauth.
func (w *world) importOAuthClient(t *testing.T, client simulator.OAuthCredential, policy fields) {
	t.Helper()
	account := w.googleFields(t)
	account["revoke_url"], account["iam_url"] = w.sim.GoogleURL+"/revoke", w.sim.GoogleURL
	w.write(t, "config/google", account)
	token := fields{
		"account": "google", "type": "oauth_client",
		"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken,
	}
	maps.Copy(token, policy)
	w.write(t, "tokens/oauth", token)
}

// importApp makes an OAuth client that nobody else uses, and its token oauth.
func (w *world) importApp(t *testing.T, policy fields) simulator.OAuthCredential {
	t.Helper()
	client := done(w.sim.CreateOAuthClient(t.Context(), appClient))(t)
	w.importOAuthClient(t, client, policy)
	return client
}

const appClient = "app"

func TestAnOAuthClientsPartsAreReplacedOneByOneOrTogether(t *testing.T) {
	t.Parallel()
	secret := func(t *testing.T, w *world) fields {
		return fields{"client_secret": done(w.sim.AddClientSecret(t.Context(), appClient))(t).ClientSecret}
	}
	consent := func(t *testing.T, w *world) fields {
		return fields{"refresh_token": done(w.sim.NewConsent(t.Context(), appClient))(t).RefreshToken}
	}
	for name, renew := range map[string]func(*testing.T, *world) fields{
		"client secret": secret,
		"refresh token": consent,
		"both": func(t *testing.T, w *world) fields {
			return fields{"client_secret": secret(t, w)["client_secret"], "refresh_token": consent(t, w)["refresh_token"]}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			client := w.importApp(t, nil)
			given := renew(t, w)
			rotated := w.write(t, "tokens/oauth/rotate", given)
			has(t, rotated.Data, fields{"version": 2, "verification": "accepted", "previous_credential": "still accepted"})
			warns(t, rotated.Warnings, "version 1 is still accepted", "disabled", "revoked")

			creds := w.data(t, "creds/oauth")
			has(t, creds, given)
			for field, value := range map[string]string{
				"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken,
			} {
				if _, replaced := given[field]; !replaced {
					has(t, creds, fields{field: value})
				}
			}
			has(t, w.data(t, "tokens/oauth"), fields{"version": 2, "health": "ok", "rotation_state": "idle", "retiring": []any{}})
			if !done(w.sim.Ledger(t.Context()))(t).IsLive(client.RefreshToken) {
				t.Error("the old refresh token was revoked though nobody asked for that")
			}
		})
	}
}

func TestTheOldRefreshTokenIsRevokedAfterTheGracePeriodWhereAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := w.importApp(t, fields{"rotation_grace_period": 1})
	renewed := done(w.sim.NewConsent(t.Context(), appClient))(t)
	rotated := w.write(t, "tokens/oauth/rotate", fields{"refresh_token": renewed.RefreshToken, "revoke_previous": true})
	warns(t, rotated.Warnings, "may end others of the same user and client")
	retiresAt(t, rotated.Data)
	has(t, w.data(t, "creds/oauth"), fields{"version": 2, "refresh_token": renewed.RefreshToken})

	// Google's trouble delays the revocation and does not prevent it.
	down := simulator.Fault{Service: simulator.GoogleToken, Kind: simulator.FaultStatus, Status: 503, Times: 1}
	succeeded(t, w.sim.InjectFault(t.Context(), down))
	token := w.awaitToken(t, "oauth", "fail to revoke", func(token fields) bool { return token["last_error"] != "" })
	mentions(t, "last_error", fmt.Sprint(token["last_error"]), "version 1 could not be retired", "HTTP 503")
	tellsNoSecret(t, "the token", token)
	has(t, w.awaitState(t, "oauth", "idle"), fields{"version": 2, "last_error": "", "retiring": []any{}})
	ledger := done(w.sim.Ledger(t.Context()))(t)
	if ledger.IsLive(client.RefreshToken) || !ledger.IsLive(renewed.RefreshToken) {
		t.Error("the old refresh token is live, or the new one is not")
	}
	has(t, w.history(t, "oauth")[0], fields{"version": 1, "retired_how": "retired by the engine"})
	has(t, w.write(t, "tokens/oauth/verify", nil).Data, fields{"outcome": "accepted"})
}

func TestARefreshTokenThatStaysInUseIsNotRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := w.importApp(t, nil)
	secret := done(w.sim.AddClientSecret(t.Context(), appClient))(t).ClientSecret
	for name, data := range map[string]fields{
		"not handed in":   {"client_secret": secret, "revoke_previous": true},
		"the current one": {"client_secret": secret, "refresh_token": client.RefreshToken, "revoke_previous": true},
	} {
		_, err := w.Write(t.Context(), "tokens/oauth/rotate", data)
		refused(t, err, http.StatusBadRequest, "revoke_previous", "stays in use", "refresh_token")
		if t.Failed() {
			t.Fatalf("the refresh token is %s", name)
		}
	}
	has(t, w.data(t, "tokens/oauth"), fields{"version": 1, "retiring": []any{}})

	// Nor is there anything to revoke of another type, or for the engine to delete of this one.
	w.importLegacyTokens(t)
	reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	_, err := w.Write(t.Context(), "tokens/rw/rotate", fields{"auth_token": reset.AuthToken, "revoke_previous": true})
	refused(t, err, http.StatusBadRequest, "revoke_previous is for tokens of the type oauth_client")
	_, err = w.Write(t.Context(), "tokens/oauth/rotate", fields{"client_secret": secret, "retire_previous": true})
	refused(t, err, http.StatusBadRequest, "retire_previous is for tokens of the type service_account_key")
}

func TestARevokedRefreshTokenIsRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importApp(t, nil)
	revoked := done(w.sim.NewConsent(t.Context(), appClient))(t)
	succeeded(t, w.sim.WithdrawConsent(t.Context(), appClient))

	_, err := w.Write(t.Context(), "tokens/oauth/rotate", fields{"refresh_token": revoked.RefreshToken})
	refused(t, err, http.StatusBadRequest, "nothing was changed", "invalid_grant")
	has(t, w.data(t, "creds/oauth"), fields{"version": 1})
	has(t, w.write(t, "tokens/oauth/verify", nil).Data, fields{"outcome": "rejected", "provider_code": "invalid_grant"})
	_, warnings := w.read(t, "creds/oauth")
	warns(t, warnings, "reject", "rotate")

	consent := done(w.sim.NewConsent(t.Context(), appClient))(t)
	rotated := w.write(t, "tokens/oauth/rotate", fields{"refresh_token": consent.RefreshToken})
	warnsNot(t, rotated)
	has(t, rotated.Data, fields{"version": 2, "previous_credential": "rejected by provider"})

	// So is a client secret that was disabled in the console.
	succeeded(t, w.sim.DisableClientSecret(t.Context(), appClient, consent.ClientSecret))
	has(t, w.write(t, "tokens/oauth/verify", nil).Data, fields{"outcome": "rejected", "provider_code": "invalid_client"})
}
