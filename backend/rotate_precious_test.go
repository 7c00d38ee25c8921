package backend

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

func TestHandIn_SingleUseValueIsStoredBeforeItIsTried(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	p.issue("rt-of-a-new-consent")
	p.during = func() {
		got := f.stored(t, "app")
		if got.Pending == nil || got.Pending.Credential["refresh_token"] != "rt-of-a-new-consent" || got.Pending.Refreshing == nil || got.Number() != 1 {
			t.Error("the provider is asked before the value and the intent are stored")
		}
	}
	response := f.write(t, "tokens/app/rotate", map[string]any{"refresh_token": "rt-of-a-new-consent"})
	p.during = nil
	wantFields(t, "rotate", response.Data, map[string]any{"version": 2, "previous_credential": previousNotChecked, "verification": "accepted"})
	got := f.stored(t, "app")
	if got.Pending != nil || got.Current.Credential["refresh_token"] != "rt-2-of-the-simulated-platform" || got.fingerprint() != response.Data["fingerprint"] {
		t.Error("what came back is not what is published")
	}
	if slices.Contains(p.asked, "rt-1-of-the-simulated-platform") {
		t.Error("the old value was tried")
	}
	// The same value again would end what came of it, on platforms that look for that.
	asked := p.requests()
	if again, err := f.handle(t, logical.UpdateOperation, "tokens/app/rotate", map[string]any{"refresh_token": "rt-of-a-new-consent"}); err != nil || !again.IsError() || p.requests() != asked {
		t.Errorf("got %v, error %v", again, err)
	}
	f.read(t, "access-token/app")
}

func TestHandIn_RefusedSingleUseValueChangesNothing(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	before := f.read(t, "tokens/app")
	response, err := f.handle(t, logical.UpdateOperation, "tokens/app/rotate", map[string]any{"refresh_token": "rt-that-nobody-knows"})
	if err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), "nothing was changed") {
		t.Errorf("got %v, error %v", response, err)
	}
	if after := f.read(t, "tokens/app"); after["version"] != 1 || after["rotation_state"] != "idle" || after["fingerprint"] != before["fingerprint"] || after["health"] != "ok" {
		t.Errorf("got %v", after)
	}
	// An import that is refused leaves no token.
	response, err = f.handle(t, logical.UpdateOperation, "tokens/other", map[string]any{
		"account": "rolling", "type": "oauth_client", "client_id": "client-7", "client_secret": "a-client-secret", "refresh_token": "rt-that-nobody-knows",
	})
	if err != nil || !response.IsError() {
		t.Errorf("got %v, error %v", response, err)
	}
	if got, err := f.handle(t, logical.ReadOperation, "tokens/other", nil); err != nil || got != nil {
		t.Errorf("got %v, error %v; want no token", got, err)
	}
}

func TestHandIn_ValueThatIsRefusedAfterItsRefreshIsUsedUp(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	p.noRights.Store(true)
	response, err := f.handle(t, logical.UpdateOperation, "tokens/app/rotate", map[string]any{"refresh_token": p.issue("rt-of-a-new-consent")})
	if err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), "the value is used up") {
		t.Errorf("got %v, error %v", response, err)
	}
	if got := f.stored(t, "app"); got.Number() != 1 || got.Pending != nil {
		t.Errorf("version %d is current, and %v pending", got.Number(), got.Pending)
	}
}

func TestHandIn_UnansweredSingleUseValue(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		uses    int
		version int
	}{"dead": {1, 1}, "alive": {2, 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p := newFixture(t), newRollingPlatform(t)
			p.uses = test.uses
			f.rolling(t, p, "dies", "")
			p.issue("rt-of-a-new-consent")
			p.lose("drop")
			_, err := f.handle(t, logical.UpdateOperation, "tokens/app/rotate", map[string]any{"refresh_token": "rt-of-a-new-consent"})
			if coded, ok := err.(logical.HTTPCodedError); !ok || coded.Code() != http.StatusBadGateway || !strings.Contains(err.Error(), "Do not hand it in again") { //nolint:errorlint // outermost
				t.Fatalf("got %v, want HTTP 502 that tells of the stored value", err)
			}
			f.clock.Advance(5 * time.Second)
			f.await(t, "the rotation has ended", func() bool { return f.read(t, "tokens/app")["rotation_state"] == "idle" })
			got := f.read(t, "tokens/app")
			if got["version"] != test.version || (test.version == 1) != strings.Contains(got["last_error"].(string), "new consent is needed") {
				t.Errorf("got %v", got)
			}
			if entry := f.stored(t, "app").History; test.version == 2 && (entry[1].Source != rotation.SourceAssisted || entry[1].DisplayName != "userpass-jane") {
				t.Errorf("the history has %+v", entry[1])
			}
		})
	}
}

func TestHandIn_SingleUseValueThatWasNotSentIsForgotten(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	p.Close()
	_, err := f.handle(t, logical.UpdateOperation, "tokens/app/rotate", map[string]any{"refresh_token": "rt-of-a-new-consent"})
	if err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("got %v", err)
	}
	if got := f.stored(t, "app"); got.Pending != nil {
		t.Error("the value is kept although the provider never saw it")
	}
}
