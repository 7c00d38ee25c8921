package backend

import (
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// A panic that nobody recovers ends the plugin's process, and with it every mount that this process serves: one token's bad luck
// would be an outage of all. So every goroutine that the engine starts, and every request, recovers. What is stored stays as
// after a crash, and whoever is active next goes on from there.

// retryPanic is when the work on a token is tried again that has panicked.
const retryPanic = 30 * time.Second

// LogPanic reports a recovered value with the stack of the goroutine. The stack has functions and machine words and no text. The
// value's own text is logged only where the Go runtime made it, because any other could hold a secret.
func LogPanic(logger hclog.Logger, doing, name string, value any) {
	what := fmt.Sprintf("a value of the type %T", value)
	if err, ok := value.(runtime.Error); ok {
		what = err.Error()
	}
	logger.Error(doing+" ended with a bug of this plugin; panic: "+what, "token", name, "stack", string(debug.Stack()))
}

// recoverWork, deferred, keeps a panic in the background work on a token to that token, and plans the work again.
func (b *backend) recoverWork(doing string, j schedule.Job) {
	if value := recover(); value != nil {
		LogPanic(b.Logger(), doing, j.Token, value)
		j.At = b.now().Add(retryPanic)
		b.scheduler.Plan(j)
	}
}

// recoverRequest, deferred, turns a panic in a request's handler into its error.
func (b *backend) recoverRequest(path string, response **logical.Response, err *error) {
	if value := recover(); value != nil {
		LogPanic(b.Logger(), "a request to "+path, "", value)
		*response, *err = nil, logical.CodedError(http.StatusInternalServerError, "a bug of this plugin has ended the request; Vault's log has its stack. "+
			"It is not known how far the request has come: read the token, or the account, before you try again")
	}
}

// contain calls do and keeps a panic from going on, which would end the plugin's process and with it all mounts that it serves.
func (b *backend) contain(doing, name string, do func()) (panicked bool) {
	defer func() {
		if value := recover(); value != nil {
			LogPanic(b.Logger(), doing, name, value)
			panicked = true
		}
	}()
	do()
	return false
}

// pause waits, or until the mount is closed.
func (b *backend) pause(d time.Duration) {
	select {
	case <-b.work.Done():
	case <-time.After(d):
	}
}
