//go:build unix

package matrix

import (
	"context"
	"net/http"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// whenAdopted has an old value end once its readers have a newer one, which takes two seconds at least.
var whenAdopted = fields{"retire_after": "adopted", "refresh_ttl": 1}

// adoptionStories are retirements that wait for an app, which reads all the time.
var adoptionStories = []story{
	{
		name: "retirement when adopted", id: "adopted", credential: key{}, grace: forShort, begins: 1, version: 2, made: 1,
		policy: whenAdopted, before: appReads, from: "old value retired",
	},
	{
		name: "retirement when adopted, refused at first", id: "adopted-refused", credential: key{}, grace: forShort, begins: 1, version: 2, made: 1,
		policy: whenAdopted, before: appReads, from: "old value retired",
		faults: []simulator.Fault{iamFails(http.MethodDelete, http.StatusInternalServerError)},
	},
}

// appReads has an app read the credential until the test is over, whatever happens to the server.
func appReads(ctx context.Context, s *subject) error {
	const pause = 200 * time.Millisecond
	go func() {
		for ctx.Err() == nil {
			_, _ = s.Read(ctx, "creds/"+s.name) // an outage is what the story is about
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}()
	return nil
}
