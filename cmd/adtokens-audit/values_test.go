package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// line is a response of the mount adtokens/.
type line struct {
	at          string // a time of November 2026
	operation   string
	path        string
	who         string
	version     int
	fingerprint string
	// wraps is the wrapping token that came instead of an answer, and unwraps the one that was spent.
	wraps, unwraps string
	creationPath   string
	leaseID        string
	reason         string
	// given are the request's fields, in place of a value that is handed in.
	given map[string]any
	// published is the time of the version's publication, by default one for each fingerprint; "-" for none.
	published string
}

// String writes the line as Vault does.
func (l line) String() string {
	auth := map[string]any{"display_name": l.who, "entity_id": "e-" + l.who, "accessor": "hmac-sha256:a" + l.who, "client_token": "hmac-sha256:c" + l.who}
	request := map[string]any{
		"id": "id-" + l.at + l.path + l.who, "operation": l.operation, "path": l.path, "namespace": map[string]any{"id": "root"}, "remote_address": "10.0.0.1",
	}
	data := map[string]any{}
	switch {
	case l.path == "cubbyhole/response":
		auth = map[string]any{"client_token": "hmac-sha256:inner", "accessor": "hmac-sha256:accessor of " + l.unwraps}
		data["response"] = "hmac-sha256:answer"
	case strings.HasPrefix(l.path, "sys/"):
		request["data"] = map[string]any{"token": "hmac-sha256:" + l.unwraps}
	case l.operation == "update":
		request["data"] = map[string]any{"auth_token": "hmac-sha256:v", "reason": l.reason}
		data["previous_credential"] = "not checked"
		if l.given != nil {
			request["data"] = l.given
		}
	}
	if l.version > 0 {
		data["version"], data["fingerprint"], data["last_vault_rotation"] = l.version, l.fingerprint, "hmac-sha256:t"+l.fingerprint
		switch l.published {
		case "":
		case "-":
			delete(data, "last_vault_rotation")
		default:
			data["last_vault_rotation"] = "hmac-sha256:" + l.published
		}
	}
	response := map[string]any{"data": data}
	if l.wraps != "" {
		response = map[string]any{"wrap_info": map[string]any{
			"token": "hmac-sha256:" + l.wraps, "accessor": "hmac-sha256:accessor of " + l.wraps, "creation_path": l.creationPath,
		}}
	}
	if l.leaseID != "" {
		response["secret"] = map[string]any{"lease_id": l.leaseID}
	}
	at := strings.Replace(l.at, " ", "T", 1)
	text, err := json.Marshal(map[string]any{"auth": auth, "request": request, "response": response, "time": "2026-11-" + at + ":00Z", "type": "response"})
	if err != nil {
		panic(err)
	}
	return string(text) + "\n"
}

func logOf(lines ...line) string {
	var log strings.Builder
	for _, l := range lines {
		log.WriteString(l.String())
	}
	return log.String()
}

func readOf(at, who string, version int, value string) line {
	return line{at: at, operation: "read", path: "adtokens/creds/rw", who: who, version: version, fingerprint: value}
}

func rotationTo(at string, version int, value string) line {
	return line{at: at, operation: "update", path: "adtokens/tokens/rw/rotate", who: "olga", version: version, fingerprint: value}
}

// returned is a log of a value that was replaced and came back: alice knows it by its first number, bob knows the other one.
func returned() string {
	return logOf(
		readOf("01 10:00", "alice", 1, "aaaa"), rotationTo("02 10:00", 2, "bbbb"), readOf("02 11:00", "bob", 2, "bbbb"),
		rotationTo("03 10:00", 3, "aaaa"), readOf("03 11:00", "carol", 3, "aaaa"),
	)
}

// statesOf decodes a list of somebody's states.
func statesOf(t *testing.T, text, list, field string) map[string]string {
	t.Helper()
	var answer map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	if err := json.Unmarshal(answer[list], &rows); err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, row := range rows {
		states[fmt.Sprint(row["display_name"])] = fmt.Sprint(row[field])
	}
	return states
}

func TestAnswers_GoByValuesNotVersions(t *testing.T) {
	t.Parallel()
	const note = "version 1 of rw, version 3 of rw are the same value: whoever knows one of them knows the others."
	log := returned()
	exposure := audit(t, log, "exposure", "-output=json", "-")
	if got := statesOf(t, exposure.stdout, "readers", "state"); got["alice"] != "current" || got["carol"] != "current" || got["bob"] != "" {
		t.Errorf("exposure: %v", got)
	}
	if !strings.Contains(exposure.stdout, note) {
		t.Errorf("exposure does not say that versions are the same: %s", exposure.stdout)
	}
	incident := audit(t, log, "incident", "-token=rw", "-since=2026-11-01T12:00:00Z", "-output=json", "-")
	if got := statesOf(t, incident.stdout, "readers", "state"); got["alice"] != "current" || got["bob"] != "stale" {
		t.Errorf("incident: %v", got)
	}
	if want := "Version 3 of rw is the compromised value of version 1 again: rotate it to a new one."; !strings.Contains(incident.stdout, want) {
		t.Errorf("incident does not say %q: %s", want, incident.stdout)
	}
	for who, want := range map[string]string{"alice": "yes", "bob": "no", "carol": "yes"} {
		got := statesOf(t, audit(t, log, "leaver", "-display-name="+who, "-output=json", "-").stdout, "tokens", "reset")
		if got[who] != want {
			t.Errorf("leaver: %v instead of %s", got, want)
		}
	}
	if got := statesOf(t, audit(t, log, "stale", "-window=0", "-output=json", "-").stdout, "readers", "state"); len(got) != 1 || got["bob"] != "stale" {
		t.Errorf("stale: %v", got)
	}
}

func TestAnswers_TellTokensThatHoldOneValue(t *testing.T) {
	t.Parallel()
	other := readOf("01 11:00", "bob", 7, "aaaa")
	other.path = "adtokens/creds/twin"
	got := audit(t, logOf(readOf("01 10:00", "alice", 1, "aaaa"), other), "exposure", "-token=rw", "-")
	if want := "version 1 of rw, version 7 of twin are the same value"; !strings.Contains(got.stdout, want) {
		t.Errorf("there is no %q: %s", want, got.stdout)
	}
}

func TestStale_ShowsWhoHasNotPickedUpTheNewValue(t *testing.T) {
	t.Parallel()
	wrapped := readOf("02 09:00", "broker", 0, "")
	wrapped.wraps, wrapped.creationPath = "w1", "adtokens/creds/rw"
	log := logOf(
		rotationTo("01 09:00", 1, "aaaa"),
		readOf("01 10:00", "silent", 1, "aaaa"), readOf("02 08:00", "late", 1, "aaaa"), readOf("02 08:00", "leased", 1, "aaaa"), wrapped,
		line{at: "02 09:01", operation: "update", path: "sys/wrapping/unwrap", who: "app", version: 9, fingerprint: "hmac-sha256:f", unwraps: "w1"},
		rotationTo("02 10:00", 2, "bbbb"), readOf("02 11:00", "prompt", 2, "bbbb"),
		line{at: "02 12:00", operation: "update", path: "sys/leases/renew", who: "leased", leaseID: "adtokens/creds/rw/abc"},
		line{at: "02 13:00", operation: "read", path: "secret/x", who: "somebody"},
	)
	got := audit(t, log, "stale", "-output=json", "-")
	var answer staleAnswer
	if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil {
		t.Fatal(err, got.stderr)
	}
	if len(answer.Readers) != 2 || answer.Silent != 1 || answer.AsOf.Format(time.RFC3339) != "2026-11-02T13:00:00Z" {
		t.Fatalf("%d readers and %d silent ones as of %s: %s", len(answer.Readers), answer.Silent, answer.AsOf, got.stdout)
	}
	var rows []string
	for _, r := range answer.Readers {
		rows = append(rows, fmt.Sprintf("%s %s uses %s, by %s, not %s for %ds", r.State, r.DisplayName, r.Used.label(), r.How, r.Newest.label(), r.Behind))
	}
	if want := []string{"stale app uses 1, by unwrap, not 2 for 10800s", "stale late uses 1, by read, not 2 for 10800s"}; !slices.Equal(rows, want) {
		t.Errorf("the rows are %q", rows)
	}
	if all := audit(t, log, "stale", "-window=0", "-").stdout; !strings.Contains(all, "silent") || strings.Contains(all, "leased") || strings.Contains(all, "broker") {
		t.Errorf("without a window: %s", all)
	}
	if text := audit(t, log, "stale", "-").stdout; !strings.Contains(text, "silent for longer than 1d before the end of the logs, and are not shown: 1.") {
		t.Errorf("who is silent is not counted: %s", text)
	}
}

func TestAnswers_FollowUnwrappingThroughFiles(t *testing.T) {
	t.Parallel()
	wrapped := readOf("02 09:00", "broker", 0, "")
	wrapped.wraps, wrapped.creationPath = "w1", "adtokens/creds/rw"
	lines := []line{
		readOf("01 10:00", "alice", 1, "aaaa"), wrapped,
		{at: "02 09:01", operation: "update", path: "sys/wrapping/lookup", who: "looker", unwraps: "w1"},
		{at: "02 09:02", operation: "update", path: "sys/wrapping/rewrap", who: "bob", unwraps: "w1", wraps: "w2", creationPath: "adtokens/creds/rw"},
		{at: "02 09:03", operation: "update", path: "sys/wrapping/rewrap", who: "bob", unwraps: "w2", wraps: "w3", creationPath: "adtokens/creds/rw"},
		{at: "02 09:04", operation: "read", path: "cubbyhole/response", unwraps: "w3"},
	}
	want := map[string]string{"alice": "0", "broker": "0", "holder of a wrapping token": "1"}
	for name, log := range map[string]string{
		"in order": logOf(lines...), "out of order": logOf(lines[5], lines[4], lines[3], lines[1], lines[0], lines[2]), "the read in the middle": logOf(lines[0], lines[3], lines[1], lines[5], lines[4]),
	} {
		got := audit(t, log, "exposure", "-output=json", "-")
		if unwrapped := statesOf(t, got.stdout, "readers", "unwrapped"); fmt.Sprint(unwrapped) != fmt.Sprint(want) || got.code != cli.ExitOK {
			t.Errorf("%s: %v: %s", name, unwrapped, got.stderr)
		}
	}
	// Since a time after the read.
	got := audit(t, logOf(lines...), "exposure", "-since=2026-11-02T09:03:30Z", "-output=json", "-")
	if unwrapped := statesOf(t, got.stdout, "readers", "unwrapped"); unwrapped["holder of a wrapping token"] != "1" || len(unwrapped) != 1 {
		t.Errorf("since a time after the read: %v", unwrapped)
	}
	// Without the read, and without anything that tells what was wrapped.
	lines[3].creationPath, lines[4].creationPath = "", ""
	got = audit(t, logOf(append([]line{lines[0]}, lines[3:]...)...), "exposure", "-")
	if want := "Reads of cubbyhole/response that belong to no read of this mount in these logs, so that nobody is listed for them: 1."; !strings.Contains(got.stdout, want) {
		t.Errorf("what is not matched is not told: %s", got.stdout)
	}
	if strings.Contains(got.stdout, "unwrapped it in these logs is listed") {
		t.Errorf("it is said that somebody is listed: %s", got.stdout)
	}
}
