//go:build linux

package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// soakTime says for how long the engine is soaked: a Go duration.
const soakTime = "ADTOKENS_SOAK_TIME"

// warmUp is for how long it works before it is looked at for the first time, so that everything has happened that takes
// memory once.
const warmUp = 5 * time.Second

// TestASoakLeavesNothingBehind rotates tokens of every kind all the time, while providers fail, apps read, and tokens,
// accounts and mounts come and go. Before and after, all come to rest: then the plugin may hold no more than it did. All
// numbers are those of one process each of Vault and of the plugin, so none is killed, and Vault is not sealed.
func TestASoakLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	lasting, err := time.ParseDuration(cmp.Or(os.Getenv(soakTime), "10s"))
	if err != nil {
		t.Fatalf("%s has to be a duration such as 10m: %v", soakTime, err)
	}
	s := newSoak(t)
	defer func() { t.Log("\n" + s.table()) }()
	s.work(t, warmUp)
	before := s.rest(t)
	s.work(t, lasting)
	after := s.rest(t)
	t.Logf("%s of rotations, faults and reads; %d tokens and accounts and %d mounts have come and gone\n%s\n%s",
		lasting, s.gone, s.mountsGone, s.rotations(t), s.readings(t))
	if s.onePlugin(t) != s.plugin {
		t.Error("the plugin was started again, so the numbers say nothing")
	}
	if err := s.calls.resetTwice(); err != "" {
		t.Error(err)
	}
	s.flat(t, before, after)
}

// soak is one server under load.
type soak struct {
	*trial
	*vaulttest.Mount
	uuid string
	// plugin is the id of its process.
	plugin  int
	began   time.Time
	samples []sample
	// gone counts the tokens that were made and deleted, each with its account.
	gone, mountsGone int
	// failed is why no more of them come and go.
	failed error
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	server := vaulttest.StartOpenRaft(t)
	s := &soak{trial: &trial{sim: vaulttest.StartSimulator(t)}, Mount: server.Mount(t)}
	s.mounts, s.calls = []*vaulttest.Mount{s.Mount}, newCallLog(t, s.sim)
	s.importTokens(t)
	s.hangUp(t)
	s.write(t, "tokens/hook-ro", map[string]any{"lease_ttl": "2s"})
	mounts := get(s.Server.Client.Sys().ListMountsWithContext(t.Context()))(t)
	s.uuid, s.plugin, s.began = mounts[s.Path+"/"].UUID, s.onePlugin(t), time.Now()
	return s
}

// onePlugin returns the id of the plugin's process.
func (s *soak) onePlugin(t *testing.T) int {
	t.Helper()
	processes := s.PluginProcesses(t)
	if len(processes) != 1 {
		t.Fatalf("%d plugin processes run", len(processes))
	}
	return processes[0]
}

// hangUp configures all accounts anew, which closes the connections that the engine keeps for their next requests. An
// answer that does not come is not waited for long.
func (s *soak) hangUp(t *testing.T) {
	t.Helper()
	for _, token := range s.tokens {
		s.write(t, "config/"+token.name, map[string]any{"request_timeout": "2s", "reset_hook_timeout": "2s"})
	}
}

// work has everybody work for a while.
func (s *soak) work(t *testing.T, lasting time.Duration) {
	t.Helper()
	for _, token := range s.tokens {
		s.write(t, "tokens/"+token.name, map[string]any{"disable_automated_rotation": false})
	}
	stopUsers := s.use(t)
	ctx, cancel := context.WithCancel(t.Context())
	var others sync.WaitGroup
	for _, work := range []func(context.Context, *testing.T){s.comeAndGo, s.lookAround, s.breakProviders} {
		others.Go(func() { work(ctx, t) })
	}
	stop := sync.OnceFunc(func() { cancel(); others.Wait(); stopUsers() })
	t.Cleanup(stop)
	interval := time.NewTicker(max(lasting/10, 3*time.Second))
	defer interval.Stop()
	for end := time.After(lasting); ; {
		s.mountAndUnmount(t)
		s.samples = append(s.samples, s.look(t, "at work"))
		select {
		case <-end:
			stop()
			must(t, s.failed)
			return
		case <-interval.C:
		}
	}
}

// breakProviders has each of the services fail in all ways, one after the other and not for long.
func (s *soak) breakProviders(ctx context.Context, t *testing.T) {
	services := []simulator.Service{simulator.Impact, simulator.GoogleToken, simulator.GoogleAds, simulator.GoogleIAM, simulator.ResetHook}
	kinds := slices.DeleteFunc(slices.Collect(maps.Values(faults)), func(f fault) bool { return f.certificate != "" })
	for ctx.Err() == nil {
		f := kinds[rand.N(len(kinds))].Fault
		f.Service, f.Location = services[rand.N(len(services))], "https://thief.example"
		if f.Service == simulator.ResetHook {
			s.calls.hook.Break(&f)
		} else if err := s.sim.InjectFault(ctx, f); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		pause(ctx, time.Second)
		s.calls.hook.Break(nil)
		if err := s.sim.ClearFaults(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
		pause(ctx, 500*time.Millisecond)
	}
}

// lookAround reads what there is besides credentials, and rotates by hand what rotates by itself, too. Some of that fails
// while providers do, and some hangs up.
func (s *soak) lookAround(ctx context.Context, _ *testing.T) {
	for ctx.Err() == nil {
		for _, path := range []string{"status", "metrics", "access-token/key-one", "tokens/key-two/history", "tokens/by-hand/rotate"} {
			s.tryFor(ctx, time.Second, func(ctx context.Context) error {
				return second(s.Client.Logical().ReadRawWithContext(ctx, s.Path+"/"+path))
			})
		}
		for _, name := range []string{"key-one", "hook-rw"} {
			s.tryFor(ctx, 500*time.Millisecond, func(ctx context.Context) error { return second(s.Write(ctx, "tokens/"+name+"/rotate", nil)) })
		}
	}
}

// tryFor does something that need not succeed, and hangs up after a while.
func (s *soak) tryFor(ctx context.Context, patience time.Duration, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_ = do(ctx) // what has to work is looked at elsewhere
}

// comeAndGo makes accounts and tokens, uses them, and deletes them, under names that do not come again.
func (s *soak) comeAndGo(ctx context.Context, _ *testing.T) {
	for ctx.Err() == nil {
		name := fmt.Sprintf("gone-%d", s.gone)
		order := s.orderScoped
		if s.gone%2 == 1 {
			order = s.orderKey
		}
		account, token, err := order(context.WithoutCancel(ctx), name)
		if err == nil {
			token["account"], token["verify"], token["rotation_period"], token["lease_ttl"] = name, false, "1s", "1s"
			err = s.passThrough(context.WithoutCancel(ctx), name, account, token)
		}
		if err != nil {
			s.failed = fmt.Errorf("%s: %w", name, err)
			return
		}
		s.gone++
	}
}

func (s *soak) orderScoped(ctx context.Context, name string) (account, token map[string]any, err error) {
	made, err := s.sim.CreateScopedToken(ctx, simulator.ScopedTokenInput{ScopedTokenName: simulator.ScopedTokenName{Account: "agency", Name: name}})
	account = map[string]any{
		"provider": "impact", "account_type": "agency", "base_url": s.sim.ImpactURL, "request_timeout": "2s",
		"reset_hook_url": s.calls.url + "/reset", "reset_hook_secret": s.calls.secret, "reset_hook_timeout": "2s",
	}
	return account, map[string]any{"type": "scoped", "account_sid": made.AccountSID, "auth_token": made.AuthToken}, err
}

func (s *soak) orderKey(ctx context.Context, name string) (account, token map[string]any, err error) {
	file, err := s.sim.CreateServiceAccount(ctx, name)
	account = map[string]any{
		"provider": "google_ads", "base_url": s.sim.GoogleURL, "token_url": s.sim.GoogleURL + "/token", "iam_url": s.calls.url, "request_timeout": "2s",
	}
	return account, map[string]any{"type": "service_account_key", "service_account_key": string(file), "rotation_grace_period": "1s"}, err
}

// passThrough is the life of a token, and of its account. It is deleted while it is being used. Nobody hangs up who may get a
// lease: Vault keeps the entry of a lease whose reader hangs up while it is written.
func (s *soak) passThrough(ctx context.Context, name string, account, token map[string]any) error {
	_, accountErr := s.Write(ctx, "config/"+name, account)
	_, tokenErr := s.Write(ctx, "tokens/"+name, token)
	if err := errors.Join(accountErr, tokenErr); err != nil {
		return err
	}
	var users sync.WaitGroup
	for _, use := range []func(context.Context) error{
		func(ctx context.Context) error { return second(s.Read(context.WithoutCancel(ctx), "creds/"+name)) },
		func(ctx context.Context) error { return second(s.Read(ctx, "access-token/"+name)) },
		func(ctx context.Context) error { return second(s.Write(ctx, "tokens/"+name+"/verify", nil)) },
		func(ctx context.Context) error { return second(s.Write(ctx, "tokens/"+name+"/rotate", nil)) },
	} {
		users.Go(func() { s.tryFor(ctx, time.Duration(1+rand.N(1000))*time.Millisecond, use) })
	}
	defer users.Wait()
	pause(ctx, time.Duration(rand.N(1000))*time.Millisecond)
	// An old value that cannot be retired now is forgotten.
	forced := map[string][]string{"force": {"true"}}
	_, tokenErr = s.Client.Logical().DeleteWithDataWithContext(ctx, s.Path+"/tokens/"+name, forced)
	_, accountErr = s.Delete(ctx, "config/"+name)
	return errors.Join(tokenErr, accountErr)
}

// mountAndUnmount uses a mount of its own in the same process, whose background work has to end with it.
func (s *soak) mountAndUnmount(t *testing.T) {
	t.Helper()
	mount := s.Server.Mount(t)
	account, token, err := s.orderScoped(t.Context(), mount.Path)
	must(t, err)
	token["account"], token["rotation_period"], token["verify"] = "agency", "1s", false
	get(mount.Write(t.Context(), "config/agency", account))(t)
	get(mount.Write(t.Context(), "tokens/short", token))(t)
	s.tryFor(t.Context(), time.Second, func(ctx context.Context) error { return second(mount.Write(ctx, "tokens/short/rotate", nil)) })
	must(t, s.Server.Client.Sys().UnmountWithContext(t.Context(), mount.Path))
	s.mountsGone++
}

// rest lets everything come to an end, and looks at what is left.
func (s *soak) rest(t *testing.T) sample {
	t.Helper()
	s.settle(t)
	s.hangUp(t)
	for _, token := range s.tokens {
		get(s.Read(t.Context(), "creds/"+token.name))(t)
	}
	vaulttest.Await(t, "the leases to end", func() bool { return len(s.StorageKeys(t, "sys/expire/id/"+s.Path+"/")) == 0 })
	least := s.look(t, "at rest")
	// What the collector has not seen yet is no leak. Looking makes it run.
	collected := []int{least.heap}
	vaulttest.Await(t, "some collections of garbage", func() bool {
		for range 20 {
			now := s.process(t)
			if now.heap != collected[len(collected)-1] {
				collected = append(collected, now.heap)
			}
			least.goroutines, least.files, least.resident = min(least.goroutines, now.goroutines), min(least.files, now.files), now.resident
		}
		return len(collected) >= 6
	})
	least.heap = slices.Min(collected[2:]) // the first collection may have begun before
	s.samples = append(s.samples, least)
	return least
}

// process are numbers of the plugin's process, which its metrics tell.
type process struct {
	goroutines, files, heap, resident int
	// entries are those of its caches and plans.
	entries map[string]int
}

var metric = regexp.MustCompile(`(?m)^(adtokens_\S+) (\S+)$`)

func (s *soak) process(t *testing.T) process {
	t.Helper()
	response := get(s.Client.Logical().ReadRawWithContext(t.Context(), s.Path+"/metrics"))(t)
	defer response.Body.Close()
	numbers, entries := map[string]int{}, map[string]int{}
	for _, found := range metric.FindAllStringSubmatch(string(get(io.ReadAll(response.Body))(t)), -1) {
		numbers[found[1]] = int(get(strconv.ParseFloat(found[2], 64))(t))
		if name, cached := strings.CutPrefix(found[1], "adtokens_cache_entries"); cached {
			entries[strings.Trim(name, `{}`)] = numbers[found[1]]
		}
	}
	return process{
		goroutines: numbers["adtokens_go_goroutines"], files: numbers["adtokens_process_open_fds"],
		heap: numbers["adtokens_go_gc_heap_live_bytes"], resident: numbers["adtokens_process_resident_memory_bytes"],
		entries: entries,
	}
}

// sample is what there is at one time.
type sample struct {
	process
	when string
	at   time.Duration
	// stored are the keys of the mount's storage entries. Others are counted: those of all mounts, and of leases.
	stored              []string
	allStored, leases   int
	vaultFiles          int
	vaultResident       int
	versions, readsDone int
}

func (s *soak) look(t *testing.T, when string) sample {
	t.Helper()
	now := sample{process: s.process(t), when: when, at: time.Since(s.began)}
	now.stored = s.StorageKeys(t, "logical/"+s.uuid+"/")
	now.allStored, now.leases = len(s.StorageKeys(t, "logical/")), len(s.StorageKeys(t, "sys/expire/id/"))
	proc := filepath.Join("/proc", strconv.Itoa(s.PID()))
	now.vaultFiles = len(get(os.ReadDir(filepath.Join(proc, "fd")))(t))
	statm := strings.Fields(string(get(os.ReadFile(filepath.Join(proc, "statm")))(t)))
	now.vaultResident = get(strconv.Atoi(statm[1]))(t) * os.Getpagesize()
	for _, token := range s.tokens {
		token.mu.Lock()
		now.versions += token.latest
		token.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now.readsDone = len(s.reads)
	return now
}

func (s *soak) table() string {
	return tabulate(func(w *tabwriter.Writer) {
		fmt.Fprintln(w, "after\t\tversions\treads\tgoroutines\tfiles\tlive heap\tmemory\tstorage entries\tof all mounts\tleases\tVault: files\tmemory")
		for _, x := range s.samples {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%d\t%d\t%d\t%d\t%s\n", x.at.Round(time.Second), x.when, x.versions, x.readsDone,
				x.goroutines, x.files, mib(x.heap), mib(x.resident), len(x.stored), x.allStored, x.leases, x.vaultFiles, mib(x.vaultResident))
		}
	})
}

func mib(bytes int) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// heapNoise is what asking for the live heap may add to it: whatever is allocated during a collection counts as live, and on a
// busy machine that takes a while. A hundred versions of history are far less.
const heapNoise = 4 << 20

// flat fails the test if more is left after the work than there was before.
func (s *soak) flat(t *testing.T, before, after sample) {
	t.Helper()
	expected := []string{"salt"}
	for _, token := range s.tokens {
		expected = append(expected, "config/"+token.name, "token/"+token.name, "account-token/"+token.name+"/"+token.name, "readers/"+token.name)
	}
	slices.Sort(expected)
	slices.Sort(after.stored)
	if !slices.Equal(after.stored, expected) {
		t.Errorf("the mount's storage entries are %q, want %q", after.stored, expected)
	}
	verdict := "flat"
	for _, n := range []struct {
		what               string
		before, after, and int
	}{
		{"goroutines", before.goroutines, after.goroutines, 5},
		{"open files", before.files, after.files, 5},
		{"tokens in memory", len(s.tokens), after.entries[`cache="tokens"`], 0},
		{"accounts in memory", len(s.tokens), after.entries[`cache="accounts"`], 0},
		{"access tokens in memory", len(s.tokens), after.entries[`cache="access_tokens"`], 0},
		{"accounts with rate limits", len(s.tokens), after.entries[`cache="rate_limits"`], 0},
		{"planned jobs", 2 * len(s.tokens), after.entries[`cache="planned_work"`], 0},
		{"bytes of live heap", before.heap, after.heap, heapNoise},
		{"bytes of resident memory", before.resident, after.resident, before.resident/2 + 16<<20},
		{"storage entries of all mounts", before.allStored, after.allStored, 0},
		{"leases", before.leases, after.leases, 0},
		{"files that Vault has open", before.vaultFiles, after.vaultFiles, 10},
	} {
		if n.after > n.before+n.and {
			verdict = "not flat"
			t.Errorf("%s: %d before and %d after", n.what, n.before, n.after)
		}
	}
	t.Logf("%s: goroutines %d → %d, files %d → %d, live heap %s → %s, storage entries %d → %d", verdict, before.goroutines, after.goroutines,
		before.files, after.files, mib(before.heap), mib(after.heap), len(before.stored), len(after.stored))
}
