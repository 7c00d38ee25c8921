//go:build unix

// Package bench measures what users wait for.
package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// auditLog says how large a generated audit log is, and how much of it is about the engine.
type auditLog struct {
	bytes int64
	// share is how many of 100 requests read a credential.
	share int
}

// Of every benchmark of the audit tool; the environment changes them.
var benchmarkLog = auditLog{bytes: int64(fromEnvironment("ADTOKENS_AUDIT_MIB", 1024)) << 20, share: fromEnvironment("ADTOKENS_AUDIT_SHARE", 10)}

func fromEnvironment(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return otherwise
}

const (
	auditReaders  = 200
	auditTokens   = 20
	auditVersions = 5
)

// The entries are as Vault 1.21 writes them; $ stands for what is filled in. Each has a request's and a response's entry.
const (
	auditAuth = `{"auth":{"accessor":"hmac-sha256:$HASH","client_token":"hmac-sha256:$HASH","display_name":"$NAME",` +
		`"entity_id":"$ENTITY","policies":["app","default"],"policy_results":{"allowed":true,"granting_policies":[{"type":""},` +
		`{"name":"app","namespace_id":"root","type":"acl"}]},"token_policies":["app","default"],` +
		`"token_issue_time":"2026-11-01T00:00:00Z","token_ttl":2764800,"token_type":"service"},`
	auditRequest = `"request":{"client_id":"$ENTITY","client_token":"hmac-sha256:$HASH","client_token_accessor":"hmac-sha256:$HASH",` +
		`"headers":{"user-agent":["Go-http-client/1.1"]},"id":"$ID","mount_accessor":"$MOUNT_3262f8e1","mount_class":"secret",` +
		`"mount_is_external_plugin":true,"mount_point":"$MOUNT/","mount_running_sha256":"$HASH","mount_running_version":"v1.0.0",` +
		`"mount_type":"$MOUNT","namespace":{"id":"root"},"operation":"read","path":"$MOUNT/$PATH","remote_address":"$ADDRESS",` +
		`"remote_port":46454}`
	auditResponse = `,"response":{"data":{$DATA},"mount_accessor":"$MOUNT_3262f8e1","mount_class":"secret","mount_is_external_plugin":true,` +
		`"mount_point":"$MOUNT/","mount_running_plugin_version":"v1.0.0","mount_running_sha256":"$HASH","mount_type":"$MOUNT"}`
	auditEnd = `,"time":"$TIME","type":"$TYPE"}` + "\n"

	auditCredential = `"account_sid":"hmac-sha256:$HASH","account_url":"hmac-sha256:$HASH","auth_token":"hmac-sha256:$HASH",` +
		`"base_url":"hmac-sha256:$HASH","fingerprint":"$FINGERPRINT","last_vault_rotation":"hmac-sha256:$HASH","rotation_period":60,` +
		`"ttl":60,"version":$VERSION`
	auditOther = `"data":{"password":"hmac-sha256:$HASH","username":"hmac-sha256:$HASH"},"metadata":{"created_time":"hmac-sha256:$HASH",` +
		`"custom_metadata":null,"deletion_time":"hmac-sha256:$HASH","destroyed":false,"version":3}`
)

// write generates the log: the same one for the same size and share.
func (l auditLog) write(tb testing.TB) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "audit.log")
	file, err := os.Create(name)
	if err != nil {
		tb.Fatal(err)
	}
	out := bufio.NewWriterSize(file, 1<<20)
	random := rand.New(rand.NewPCG(1, 2))
	hash := func() string {
		return fmt.Sprintf("%016x%016x%016x%016x", random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64())
	}
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	var written int64
	for written < l.bytes {
		now = now.Add(time.Millisecond)
		reader := random.IntN(auditReaders)
		mount, path, data := "secret", fmt.Sprintf("data/team-%d/service-%d", random.IntN(50), random.IntN(400)), auditOther
		if random.IntN(100) < l.share {
			token, version := random.IntN(auditTokens), 1+int(written*auditVersions/l.bytes)
			mount, path = "adtokens", fmt.Sprintf("creds/token-%d", token)
			data = strings.NewReplacer("$VERSION", strconv.Itoa(version), "$FINGERPRINT", fmt.Sprintf("%08x%08x", token, version)).Replace(auditCredential)
		}
		fill := strings.NewReplacer(
			"$HASH", hash(), "$NAME", fmt.Sprintf("approle-%d", reader), "$ENTITY", fmt.Sprintf("8a8583bb-0a2d-11e3-0840-%012d", reader),
			"$ID", hash()[:36], "$MOUNT", mount, "$PATH", path, "$ADDRESS", fmt.Sprintf("10.0.%d.%d", reader/250, reader%250), "$DATA", data,
			"$TIME", now.Format("2006-01-02T15:04:05.000000000Z"),
		)
		for _, entry := range []string{
			auditAuth + auditRequest + strings.Replace(auditEnd, "$TYPE", "request", 1),
			auditAuth + auditRequest + strings.Replace(auditResponse, "$DATA", data, 1) + strings.Replace(auditEnd, "$TYPE", "response", 1),
		} {
			n, err := fill.WriteString(out, entry)
			if err != nil {
				tb.Fatal(err)
			}
			written += int64(n)
		}
	}
	if err := errors.Join(out.Flush(), file.Close()); err != nil {
		tb.Fatal(err)
	}
	return name
}

// exposure is who has read which version of which token.
type exposure struct {
	Token       string `json:"token"`
	Version     int    `json:"version"`
	EntityID    string `json:"entity_id"`
	DisplayName string `json:"display_name"`
}

// exposed is how often, when and from where.
type exposed struct {
	Addresses []string  `json:"addresses"`
	Reads     int       `json:"reads"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
}

// reads is the question in jq's language. It leaves the counting to the caller, for which jq takes many times longer.
const reads = `select(.type == "response" and .error == null and .request.operation == "read"
    and (.request.path | startswith("adtokens/creds/")) and .response.data.version != null)
  | [.request.path[15:], .response.data.version, .auth.entity_id, .auth.display_name, .request.remote_address, .time]`

// run returns what a command prints, and how long it took.
func run(tb testing.TB, name string, args ...string) ([]byte, time.Duration) {
	tb.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(tb.Context(), name, args...)
	cmd.Stderr = &stderr
	started := time.Now()
	stdout, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%s: %v\n%s", name, err, stderr.String())
	}
	return stdout, time.Since(started)
}

func askAuditTool(tb testing.TB, tool, log string) (map[exposure]exposed, time.Duration) {
	tb.Helper()
	text, took := run(tb, tool, "exposure", "-all", "-output=json", log)
	var answer struct {
		Readers []struct {
			exposure
			exposed
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		tb.Fatal(err)
	}
	all := map[exposure]exposed{}
	for _, r := range answer.Readers {
		all[r.exposure] = r.exposed
	}
	return all, took
}

func askJQ(tb testing.TB, jq, log string) (map[exposure]exposed, time.Duration) {
	tb.Helper()
	text, took := run(tb, jq, "-c", reads, log)
	all := map[exposure]exposed{}
	for line := range bytes.Lines(text) {
		var key exposure
		var address string
		var at time.Time
		if err := json.Unmarshal(line, &[]any{&key.Token, &key.Version, &key.EntityID, &key.DisplayName, &address, &at}); err != nil {
			tb.Fatal(err)
		}
		e, known := all[key]
		if !known {
			e.First = at
		}
		if !slices.Contains(e.Addresses, address) {
			e.Addresses = append(e.Addresses, address)
		}
		e.Reads++
		e.Last = at
		all[key] = e
	}
	return all, took
}

func differs(a, b map[exposure]exposed) bool {
	return !maps.EqualFunc(a, b, func(a, b exposed) bool {
		return slices.Equal(a.Addresses, b.Addresses) && a.Reads == b.Reads && a.First.Equal(b.First) && a.Last.Equal(b.Last)
	})
}

func buildAuditTool(tb testing.TB) string {
	tb.Helper()
	tool := filepath.Join(tb.TempDir(), "adtokens-audit")
	if output, err := exec.CommandContext(tb.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", tool, "../../cmd/adtokens-audit").CombinedOutput(); err != nil {
		tb.Fatalf("building the audit tool: %v\n%s", err, output)
	}
	return tool
}

func findJQ(tb testing.TB) string {
	tb.Helper()
	jq, err := exec.LookPath("jq")
	if err != nil {
		tb.Skip("there is no jq on PATH to compare with")
	}
	return jq
}

func TestTheAuditToolAnswersAsJQDoes(t *testing.T) {
	t.Parallel()
	jq := findJQ(t)
	tool, log := buildAuditTool(t), auditLog{bytes: 4 << 20, share: 20}.write(t)
	got, _ := askAuditTool(t, tool, log)
	want, _ := askJQ(t, jq, log)
	if len(want) < 100 {
		t.Fatalf("the log has only %d readers: it proves nothing", len(want))
	}
	if differs(got, want) {
		t.Errorf("the answers differ: %d lines of the tool, %d of jq", len(got), len(want))
	}
}

// BenchmarkAuditAgainstJQ reads a generated log with both, in turn, and reports each one's throughput and the ratio. The
// tool answers the question, while jq only extracts what is to be counted.
//
//	go test -run='^$' -bench=Audit -benchtime=3x -timeout=30m ./tests/bench
//
// ADTOKENS_AUDIT_MIB is the log's size (1024), ADTOKENS_AUDIT_SHARE how many of 100 requests are about the engine (10).
func BenchmarkAuditAgainstJQ(b *testing.B) {
	jq := findJQ(b)
	tool, log := buildAuditTool(b), benchmarkLog.write(b)
	var ours, theirs time.Duration
	for b.Loop() {
		got, took := askAuditTool(b, tool, log)
		ours += took
		want, took := askJQ(b, jq, log)
		theirs += took
		if differs(got, want) {
			b.Fatal("the answers differ")
		}
	}
	mib := float64(benchmarkLog.bytes) / (1 << 20) * float64(b.N)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(mib/ours.Seconds(), "MiB/s")
	b.ReportMetric(mib/theirs.Seconds(), "jq-MiB/s")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "times-jq")
}
