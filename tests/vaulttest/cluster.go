//go:build unix

package vaulttest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// clusterSize is the smallest cluster that survives the loss of a node.
const clusterSize = 3

// Cluster is three servers with integrated storage, each with its own data, log and audit log. The plugin is registered.
type Cluster struct {
	// Nodes are the servers. One of them is active; the others forward to it.
	Nodes   []*Server
	network *network
}

// place is where a server is in its cluster. The zero place is that of a server alone.
type place struct {
	cluster *Cluster
	number  int
	// joined says that others may be active in its place.
	joined bool
	// namespace is where the process runs.
	namespace namespace
}

// nodeAddress is the loopback address that a node's calls come from where the cluster can be partitioned.
func nodeAddress(node int) string { return fmt.Sprintf("127.0.0.%d", node+2) }

// StartCluster starts a cluster for this test alone. Where the machine allows it, each node runs in a network namespace.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{}
	t.Cleanup(c.stop)
	built, err := plugin() // its time does not count below
	if err != nil {
		Fatalf(t, "starting a cluster: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience) // for three nodes
	defer cancel()
	if err := c.start(ctx, built); err != nil {
		Fatalf(t, "starting a cluster: %v", err)
	}
	return c
}

func (c *Cluster) start(ctx context.Context, built Plugin) (err error) {
	if c.network, err = newNetwork(clusterSize); err != nil {
		return err
	}
	for number := range clusterSize {
		dir, err := newDir("vault")
		if err != nil {
			return err
		}
		s := &Server{dir: dir, kind: kind{storage: onDisk}, AuditLog: filepath.Join(dir, "audit.log"), place: place{cluster: c, number: number}}
		if c.network != nil {
			s.place.namespace = c.network.namespace(number)
		}
		watchForLeaks([]string{s.logFile()}, []string{s.AuditLog})
		if err := s.launchOnFreePort(); err != nil {
			return err
		}
		c.Nodes = append(c.Nodes, s)
		if number == 0 {
			err = s.found(ctx)
		} else {
			err = s.join(ctx, c.Nodes[0])
		}
		if err != nil {
			return fmt.Errorf("node %d: %w", number, err)
		}
	}
	if err := await("all nodes to have a vote", func() bool { return c.voters(ctx) == clusterSize }); err != nil {
		return err
	}
	return c.Nodes[0].prepare(ctx, built)
}

// found makes the server the first of its cluster.
func (s *Server) found(ctx context.Context) error {
	if err := s.initialise(ctx); err != nil {
		return err
	}
	_, err := s.Client.Logical().WriteWithContext(ctx, "sys/storage/raft/autopilot/configuration", map[string]any{
		"server_stabilization_time": "1s", // a node gets its vote after it; the default is meant for larger data
	})
	return err
}

func (s *Server) join(ctx context.Context, first *Server) error {
	address := first.Address
	if w := s.place.cluster.network; w != nil {
		_, port, _ := hostAndPort(first.Address)
		address = "http://" + w.host(first.place.number) + ":" + port
	}
	if _, err := s.Client.Sys().RaftJoinWithContext(ctx, &api.RaftJoinRequest{LeaderAPIAddr: address}); err != nil {
		return fmt.Errorf("joining the cluster: %w", err)
	}
	s.unsealKey, s.Token, s.place.joined, first.place.joined = first.unsealKey, first.Token, true, true
	s.Client.SetToken(s.Token)
	return s.unseal(ctx)
}

func (c *Cluster) voters(ctx context.Context) int {
	secret, err := c.Nodes[0].Client.Logical().ReadWithContext(ctx, "sys/storage/raft/configuration")
	if err != nil || secret == nil {
		return 0
	}
	config, _ := secret.Data["config"].(map[string]any)
	servers, _ := config["servers"].([]any)
	voters := 0
	for _, server := range servers {
		if fields, _ := server.(map[string]any); fields["voter"] == true {
			voters++
		}
	}
	return voters
}

// stop stops all nodes at once, those too that are paused.
func (c *Cluster) stop() {
	for _, s := range c.Nodes {
		_ = syscall.Kill(-s.process.cmd.Process.Pid, syscall.SIGKILL) // whatever they still had to say, nobody listens
	}
	for _, s := range c.Nodes {
		s.process.stop()
	}
	if c.network != nil {
		c.network.close()
	}
}

// Active returns the one of some nodes that says it is active, and nil while there is none, or more than one: a node that was
// cut off needs a moment to notice.
func (c *Cluster) Active(ctx context.Context, nodes ...*Server) (active *Server) {
	for _, s := range nodes {
		health, err := s.Client.Sys().HealthWithContext(ctx)
		if err != nil || health.Sealed || health.Standby {
			continue
		}
		if active != nil {
			return nil
		}
		active = s
	}
	return active
}

// Others are the nodes but one.
func (c *Cluster) Others(but *Server) []*Server {
	return slices.DeleteFunc(slices.Clone(c.Nodes), func(s *Server) bool { return s == but })
}

// Admit makes servers of this test, named by their URLs on loopback addresses, reachable from the nodes.
func (c *Cluster) Admit(t testing.TB, urls ...string) {
	t.Helper()
	if c.network == nil {
		return
	}
	for _, address := range urls {
		parsed, err := url.Parse(address)
		for number := range c.Nodes {
			err = errors.Join(err, c.network.admit(number, parsed.Host))
		}
		if err != nil {
			Fatalf(t, "admitting %s: %v", address, err)
		}
	}
}

// Partitions says whether Partition takes a node's network. Else it is as good as Pause.
func (c *Cluster) Partitions() bool { return c.network != nil }

// Partition cuts a node off from the others. Everybody else still reaches it, and it reaches the providers: it has to find
// out by itself that it may not act for the cluster any more.
func (c *Cluster) Partition(t testing.TB, s *Server) {
	t.Helper()
	if c.network == nil {
		s.Pause(t)
		return
	}
	if err := c.network.unplug(s.place.number); err != nil {
		Fatalf(t, "%v", err)
	}
}

// Heal ends a Partition.
func (c *Cluster) Heal(t testing.TB, s *Server) {
	t.Helper()
	if c.network == nil {
		s.Resume(t)
		return
	}
	if err := c.network.plug(s.place.number); err != nil {
		Fatalf(t, "%v", err)
	}
}

// CallsFrom reports whether a call that came from an address is this node's. It cannot be told unless the cluster Partitions.
func (s *Server) CallsFrom(address string) bool {
	host, _, err := hostAndPort("http://" + address)
	return err == nil && host == nodeAddress(s.place.number)
}

func hostAndPort(address string) (host, port string, err error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return "", "", err
	}
	return parsed.Hostname(), parsed.Port(), nil
}

// StepDown has an active node hand over.
func (s *Server) StepDown(t testing.TB) {
	t.Helper()
	if err := s.Client.Sys().StepDownWithContext(t.Context()); err != nil {
		Fatalf(t, "stepping down: %v", err)
	}
}

// Pause stops the server's process and its plugins in the middle of whatever they do.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGSTOP)
}

// Resume ends a Pause.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGCONT)
}

// Logged returns the times at which Vault has logged some words.
func (s *Server) Logged(t testing.TB, words string) (times []time.Time) {
	t.Helper()
	err := eachLine(s.logFile(), func(line string) {
		if !strings.Contains(line, words) {
			return
		}
		stamp, _, _ := strings.Cut(line, " ")
		if at, err := time.Parse(time.RFC3339, stamp); err == nil {
			times = append(times, at)
		}
	})
	if err != nil {
		Fatalf(t, "%v", err)
	}
	return times
}

func (s *Server) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(-s.process.cmd.Process.Pid, signal); err != nil {
		Fatalf(t, "sending Vault a signal (%v): %v", signal, err)
	}
}

// On returns the mount as those meet it who ask another node of the cluster. Its client lives on when the node is started
// anew.
func (m *Mount) On(t testing.TB, s *Server) *Mount {
	t.Helper()
	return (&Mount{Server: s, Path: m.Path}).As(t, s.Token)
}
