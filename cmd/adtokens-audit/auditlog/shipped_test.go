package auditlog

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
)

// asJSON marshals without escaping more than JSON needs, on one line.
func asJSON(tb testing.TB, value any) string {
	tb.Helper()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		tb.Fatal(err)
	}
	return strings.TrimSpace(text.String())
}

// pieces cuts a text as container runtimes do.
func pieces(text string, size int) []string {
	var cut []string
	for len(text) > size {
		cut, text = append(cut, text[:size]), text[size:]
	}
	return append(cut, text)
}

type anObject = map[string]any

// shipping are the ways in which lines of Vault's output come to a file.
func shipping(tb testing.TB) map[string]func(lines []string) string {
	tb.Helper()
	each := func(write func(line string) string) func([]string) string {
		return func(lines []string) string {
			var log strings.Builder
			for _, line := range lines {
				log.WriteString(write(line))
			}
			return log.String()
		}
	}
	wrapped := func(around func(line string) any) func([]string) string {
		return each(func(line string) string { return asJSON(tb, around(line)) + "\n" })
	}
	listed := func(around func(elements []any) string, element func(line string) any) func([]string) string {
		return func(lines []string) string {
			var elements []any
			for _, line := range lines {
				elements = append(elements, element(line))
			}
			return around(elements)
		}
	}
	parsed := func(line string) any { return json.RawMessage(line) }
	indented := func(value any) string {
		var out bytes.Buffer
		if err := json.Indent(&out, []byte(asJSON(tb, value)), "", "  "); err != nil {
			tb.Fatal(err)
		}
		return out.String()
	}
	const at = "2026-11-20T14:00:00.123456789Z"
	return map[string]func([]string) string{
		"plain":          each(func(line string) string { return line + "\n" }),
		"with a prefix":  each(func(line string) string { return "@cee: " + line + "\n" }),
		"from syslog":    each(func(line string) string { return "<134>1 " + at + " vault-0 vault 7 - - " + line + "\n" }),
		"from journald":  each(func(line string) string { return "Nov 20 14:00:00 vault-0 vault[7]: " + line + "\n" }),
		"a brace prefix": each(func(line string) string { return "{vault} " + line + "\n" }),
		"CRLF":           each(func(line string) string { return line + "\r\n" }),
		"no line breaks": each(func(line string) string { return line }),
		"docker":         wrapped(func(line string) any { return anObject{"log": line + "\n", "stream": "stdout", "time": at} }),
		"docker, cut": each(func(line string) string {
			var out strings.Builder
			cut := pieces(line+"\n", 700)
			for _, piece := range cut {
				fmt.Fprintln(&out, asJSON(tb, anObject{"log": piece, "stream": "stdout", "time": at}))
			}
			return out.String()
		}),
		"fluentd": wrapped(func(line string) any { return anObject{"container_id": "a", "source": "stdout", "log": line} }),
		"fluentd, cut": each(func(line string) string {
			var out strings.Builder
			cut := pieces(line, 700)
			for i, piece := range cut {
				fmt.Fprintln(&out, asJSON(tb, anObject{
					"log": piece, "source": "stdout", "partial_message": "true", "partial_id": line[len(line)-40:], "partial_ordinal": fmt.Sprint(i + 1),
				}))
			}
			return out.String()
		}),
		"containerd": each(func(line string) string { return at + " stdout F " + line + "\n" }),
		"containerd, cut": each(func(line string) string {
			var out strings.Builder
			cut := pieces(line, 700)
			for i, piece := range cut {
				tag := "P"
				if i == len(cut)-1 {
					tag = "F"
				}
				fmt.Fprintln(&out, at, "stdout", tag, piece)
			}
			return out.String()
		}),
		"message":          wrapped(func(line string) any { return anObject{"@timestamp": at, "message": line, "host": "vault-0"} }),
		"message, parsed":  wrapped(func(line string) any { return anObject{"@timestamp": at, "message": parsed(line)} }),
		"msg":              wrapped(func(line string) any { return anObject{"msg": line} }),
		"a name of theirs": wrapped(func(line string) any { return anObject{"payload_of_acme": line} }),
		"filebeat": wrapped(func(line string) any {
			return anObject{"event": anObject{"original": line}, "message": line, "json": parsed(line)}
		}),
		"docker in filebeat": wrapped(func(line string) any {
			return anObject{"message": asJSON(tb, anObject{"log": line + "\n", "stream": "stdout"})}
		}),
		"Elasticsearch": wrapped(func(line string) any { return anObject{"_index": "vault", "_source": anObject{"message": line}} }),
		"Google":        wrapped(func(line string) any { return anObject{"insertId": "1", "jsonPayload": parsed(line), "timestamp": at} }),
		"journald, JSON": wrapped(func(line string) any {
			return anObject{"__REALTIME_TIMESTAMP": "1", "MESSAGE": line, "_PID": "7"}
		}),
		"an array":                       listed(func(e []any) string { return asJSON(tb, e) }, parsed),
		"an array, indented":             listed(func(e []any) string { return indented(e) + "\n" }, parsed),
		"an array of texts":              listed(func(e []any) string { return asJSON(tb, e) }, func(line string) any { return line }),
		"an array of what shippers wrap": listed(func(e []any) string { return asJSON(tb, e) }, func(line string) any { return anObject{"log": line + "\n"} }),
		"CloudWatch": listed(func(e []any) string { return indented(anObject{"events": e, "nextToken": "x"}) }, func(line string) any {
			return anObject{"timestamp": 1, "message": line, "ingestionTime": 2}
		}),
		"Firehose": listed(func(e []any) string {
			half := len(e) / 2
			return asJSON(tb, anObject{"messageType": "DATA_MESSAGE", "logEvents": e[:half]}) + asJSON(tb, anObject{"messageType": "DATA_MESSAGE", "logEvents": e[half:]})
		}, func(line string) any { return anObject{"id": "1", "timestamp": 1, "message": line} }),
		"Loki": listed(func(e []any) string {
			return asJSON(tb, anObject{"status": "success", "data": anObject{"result": []any{anObject{"stream": anObject{}, "values": e}}}})
		}, func(line string) any { return []any{"1763647200000000000", line} }),
		"indented entries": each(func(line string) string { return indented(parsed(line)) + "\n" }),
		"byte order mark":  func(lines []string) string { return "\ufeff" + strings.Join(lines, "\n") },
		"UTF-16":           func(lines []string) string { return inUTF16(binary.LittleEndian, "\ufeff"+strings.Join(lines, "\r\n")) },
		"UTF-16, big":      func(lines []string) string { return inUTF16(binary.BigEndian, "\ufeff"+strings.Join(lines, "\r\n")) },
		"UTF-16, unmarked": func(lines []string) string { return inUTF16(binary.LittleEndian, strings.Join(lines, "\n")) },
		"bare gzip":        func(lines []string) string { return zipped(tb, strings.Join(lines, "\n")) },
		"gzip of docker": func(lines []string) string {
			var log strings.Builder
			for _, line := range lines {
				fmt.Fprintln(&log, asJSON(tb, anObject{"log": line + "\n"}))
			}
			return zipped(tb, zipped(tb, log.String()))
		},
	}
}

func inUTF16(order binary.AppendByteOrder, text string) string {
	var out []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		out = order.AppendUint16(out, unit)
	}
	return string(out)
}

// parsedLog returns what a parser finds in a log.
func parsedLog(t *testing.T, log io.Reader) ([]string, Stats, error) {
	t.Helper()
	text, err := Open(log)
	if err != nil {
		return nil, Stats{}, err
	}
	p := NewParser("adtokens")
	var found []string
	stats, err := Read(t.Context(), text, Consumer[Entry]{Parse: p.Parse, Each: func(e Entry) { found = append(found, fmt.Sprint(e.Kind, e.Token, e.RequestID)) }})
	return found, stats, err
}

func TestOpen_UnwrapsWhatCarriesEntries(t *testing.T) {
	t.Parallel()
	var lines []string
	for _, line := range corpus(t) {
		lines = append(lines, string(line))
	}
	lines[3] = strings.Replace(lines[3], `"display_name":"`, `"display_name":"née <b> 𝄞 {\"x\":1} \\`, 1)
	want, stats, err := parsedLog(t, strings.NewReader(strings.Join(lines, "\n")))
	if err != nil || len(want) < 20 || stats.Unread() > 0 {
		t.Fatalf("the plain log: %d entries, %+v, %v", len(want), stats, err)
	}
	for name, ship := range shipping(t) {
		for way, reader := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "in halves": iotest.HalfReader} {
			t.Run(name+" "+way, func(t *testing.T) {
				t.Parallel()
				got, stats, err := parsedLog(t, reader(strings.NewReader(ship(lines))))
				if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
					t.Fatalf("%d entries instead of %d, %+v: %v", len(got), len(want), stats, err)
				}
				if stats.Unread() > 0 || stats.CutEnds > 0 || stats.Foreign > 0 {
					t.Errorf("counted %+v", stats)
				}
			})
		}
	}
}

// server is what a Vault server says on its standard output beside its audit entries.
var server = []string{
	"==> Vault server configuration:", "", "Administrative Namespace: ", "             Api Address: http://127.0.0.1:8200", "                     Cgo: disabled",
	"==> Vault server started! Log data will stream in below:", "", "2026-11-20T14:00:00.000Z [INFO]  proxy environment: http_proxy=\"\" https_proxy=\"\"",
	"2026-11-20T14:00:00.000Z [ERROR] core: failed: error={\"a\":1}",
}

func TestOpen_KnowsTheServersOwnLog(t *testing.T) {
	t.Parallel()
	var lines []string
	for i, line := range corpus(t) {
		if i%9 == 0 {
			lines = append(lines, server[0], server[3], server[4], server[5], server[7], server[8])
		}
		lines = append(lines, string(line))
	}
	lines = append(lines, `{"@level":"info","@message":"core: sealed","@timestamp":"2026-11-20T14:00:00.000Z"}`)
	for name, ship := range shipping(t) {
		switch name {
		case "plain", "CRLF", "docker", "docker, cut", "fluentd", "containerd", "message", "journald, JSON", "byte order mark", "UTF-16", "gzip of docker":
		default:
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, stats, err := parsedLog(t, strings.NewReader(ship(lines)))
			if err != nil || len(got) != 25 || stats.Unread() > 0 || stats.Foreign != 25 {
				t.Errorf("%d entries, %+v: %v", len(got), stats, err)
			}
		})
	}
}

func TestOpen_NeverLosesALineWithoutAWord(t *testing.T) {
	t.Parallel()
	entry := string(aRead(t))
	wrapped := asJSON(t, anObject{"log": entry + "\n", "stream": "stdout"})
	half := asJSON(t, anObject{"log": entry[:900], "stream": "stdout"})
	for name, tt := range map[string]struct {
		log                   string
		entries, broken, ends int
		err                   error
	}{
		"a torn line in the middle":            {entry[:900] + "\n" + entry + "\n", 1, 1, 0, nil},
		"its other half":                       {entry + "\n" + entry[900:] + "\n" + entry + "\n", 2, 1, 0, nil},
		"from a nested object on":              {entry + "\n" + entry[strings.Index(entry, `"response":{`)+1:] + "\n", 1, 1, 0, nil},
		"a torn last line":                     {entry + "\n" + entry[:900], 1, 0, 1, nil},
		"a torn last line with its end":        {entry + "\n" + entry[:900] + "\n", 1, 0, 1, nil},
		"a killed server's torn entry":         {entry + "\n" + entry[:900] + entry + "\n", 2, 0, 0, nil},
		"two entries on a line":                {entry + "\n" + entry + entry + "\n", 1, 1, 0, nil},
		"text":                                 {entry + "\nwhat is this?\n" + entry + "\n", 2, 1, 0, nil},
		"text at the end":                      {entry + "\nwhat is this?\n", 1, 1, 0, nil},
		"other JSON":                           {entry + "\n{\"a\":1}\n", 1, 1, 0, nil},
		"zeros":                                {entry + "\n" + strings.Repeat("\x00", 100) + "\n", 1, 1, 0, nil},
		"a form that comes later":              {entry + "\n" + wrapped + "\n", 1, 1, 0, nil},
		"plain among what docker writes":       {wrapped + "\n" + entry + "\n", 2, 0, 0, nil},
		"docker: a piece whose end never came": {wrapped + "\n" + half + "\n" + wrapped + "\n", 2, 1, 0, nil},
		"docker: a last piece":                 {wrapped + "\n" + half + "\n", 1, 0, 1, nil},
		"docker: a line that is cut itself":    {wrapped + "\n" + wrapped[:900] + "\n" + wrapped + "\n", 2, 1, 0, nil},
		"docker: something else":               {wrapped + "\n{\"log\":\"hello\\n\"}\n" + wrapped + "\n", 2, 1, 0, nil},
		"containerd: a last piece":             {"2026-11-20T14:00:00.123456789Z stdout P " + entry[:900] + "\n", 0, 0, 1, nil},
		"an array that is cut":                 {"[" + entry + "," + entry, 2, 0, 0, io.ErrUnexpectedEOF},
		"an array that is cut in an entry":     {"[" + entry + "," + entry[:900], 1, 0, 1, io.ErrUnexpectedEOF},
		"an array with something else":         {"[" + entry + `,{"a":1}]`, 1, 1, 0, nil},
		"UTF-16 that is cut":                   {inUTF16(binary.LittleEndian, "\ufeff"+entry) + "\n", 1, 0, 0, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, stats, err := parsedLog(t, strings.NewReader(tt.log))
			if len(got) != tt.entries || stats.Broken != tt.broken || stats.CutEnds != tt.ends || !errors.Is(err, tt.err) {
				t.Errorf("%d entries, %+v: %v", len(got), stats, err)
			}
		})
	}
}

func TestOpen_RefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	tar := strings.Repeat("a", 257) + "ustar" + strings.Repeat("\x00", 300)
	for name, tt := range map[string]struct{ content, want string }{
		"xz":               {"\xfd7zXZ\x00\x00\x04" + string(aRead(t)), "xz -dc | adtokens-audit"},
		"zstd":             {"\x28\xb5\x2f\xfd\x04" + string(aRead(t)), "zstd -dc |"},
		"zstd to skip":     {"\x52\x2a\x4d\x18\x04\x00\x00\x00", "zstd -dc |"},
		"lz4":              {"\x04\x22\x4d\x18" + string(aRead(t)), "lz4 -dc |"},
		"zip":              {"PK\x03\x04" + string(aRead(t)), "unzip -p |"},
		"compress":         {"\x1f\x9d\x90" + string(aRead(t)), "gzip -dc |"},
		"7z":               {"7z\xbc\xaf\x27\x1c", "7z x -so |"},
		"tar":              {tar, "tar -xOf |"},
		"tar in gzip":      {zipped(t, tar), "tar -xOf |"},
		"xz in gzip":       {zipped(t, "\xfd7zXZ\x00"), "xz -dc |"},
		"UTF-32":           {"\xff\xfe\x00\x00{\x00\x00\x00", "iconv -f UTF-32"},
		"jsonx":            {"<json:object name=\"auth\">", "the audit device's format json"},
		"no gzip":          {"\x1f\x8b, but no gzip", "gzip: invalid header"},
		"gzip upon gzip":   {zipped(t, zipped(t, zipped(t, zipped(t, "a")))), "again and again"},
		"no bzip2, but so": {"BZh9" + string(aRead(t)), "bzip2 data invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, stats, err := parsedLog(t, strings.NewReader(tt.content)); err == nil || !strings.Contains(err.Error(), tt.want) || len(got) > 0 {
				t.Errorf("%d entries, %+v: %v", len(got), stats, err)
			}
		})
	}
}

func TestPlain_ReadsBzip2(t *testing.T) {
	t.Parallel()
	packed, err := hex.DecodeString("425a68393141592653593c854112000001410000103000200030cc0c7a8271772453850903c8541120") // of "a\nb\n"
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"bzip2": string(packed), "in gzip": zipped(t, string(packed))} {
		log, err := Plain(strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(log); string(text) != "a\nb\n" || err != nil {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

// FuzzOpen looks for logs that crash what reads their forms, that it does not come to an end with, or whose lines vanish.
func FuzzOpen(f *testing.F) {
	var lines []string
	for _, line := range corpus(f)[:4] {
		lines = append(lines, string(line))
	}
	for _, ship := range shipping(f) {
		f.Add([]byte(ship(lines)))
	}
	for _, text := range []string{"[", "[]", "[[", `["`, "{", `{"log":"`, `[{"a":[{"b":"{\"type\":\"response\"}"}]}`, "\xff\xfe", "\x00{", "2026-11-20T14:00:00.123Z stdout P {"} {
		f.Add([]byte(text))
	}
	p := NewParser("adtokens")
	f.Fuzz(func(t *testing.T, log []byte) {
		text, err := Open(bytes.NewReader(log))
		if err != nil {
			return
		}
		stats, err := Read(t.Context(), io.LimitReader(text, 64<<20), Consumer[Entry]{Parse: p.Parse, Each: func(Entry) {}})
		if err == nil && stats.Lines == 0 && bytes.ContainsAny(log, "abcdefghijklmnopqrstuvwxyz") {
			t.Errorf("nothing came of %q", log)
		}
	})
}
