package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Control does what a person does in the providers' consoles. Every action is a POST of a JSON object (or nothing, for
// an action without input) to /<provider>/<action>; the answer is the action's result in JSON, or 400 with
// {"error": "sentence"}. Durations are in nanoseconds. Client has a method for each.
func (s *Simulator) Control() http.Handler {
	mux := http.NewServeMux()
	s.routeWorld(mux)
	s.routeGoogle(mux)
	s.routeIAM(mux)
	s.routeImpact(mux)
	s.routePlatforms(mux)
	mux.Handle("POST /hook/show", action(s, s.controlHookShow))
	mux.Handle("POST /hook/reset", action(s, s.controlHookReset))
	return mux
}

func (s *Simulator) routeWorld(mux *http.ServeMux) {
	mux.Handle("POST /fault/inject", action(s, s.controlInjectFault))
	mux.Handle("POST /fault/clear", action(s, s.controlClearFaults))
	mux.Handle("POST /clock/advance", action(s, s.controlAdvanceClock))
	mux.Handle("POST /ledger", action(s, s.controlLedger))
	mux.Handle("POST /state", action(s, s.controlState))
}

func (s *Simulator) routeGoogle(mux *http.ServeMux) {
	mux.Handle("POST /google/reset-developer-token", action(s, s.controlResetDeveloperToken))
	mux.Handle("POST /google/show-developer-token", action(s, s.controlShowDeveloperToken))
	mux.Handle("POST /google/developer-token-mode", action(s, s.controlDeveloperTokenMode))
	mux.Handle("POST /google/developer-token-status", action(s, s.controlDeveloperTokenStatus))
	mux.Handle("POST /google/project-access", action(s, s.controlProjectAccess))
	mux.Handle("POST /google/create-oauth-client", action(s, s.controlCreateOAuthClient))
	mux.Handle("POST /google/show-oauth-client", action(s, s.controlShowOAuthClient))
	mux.Handle("POST /google/add-client-secret", action(s, s.controlAddClientSecret))
	mux.Handle("POST /google/disable-client-secret", action(s, s.controlDisableClientSecret))
	mux.Handle("POST /google/delete-client-secret", action(s, s.controlDeleteClientSecret))
	mux.Handle("POST /google/new-consent", action(s, s.controlNewConsent))
	mux.Handle("POST /google/withdraw-consent", action(s, s.controlWithdrawConsent))
	mux.Handle("POST /google/ads-access", action(s, s.controlAdsAccess))
	mux.Handle("POST /google/oauth-client-state", action(s, s.controlOAuthClientState))
	mux.Handle("POST /google/revocation", action(s, s.controlRevocation))
	mux.Handle("POST /google/publishing-status", action(s, s.controlPublishingStatus))
	mux.Handle("POST /google/token-uri", action(s, s.controlTokenURI))
	mux.Handle("POST /google/expires-in", action(s, s.controlExpiresIn))
}

func (s *Simulator) routeIAM(mux *http.ServeMux) {
	mux.Handle("POST /google/create-service-account", action(s, s.controlCreateServiceAccount))
	mux.Handle("POST /google/show-service-account-key", action(s, s.controlShowServiceAccountKey))
	mux.Handle("POST /google/list-service-account-keys", action(s, s.controlListServiceAccountKeys))
	mux.Handle("POST /google/create-service-account-key", action(s, s.controlCreateServiceAccountKey))
	mux.Handle("POST /google/disable-service-account-key", action(s, s.controlDisableServiceAccountKey))
	mux.Handle("POST /google/enable-service-account-key", action(s, s.controlEnableServiceAccountKey))
	mux.Handle("POST /google/delete-service-account-key", action(s, s.controlDeleteServiceAccountKey))
	mux.Handle("POST /google/key-administration", action(s, s.controlKeyAdministration))
	mux.Handle("POST /google/show-iam-settings", action(s, s.controlShowIAMSettings))
	mux.Handle("POST /google/configure-iam", action(s, s.controlConfigureIAM))
}

func (s *Simulator) routeImpact(mux *http.ServeMux) {
	mux.Handle("POST /impact/create-account", action(s, s.controlCreateAccount))
	mux.Handle("POST /impact/enable-legacy-tokens", action(s, s.controlEnableLegacyTokens))
	mux.Handle("POST /impact/show-credentials", action(s, s.controlShowCredentials))
	mux.Handle("POST /impact/reset-read-write", action(s, s.controlResetReadWrite))
	mux.Handle("POST /impact/reset-read-only", action(s, s.controlResetReadOnly))
	mux.Handle("POST /impact/upgrade-api-version", action(s, s.controlUpgradeAPIVersion))
	mux.Handle("POST /impact/rate-limit", action(s, s.controlRateLimit))
	mux.Handle("POST /impact/create-scoped-token", action(s, s.controlCreateScopedToken))
	mux.Handle("POST /impact/show-scoped-token", action(s, s.controlShowScopedToken))
	mux.Handle("POST /impact/duplicate-scoped-token", action(s, s.controlDuplicateScopedToken))
	mux.Handle("POST /impact/reset-scoped-token", action(s, s.controlResetScopedToken))
	mux.Handle("POST /impact/upgrade-scoped-token", action(s, s.controlUpgradeScopedToken))
	mux.Handle("POST /impact/disable-scoped-token", action(s, s.controlDisableScopedToken))
	mux.Handle("POST /impact/delete-scoped-token", action(s, s.controlDeleteScopedToken))
}

// none is the input or result of an action that has none.
type none struct{}

// name is the input of an action on one client, service account or impact.com account.
type name struct {
	Name string `json:"name"`
}

// value is a result, or an input, of one string.
type value struct {
	Value string `json:"value"`
}

// action turns do into a handler. do runs under mu, and so does the encoding of its result, which may point into the world.
func action[In, Out any](s *Simulator, do func(In) (Out, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in In
		status, body := http.StatusBadRequest, []byte(nil)
		err := decode(http.MaxBytesReader(w, r.Body, 1<<20), &in)
		if err == nil {
			status = http.StatusOK
			body, err = s.do(func() (any, error) { return do(in) })
		}
		if err != nil {
			status = http.StatusBadRequest
			body, _ = json.Marshal(controlError{err.Error()}) // a string always marshals
		}
		s.logger.Info("console", "action", strings.TrimPrefix(r.Pattern, "POST /"), "ok", err == nil)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(body)
	})
}

type controlError struct {
	Message string `json:"error"`
}

func decode(body io.Reader, in any) error {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(in); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("the input is not the JSON object that this action takes: %w", err)
	}
	return nil
}

func (s *Simulator) do(f func() (any, error)) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out, err := f()
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

func (s *Simulator) controlInjectFault(fault Fault) (none, error) {
	if err := fault.validate(s.platforms); err != nil {
		return none{}, err
	}
	s.faults = append(s.faults, &fault)
	return none{}, nil
}

func (s *Simulator) controlClearFaults(none) (none, error) {
	s.faults = nil
	return none{}, nil
}

type advance struct {
	By time.Duration `json:"by"`
}

func (s *Simulator) controlAdvanceClock(in advance) (none, error) {
	s.clockOffset += in.By
	return none{}, nil
}

func (s *Simulator) controlLedger(none) (Ledger, error) { return s.ledger(), nil }

func (s *Simulator) controlState(none) (state, error) {
	platforms := map[string]map[string]map[string]string{}
	for name, p := range s.platforms {
		platforms[name] = map[string]map[string]string{}
		for credential, c := range p.credentials {
			platforms[name][credential] = s.current(p, c)
		}
	}
	return state{Google: s.google, Impact: s.impact, Platforms: platforms, Faults: s.faults}, nil
}

// free refuses a name that is empty or taken.
func free[T any](in map[string]T, name string) error {
	if name == "" {
		return fmt.Errorf("a name is needed")
	}
	if _, taken := in[name]; taken {
		return fmt.Errorf("the name %q is taken", name)
	}
	return nil
}

// find returns the entry of that name, or an error that says what is missing.
func find[T any](in map[string]T, kind, name string) (T, error) {
	entry, ok := in[name]
	if !ok {
		return entry, fmt.Errorf("there is no %s %q", kind, name)
	}
	return entry, nil
}

// choose sets *to to one of the choices.
func choose[T ~string](to *T, choice T, choices ...T) (none, error) {
	if !slices.Contains(choices, choice) {
		return none{}, fmt.Errorf("%q is none of %v", choice, choices)
	}
	*to = choice
	return none{}, nil
}
