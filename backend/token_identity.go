package backend

import (
	"context"
	"fmt"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// identityNews is how long status speaks of a current value that has turned out to be somebody else's.
const identityNews = 24 * time.Hour

// holdsForeign says whether a new value is kept, unpublished, because it is somebody else's.
func (t *token) holdsForeign() bool { return t.Pending != nil && t.Pending.OtherIdentity != "" }

// identityProblem says that the current value has lately turned out to be somebody else's; empty where it has not.
func (t *token) identityProblem(now time.Time) string {
	change := t.IdentityChange
	if change == nil || now.Sub(change.At) >= identityNews {
		return ""
	}
	return fmt.Sprintf("a verification at %s has shown that the credential is one of %q, and it was one of %q before: the platform has renamed it, "+
		"or somebody else's value was published untried", change.At.UTC().Format(time.RFC3339), change.To, change.From)
}

// tellIdentity tells of a current value that has turned out to be somebody else's, once that is stored.
func (b *backend) tellIdentity(ctx context.Context, t *token) {
	change := t.TakeIdentityChange()
	if change == nil {
		return
	}
	b.sendTokenEvent(ctx, eventIdentityChanged, t, "version", fmt.Sprint(t.Number()), "fingerprint", t.fingerprint(),
		"identity", change.To, "previous_identity", change.From)
}

// readableIdentity leaves whose a credential is out of an answer where that is no text to show.
func readableIdentity(v provider.Verification) provider.Verification {
	if !plainText(v.Identity) || len([]rune(v.Identity)) > maxIdentity {
		v.Identity = ""
	}
	return v
}

// maxIdentity is how many characters an identity has at most.
const maxIdentity = 256
