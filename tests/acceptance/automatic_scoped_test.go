//go:build unix

package acceptance

import (
	"net/http"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

func TestAScopedTokenIsReplacedByAResetOrByASecondToken(t *testing.T) {
	t.Parallel()
	first := simulator.ScopedTokenName{Account: "agency", Name: "app"}
	second := func(scopes ...string) func(*testing.T, *world) simulator.ScopedToken {
		return func(t *testing.T, w *world) simulator.ScopedToken {
			return done(w.sim.CreateScopedToken(t.Context(), simulator.ScopedTokenInput{
				ScopedTokenName: simulator.ScopedTokenName{Account: "agency", Name: "second"}, Scopes: append([]string{}, scopes...), // nil would be all
			}))(t)
		}
	}
	tests := map[string]struct {
		probe    string
		replace  func(*testing.T, *world) simulator.ScopedToken
		previous string
		// words are those of the warnings; none means that there is no warning.
		words []string
		// live says whether an app that has not read again yet still works.
		live bool
		// refusal are words of the error where the new value is not published.
		refusal []string
	}{
		"Reset": {
			replace: func(t *testing.T, w *world) simulator.ScopedToken {
				return done(w.sim.ResetScopedToken(t.Context(), first))(t)
			},
			previous: "rejected by provider",
		},
		"a second token": {
			replace: second("CompanyInformation"), previous: "still accepted", live: true,
			words: []string{"version 1 is still accepted", "disabled or deleted"},
		},
		"a second token, the first deleted": {
			replace: func(t *testing.T, w *world) simulator.ScopedToken {
				succeeded(t, w.sim.DeleteScopedToken(t.Context(), first))
				return second("CompanyInformation")(t, w)
			},
			previous: "rejected by provider",
		},
		"a second token, the first disabled": {
			replace: func(t *testing.T, w *world) simulator.ScopedToken {
				succeeded(t, w.sim.DisableScopedToken(t.Context(), first))
				return second("CompanyInformation")(t, w)
			},
			previous: "still accepted", words: []string{"version 1 is still accepted"}, // genuine, says HTTP 403
		},
		"a second token, the first disabled, with a probe_path": {
			probe: "CompanyInformation",
			replace: func(t *testing.T, w *world) simulator.ScopedToken {
				succeeded(t, w.sim.DisableScopedToken(t.Context(), first))
				return second("CompanyInformation")(t, w)
			},
			previous: "rejected by provider",
		},
		"a second token without the scope": {
			replace: second(), previous: "still accepted", live: true,
			words: []string{"genuine, but disabled or without this endpoint's scope", "probe_path"},
		},
		"a second token without the scope, with a probe_path": {
			probe: "CompanyInformation", replace: second(), live: true,
			refusal: []string{"nothing was changed", "probe_path"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			old := w.importScopedToken(t)
			w.write(t, "tokens/scoped", fields{"probe_path": tt.probe})
			token := tt.replace(t, w)
			given := fields{"account_sid": token.AccountSID, "auth_token": token.AuthToken}
			rotated, err := w.Write(t.Context(), "tokens/scoped/rotate", given)
			if live := done(w.sim.Ledger(t.Context()))(t).IsLive(old.AuthToken); live != tt.live {
				t.Errorf("the old value is live: %t", live)
			}
			if tt.refusal != nil {
				refused(t, err, http.StatusBadRequest, tt.refusal...)
				has(t, w.data(t, "creds/scoped"), fields{"version": 1, "auth_token": old.AuthToken})
				return
			}
			succeeded(t, err)
			has(t, rotated.Data, fields{"version": 2, "verification": "accepted", "previous_credential": tt.previous})
			if tt.words == nil {
				warnsNot(t, rotated)
			} else {
				mentions(t, "the warnings", strings.Join(rotated.Warnings, "\n"), tt.words...)
			}
			has(t, w.data(t, "creds/scoped"), given)
			has(t, w.data(t, "tokens/scoped"), fields{"version": 2, "health": "ok"})
		})
	}
}
