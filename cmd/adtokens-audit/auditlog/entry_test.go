package auditlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// corpus are entries of a real Vault server, whose times and addresses were changed.
func corpus(tb testing.TB) [][]byte {
	tb.Helper()
	text, err := os.ReadFile("../testdata/audit.log")
	if err != nil {
		tb.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(text), []byte("\n"))
}

// aRead is the corpus's first response to a read, of version 1 of acme-rw.
func aRead(tb testing.TB) []byte {
	tb.Helper()
	lines := corpus(tb)
	i := slices.IndexFunc(lines, func(line []byte) bool {
		return bytes.Contains(line, []byte(`"path":"adtokens/creds/acme-rw"`)) && !bytes.HasSuffix(line, requestEnd)
	})
	if i < 0 {
		tb.Fatal("the corpus has no read")
	}
	return lines[i]
}

// change returns an entry with another value at a path of its JSON object. A nil value is left out.
func change(t *testing.T, line []byte, path string, value any) []byte {
	t.Helper()
	var entry map[string]any
	if err := json.Unmarshal(line, &entry); err != nil {
		t.Fatal(err)
	}
	object, keys := entry, strings.Split(path, ".")
	for _, key := range keys[:len(keys)-1] {
		inner, ok := object[key].(map[string]any)
		if !ok {
			inner = map[string]any{}
			object[key] = inner
		}
		object = inner
	}
	if object[keys[len(keys)-1]] = value; value == nil {
		delete(object, keys[len(keys)-1])
	}
	changed, err := json.Marshal(entry)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func TestTheEntriesOfARealServerAreUnderstood(t *testing.T) {
	t.Parallel()
	p := NewParser("adtokens")
	var got []string
	for _, line := range corpus(t) {
		e, verdict := p.Parse(line)
		switch verdict {
		case Foreign:
			t.Errorf("a real entry was not understood: %s", line)
		case Found:
			text := fmt.Sprintf("%s %s %s %s", e.Kind, e.Token, e.Version, e.By.DisplayName)
			if e.Rotation != nil {
				text += fmt.Sprintf(" (%d, %t, %q, %q, %q)", e.Rotation.Previous, e.Rotation.HandedIn, e.Rotation.Reason, e.Rotation.Verification, e.Rotation.Error)
			}
			got = append(got, text)
		case Other:
		}
	}
	want := []string{
		`import acme-rw 1 userpass-olga (0, true, "import of what is in use", "accepted", "")`,
		`import acme-dev 1 userpass-olga (0, true, "", "accepted", "")`,
		`import acme-key 1 userpass-olga (0, true, "", "accepted", "")`,
		`read acme-rw 1 token-billing`,
		`read acme-rw 1 approle`,
		`read acme-rw 1 userpass-alice`,
		`read acme-rw 1 token`,
		`read acme-key 1 token-etl`,
		`access_token acme-key 1 token-etl`,
		`read acme-dev 1 userpass-alice`,
		`read acme-rw ? token-ci`,
		`unwrap  ? holder of a wrapping token`,
		`read acme-rw ? token-ci`,
		`unwrap  ? approle`,
		`read acme-rw 1 token-billing`,
		`rotate acme-rw ? userpass-olga (0, true, "", "", "refused")`,
		`rotate acme-rw 2 userpass-olga (1, true, "left the team: J. Doe", "accepted", "")`,
		`read acme-rw 2 token-billing`,
		`read acme-rw 2 token-etl`,
		`rotate acme-key 2 userpass-olga (1, false, "monthly", "accepted", "")`,
		`read acme-key 2 token-etl`,
		`read acme-key 5 token-billing`,
		`delete acme-dev ? userpass-olga`,
		`import acme-dev 1 userpass-olga (0, true, "", "accepted", "")`,
		`read acme-dev 1 token-etl`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("the entries are\n%s", strings.Join(got, "\n"))
	}
}

func TestTheMountIsRecognised(t *testing.T) {
	t.Parallel()
	inNamespace := func(namespace, path string) func(*testing.T, []byte) []byte {
		return func(t *testing.T, line []byte) []byte {
			t.Helper()
			return change(t, change(t, line, "request.namespace", map[string]any{"id": "x", "path": namespace}), "request.path", path)
		}
	}
	for name, tt := range map[string]struct {
		mount  string
		change func(*testing.T, []byte) []byte
		want   string // the token; empty if it is another mount
	}{
		"with a slash":                            {mount: "adtokens/", want: "acme-rw"},
		"without":                                 {mount: "adtokens", want: "acme-rw"},
		"with slashes around":                     {mount: "/adtokens/", want: "acme-rw"},
		"another one":                             {mount: "tokens/"},
		"the beginning of another one":            {mount: "adtok/"},
		"in any namespace":                        {mount: "adtokens", change: inNamespace("team/", "adtokens/creds/acme-rw"), want: "team/acme-rw"},
		"in this namespace":                       {mount: "team/adtokens", change: inNamespace("team/", "adtokens/creds/acme-rw"), want: "team/acme-rw"},
		"in another namespace":                    {mount: "others/adtokens", change: inNamespace("team/", "adtokens/creds/acme-rw")},
		"with the namespace written before it":    {mount: "team/adtokens", change: inNamespace("team/", "team/adtokens/creds/acme-rw"), want: "team/acme-rw"},
		"below a path":                            {mount: "ads/emea/", change: inNamespace("", "ads/emea/creds/acme-rw"), want: "acme-rw"},
		"with a letter that JSON can escape":      {mount: "r&d", change: inNamespace("", "r&d/creds/acme-rw"), want: "acme-rw"},
		"with a letter that is none of ASCII":     {mount: "büro", change: inNamespace("", "büro/creds/acme-rw"), want: "acme-rw"},
		"a path below a token":                    {mount: "adtokens", change: inNamespace("", "adtokens/creds/acme-rw/more")},
		"the mount itself":                        {mount: "adtokens", change: inNamespace("", "adtokens/")},
		"a token without a name":                  {mount: "adtokens", change: inNamespace("", "adtokens/creds/")},
		"a path of the engine that tells nothing": {mount: "adtokens", change: inNamespace("", "adtokens/status")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line := aRead(t)
			if tt.change != nil {
				line = tt.change(t, line)
			}
			e, verdict := NewParser(tt.mount).Parse(line)
			if got := e.Token.String(); got != tt.want || (verdict == Found) != (tt.want != "") {
				t.Errorf("verdict %d, token %q", verdict, got)
			}
		})
	}
}

func TestOnlySuccessfulReadsTellWhoKnowsACredential(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		path    string
		value   any
		verdict Verdict
		version string
	}{
		"a read":                                {path: "time", value: "2026-10-05T09:00:00Z", verdict: Found, version: "1"},
		"denied":                                {path: "error", value: "1 error occurred:\n\t* permission denied\n\n", verdict: Other},
		"refused by the engine":                 {path: "response.data", value: map[string]any{"error": "hmac-sha256:12"}, verdict: Other},
		"an unknown name":                       {path: "response", verdict: Other},
		"nothing but a list":                    {path: "request.operation", value: "list", verdict: Other},
		"a request, whatever the field order":   {path: "type", value: "request", verdict: Other},
		"a hidden number":                       {path: "response.data.version", value: "hmac-sha256:c0ffee0123456789", verdict: Found, version: "#c0ffee01"},
		"a number in clear, written as a text":  {path: "response.data.version", value: "7", verdict: Found, version: "7"},
		"a number that is none":                 {path: "response.data.version", value: []any{1}, verdict: Other},
		"no version":                            {path: "response.data.version", verdict: Other},
		"no version, but a wrapping token":      {path: "response", value: map[string]any{"wrap_info": map[string]any{"token": "hmac-sha256:ab"}}, verdict: Found, version: "?"},
		"no type":                               {path: "type", verdict: Broken},
		"no time":                               {path: "time", verdict: Broken},
		"a time in another zone":                {path: "time", value: "2026-10-05T11:00:00+02:00", verdict: Found, version: "1"},
		"a time of another form":                {path: "time", value: "yesterday", verdict: Broken},
		"another program's JSON with the mount": {path: "request", value: "GET adtokens/creds/acme-rw", verdict: Broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, verdict := NewParser("adtokens").Parse(change(t, aRead(t), tt.path, tt.value))
			if verdict != tt.verdict || verdict == Found && e.Version.String() != tt.version {
				t.Fatalf("verdict %d, version %s", verdict, e.Version)
			}
			if verdict == Found && e.Time.Format("15:04 MST") != "09:00 UTC" {
				t.Errorf("the time is %s", e.Time)
			}
		})
	}
}

// A report names a version, and may come from somebody who never read one. That a person wants a value which the engine has is no hand-in.
func TestAReportIsNoReadAndAnAcceptanceNoHandIn(t *testing.T) {
	t.Parallel()
	report := change(t, change(t, aRead(t), "request.operation", "update"), "request.path", "adtokens/report/acme-rw")
	report = change(t, report, "request.data", map[string]any{"version": 1, "fingerprint": "hmac-sha256:12", "status": 401})
	report = change(t, report, "response.data", map[string]any{"outcome": "rejected", "current_version": 1, "rotation_state": "idle"})
	if e, verdict := NewParser("adtokens").Parse(report); verdict != Other {
		t.Errorf("a report is taken for %q, verdict %d", e.Kind, verdict)
	}
	for _, path := range []string{"adtokens/notifications/ops", "adtokens/notifications/ops/test"} {
		told := change(t, change(t, aRead(t), "request.operation", "update"), "request.path", path)
		if e, verdict := NewParser("adtokens").Parse(told); verdict != Other {
			t.Errorf("%s is taken for %q, verdict %d", path, e.Kind, verdict)
		}
	}
	accepted := change(t, change(t, aRead(t), "request.operation", "update"), "request.path", "adtokens/tokens/acme-rw/rotate")
	accepted = change(t, accepted, "request.data", map[string]any{"accept_other_identity": true, "reason": "the agency has moved"})
	if e, verdict := NewParser("adtokens").Parse(accepted); verdict != Found || e.Rotation.HandedIn {
		t.Errorf("verdict %d, rotation %+v", verdict, e.Rotation)
	}
}

func TestLinesComeInManyForms(t *testing.T) {
	t.Parallel()
	line := string(aRead(t))
	var spaced bytes.Buffer
	if err := json.Indent(&spaced, []byte(line), "", " "); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		line    string
		verdict Verdict
	}{
		"as Vault writes it":            {line, Found},
		"with the device's prefix":      {"@cee: " + line, Found},
		"from syslog":                   {"<134>Nov 12 09:00:00 vault-0 vault[7]: " + line, Found},
		"with spaces":                   {strings.ReplaceAll(spaced.String(), "\n", ""), Found},
		"with white space at the end":   {line + " \t\r", Found},
		"cut at the end":                {line[:len(line)-1], Cut},
		"cut in the middle":             {line[:len(line)/2], Cut},
		"cut before a brace":            {line[:strings.LastIndexByte(line[:len(line)-1], '}')+1], Cut},
		"the end of a cut line":         {line[len(line)/2:], Broken},
		"two lines in one":              {line + line, Broken},
		"text":                          {"adtokens/creds/acme-rw", Broken},
		"nothing":                       {"", Foreign},
		"a brace":                       {"{", Broken},
		"an empty object":               {"{}", Broken},
		"another object with the mount": {`{"adtokens/":1}`, Broken},
		"zeros, as after a crash":       {strings.Repeat("\x00", 100), Broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, verdict := NewParser("adtokens").Parse([]byte(tt.line)); verdict != tt.verdict {
				t.Errorf("the verdict is %d", verdict)
			}
		})
	}
}

func TestWhoHasAnEntityIsKnownByIt(t *testing.T) {
	t.Parallel()
	p := NewParser("adtokens")
	line := change(t, change(t, aRead(t), "auth.entity_id", "e-1"), "auth.display_name", "oidc-jane")
	if e, _ := p.Parse(line); e.By != (Identity{EntityID: "e-1", DisplayName: "oidc-jane"}) {
		t.Errorf("the reader is %+v", e.By)
	}
	if e, _ := p.Parse(aRead(t)); e.By.EntityID != "" || !Hidden(e.By.Accessor) || e.By.DisplayName != "token-billing" {
		t.Errorf("the reader is %+v", e.By)
	}
}

func TestTheMatcherTellsWhereAValueIs(t *testing.T) {
	t.Parallel()
	const value, other = "hmac-sha256:abc", "hmac-sha256:def"
	p := NewMatcher([]Needle{{Hash: value}, {Hash: other, Text: "plain <text>"}})
	line := change(t, aRead(t), "response.data", map[string]any{"auth_token": value, "list": []any{"x", map[string]any{"deep": other, "raw": "plain <text>"}}})
	line = change(t, line, "request.namespace.path", "team/")
	line = change(t, line, "request.data", map[string]any{"auth_token": other})
	s, verdict := p.Parse(line)
	if want := []SightedField{
		{"request.data.auth_token", 1, false},
		{"response.data.auth_token", 0, false},
		{"response.data.list.1.deep", 1, false},
		{"response.data.list.1.raw", 1, true},
	}; verdict != Found || !slices.Equal(s.Fields, want) {
		t.Fatalf("verdict %d, %+v", verdict, s)
	}
	if s.Path != "team/adtokens/creds/acme-rw" || s.Operation != "read" || s.Failed || s.By.DisplayName != "token-billing" || s.Address != "10.0.1.11" {
		t.Errorf("the sighting is %+v", s)
	}
	if s, _ := p.Parse(change(t, line, "error", "permission denied")); !s.Failed {
		t.Error("a failure is not told")
	}
	for name, tt := range map[string]struct {
		line    []byte
		verdict Verdict
	}{
		"another value":             {aRead(t), Other},
		"a request":                 {change(t, line, "type", "request"), Other},
		"those who ask for an HMAC": {change(t, line, "request.path", "sys/audit-hash/file"), Other},
		"a key, not a value":        {change(t, aRead(t), "request.data", map[string]any{value: 1}), Other},
		"a cut line":                {line[:len(line)-1], Cut},
		"no entry":                  {[]byte(`{"type":"` + value + `"}`), Broken},
		"broken JSON":               {[]byte(`{"type" "` + value + `"}`), Broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, verdict := p.Parse(tt.line); verdict != tt.verdict {
				t.Errorf("the verdict is %d", verdict)
			}
		})
	}
}

// FuzzParse looks for lines that crash a parser, that are found without what an entry needs, or that the search for
// the mount misses.
func FuzzParse(f *testing.F) {
	for _, line := range corpus(f) {
		f.Add(line)
	}
	f.Add([]byte(`@cee: {"type":"response","time":"2026-10-05T09:00:00Z","request":{"path":"team/adtokens/creds/x"}}`))
	f.Add([]byte(`{"time":"2026-10-05T09:00:00Z","type":"response","request":{"path":"adtokens\/creds\/x","operation":"read"},"response":{"data":{"version":1e9}}}`))
	searching, decoding, matcher := NewParser("adtokens"), NewParser("adtokens"), NewMatcher([]Needle{{Hash: "hmac-sha256:"}})
	decoding.segment = nil // decodes every line
	f.Fuzz(func(t *testing.T, line []byte) {
		e, verdict := searching.Parse(line)
		if verdict == Found && (e.Time.IsZero() || e.Kind == "" || (e.Token.Name == "") != (e.Kind == KindUnwrap || e.Kind == KindRewrap)) && e.Kind != KindRewrap {
			t.Errorf("found %+v", e)
		}
		// A backslash gives a path many forms, of which Vault writes none.
		if _, decoded := decoding.Parse(line); decoded == Found && verdict != Found && !bytes.ContainsRune(line, '\\') {
			t.Errorf("the search misses the mount: %q", line)
		}
		if s, verdict := matcher.Parse(line); verdict == Found && (s.Time.IsZero() || len(s.Fields) == 0) {
			t.Errorf("found %+v", s)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	line := aRead(b)
	counting, passing, matching := NewParser("adtokens"), NewParser("secret"), NewMatcher([]Needle{{Hash: "hmac-sha256:00", Text: "KhT9wQx2LmZr7VbYpC4sNdG8fJ3a"}})
	for name, parse := range map[string]func([]byte) Verdict{
		"an entry to count":         func(l []byte) Verdict { _, v := counting.Parse(l); return v },
		"an entry of another mount": func(l []byte) Verdict { _, v := passing.Parse(l); return v },
		"a value that is elsewhere": func(l []byte) Verdict { _, v := matching.Parse(l); return v },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				_ = parse(line)
			}
		})
	}
}
