//go:build unix

package vaulttest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/vault/api"
)

// Server is a Vault server process. The plugin is registered, and a file audit device enabled.
type Server struct {
	// Address is the API's base URL.
	Address string
	// Token is the root token.
	Token string
	// Client has the root token, and repeats no request by itself.
	Client *api.Client
	// AuditLog is the path of the audit device's file.
	AuditLog string

	// dir holds the server's configuration, data and logs.
	dir string
	kind
	place   place
	process *process
	// unsealKey is empty for a dev server.
	unsealKey string
	mounts    atomic.Int64
}

// kind is what differs between servers.
type kind struct {
	storage storage
	// logLevel is the server's; empty for trace.
	logLevel string
	// rawStorage lets root look at what is stored, decrypted.
	rawStorage bool
}

// storage is where a server keeps its data.
type storage string

const (
	inMemory storage = "inmem" // a dev server
	onDisk   storage = "raft"
)

var shared = sync.OnceValues(func() (*Server, error) { return startServer(kind{storage: inMemory}) })

// Shared returns the dev server that the tests of this process have in common. It is started by the first of them and
// runs until Main ends: a test may not stop it, nor kill its plugin.
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	if err != nil {
		Fatalf(t, "%v", err)
	}
	return s
}

// StartDev starts a dev server for this test alone.
func StartDev(t testing.TB) *Server {
	t.Helper()
	return startFor(t, kind{storage: inMemory})
}

// StartRaft starts a server with integrated storage for this test alone: initialised, unsealed, and able to be sealed
// and started anew.
func StartRaft(t testing.TB) *Server {
	t.Helper()
	return startFor(t, kind{storage: onDisk})
}

// StartQuietRaft starts such a server that logs what Vault logs by itself, for measurements: writing a trace costs time.
func StartQuietRaft(t testing.TB) *Server {
	t.Helper()
	return startFor(t, kind{storage: onDisk, logLevel: "info"})
}

// StartOpenRaft starts such a server whose root may look at what is stored: see StorageKeys.
func StartOpenRaft(t testing.TB) *Server {
	t.Helper()
	return startFor(t, kind{storage: onDisk, rawStorage: true})
}

func startFor(t testing.TB, k kind) *Server {
	t.Helper()
	s, err := startServer(k)
	if err != nil {
		Fatalf(t, "%v", err)
	}
	t.Cleanup(func() { s.process.stop() })
	return s
}

func startServer(k kind) (*Server, error) {
	built, err := plugin()
	if err != nil {
		return nil, err
	}
	dir, err := newDir("vault")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, kind: k, AuditLog: filepath.Join(dir, "audit.log")}
	watchForLeaks([]string{s.logFile()}, []string{s.AuditLog})
	if err := s.launchOnFreePort(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if k.storage == onDisk {
		if err := s.initialise(ctx); err != nil {
			return nil, err
		}
	}
	return s, s.prepare(ctx, built)
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "vault.log") }

// errPortTaken means that somebody else got the port first.
var errPortTaken = errors.New("address already in use")

// launchOnFreePort tries again when another process takes the port between its choice and its use.
func (s *Server) launchOnFreePort() error {
	if s.storage == inMemory {
		s.Token = rand.Text()
	}
	for attempts := 5; ; attempts-- {
		api, cluster, err := freePorts()
		if err != nil {
			return err
		}
		s.Address = "http://127.0.0.1:" + api
		if err := s.writeConfig(api, cluster); err != nil {
			return err
		}
		if err = s.publish(api); err == nil {
			err = s.launch()
		}
		if !errors.Is(err, errPortTaken) || attempts == 0 {
			return err
		}
	}
}

// publish makes the API reachable at Address where the server is in another network.
func (s *Server) publish(port string) error {
	if s.place.cluster == nil || s.place.cluster.network == nil {
		return nil
	}
	return s.place.cluster.network.publish(s.place.number, port)
}

// host is the address that the server listens at.
func (s *Server) host() string {
	if s.place.cluster == nil || s.place.cluster.network == nil {
		return "127.0.0.1"
	}
	return s.place.cluster.network.host(s.place.number)
}

// patienceOfPeers is for how long the nodes of a cluster wait for each other, in seconds: long enough for a busy machine. A
// server alone becomes active all the sooner.
func (s *Server) patienceOfPeers() int {
	if s.place.cluster == nil {
		return 1
	}
	return 2
}

// freePorts returns two ports that are free now. They are outside of the range that the system gives ports of, so that nobody who asks it
// for one gets them before they are used.
func freePorts() (string, string, error) {
	const from, to, attempts = 12_000, 32_000, 100
	var ports []string
	for range attempts {
		port := strconv.Itoa(from + mathrand.IntN(to-from))
		listener, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		defer listener.Close() // after both are chosen, so that they differ
		if ports = append(ports, port); len(ports) == 2 {
			return ports[0], ports[1], nil
		}
	}
	return "", "", fmt.Errorf("there is no free port between %d and %d", from, to)
}

// FreeAddress is a loopback address that nobody listens at, for a process that is going to.
func FreeAddress(t testing.TB) string {
	t.Helper()
	port, _, err := freePorts()
	if err != nil {
		Fatalf(t, "%v", err)
	}
	return "127.0.0.1:" + port
}

func (s *Server) writeConfig(apiPort, clusterPort string) error {
	config := fmt.Sprintf("plugin_directory = %q\ndisable_mlock = true\nraw_storage_endpoint = %t\n", filepath.Join(run.dir, binDir), s.rawStorage)
	if s.storage == onDisk {
		data := filepath.Join(s.dir, "data")
		if err := os.MkdirAll(data, 0o700); err != nil {
			return fmt.Errorf("making the data directory: %w", err)
		}
		config += fmt.Sprintf(`
api_addr     = "http://127.0.0.1:%[1]s"
cluster_addr = "https://%[4]s:%[2]s"

listener "tcp" {
  address         = "%[4]s:%[1]s"
  cluster_address = "%[4]s:%[2]s"
  tls_disable     = true
}

storage "raft" {
  path                   = %[3]q
  node_id                = "node-%[5]d"
  performance_multiplier = %[6]d
}
`, apiPort, clusterPort, data, s.host(), s.place.number, s.patienceOfPeers())
	}
	if err := os.WriteFile(s.configFile(), []byte(config), 0o600); err != nil {
		return fmt.Errorf("writing Vault's configuration: %w", err)
	}
	return nil
}

func (s *Server) configFile() string { return filepath.Join(s.dir, "vault.hcl") }

// rootTokenVariable tells a dev server its root token, which in an argument list would be for everybody on the machine.
const rootTokenVariable = "VAULT_DEV_ROOT_TOKEN_ID="

// launch starts the process and waits until its API answers.
func (s *Server) launch() error {
	vault, err := vaultCommand()
	if err != nil {
		return err
	}
	args := []string{"server", "-config=" + s.configFile(), "-log-level=" + cmp.Or(s.logLevel, "trace")}
	if s.storage == inMemory {
		args = append(args, "-dev", "-dev-no-store-token", "-dev-listen-address="+strings.TrimPrefix(s.Address, "http://"))
	}
	cmd := exec.Command(vault, args...)
	cmd.Env = append(cmd.Env, rootTokenVariable+s.Token)
	cmd.Dir = s.dir
	if s.process, err = startIn(s.place.namespace, cmd, s.logFile()); err != nil {
		return err
	}
	if s.Client, err = s.newClient(s.Token); err != nil {
		return err
	}
	if err := await("Vault to answer", func() bool { return s.answers() || !s.process.running() }); err != nil {
		return err
	}
	if !s.process.running() {
		return s.whyItEnded()
	}
	return nil
}

// answers reports whether this server's API answers, and not that of a server which has taken the port: only the own dev
// server knows the token, and only the own new server has empty storage.
func (s *Server) answers() bool {
	if s.storage == inMemory {
		_, err := s.Client.Auth().Token().LookupSelf()
		return err == nil
	}
	status, err := s.Client.Sys().SealStatus()
	return err == nil && status.Initialized == (s.unsealKey != "")
}

func (s *Server) whyItEnded() error {
	log, err := os.ReadFile(s.logFile())
	if err != nil {
		return fmt.Errorf("Vault has ended, and its log cannot be read: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	last := strings.Join(lines[max(0, len(lines)-10):], "\n")
	if strings.Contains(last, "address already in use") {
		return errPortTaken
	}
	return fmt.Errorf("Vault has ended: %s", last)
}

func (s *Server) newClient(token string) (*api.Client, error) {
	config := api.DefaultConfig()
	if config.Error != nil {
		return nil, fmt.Errorf("configuring a client: %w", config.Error)
	}
	config.Address = s.Address
	config.MaxRetries = 0 // a test wants to see every answer
	client, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	config.HttpClient.Transport = lastingConnections{config.HttpClient.Transport} // it is the client's, which wants its type only while it is made
	client.SetToken(token)
	return client, nil
}

// lastingConnections are not closed when a request fails. Vault's client does that, and a request that has just been given such
// a connection fails as well, although Vault has nothing to do with it.
type lastingConnections struct{ http.RoundTripper }

func (s *Server) initialise(ctx context.Context) error {
	keys, err := s.Client.Sys().InitWithContext(ctx, &api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		return fmt.Errorf("initialising Vault: %w", err)
	}
	s.unsealKey, s.Token = keys.KeysB64[0], keys.RootToken
	s.Client.SetToken(s.Token)
	return s.unseal(ctx)
}

func (s *Server) unseal(ctx context.Context) error {
	if _, err := s.Client.Sys().UnsealWithContext(ctx, s.unsealKey); err != nil {
		return fmt.Errorf("unsealing Vault: %w", err)
	}
	return await("Vault to become active, or a standby of its cluster", func() bool {
		health, err := s.Client.Sys().HealthWithContext(ctx)
		return err == nil && !health.Sealed && (!health.Standby || s.place.joined)
	})
}

// prepare does what an operator does once.
func (s *Server) prepare(ctx context.Context, built Plugin) error {
	if err := s.register(ctx, PluginName, built); err != nil {
		return err
	}
	if err := s.Client.Sys().EnableAuditWithOptionsWithContext(ctx, "file", &api.EnableAuditOptions{
		Type: "file", Options: map[string]string{"file_path": filepath.Base(s.AuditLog)}, // in the directory of each node
	}); err != nil {
		return fmt.Errorf("enabling the audit device: %w", err)
	}
	return nil
}

// register puts a binary of binDir into the server's catalog. Its processes get the environment, as NAME=value.
func (s *Server) register(ctx context.Context, name string, built Plugin, environment ...string) error {
	if err := s.Client.Sys().RegisterPluginWithContext(ctx, &api.RegisterPluginInput{
		Name: name, Type: api.PluginTypeSecrets, Command: built.command, SHA256: built.sha256, Version: built.version, Env: environment,
	}); err != nil {
		return fmt.Errorf("registering the plugin %s: %w", name, err)
	}
	return nil
}

// RegisterPlugin builds another plugin, as BuildProgram does, and puts it into the server's catalog.
func (s *Server) RegisterPlugin(t testing.TB, dir, name string) {
	t.Helper()
	sum, err := checksum(BuildProgram(t, dir, name))
	if err == nil {
		err = s.register(t.Context(), name, Plugin{command: name, sha256: sum})
	}
	if err != nil {
		Fatalf(t, "%v", err)
	}
}

// Replace has mounts that are made from now on run another build of the plugin, with an environment as NAME=value.
func (s *Server) Replace(t testing.TB, built Plugin, environment ...string) {
	t.Helper()
	if err := s.register(t.Context(), PluginName, built, environment...); err != nil {
		Fatalf(t, "%v", err)
	}
}

// SetPluginEnvironment has mounts that are made from now on run the plugin with an environment as NAME=value.
func (s *Server) SetPluginEnvironment(t testing.TB, environment ...string) {
	t.Helper()
	built, err := plugin()
	if err != nil {
		Fatalf(t, "%v", err)
	}
	s.Replace(t, built, environment...)
}

// PID is the id of the server's process.
func (s *Server) PID() int { return s.process.cmd.Process.Pid }

// Seal seals the server, and Unseal unseals it. They are for servers of StartRaft.
func (s *Server) Seal(t testing.TB) {
	t.Helper()
	if err := s.Client.Sys().SealWithContext(t.Context()); err != nil {
		Fatalf(t, "sealing Vault: %v", err)
	}
}

// Unseal unseals the server and waits until it is active.
func (s *Server) Unseal(t testing.TB) {
	t.Helper()
	if err := s.unseal(t.Context()); err != nil {
		Fatalf(t, "%v", err)
	}
}

// StorageKeys lists the keys of all entries below a prefix, which ends with a slash, without it. It is for servers of
// StartOpenRaft.
func (s *Server) StorageKeys(t testing.TB, prefix string) []string {
	t.Helper()
	list, err := s.Client.Logical().ListWithContext(t.Context(), "sys/raw/"+prefix)
	if err != nil {
		Fatalf(t, "listing %s in storage: %v", prefix, err)
	}
	if list == nil {
		return nil
	}
	names, _ := list.Data["keys"].([]any)
	var keys []string
	for _, each := range names {
		name := fmt.Sprint(each)
		if !strings.HasSuffix(name, "/") {
			keys = append(keys, name)
			continue
		}
		for _, below := range s.StorageKeys(t, prefix+name) {
			keys = append(keys, name+below)
		}
	}
	return keys
}

// Restart stops the server's process, starts another one on the same data and unseals it. It is for servers of
// StartRaft.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.process.stop()
	if err := s.launch(); err != nil {
		Fatalf(t, "starting Vault again: %v", err)
	}
	s.Unseal(t)
}

// PluginProcesses returns the ids of the plugin processes that the server has started and that still run.
func (s *Server) PluginProcesses(t testing.TB) []int {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "ps", "-A", "-o", "pid=,ppid=,stat=").Output()
	if err != nil {
		Fatalf(t, "listing processes: %v", err)
	}
	var pids []int
	for line := range strings.Lines(string(output)) {
		var pid, parent int
		var state string
		if _, err := fmt.Sscan(line, &pid, &parent, &state); err != nil {
			Fatalf(t, "reading the output of ps: %v", err)
		}
		if parent == s.PID() && !strings.HasPrefix(state, "Z") {
			pids = append(pids, pid)
		}
	}
	return pids
}
