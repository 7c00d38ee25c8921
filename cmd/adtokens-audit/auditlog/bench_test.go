package auditlog

import (
	"bytes"
	"os"
	"testing"
)

func corpus(tb testing.TB) [][]byte {
	tb.Helper()
	text, err := os.ReadFile("../testdata/audit.log")
	if err != nil {
		tb.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(text), []byte("\n"))
}

func BenchmarkParse(b *testing.B) {
	read := corpus(b)
	for name, mount := range map[string]string{"an entry to count": "adtokens/", "an entry of another mount": "elsewhere/"} {
		b.Run(name, func(b *testing.B) {
			p := NewParser(mount)
			line := read[7]
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = p.Parse(line)
			}
		})
	}
}
