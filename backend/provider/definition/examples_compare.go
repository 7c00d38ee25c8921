package definition

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// compare tells what is not as expected.
func (r result) compare(l *list, place string, want *expectDocument) {
	differ := func(name string, got, wanted any) {
		if got != wanted {
			l.add(within(place, name), "the rules give %s, the example expects %s", quote(fmt.Sprint(got)), quote(fmt.Sprint(wanted)))
		}
	}
	text := func(name, got string, wanted *string) {
		if wanted != nil {
			differ(name, got, *wanted)
		}
	}
	differ("outcome", r.outcome, want.Outcome)
	text("detail", r.Detail, want.Detail)
	text("code", r.Code, want.Code)
	text("request_id", r.RequestID, want.RequestID)
	text("identity", r.Identity, want.Identity)
	text("access_token", r.accessToken, want.AccessToken)
	if want.Caveat != nil {
		differ("caveat", r.Caveat, *want.Caveat)
	}
	if want.Wait != nil {
		differ("wait", int64(r.wait/time.Second), *want.Wait)
	}
	if want.ExpiresIn != nil {
		differ("expires_in", int64(time.Until(r.ExpiresAt).Round(time.Second)/time.Second), *want.ExpiresIn)
	}
	if want.ExpiresAt != nil {
		at, err := time.Parse(time.RFC3339, *want.ExpiresAt)
		if err != nil {
			l.add(within(place, "expires_at"), "must be a time as in RFC 3339, such as 2027-01-31T12:00:00Z")
		} else if !at.Equal(r.ExpiresAt) {
			differ("expires_at", r.ExpiresAt.Format(time.RFC3339), *want.ExpiresAt)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want.Credential)) {
		differ(within("credential", name), r.credential[name], want.Credential[name])
	}
}
