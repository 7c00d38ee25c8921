package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// hostile are characters that must not come out anywhere, by their code points.
func hostile() []rune {
	var all []rune
	for _, r := range [][2]rune{
		{0x00, 0x1f},
		{0x7f, 0x9f}, // C0 and C1, with ESC and CSI
		{0x200b, 0x200f},
		{0x2028, 0x202e},
		{0x2060, 0x206f}, // zero width, separators, bidirectional
		{0x00ad, 0x00ad},
		{0x061c, 0x061c},
		{0x180e, 0x180e},
		{0xfeff, 0xfeff},
		{0xfff9, 0xfffb},
		{0xe000, 0xe000},
		{0xfe00, 0xfe0f},
		{0xe0001, 0xe0001},
		{0xe0020, 0xe007f},
		{0x034f, 0x034f},
		{0x3164, 0x3164},
		{0x1d173, 0x1d17a},
	} {
		for c := r[0]; c <= r[1]; c++ {
			all = append(all, c)
		}
	}
	return all
}

// inEverySpot returns a log whose texts that come from others have something in them: names, reasons, errors, addresses, paths.
func inEverySpot(t *testing.T, something string) string {
	t.Helper()
	log, err := os.ReadFile(corpus)
	if err != nil {
		t.Fatal(err)
	}
	quoted, err := json.Marshal("x" + something + "y")
	if err != nil {
		t.Fatal(err)
	}
	inner := strings.ReplaceAll(string(quoted[2:len(quoted)-2]), `\ufffd`, "\xff")
	text := string(log)
	for _, spot := range []string{"token-billing", "userpass-alice", "left the team: J. Doe", "10.0.1.11", "acme-dev", "accepted", "not checked", "rejected by provider"} {
		text = strings.ReplaceAll(text, `"`+spot+`"`, `"`+spot+inner+`"`)
	}
	return text
}

// everyFormat runs each question in each of its formats on a log, and returns what came out by their names.
func everyFormat(t *testing.T, log string) map[string]string {
	t.Helper()
	outputs := map[string]string{}
	for _, question := range [][]string{
		{"exposure", "-all"},
		{"stale", "-window=0"},
		{"leaver", "-display-name=userpass-alice"},
		{"leaver", "-entity=b35dba5e-dca0-6551-1e0e-afb1e61ef6b2"},
		{"rotations"},
		{"incident", "-token=acme-rw", "-since=2026-11-01"},
		{"exposure", "-token=acme"},
	} {
		for _, format := range []string{"table", "csv", "json"} {
			got := audit(t, log, append(question, "-output="+format, "-")...)
			name := strings.Join(question, " ") + " " + format
			outputs[name], outputs[name+", standard error"] = got.stdout, got.stderr
		}
	}
	for _, format := range []string{"table", "json"} {
		got := audit(t, log, "rotations", "-follow", "-output="+format, "-")
		outputs["following "+format] = got.stdout + got.stderr
	}
	file := filepath.Join(t.TempDir(), "report.html")
	got := audit(t, log, "report", "-html", file, "-")
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err, got.stderr)
	}
	outputs["report"] = string(page)
	return outputs
}

func TestOutput_HasNoCharactersThatSteer(t *testing.T) {
	t.Parallel()
	all := hostile()
	var everything strings.Builder
	for _, r := range all {
		everything.WriteRune(r)
	}
	for name, text := range everyFormat(t, inEverySpot(t, everything.String()+"\ufffd")) {
		if !utf8.ValidString(text) {
			t.Errorf("%s is no UTF-8", name)
		}
		for _, r := range all {
			if r != '\n' && strings.ContainsRune(text, r) {
				t.Errorf("%s has U+%04X", name, r)
			}
		}
		if !strings.HasSuffix(name, "json") {
			continue
		}
		for decoder := json.NewDecoder(strings.NewReader(text)); decoder.More(); {
			token, err := decoder.Token()
			if err != nil {
				t.Fatalf("%s is no JSON: %v", name, err)
			}
			if decoded, ok := token.(string); ok && strings.ContainsAny(decoded, everything.String()) {
				t.Errorf("%s has %q for whoever decodes it", name, decoded)
			}
		}
	}
}

func TestOutput_KeepsWhatIsHarmless(t *testing.T) {
	t.Parallel()
	const name = `née 山田 \ " <b> Ω`
	for format, want := range map[string]string{"table": name, "csv": `née 山田 \ "" <b> Ω`, "json": `née 山田 \\ \" <b> Ω`} {
		log := inEverySpot(t, name)
		if got := audit(t, log, "exposure", "-output="+format, "-").stdout; !strings.Contains(got, "token-billing"+want) {
			t.Errorf("the %s has no %q: %s", format, want, got)
		}
	}
}

func TestCSV_HasNoFormulas(t *testing.T) {
	t.Parallel()
	log := inEverySpot(t, "")
	for _, start := range []string{"=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n", "|"} {
		for _, before := range []string{"", " ", "\u00a0", "\u3000", "\t", "\r\n", "\n ", "\u200b", "\ufeff", "\x1b"} {
			cell := before + start + "1+1"
			got := inert(cell)
			if !strings.HasPrefix(got, "'") {
				t.Errorf("%q is a formula", got)
			}
			// As others write it.
			quoted, err := json.Marshal(cell)
			if err != nil {
				t.Fatal(err)
			}
			written := strings.ReplaceAll(log, `"left the team: J. Doe"`, string(quoted))
			rows, err := csv.NewReader(strings.NewReader(audit(t, written, "rotations", "-output=csv", "-").stdout)).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			if reason := rows[5][8]; reason != got {
				t.Errorf("the reason %q is %q", cell, reason)
			}
		}
	}
	for _, cell := range []string{"", "a=b", "2026-11-20T14:00:00Z", "10.0.0.1", "acme-rw", "#2676889f", "1"} {
		if inert(cell) != cell {
			t.Errorf("%q is changed to %q", cell, inert(cell))
		}
	}
}

// FuzzHarmlessJSON looks for JSON that is none any more, or that still has what is not harmless.
func FuzzHarmlessJSON(f *testing.F) {
	f.Add("a\u202eb\\\"\x00\xff😀")
	f.Add(`\u202e`)
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		if err := writeJSON(&out, map[string]string{"a": text, text: "b"}, " "); err != nil {
			t.Fatal(err)
		}
		var written bytes.Buffer
		w := &harmlessWriter{out: &written}
		for i := range len(text) {
			if _, err := w.Write([]byte(text[i : i+1])); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.flush(); err != nil || written.String() != harmlessText(text) {
			t.Errorf("written by bytes it is %q instead of %q: %v", written.String(), harmlessText(text), err)
		}
		var got map[string]string
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%q: %v", out.String(), err)
		}
		if got["a"] != harmless(text) && text != "a" {
			t.Errorf("%q instead of %q", got["a"], harmless(text))
		}
	})
}
