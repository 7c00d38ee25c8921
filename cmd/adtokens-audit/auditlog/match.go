package auditlog

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Sighting is a request or an answer with a value that is looked for.
type Sighting struct {
	Time      time.Time // in UTC
	RequestID string
	Path      string // with its namespace
	Operation string
	// Fields are where the value is.
	Fields  []SightedField
	By      Identity
	Address string
	Failed  bool
}

// SightedField is where a value is, and how it is spelled there.
type SightedField struct {
	Path     string // such as request.data.auth_token
	Spelling int    // the index of what was looked for
	Clear    bool   // the log has the value itself, not its HMAC
}

// Needle is a value to look for in one spelling: by its HMAC as the log's audit device writes it, and in clear.
type Needle struct{ Hash, Text string }

// hashPath is where Vault is asked for a value's HMAC: those who look for it are no finding.
const hashPath = "sys/audit-hash/"

// Matcher finds a value in the entries of all mounts.
type Matcher struct {
	hashes, texts map[string]int // the index of the spelling
	// cores are parts of the texts that are the same when JSON writes them; each text has one of them.
	cores [][]byte
	// witnesses are HMACs of what the log of the same device is likely to have.
	witnesses map[string]bool
	witnessed atomic.Bool
	// starts has the startOf of all hashes and witnesses.
	starts [1 << 12]bool
}

// NewMatcher returns a matcher for a value in several spellings. Witnesses are HMACs by the same audit device, of texts that
// may be anywhere in the log.
func NewMatcher(needles []Needle, witnesses ...string) *Matcher {
	m := &Matcher{hashes: map[string]int{}, texts: map[string]int{}, witnesses: map[string]bool{}}
	for i, n := range needles {
		if _, known := m.hashes[n.Hash]; !known && n.Hash != "" {
			m.hashes[n.Hash] = i
		}
		if n.Text != "" {
			m.texts[n.Text] = i
		}
	}
	for _, n := range needles {
		has := slices.ContainsFunc(m.cores, func(core []byte) bool { return strings.Contains(n.Text, string(core)) })
		if core := longestCore(n.Text); !has && len(core) > 0 {
			m.cores = append(m.cores, core)
		}
	}
	for _, w := range witnesses {
		m.witnesses[w] = true
	}
	for hash := range m.hashes {
		m.starts[startOf([]byte(strings.TrimPrefix(hash, hmacPrefix)))] = true
	}
	for hash := range m.witnesses {
		m.starts[startOf([]byte(strings.TrimPrefix(hash, hmacPrefix)))] = true
	}
	return m
}

// longestCore returns the longest run of letters and digits.
func longestCore(text string) []byte {
	longest := ""
	for run := range strings.FieldsFuncSeq(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) {
		if len(run) > len(longest) {
			longest = run
		}
	}
	return []byte(longest)
}

// Witnessed reports whether a witness or the value was in a log that was parsed, which shows that the device wrote it.
func (m *Matcher) Witnessed() bool { return m.witnessed.Load() }

// hmacStart and hmacEnd make up hmacPrefix. The end is searched for: its first letter is none of a hash's digits, so that
// hashes are passed over fast.
var hmacStart, hmacEnd = []byte("hmac-"), []byte("sha256:")

// startOf makes a small number of an HMAC's first digits. Few of a log's HMACs have the same one as those that are looked for.
func startOf(digits []byte) int {
	start := 0
	for i := range min(3, len(digits)) {
		c := digits[i]
		if c == '"' {
			break
		}
		start = start<<4 | int((c&15+c>>6*9)&15)
	}
	return start
}

// mayHave reports whether a line can have the value.
func (m *Matcher) mayHave(text []byte) bool {
	found := false
	for rest := text; !found; {
		at := bytes.Index(rest, hmacEnd)
		if at < 0 {
			break
		}
		before, digits := rest[:at], rest[at+len(hmacEnd):]
		if !m.starts[startOf(digits)] || !bytes.HasSuffix(before, hmacStart) {
			rest = digits
			continue
		}
		end := bytes.IndexByte(digits, '"')
		if end < 0 {
			break
		}
		hash := rest[at-len(hmacStart) : at+len(hmacEnd)+end]
		if _, found = m.hashes[string(hash)]; !found && m.witnesses[string(hash)] && !m.witnessed.Load() {
			m.witnessed.Store(true)
		}
		rest = digits
	}
	return found || slices.ContainsFunc(m.cores, func(core []byte) bool { return bytes.Contains(text, core) })
}

// Parse reads a line. It keeps no part of it.
func (m *Matcher) Parse(line []byte) (Sighting, Verdict) {
	text, verdict := sift(line)
	if verdict != Found {
		return Sighting{}, verdict
	}
	if !m.mayHave(text) {
		return Sighting{}, Other
	}
	var r record
	var data struct {
		Request, Response struct {
			Data any `json:"data"`
		}
	}
	if whole := afterTorn(text); !r.decode(text) && whole != nil {
		text, r = whole, record{}
		_ = r.decode(text) // checked below
	}
	if r.time.IsZero() || json.Unmarshal(text, &data) != nil {
		return Sighting{}, Broken
	}
	fields := m.find("response.data", data.Response.Data, m.find("request.data", data.Request.Data, nil))
	if !r.isResponse || len(fields) == 0 || strings.HasPrefix(r.request.path, hashPath) {
		return Sighting{}, Other
	}
	m.witnessed.Store(true)
	slices.SortFunc(fields, func(a, b SightedField) int { return strings.Compare(a.Path, b.Path) })
	return Sighting{
		Time: r.time, RequestID: r.request.id, Path: r.request.namespace + r.request.path, Operation: r.request.operation,
		Fields: fields, By: r.identity(), Address: r.request.remoteAddress, Failed: r.failure() != "",
	}, Found
}

// find appends the value's fields.
func (m *Matcher) find(path string, value any, found []SightedField) []SightedField {
	switch v := value.(type) {
	case string:
		if i, ok := m.hashes[v]; ok {
			found = append(found, SightedField{Path: path, Spelling: i})
		} else if i, ok := m.texts[v]; ok {
			found = append(found, SightedField{Path: path, Spelling: i, Clear: true})
		}
	case []any:
		for i, element := range v {
			found = m.find(path+"."+strconv.Itoa(i), element, found)
		}
	case map[string]any:
		for key, element := range v {
			found = m.find(path+"."+key, element, found)
		}
	}
	return found
}
