package rotation

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// Keys that were never published have no version of their own. Ending them together gives them one time, too.
func TestEndVersion_KeysThatWereNeverPublishedAreToldApart(t *testing.T) {
	t.Parallel()
	for _, stays := range []string{"first", "second"} {
		t.Run(stays+" stays", func(t *testing.T) {
			t.Parallel()
			r := &Record{}
			for i, id := range []string{"first", "second"} {
				r.abandonKey(&Pending{Credential: credential(id)}, epoch.Add(time.Duration(i)*time.Hour))
			}
			same := func(a, b provider.Values) bool { return maps.Equal(a, b) }
			m := &Machine{
				Now:  func() time.Time { return epoch.Add(24 * time.Hour) },
				Save: func(context.Context, *Record) error { return nil },
				Same: same, Unchanged: same,
				Hold: func(context.Context, provider.Values) ([]string, func(), error) { return nil, func() {}, nil },
				Retire: func(_ context.Context, old Retiring) error {
					if old.Credential["id"] == stays {
						return errRefused
					}
					return nil
				},
				Happened: func(context.Context, *Record, Event) {},
			}
			err := m.EndVersion(t.Context(), r, 0)
			if _, left := errors.AsType[*LeftError](err); !left {
				t.Errorf("got %v", err)
			}
			if left := r.Retiring; len(left) != 1 || left[0].Credential["id"] != stays || left[0].Attempts != 1 {
				t.Errorf("%d keys wait for their end, the first is %q, tried %d times", len(left), left[0].Credential["id"], left[0].Attempts)
			}
		})
	}
}
