package auditlog

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sighting is a request or an answer with a value that is looked for.
type Sighting struct {
	Time      time.Time // in UTC
	RequestID string
	Path      string // with its namespace
	Operation string
	// Fields are where the value is, such as request.data.auth_token.
	Fields  []string
	By      Identity
	Address string
	Failed  bool
}

// hashPath is where Vault is asked for a value's HMAC: those who look for it are no finding.
const hashPath = "sys/audit-hash/"

// Matcher finds a value in the entries of all mounts.
type Matcher struct{ hashes []string }

// NewMatcher returns a matcher for the HMACs of a value, as the log's audit device writes them.
func NewMatcher(hashes ...string) *Matcher { return &Matcher{hashes} }

// Parse reads a line. It keeps no part of it.
func (m *Matcher) Parse(line []byte) (Sighting, Verdict) {
	text, ok := object(line)
	if !ok {
		return Sighting{}, Foreign
	}
	if bytes.HasSuffix(text, requestEnd) || !slices.ContainsFunc(m.hashes, func(hash string) bool { return bytes.Contains(text, []byte(hash)) }) {
		return Sighting{}, Other
	}
	var r record
	var data struct {
		Request, Response struct {
			Data any `json:"data"`
		}
	}
	if !r.decode(text) || json.Unmarshal(text, &data) != nil {
		return Sighting{}, Foreign
	}
	fields := m.find("response.data", data.Response.Data, m.find("request.data", data.Request.Data, nil))
	if !r.isResponse || len(fields) == 0 || strings.HasPrefix(r.request.path, hashPath) {
		return Sighting{}, Other
	}
	slices.Sort(fields)
	return Sighting{
		Time: r.time, RequestID: r.request.id, Path: r.request.namespace + r.request.path, Operation: r.request.operation,
		Fields: fields, By: r.identity(), Address: r.request.remoteAddress, Failed: r.failure() != "",
	}, Found
}

// find appends the paths of the value's fields.
func (m *Matcher) find(path string, value any, found []string) []string {
	switch v := value.(type) {
	case string:
		if slices.Contains(m.hashes, v) {
			found = append(found, path)
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
