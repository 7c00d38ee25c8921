package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

func readCorpus(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(corpus)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// inDocker is a log as docker keeps it.
func inDocker(t *testing.T, log string) string {
	t.Helper()
	var out strings.Builder
	for line := range strings.Lines(log) {
		text, err := json.Marshal(map[string]string{"log": line, "stream": "stdout", "time": "2026-11-20T14:00:00.123456789Z"})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(text, '\n'))
	}
	return out.String()
}

func TestAnswers_AreTheSameFromWhatDockerKeeps(t *testing.T) {
	t.Parallel()
	log := readCorpus(t)
	for _, question := range [][]string{{"exposure", "-all"}, {"rotations"}, {"leaver", "-display-name=userpass-alice"}, {"stale", "-window=0"}} {
		want, got := audit(t, log, append(question, "-")...), audit(t, inDocker(t, log), append(question, "-")...)
		if got != want || got.code != cli.ExitOK {
			t.Errorf("%q is answered with %d: %s\n%s", question, got.code, got.stderr, got.stdout)
		}
	}
}

func TestAnswers_AreNotGivenFromNothing(t *testing.T) {
	t.Parallel()
	log := readCorpus(t)
	lines := strings.SplitAfter(log, "\n")
	for name, tt := range map[string]struct {
		log  string
		args []string
		want string // in the error; the answer is said not to be known, unless it starts with "the answer is incomplete"
	}{
		"an empty log":           {"", nil, "there is nothing in the logs"},
		"only line breaks":       {"\n\n", nil, "there is nothing in the logs"},
		"another mount":          {log, []string{"-mount=elsewhere"}, `no entry of the mount elsewhere/ that tells of a credential; they have "adtokens/", "plain/"`},
		"a near mount":           {log, []string{"-mount=adtoken"}, `near ones in them: "adtokens/"`},
		"no entry of any mount":  {lines[0] + lines[1], nil, "no entry of the mount adtokens/ that tells of a credential"},
		"another time":           {log, []string{"-since=2027-01-01"}, "the logs are from 2026-10-05T07:58:00Z to 2026-11-14T10:01:00Z, and have nothing of the time"},
		"another token":          {log, []string{"-token=acme-wr"}, `no entry of a token "acme-wr" in the mount adtokens/; near ones in them: "acme-rw"`},
		"a torn line":            {lines[0] + lines[1][:500] + "\n" + strings.Join(lines[2:], ""), nil, "the answer is incomplete: -: 1 of its"},
		"lines of something":     {"what is this?\n" + log, nil, "the answer is incomplete: -: 1 of its"},
		"nothing but such lines": {"what is this?\n", nil, "the answer is incomplete: -: none of its 1 lines"},
	} {
		for _, command := range []string{"exposure", "rotations", "stale", "incident", "report"} {
			t.Run(name+" "+command, func(t *testing.T) {
				t.Parallel()
				args := append([]string{command}, tt.args...)
				file := filepath.Join(t.TempDir(), "report.html")
				switch {
				case command == "incident" && name == "another time":
					t.Skip("its -since means something else")
				case command == "incident":
					args = append([]string{command, "-since=2026-11-01", "-token=acme-rw"}, tt.args...) // the last one holds
				case command == "report":
					args = append(args, "-html", file)
				}
				got := audit(t, tt.log, append(args, "-")...)
				if got.code != cli.ExitFailure || !strings.Contains(got.stderr, tt.want) {
					t.Fatalf("exit code %d: %s", got.code, got.stderr)
				}
				if !strings.HasPrefix(tt.want, "the answer is incomplete") {
					saysThatItIsNotKnown(t, command, got.stdout, file)
				}
			})
		}
	}
}

func saysThatItIsNotKnown(t *testing.T, command, answer, file string) {
	t.Helper()
	if command == "report" {
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		answer = strings.Replace(string(page), "Not answered", "Not known", 1)
	}
	if strings.Contains(answer, "Nobody") || strings.Contains(answer, "No rotations") && command == "rotations" || !strings.Contains(answer, "Not known: ") {
		t.Errorf("the answer is %s", answer)
	}
}

func TestAnswers_OfAQuietTimeAreAnswers(t *testing.T) {
	t.Parallel()
	got := audit(t, "", "rotations", "-since=2026-10-21", "-until=2026-10-30", corpus)
	if got.code != cli.ExitOK || !strings.Contains(got.stdout, "No rotations, as far as the logs tell.") {
		t.Errorf("exit code %d: %s%s", got.code, got.stdout, got.stderr)
	}
}

func TestLeaver_KnowsWhoIsInTheLogs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		flag, want string
	}{
		"part of a name":             {"-display-name=alice", `do not have the display name "alice"; near ones in them: "userpass-alice"`},
		"a name without its method":  {"-display-name=billing", `"token-billing"`},
		"a misspelt name":            {"-display-name=userpass-olgo", `near ones in them: "userpass-olga"`},
		"another entity":             {"-entity=b35dba5e-dca0-6551-1e0e-afb1e61ef6b3", `near ones in them: "b35dba5e-dca0-6551-1e0e-afb1e61ef6b2"`},
		"an entity as a name":        {"-display-name=b35dba5e-dca0-6551-1e0e-afb1e61ef6b2", "use -entity"},
		"a name as an entity":        {"-entity=userpass-alice", "use -display-name"},
		"a name with another letter": {"-display-name=Userpass-Alice", `"userpass-alice"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := audit(t, "", "leaver", tt.flag, corpus)
			if got.code != cli.ExitFailure || !strings.Contains(got.stderr, tt.want) || !strings.Contains(got.stdout, "Not known: ") {
				t.Errorf("exit code %d: %s%s", got.code, got.stdout, got.stderr)
			}
			var answer leaverAnswer
			if err := json.Unmarshal([]byte(audit(t, "", "leaver", tt.flag, "-output=json", corpus).stdout), &answer); err != nil || !strings.Contains(answer.NotAnswered, tt.want) {
				t.Errorf("the JSON says %q: %v", answer.NotAnswered, err)
			}
		})
	}
	// Somebody who has only used other mounts knows nothing of this one.
	log := strings.ReplaceAll(readCorpus(t), `"path":"adtokens/creds/acme-rw"`, `"path":"secret/acme-rw"`)
	got := audit(t, log, "leaver", "-display-name=userpass-alice", "-mount=plain", "-")
	if got.code != cli.ExitOK || !strings.Contains(got.stdout, "None, as far as the logs tell.") {
		t.Errorf("exit code %d: %s%s", got.code, got.stdout, got.stderr)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"token-jane", "userpass-bob", "oidc-jane@acme.example", "x"}
	for name, want := range map[string]string{
		"jane":        `; near ones in them: "oidc-jane@acme.example", "token-jane"`,
		"userpas-bob": `; near ones in them: "userpass-bob"`,
		"nobody-here": `; they have "oidc-jane@acme.example", "token-jane", "userpass-bob", "x"`,
	} {
		if got := nearest(name, names); got != want {
			t.Errorf("%q: %s", name, got)
		}
	}
	if got := nearest("jane", nil); got != "" {
		t.Errorf("without names: %s", got)
	}
}

func TestAnswers_SayWhatCouldNotBeRead(t *testing.T) {
	t.Parallel()
	packed := filepath.Join(t.TempDir(), "audit.log.1.xz")
	if err := os.WriteFile(packed, []byte("\xfd7zXZ\x00\x00\x04"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := packed + ": reading the log: it is compressed by xz, which this tool does not read; unpack it into standard input: xz -dc " + packed
	whole := audit(t, "", "exposure", "-output=json", corpus, packed)
	var answer exposureAnswer
	if err := json.Unmarshal([]byte(whole.stdout), &answer); err != nil {
		t.Fatal(err)
	}
	if whole.code != cli.ExitFailure || len(answer.Readers) == 0 || !strings.Contains(strings.Join(answer.Notes, "\n"), want) || !strings.Contains(whole.stderr, want) {
		t.Errorf("exit code %d, %d readers, %q: %s", whole.code, len(answer.Readers), answer.Notes, whole.stderr)
	}
	// What the rest does not have may be in the part that could not be read.
	none := audit(t, "", "rotations", "-since=2026-10-21", "-until=2026-10-30", corpus, packed)
	if none.code != cli.ExitFailure || strings.Contains(none.stdout, "No rotations") || !strings.Contains(none.stdout, "Not known: ") {
		t.Errorf("exit code %d: %s", none.code, none.stdout)
	}
}

// TestNotes_DoNotClaimATokenThatNeverWas: Vault says yes to the deletion of anything.
func TestNotes_DoNotClaimATokenThatNeverWas(t *testing.T) {
	t.Parallel()
	deletion := func(name string) line {
		return line{at: "03 10:00", operation: "delete", path: "adtokens/tokens/" + name, who: "olga"}
	}
	log := logOf(readOf("01 10:00", "alice", 1, "aaaa"), deletion("rw"), deletion("mistyped"))
	got := audit(t, log, "stale", "-window=0", "-")
	for _, want := range []string{
		"rw was deleted at 2026-11-03T10:00:00Z; its credential may live on at the provider.",
		"mistyped was deleted at 2026-11-03T10:00:00Z, if there was such a token: the logs tell of no credential of it.",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no note %q in:\n%s", want, got.stdout)
		}
	}
	if strings.Contains(got.stdout, "mistyped was deleted at 2026-11-03T10:00:00Z; its credential") {
		t.Error("a credential is claimed for a token that the logs do not know")
	}
}
