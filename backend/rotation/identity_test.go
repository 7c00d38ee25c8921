package rotation

import (
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

func TestIdentity_FollowsWhatVerificationsTell(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	of := func(identity string) *provider.Verification {
		return &provider.Verification{Outcome: provider.Accepted, Identity: identity}
	}
	var r Record
	wants := func(step, identity, entry string, changed, news bool) {
		t.Helper()
		last := r.History[len(r.History)-1]
		if r.Identity != identity || last.Identity != entry || last.IdentityChanged != changed || (r.TakeIdentityChange() != nil) != news {
			t.Errorf("%s: the identity is %q, the history's %q with change %v; want %q, %q, %v, and news %v",
				step, r.Identity, last.Identity, last.IdentityChanged, identity, entry, changed, news)
		}
	}
	r.Publish(Candidate{Verified: of("a")}, now)
	wants("the first value", "a", "a", false, false)
	r.Publish(Candidate{Verified: of("")}, now)
	wants("a value whose verification does not tell", "a", "", false, false)
	r.Publish(Candidate{Verified: of("b")}, now)
	wants("somebody else's, which a person wants", "b", "b", true, false)
	r.Publish(Candidate{}, now)
	wants("an untried one", "b", "", false, false)
	r.Observe(*of("c"), now)
	wants("which turns out to be somebody else's", "c", "c", true, true)
	r.Observe(*of("c"), now)
	wants("the same again", "c", "c", true, false)
	r.Observe(*of(""), now)
	wants("an answer that does not tell", "c", "c", true, false)
	if r.IdentityChange == nil || r.IdentityChange.From != "b" || r.IdentityChange.To != "c" {
		t.Errorf("the change is %v", r.IdentityChange)
	}
}
