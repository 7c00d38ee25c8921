//go:build unix

package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// recorder records what clients ask and are told.
type recorder struct {
	*vaulttest.Mount
	sim   *vaulttest.Simulator
	began time.Time

	mu      sync.Mutex
	history []porcupine.Operation
	// numbers are those of the credentials that each value of a field belongs to.
	numbers map[string]int
	last    int
	// rotated counts the rotations that are known to have taken place, by token.
	rotated map[string]int
	// resets are the keys that the hook was asked with.
	resets map[string]bool
	failed int
	// kills is odd while the plugin is being killed, and grows.
	kills atomic.Int64
}

// maker makes a new credential in a provider's console, all fields of which differ from all others'.
type maker func(ctx context.Context, number int) (map[string]any, error)

func (r *recorder) makers() map[string]maker {
	scoped := func(ctx context.Context, number int) (map[string]any, error) {
		name := simulator.ScopedTokenName{Account: "agency", Name: fmt.Sprintf("app-%d", number)}
		token, err := r.sim.CreateScopedToken(ctx, simulator.ScopedTokenInput{ScopedTokenName: name})
		return map[string]any{"account_sid": token.AccountSID, "auth_token": token.AuthToken}, err
	}
	oauth := func(ctx context.Context, number int) (map[string]any, error) {
		client, err := r.sim.CreateOAuthClient(ctx, fmt.Sprintf("app-%d", number))
		return map[string]any{"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken}, err
	}
	return map[string]maker{"scoped-one": scoped, "scoped-two": scoped, "oauth": oauth}
}

// credential makes a credential and gives it a number.
func (r *recorder) credential(ctx context.Context, m maker) (map[string]any, int, error) {
	r.mu.Lock()
	r.last++
	number := r.last
	r.mu.Unlock()
	credential, err := m(ctx, number)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, value := range credential {
		r.numbers[fmt.Sprint(value)] = number
	}
	return credential, number, err
}

// add records an operation that began at from.
func (r *recorder) add(client int, from time.Time, a action, answer result) {
	op := porcupine.Operation{ClientId: client, Input: a, Call: from.Sub(r.began).Nanoseconds(), Output: answer, Return: math.MaxInt64}
	if answer.outcome != unknown {
		op.Return = time.Since(r.began).Nanoseconds()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, op)
	if a.value != 0 && answer.outcome == published {
		r.rotated[a.token]++
	}
}

// read records a read and reports whether it succeeded.
func (r *recorder) read(ctx context.Context, client int, token string) (version int, ok bool) {
	from := time.Now()
	secret, err := ask(ctx, r.Mount, "creds/"+token)
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.failed++
		return 0, false
	}
	version = asInt(secret.Data["version"])
	answer := r.shown(version, secret.Data)
	if token == healable {
		answer.identifier = answer.secret // all its values have one account SID
	}
	r.add(client, from, action{token: token}, answer)
	return version, true
}

// report records a report of a version, which may be an old one by now, and returns what was told. One that failed is no part of a history.
func (r *recorder) report(ctx context.Context, client int, token string, version int) (told outcome) {
	from := time.Now()
	secret, err := r.Write(ctx, "report/"+token, map[string]any{"version": version, "status": http.StatusUnauthorized})
	if err != nil || secret == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.failed++
		return unknown
	}
	told = asked
	if found := outcome(fmt.Sprint(secret.Data["outcome"])); found == outdated || found == rejected {
		told = found
	}
	r.add(client, from, action{token: token, report: version}, result{outcome: told, version: asInt(secret.Data["current_version"])})
	return told
}

// shown names the credentials that the fields of an answer belong to. A value that nobody has made is 0, which is no
// credential's number.
func (r *recorder) shown(version int, data map[string]any) result {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := func(names ...string) int {
		for _, name := range names {
			if value, there := data[name]; there {
				return r.numbers[fmt.Sprint(value)]
			}
		}
		return 0
	}
	return result{
		version: version, identifier: of("account_sid", "client_id"), secret: of("auth_token", "client_secret"),
		second: of("auth_token", "refresh_token"), fingerprint: fmt.Sprint(data["fingerprint"]),
	}
}

// rotate records a rotation.
func (r *recorder) rotate(ctx context.Context, client int, token string, m maker, cas int) error {
	data, number, err := r.credential(ctx, m)
	if err != nil {
		return err
	}
	if cas >= 0 {
		data["cas"] = cas
	}
	data["accept_other_identity"] = true // each credential is another client's, so that no two share a field
	from, a := time.Now(), action{token: token, value: number, cas: cas}
	kills := r.kills.Load()
	secret, err := r.Write(ctx, "tokens/"+token+"/rotate", data)
	if err != nil || secret == nil {
		refused := failure(err)
		if kills%2 == 1 || kills != r.kills.Load() {
			refused = unknown // Vault sends a request again whose plugin has died, and this is the answer to the second one
		}
		r.add(client, from, a, result{outcome: refused})
		return nil
	}
	r.add(client, from, a, result{
		outcome: published, version: asInt(secret.Data["version"]), fingerprint: fmt.Sprint(secret.Data["fingerprint"]),
	})
	return nil
}

// failure says what a rotation's error tells: a refusal is certain, anything else may have happened before or after.
func failure(err error) outcome {
	var response *api.ResponseError
	if errors.As(err, &response) && response.StatusCode == http.StatusBadRequest && strings.Contains(strings.Join(response.Errors, " "), "cas is") {
		return casRefused
	}
	return unknown
}

const (
	readersPerToken  = 3
	rotatorsPerToken = 2
	// reportEvery is how often a reader reports what it has read.
	reportEvery = 20
)

// use has clients read and rotate all tokens until the returned function is called.
func (r *recorder) use(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	id, makers := 0, r.makers()
	for _, token := range append(slices.Collect(maps.Keys(makers)), healable) {
		for range readersPerToken {
			id++
			client := id
			clients.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					version, ok := r.read(context.WithoutCancel(ctx), client, token)
					if ok && version > 0 && i%reportEvery == 0 {
						r.report(context.WithoutCancel(ctx), client, token, version)
					}
					pause(ctx, 10*time.Millisecond)
				}
			})
		}
	}
	for token, m := range makers {
		for range rotatorsPerToken {
			id++
			client := id
			clients.Go(func() { r.rotateAll(ctx, t, client, token, m) })
		}
	}
	stop = sync.OnceFunc(func() { cancel(); clients.Wait() })
	t.Cleanup(stop)
	return stop
}

// rotateAll rotates a token again and again, every third time without cas. It waits for Vault to come back before it asks
// again, so that lost answers stay few: a checker has to try all combinations of them.
func (r *recorder) rotateAll(ctx context.Context, t *testing.T, client int, token string, m maker) {
	whole := context.WithoutCancel(ctx) // what was begun gets its answer
	for i := 0; ctx.Err() == nil; i++ {
		version, ok := r.read(whole, client, token)
		if ok {
			if i%3 == 0 {
				version = -1
			}
			if err := r.rotate(whole, client, token, m, version); err != nil {
				t.Error(err) // the console's own, which has no secret
				return
			}
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// pause leaves the others some of the processor.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// progress waits until each token was rotated some times more.
func (r *recorder) progress(t *testing.T) {
	t.Helper()
	const more = 5
	counts := func() map[string]int {
		r.mu.Lock()
		defer r.mu.Unlock()
		now := map[string]int{}
		for token := range r.makers() {
			now[token] = r.rotated[token]
		}
		return now
	}
	before := counts()
	for token, count := range before {
		vaulttest.Await(t, "rotations of "+token, func() bool { return counts()[token] >= count+more })
	}
}

// importTokens makes the tokens. That is their first rotation.
func (r *recorder) importTokens(t *testing.T) {
	t.Helper()
	accounts := map[string]map[string]any{
		"scoped": {"provider": "impact", "account_type": "agency", "base_url": r.sim.ImpactURL},
		"oauth":  {"provider": "google_ads", "base_url": r.sim.GoogleURL, "token_url": r.sim.GoogleURL + "/token"},
	}
	if err := r.sim.SetImpactRateLimit(t.Context(), 1_000_000); err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
	for account, data := range accounts {
		r.configure(t, account, data)
	}
	for token, m := range r.makers() {
		settings := map[string]any{"account": "scoped", "type": "scoped"}
		if token == "oauth" {
			settings = map[string]any{"account": "oauth", "type": "oauth_client"}
		}
		r.importToken(t, token, m, settings)
	}
}

func (r *recorder) configure(t *testing.T, account string, data map[string]any) {
	t.Helper()
	if _, err := r.Write(t.Context(), "config/"+account, data); err != nil {
		vaulttest.Fatalf(t, "configuring %s: %v", account, err)
	}
}

// importToken makes a token with these settings, and a value of the maker's.
func (r *recorder) importToken(t *testing.T, token string, m maker, settings map[string]any) {
	t.Helper()
	data, number, err := r.credential(t.Context(), m)
	if err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
	maps.Copy(data, settings)
	from := time.Now()
	secret, err := r.Write(t.Context(), "tokens/"+token, data)
	if err != nil || secret == nil {
		vaulttest.Fatalf(t, "importing %s: %v", token, err)
	}
	r.add(0, from, action{token: token, value: number}, result{
		outcome: published, version: asInt(secret.Data["version"]), fingerprint: fmt.Sprint(secret.Data["fingerprint"]),
	})
}

func TestReadsAndRotationsAreLinearizable(t *testing.T) {
	t.Parallel()
	server := vaulttest.StartRaft(t)
	r := &recorder{
		Mount: server.Mount(t), sim: vaulttest.StartSimulator(t), began: time.Now(),
		numbers: map[string]int{}, rotated: map[string]int{}, resets: map[string]bool{},
	}
	r.importTokens(t)
	r.importHealable(t)
	stop := r.use(t)
	r.progress(t)
	for round := range maxHealings {
		r.resetInConsole(t)
		looked := r.verifyHealable(t)
		pause(t.Context(), time.Duration(round)*answerDelay*2/3) // the kill meets another step of the healing in each round
		r.kills.Add(1)
		server.KillPlugins(t)
		r.kills.Add(1)
		<-looked
		r.awaitHealable(t, round+2, "")
		r.progress(t)
		server.Seal(t)
		server.Unseal(t)
		r.progress(t)
	}
	r.resetInConsole(t)
	<-r.verifyHealable(t)
	r.awaitHealable(t, maxHealings+1, "this waits for a person")
	stop()
	r.awaitRejection(t, maxHealings+1)
	r.handInHealable(t)
	r.awaitHealable(t, maxHealings+2, "")
	r.read(t.Context(), 0, healable)
	if len(r.resets) != maxHealings {
		t.Errorf("the hook was asked for %d resets, want %d", len(r.resets), maxHealings)
	}

	t.Log(r.summary())
	checked, info := porcupine.CheckOperationsVerbose(registers, r.history, checkTime)
	if checked != porcupine.Ok {
		drawing := filepath.Join(t.ArtifactDir(), "history.html")
		t.Errorf("the checker says %s; -artifacts keeps a drawing, %s (%v)%s", checked, drawing, porcupine.VisualizePath(registers, info, drawing), stuck(r.history))
	}
	for name, corrupt := range map[string]func([]porcupine.Operation){
		"stale": makeStale, "mixed": makeMixed, "early": makeEarly,
	} {
		corrupted := slices.Clone(r.history)
		corrupt(corrupted)
		if got := linearizable(corrupted); got != porcupine.Illegal {
			t.Errorf("the checker says %s of the same history with a %s read", got, name)
		}
	}
}

// stuck tells where the checker found no way on: for each such token the last operations that it could put in an order, and the first
// answered ones that it could not.
func stuck(history []porcupine.Operation) string {
	const shown = 10
	text := &strings.Builder{}
	for _, part := range registers.Partition(history) {
		checked, info := porcupine.CheckOperationsVerbose(registers, part, checkTime)
		if checked == porcupine.Ok {
			continue
		}
		var longest []porcupine.Operation
		for _, order := range info.PartialLinearizationsOperations()[0] {
			if len(order) > len(longest) {
				longest = order
			}
		}
		ordered := map[porcupine.Operation]bool{}
		for _, op := range longest {
			ordered[op] = true
		}
		rest := slices.DeleteFunc(slices.Clone(part), func(op porcupine.Operation) bool { return ordered[op] })
		slices.SortFunc(rest, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
		fmt.Fprintf(text, "\n%d of %d operations are in an order that ends with", len(longest), len(part))
		for _, op := range longest[max(0, len(longest)-shown):] {
			fmt.Fprintf(text, "\n\t%+v", op)
		}
		fmt.Fprint(text, "\nand these do not follow")
		for _, op := range rest[:min(shown, len(rest))] {
			fmt.Fprintf(text, "\n\t%+v", op)
		}
	}
	return text.String()
}

// summary counts the operations.
func (r *recorder) summary() string {
	counts := map[string]int{}
	for _, op := range r.history {
		kind, a := "reads", op.Input.(action)
		switch told := string(op.Output.(result).outcome); {
		case a.event != "":
			kind = string(a.event)
		case a.report != 0:
			kind = "reports " + told
		case !a.isRead():
			kind = "rotations " + told
		}
		counts[kind]++
	}
	return fmt.Sprintf("%v, and %d reads that failed", counts, r.failed)
}

// readOf finds a read of the token oauth that has met the wanted version, or a later one.
func readOf(history []porcupine.Operation, atLeast int) *porcupine.Operation {
	for i := range history {
		op := &history[i]
		if a := op.Input.(action); a.token == "oauth" && a.isRead() && op.Output.(result).version >= atLeast {
			return op
		}
	}
	return nil
}

// makeStale has a late read answer what the first one did.
func makeStale(history []porcupine.Operation) {
	readOf(history, 10).Output = readOf(history, 1).Output
}

// makeMixed has a read show one field of another version.
func makeMixed(history []porcupine.Operation) {
	read := readOf(history, 10)
	answer := read.Output.(result)
	answer.second = readOf(history, 1).Output.(result).second
	read.Output = answer
}

// makeEarly has the first read answer what a late one did.
func makeEarly(history []porcupine.Operation) {
	readOf(history, 1).Output = readOf(history, 10).Output
}
