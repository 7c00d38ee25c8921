package backend

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

func TestRecover_APanicEndsOneRequestOnly(t *testing.T) {
	t.Parallel()
	log := &logBuffer{}
	f := newFixture(t, func(c *logical.BackendConfig) { c.Logger = hclog.New(&hclog.LoggerOptions{Output: log}) })
	const secret = "aValueInAPanic"
	for path, bug := range map[string]func(){
		"bug/text":    func() { panic(secret) },
		"bug/runtime": func() { var none []int; _ = none[len(f.Paths)] },
	} {
		f.Paths = append(f.Paths, &framework.Path{Pattern: path + "$", Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: &framework.PathOperation{
				Callback: func(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
					bug()
					return nil, nil
				},
			},
		}})
	}
	for _, path := range []string{"bug/text", "bug/runtime"} {
		_, err := f.HandleRequest(t.Context(), &logical.Request{Operation: logical.ReadOperation, Path: path, Storage: f.storage})
		wantStatus(t, err, http.StatusInternalServerError)
		if strings.Contains(err.Error(), secret) {
			t.Error("the answer tells a value")
		}
	}
	wantSaid(t, "the log", log.String(), "recover_test.go", "index out of range", "a value of the type string")
	if strings.Contains(log.String(), secret) {
		t.Error("the log tells a value")
	}
}

func TestRecover_APanicInTheBackgroundIsTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	job := schedule.Job{Token: "t", Account: "a", Kind: schedule.Rotate}
	func() {
		defer f.recoverWork("a test", job)
		panic("a bug")
	}()
	if jobs, _ := f.scheduler.Size(); jobs != 1 {
		t.Errorf("%d jobs are planned, want one", jobs)
	}
}

func TestRecover_ARotationThatPanicsLetsGoOfItsToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	sid := f.withImpact(t, nil).AccountSID
	fresh := f.resetReadWrite(t)
	kind := f.builtIn["impact"].Type("legacy_read_write")
	verify, first := kind.Verify, true
	kind.Verify = func(ctx context.Context, a provider.Account, t provider.Token) (provider.Verification, error) {
		if first { // the token's lock is held
			first = false
			panic("a bug")
		}
		return verify(ctx, a, t)
	}
	h := f.withStubHook(t, gives(map[string]string{"account_sid": sid, "auth_token": fresh.AuthToken}))
	f.goRotate(t, "acme-rw", nil)
	<-h.asked
	eventually(t, "the value to be stored and the lock to be free", func() bool {
		return f.state(t, "acme-rw") != rotation.StateRequested && f.contenders("acme-rw") == 0 // the background may be quicker
	})
	if err := f.rotateRoutinely(t.Context(), "acme-rw"); err != nil {
		t.Fatal(err)
	}
	if got := f.read(t, "creds/acme-rw"); got["version"] != 2 || got["auth_token"] != fresh.AuthToken {
		t.Errorf("version %v is served, want the rotation to have gone on", got["version"])
	}
}
