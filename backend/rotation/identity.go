package rotation

import (
	"fmt"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// IdentityChange is a current value that has turned out to be somebody else's than was known.
type IdentityChange struct {
	From string    `json:"from"`
	To   string    `json:"to"`
	At   time.Time `json:"at"`
}

// OtherIdentity says whether a verification shows that a new value is somebody else's than the token's. Where it does not say whose the value
// is, or nothing is known of the token's, it is not.
func (r *Record) OtherIdentity(v provider.Verification) bool {
	return v.Identity != "" && r.Identity != "" && v.Identity != r.Identity
}

// currentEntry is the history's entry of the current version; nil where it has none.
func (r *Record) currentEntry() *HistoryEntry {
	if last := len(r.History) - 1; last >= 0 && r.History[last].Version == r.Number() {
		return &r.History[last]
	}
	return nil
}

// publishIdentity notes whose the version is that has just been published. Where it is somebody else's, a person has wanted that.
func (r *Record) publishIdentity(identity string) {
	if identity == "" {
		return
	}
	if r.Identity != "" && r.Identity != identity {
		r.currentEntry().IdentityChanged = true
		r.IdentityChange = nil
	}
	r.Identity = identity
}

// identify takes over whose the current value is, as a verification of it says. Platforms rename accounts, and a value may have been
// published untried.
func (r *Record) identify(identity string, now time.Time) {
	if identity == "" {
		return
	}
	entry := r.currentEntry()
	if r.Identity != "" && r.Identity != identity {
		r.IdentityChange = &IdentityChange{From: r.Identity, To: identity, At: now.UTC()}
		r.untold = r.IdentityChange
		if entry != nil {
			entry.IdentityChanged = true
		}
	}
	r.Identity = identity
	if entry != nil {
		entry.Identity = identity
	}
}

// TakeIdentityChange gives the change once that verifications have found since the record was loaded; nil where there is none.
func (r *Record) TakeIdentityChange() *IdentityChange {
	change := r.untold
	r.untold = nil
	return change
}

// foreign is why a new value is not published that is somebody else's; nil where it may be. A key is made for the owner of the one before.
func (r *Record) foreign(p *Pending, v provider.Verification) error {
	p.OtherIdentity = ""
	if p.AcceptOther || p.Source == SourceIAM || !r.OtherIdentity(v) {
		return nil
	}
	p.OtherIdentity = v.Identity
	if p.Source.ByPerson() {
		return fmt.Errorf("the value that was handed in is a credential of %q, and the token's is one of %q, so it was not published and is dropped: "+
			"get another one, and hand it in with accept_other_identity=true if that is meant", v.Identity, r.Identity)
	}
	return fmt.Errorf("the new value of %s is a credential of %q, and the token's is one of %q, so it is kept and not published. "+
		"If that is meant, rotate with accept_other_identity=true and without a value, which publishes it; else rotate again, or hand the right value in",
		p.Source.Giver(), v.Identity, r.Identity)
}
