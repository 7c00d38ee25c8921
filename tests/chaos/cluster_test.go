//go:build unix

package chaos

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// trialTime says for how long the cluster is disturbed at least: a Go duration. Every disturbance happens twice in any case.
const trialTime = "ADTOKENS_CLUSTER_TIME"

func TestAClusterRotatesWhateverHappensToItsLeader(t *testing.T) {
	t.Parallel()
	atLeast, err := time.ParseDuration(cmp.Or(os.Getenv(trialTime), "60s"))
	if err != nil {
		t.Fatalf("%s has to be a duration such as 10m: %v", trialTime, err)
	}
	r := newTrial(t)
	stop := r.use(t)
	cut := disturbance{"SIGSTOP, no namespaces here", r.cluster.Partition, r.cluster.Heal}
	if r.cluster.Partitions() {
		cut.name = "network cut"
	}
	disturbances := []disturbance{
		{"kill -9", func(t testing.TB, s *vaulttest.Server) { s.Kill(t) }, func(t testing.TB, s *vaulttest.Server) { s.Start(t) }},
		{"step-down", func(t testing.TB, s *vaulttest.Server) { s.StepDown(t) }, func(testing.TB, *vaulttest.Server) {}},
		cut,
		{"SIGSTOP", func(t testing.TB, s *vaulttest.Server) { s.Pause(t) }, func(t testing.TB, s *vaulttest.Server) { s.Resume(t) }},
	}
	began, rounds := time.Now(), 0
	for ; rounds < 2 || time.Since(began) < atLeast; rounds++ {
		for _, d := range disturbances {
			r.disturb(t, d)
		}
	}
	disturbed := time.Since(began)
	stop()
	r.settle(t)
	r.unasked(t)
	t.Logf("%d rounds of %d disturbances in %s\n%s\n%s\n%s", rounds, len(disturbances), disturbed.Round(time.Second),
		r.elections(), r.rotations(t), r.readings(t))
	r.rotatedOnce(t)
}

// disturbance is what happens to the active node, and how that ends.
type disturbance struct {
	name     string
	hit, end func(testing.TB, *vaulttest.Server)
}

// trial is a cluster under load.
type trial struct {
	cluster *vaulttest.Cluster
	// mounts is the engine, as each node shows it.
	mounts []*vaulttest.Mount
	sim    *vaulttest.Simulator
	tokens []*trialToken
	calls  *callLog

	mu sync.Mutex
	// away are the times in which requests through a node may fail.
	away []window
	// reigns are the times in which one node alone is known to be active.
	reigns []window
	reads  []reading
}

// window is a time that says something about nodes; a zero until means that it is not over.
type window struct {
	cause string
	nodes []*vaulttest.Server
	// gone says that the node itself was away, and not only the active one that it forwards to.
	gone bool
	// elected is how long it took until another node was active.
	elected     time.Duration
	from, until time.Time
}

// meets reports whether something lay in the window, in part at least.
func (w window) meets(from, until time.Time) bool {
	return until.After(w.from) && (w.until.IsZero() || from.Before(w.until))
}

// trialToken is a token that is rotated all the time.
type trialToken struct {
	name string
	// made are the values that the provider has made for it, oldest first.
	made func(*testing.T) []string
	// value is what of the credential changes.
	value func(creds map[string]any) string
	// byHand is nil for a token that is rotated by its policy.
	byHand *operator

	mu sync.Mutex
	// versions are the values that readers have met.
	versions map[int]string
	// latest is the newest version of an answer.
	latest int
	// strange are readings that contradict others.
	strange []string
}

// reading is one read of a credential.
type reading struct {
	node        *vaulttest.Server
	from, until time.Time
	err         error
	// stale says that another reader had got a newer version before this one asked.
	stale bool
}

func newTrial(t *testing.T) *trial {
	t.Helper()
	r := &trial{cluster: vaulttest.StartCluster(t), sim: vaulttest.StartSimulator(t)}
	r.calls = newCallLog(t, r.sim)
	r.cluster.Admit(t, r.sim.GoogleURL, r.sim.ImpactURL, r.calls.url)
	leader := r.leader(t, r.cluster.Nodes)
	mount := leader.Mount(t)
	for _, node := range r.cluster.Nodes {
		r.mounts = append(r.mounts, mount.On(t, node))
	}
	r.importTokens(t)
	r.reigns = []window{{nodes: []*vaulttest.Server{leader}, from: time.Now()}}
	return r
}

// leader waits until one of the nodes is active.
func (r *trial) leader(t *testing.T, nodes []*vaulttest.Server) (leader *vaulttest.Server) {
	t.Helper()
	vaulttest.Await(t, "a node to be active", func() bool {
		leader = r.cluster.Active(t.Context(), nodes...)
		return leader != nil
	})
	return leader
}

func (r *trial) write(t *testing.T, path string, data map[string]any) {
	t.Helper()
	if _, err := r.mounts[0].Write(t.Context(), path, data); err != nil {
		vaulttest.Fatalf(t, "writing %s: %v", path, err)
	}
}

// importTokens makes two service account keys and two legacy tokens that rotate by themselves, and a scoped one that a person
// rotates.
func (r *trial) importTokens(t *testing.T) {
	t.Helper()
	for _, name := range []string{"key-one", "key-two"} {
		file, err := r.sim.CreateServiceAccount(t.Context(), name)
		if err != nil {
			vaulttest.Fatalf(t, "%v", err)
		}
		r.write(t, "config/"+name, map[string]any{
			"provider": "google_ads", "base_url": r.sim.GoogleURL, "token_url": r.sim.GoogleURL + "/token", "iam_url": r.calls.url,
		})
		r.write(t, "tokens/"+name, map[string]any{
			"account": name, "type": "service_account_key", "service_account_key": string(file),
			"rotation_period": "2s", "rotation_grace_period": "1s",
		})
		r.tokens = append(r.tokens, &trialToken{name: name, value: keyFileID, made: func(t *testing.T) (ids []string) {
			keys, err := r.sim.ServiceAccountKeys(t.Context(), name)
			if err != nil {
				vaulttest.Fatalf(t, "%v", err)
			}
			for _, key := range keys {
				ids = append(ids, key.ID)
			}
			return ids
		}})
	}
	legacy, err := r.sim.ImpactCredentials(t.Context(), "agency")
	if err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
	scoped, err := r.sim.CreateScopedToken(t.Context(), simulator.ScopedTokenInput{
		ScopedTokenName: simulator.ScopedTokenName{Account: "agency", Name: "by-hand"},
	})
	if err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
	r.importAuthToken(t, "hook-rw", "legacy_read_write", legacy.ReadWrite, nil)
	r.importAuthToken(t, "hook-ro", "legacy_read_only", legacy.ReadOnly, nil)
	r.importAuthToken(t, "by-hand", "scoped", scoped.ImpactCredential, &operator{console: r.sim, version: 1})
	if err := r.sim.SetImpactRateLimit(t.Context(), 1_000_000); err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
	for _, token := range r.tokens {
		token.versions = map[int]string{}
	}
}

func (r *trial) importAuthToken(t *testing.T, name, kind string, credential simulator.ImpactCredential, byHand *operator) {
	t.Helper()
	account := map[string]any{"provider": "impact", "account_type": "agency", "base_url": r.sim.ImpactURL}
	token := map[string]any{"account": name, "type": kind, "account_sid": credential.AccountSID, "auth_token": credential.AuthToken}
	if byHand == nil {
		account["reset_hook_url"], account["reset_hook_secret"] = r.calls.url+"/reset", r.calls.secret
		token["rotation_period"] = "2s"
	}
	r.write(t, "config/"+name, account)
	r.write(t, "tokens/"+name, token)
	r.tokens = append(r.tokens, &trialToken{name: name, byHand: byHand, value: authToken, made: func(t *testing.T) (values []string) {
		ledger, err := r.sim.Ledger(t.Context())
		if err != nil {
			vaulttest.Fatalf(t, "%v", err)
		}
		for _, secret := range ledger.Issued {
			if secret.Kind == "auth_token" && secret.ID == credential.AccountSID {
				values = append(values, secret.Value)
			}
		}
		return values
	}})
}

func authToken(creds map[string]any) string { value, _ := creds["auth_token"].(string); return value }

// keyFileID is enough to tell keys apart, and no secret.
func keyFileID(creds map[string]any) string {
	file, _ := creds["service_account_key"].(string)
	var content struct {
		ID string `json:"private_key_id"`
	}
	_ = json.Unmarshal([]byte(file), &content) // no key file has no id, which is no key's
	return content.ID
}

// use reads all tokens through all nodes, and rotates those that a person rotates, until it is told to stop.
func (r *trial) use(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var users sync.WaitGroup
	for _, mount := range r.mounts {
		users.Go(func() { r.readAll(ctx, mount) })
	}
	for _, token := range r.tokens {
		if token.byHand != nil {
			users.Go(func() { token.byHand.work(ctx, t, r, token.name) })
		}
	}
	stop = sync.OnceFunc(func() { cancel(); users.Wait() })
	t.Cleanup(stop)
	return stop
}

// answerTime is how long a request may take. A standby does not become active before the requests have ended that it has
// forwarded to a node that is cut off or stopped, so an election takes about as long.
const answerTime = 5 * time.Second

func (r *trial) readAll(ctx context.Context, mount *vaulttest.Mount) {
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		// Without hanging up, after which a lease may stay: see passThrough.
		read := r.tokens[i%len(r.tokens)].read(context.WithoutCancel(ctx), mount)
		if ctx.Err() == nil {
			r.mu.Lock()
			r.reads = append(r.reads, read)
			r.mu.Unlock()
		}
		<-pause.C
	}
}

func (k *trialToken) read(ctx context.Context, mount *vaulttest.Mount) reading {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	k.mu.Lock()
	before := k.latest
	k.mu.Unlock()
	read := reading{node: mount.Server, from: time.Now()}
	secret, err := ask(ctx, mount, "creds/"+k.name)
	read.until, read.err = time.Now(), err
	if err != nil {
		return read
	}
	version, value := asInt(secret.Data["version"]), k.value(secret.Data)
	read.stale = version < before
	k.mu.Lock()
	defer k.mu.Unlock()
	k.latest = max(k.latest, version)
	if known, met := k.versions[version]; met && known != value {
		k.strange = append(k.strange, fmt.Sprintf("version %d of %s has two values", version, k.name))
	}
	k.versions[version] = value
	return read
}

// ask reads a path. A standby that cannot forward sends its clients elsewhere, and clients follow once: the answer of another
// such standby is none.
func ask(ctx context.Context, mount *vaulttest.Mount, path string) (*api.Secret, error) {
	secret, err := mount.Read(ctx, path)
	if err == nil && secret == nil {
		err = errors.New("sent from one standby to the next")
	}
	return secret, err
}

func asInt(value any) int {
	n, _ := value.(json.Number)
	i, _ := n.Int64() // what is no number is no version
	return int(i)
}

// progress waits until every token was rotated once more, as readers see it.
func (r *trial) progress(t *testing.T) {
	t.Helper()
	for _, token := range r.tokens {
		seen := func() int { token.mu.Lock(); defer token.mu.Unlock(); return token.latest }
		before := seen()
		vaulttest.Await(t, "the rotation of "+token.name, func() bool { return seen() > before })
	}
}

// disturb disturbs the active node, waits until the others rotate without it, and has it come back.
func (r *trial) disturb(t *testing.T, d disturbance) {
	t.Helper()
	old := r.leader(t, r.cluster.Nodes)
	others := r.cluster.Others(old)
	r.endReign()
	gone, election := r.open(window{cause: d.name, gone: true, nodes: []*vaulttest.Server{old}}), r.open(window{cause: d.name, nodes: others})
	d.hit(t, old)
	leader := r.leader(t, others)
	r.electedIn(election)
	r.answer(t, others)
	r.close(election)
	r.reign(leader)
	r.progress(t)

	back := r.open(window{cause: "after " + d.name, nodes: others})
	d.end(t, old)
	r.answer(t, r.cluster.Nodes)
	if now := r.leader(t, r.cluster.Nodes); now != leader {
		r.endReignAt(r.opened(back))
		r.reign(now)
	}
	r.close(back)
	r.close(gone)
}

// answer waits until the mount answers through each of the nodes.
func (r *trial) answer(t *testing.T, nodes []*vaulttest.Server) {
	t.Helper()
	for _, mount := range r.mounts {
		if !slices.Contains(nodes, mount.Server) {
			continue
		}
		vaulttest.Await(t, "the engine to answer", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := ask(ctx, mount, "creds/"+r.tokens[0].name)
			return err == nil
		})
	}
}

func (r *trial) open(w window) (index int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.from = time.Now()
	r.away = append(r.away, w)
	return len(r.away) - 1
}

func (r *trial) electedIn(index int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away[index].elected = time.Since(r.away[index].from)
}

func (r *trial) opened(index int) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.away[index].from
}

func (r *trial) close(index int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away[index].until = time.Now()
}

func (r *trial) reign(leader *vaulttest.Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reigns = append(r.reigns, window{nodes: []*vaulttest.Server{leader}, from: time.Now()})
}

func (r *trial) endReign() { r.endReignAt(time.Now()) }

func (r *trial) endReignAt(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reigns[len(r.reigns)-1].until = at
}

// leaderCheck is how often a standby looks who leads, and a bit.
const leaderCheck = 3 * time.Second

// unasked adds the elections that nobody has caused: on a busy machine nodes may miss each other's heartbeats. Vault's own
// logs tell when a node that was known to be active has given up, and when the next one had begun.
func (r *trial) unasked(t *testing.T) {
	t.Helper()
	var begun []time.Time
	for _, node := range r.cluster.Nodes {
		begun = append(begun, node.Logged(t, "core: post-unseal setup complete")...)
	}
	slices.SortFunc(begun, time.Time.Compare)
	for i := range r.reigns {
		reign := &r.reigns[i]
		for _, lost := range reign.nodes[0].Logged(t, "core: leadership lost") {
			if !reign.meets(lost, lost.Add(1)) {
				continue
			}
			w := window{cause: "nobody", nodes: r.cluster.Nodes, from: lost, until: lost}
			if next := slices.IndexFunc(begun, lost.Before); next >= 0 {
				w.until = begun[next]
			}
			w.elected = w.until.Sub(lost)
			w.until = w.until.Add(leaderCheck)
			r.away = append(r.away, w)
			reign.until = lost
		}
	}
}

// settle ends the rotations and waits until the providers accept the current values and no others. A token whose key's answer
// was lost goes on looking for it for a while, because lists of keys may be late.
func (r *trial) settle(t *testing.T) {
	t.Helper()
	for _, token := range r.tokens {
		r.write(t, "tokens/"+token.name, map[string]any{"disable_automated_rotation": true})
	}
	for _, token := range r.tokens {
		vaulttest.Await(t, token.name+" to be at rest", func() bool {
			secret, err := ask(t.Context(), r.mounts[0], "tokens/"+token.name)
			if err != nil {
				vaulttest.Fatalf(t, "reading %s: %v", token.name, err)
			}
			retiring, _ := secret.Data["retiring"].([]any)
			state := secret.Data["rotation_state"]
			return (state == "idle" || state == "retiring") && len(retiring) == 0 && len(r.live(t, token)) == 1
		})
		if read := token.read(t.Context(), r.mounts[0]); read.err != nil {
			vaulttest.Fatalf(t, "reading %s: %v", token.name, read.err)
		}
	}
}

// live are the token's values that its provider accepts.
func (r *trial) live(t *testing.T, token *trialToken) []string {
	t.Helper()
	ledger, err := r.sim.Ledger(t.Context())
	if err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
	return slices.DeleteFunc(token.made(t), func(value string) bool { return !ledger.IsLive(value) })
}

// elections tells how long the cluster was without an active node.
func (r *trial) elections() string {
	var longest time.Duration
	byCause := map[string][]string{}
	var causes []string
	for _, w := range r.away {
		if w.elected == 0 {
			continue
		}
		longest = max(longest, w.until.Sub(w.from))
		if byCause[w.cause] == nil {
			causes = append(causes, w.cause)
		}
		byCause[w.cause] = append(byCause[w.cause], fmt.Sprintf("%.1fs (%.1fs)", w.elected.Seconds(), w.until.Sub(w.from).Seconds()))
	}
	return tabulate(func(w *tabwriter.Writer) {
		fmt.Fprintln(w, "disturbance\ttimes\tanother node is active (the mount answers) after")
		for _, cause := range causes {
			fmt.Fprintf(w, "%s\t%d\t%s\n", cause, len(byCause[cause]), strings.Join(byCause[cause], ", "))
		}
		fmt.Fprintf(w, "longest\t\t%.1fs\n", longest.Seconds())
	})
}

// rotations compares what the providers have made with what was published.
func (r *trial) rotations(t *testing.T) string {
	t.Helper()
	return tabulate(func(w *tabwriter.Writer) {
		fmt.Fprintln(w, "token\trotations tried\tfinished\tmade again after a lost answer\tlost")
		for _, token := range r.tokens {
			tried, finished, lost := r.check(t, token)
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\n", token.name, tried, finished, tried-finished-lost, lost)
			if lost != 0 {
				t.Errorf("%d rotations of %s are lost", lost, token.name)
			}
		}
	})
}

// check compares what a token's provider, its history and its readers know. It returns how many values the provider has
// made, how many of them were published, and how many are lost: keys that live on although nobody knows them, and any other
// value that was not published.
func (r *trial) check(t *testing.T, token *trialToken) (tried, finished, lost int) {
	t.Helper()
	secret, err := ask(t.Context(), r.mounts[0], "tokens/"+token.name+"/history")
	if err != nil {
		vaulttest.Fatalf(t, "reading the history of %s: %v", token.name, err)
	}
	history, _ := secret.Data["versions"].([]any)
	current := 0
	for _, entry := range history { // it forgets the oldest ones
		version, _ := entry.(map[string]any)
		number := asInt(version["version"])
		if current > 0 && number != current+1 {
			t.Errorf("in the history of %s version %d follows version %d", token.name, number, current)
		}
		current = number
	}
	token.mu.Lock()
	defer token.mu.Unlock()
	for _, strange := range token.strange {
		t.Error(strange)
	}
	if token.latest != current {
		t.Errorf("readers of %s have met version %d, the history ends with %d", token.name, token.latest, current)
	}
	// Versions come in the order in which the provider made them; readers may have missed some.
	made, position := token.made(t), -1
	for version := 1; version <= current; version++ {
		value, met := token.versions[version]
		if !met {
			continue
		}
		at := slices.Index(made, value)
		if at <= position {
			t.Errorf("version %d of %s is not the next value of the provider", version, token.name)
		}
		position = at
	}
	live := r.live(t, token)
	if !slices.Equal(live, []string{token.versions[current]}) {
		t.Errorf("the provider accepts %d values of %s, or not the current one", len(live), token.name)
	}
	tried, finished = len(made)-1, current-1
	if strings.HasPrefix(token.name, "key-") { // one whose answer was lost is deleted, and another one made
		return tried, finished, len(live) - 1
	}
	return tried, finished, tried - finished
}

// readings counts reads. Those through a node that was away, and those during an election, may fail.
func (r *trial) readings(t *testing.T) string {
	t.Helper()
	var throughGone, meanwhile, stale, staleMeanwhile int
	var outside []string
	for _, read := range r.reads {
		in := func(gone bool) bool {
			return slices.ContainsFunc(r.away, func(w window) bool {
				return w.gone == gone && slices.Contains(w.nodes, read.node) && w.meets(read.from, read.until)
			})
		}
		switch {
		case read.err != nil && in(true):
			throughGone++
		case read.err != nil && in(false):
			meanwhile++
		case read.err != nil:
			outside = append(outside, vaulttest.Redact(t, read.err.Error()))
		case read.stale && (in(true) || in(false)):
			staleMeanwhile++
		case read.stale:
			stale++
		}
	}
	if len(outside) > 0 {
		t.Errorf("%d reads failed although the cluster had an active node: %s", len(outside), outside[0])
	}
	if stale > 0 {
		t.Errorf("%d reads went back to an older version", stale)
	}
	return tabulate(func(w *tabwriter.Writer) {
		fmt.Fprintln(w, "reads\tfailed through the node that was disturbed\tthrough others during the election\telse\tstale meanwhile\telse")
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%d\n", len(r.reads), throughGone, meanwhile, len(outside), staleMeanwhile, stale)
	})
}

// rotatedOnce fails the test if two nodes have rotated the same token at the same time, or one that was not active.
func (r *trial) rotatedOnce(t *testing.T) {
	t.Helper()
	calls := r.calls.all()
	together, usurped, told := 0, 0, 0
	for i, c := range calls {
		for _, other := range calls[:i] {
			if c.token == other.token && c.from.Before(other.until) && other.from.Before(c.until) {
				together++
			}
		}
		for _, reign := range r.reigns {
			if !r.cluster.Partitions() || !reign.meets(c.from, c.from.Add(1)) {
				continue
			}
			told++
			if !reign.nodes[0].CallsFrom(c.node) {
				usurped++
				t.Logf("%s asked for %s although another node was active", c.node, c.token)
			}
		}
	}
	t.Logf("calls that make a value: %d; of one token at the same time: %d; while one node was known to be active: %d, by another: %d",
		len(calls), together, told, usurped)
	if together > 0 || usurped > 0 {
		t.Errorf("two nodes have rotated the same token")
	}
	if err := r.calls.resetTwice(); err != "" {
		t.Error(err)
	}
}

func tabulate(rows func(*tabwriter.Writer)) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	rows(w)
	_ = w.Flush() // to memory
	return text.String()
}

// operator is a person who resets a token in the console and hands the new value in, again and again.
type operator struct {
	console *vaulttest.Simulator
	// version is the current one.
	version int
}

func (o *operator) work(ctx context.Context, t *testing.T, r *trial, name string) {
	toTheEnd := context.WithoutCancel(ctx) // what was reset has to be handed in, whoever wants to go home
	for ; ctx.Err() == nil; pause(ctx, time.Second) {
		token, err := o.console.ResetScopedToken(toTheEnd, simulator.ScopedTokenName{Account: "agency", Name: name})
		if err != nil {
			t.Error(err)
			return
		}
		o.handIn(toTheEnd, r, name, token.AuthToken)
	}
}

// handIn tries until the version is there: an answer may get lost, and cas keeps the second try from being a second rotation.
func (o *operator) handIn(ctx context.Context, r *trial, name, value string) {
	for {
		attempt, cancel := context.WithTimeout(ctx, answerTime)
		mount := r.mounts[rand.N(len(r.mounts))]
		_, err := mount.Write(attempt, "tokens/"+name+"/rotate", map[string]any{"auth_token": value, "cas": o.version})
		if err != nil {
			secret, readErr := ask(attempt, mount, "creds/"+name)
			if readErr == nil && authToken(secret.Data) == value {
				err = nil
			}
		}
		cancel()
		if err == nil {
			o.version++
			return
		}
		time.Sleep(100 * time.Millisecond) // a person who tries again
	}
}
