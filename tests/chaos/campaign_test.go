//go:build unix

package chaos

import (
	"fmt"
	"slices"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// TestACampaignGoesOnWhateverHappensToItsLeader: the leader of three servers is killed and the next one steps down while a campaign is
// under way. The next one goes on; each token is reset once.
func TestACampaignGoesOnWhateverHappensToItsLeader(t *testing.T) {
	t.Parallel()
	const tokens = 16
	cluster, sim := vaulttest.StartCluster(t), vaulttest.StartSimulator(t)
	calls := newCallLog(t, sim)
	cluster.Admit(t, sim.ImpactURL, calls.url)
	leader := func(nodes ...*vaulttest.Server) (active *vaulttest.Server) {
		vaulttest.Await(t, "a node to be active", func() bool {
			active = cluster.Active(t.Context(), nodes...)
			return active != nil
		})
		return active
	}
	first := leader(cluster.Nodes...)
	mount := first.Mount(t)
	write := func(path string, data map[string]any) {
		t.Helper()
		if _, err := mount.Write(t.Context(), path, data); err != nil {
			vaulttest.Fatalf(t, "writing %s: %v", path, err)
		}
	}
	write("config/agency", map[string]any{
		"provider": "impact", "account_type": "agency", "contact_email": "ads-api@acme.example", "base_url": sim.ImpactURL,
		"reset_hook_url": calls.url + "/reset", "reset_hook_secret": calls.secret,
	})
	for i := range tokens {
		name := fmt.Sprintf("t-%d", i)
		issued, err := sim.CreateScopedToken(t.Context(), simulator.ScopedTokenInput{ScopedTokenName: simulator.ScopedTokenName{Account: "agency", Name: name}})
		must(t, err)
		write("tokens/"+name, impactToken("scoped", issued.ImpactCredential))
	}
	write("campaigns/all", map[string]any{"reason": "all", "tokens": "t-*", "parallel": 3})
	// progress waits until so many are done, as any of the nodes says.
	progress := func(done int, nodes ...*vaulttest.Server) (state string) {
		t.Helper()
		vaulttest.Await(t, fmt.Sprintf("%d tokens to be done", done), func() bool {
			for _, node := range nodes {
				secret, err := ask(t.Context(), mount.On(t, node), "campaigns/all")
				if err != nil {
					continue
				}
				counts, _ := secret.Data["progress"].(map[string]any)
				state = fmt.Sprint(secret.Data["state"])
				return asInt(counts["done"]) >= done
			}
			return false
		})
		return state
	}
	progress(2, cluster.Nodes...)
	first.Kill(t)
	others := cluster.Others(first)
	progress(7, others...)
	leader(others...).StepDown(t)
	if state := progress(tokens, others...); state != "done" {
		t.Errorf("the campaign is %s", state)
	}
	first.Start(t)
	calls.mu.Lock()
	defer calls.mu.Unlock()
	keys := map[string][]string{}
	for _, call := range calls.calls {
		if !slices.Contains(keys[call.token], call.key) {
			keys[call.token] = append(keys[call.token], call.key)
		}
	}
	for i := range tokens {
		if name := fmt.Sprintf("t-%d", i); len(keys[name]) != 1 {
			t.Errorf("%s was asked for with the keys %v", name, keys[name])
		}
	}
}
