package auditlog

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// maxLooks is how many entries are decoded to find other mounts of the engine.
const maxLooks = 1 << 12

// mounts are those that are not asked for.
type mounts struct {
	looks atomic.Int32
	mu    sync.Mutex
	seen  map[string]bool
}

// look notes the mount of an entry that reads a credential of this engine.
func (m *mounts) look(line []byte) {
	if m.looks.Load() >= maxLooks || m.looks.Add(1) > maxLooks {
		return
	}
	var r record
	if !r.decode(line) || !r.isResponse || r.response.fingerprint == "" && r.response.wrappingToken == "" {
		return
	}
	mount, _, ok := strings.Cut(r.request.namespace+r.request.path, "/creds/")
	if r.response.lastVaultRotation == "" || !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[mount+"/"] = true
}

// Elsewhere returns mounts of the engine in the log other than the parser's.
func (p *Parser) Elsewhere() []string {
	p.elsewhere.mu.Lock()
	defer p.elsewhere.mu.Unlock()
	return slices.Sorted(maps.Keys(p.elsewhere.seen))
}

// maxNames is how many names are kept of a log.
const maxNames = 1 << 14

// names are those of everybody in the log, whatever their requests are about.
type names struct {
	mu       sync.Mutex
	display  map[string]bool
	entities map[string]bool
}

// CollectNames has the parser note the names of everybody in the log, which takes time.
func (p *Parser) CollectNames() {
	p.names = &names{display: map[string]bool{}, entities: map[string]bool{}}
}

// DisplayNames returns the display names that were noted, and whether there were too many to note.
func (p *Parser) DisplayNames() ([]string, bool) { return p.names.list(p.names.display) }

// Entities returns the IDs of entities that were noted, and whether there were too many to note.
func (p *Parser) Entities() ([]string, bool) { return p.names.list(p.names.entities) }

func (n *names) list(of map[string]bool) ([]string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(of)), len(of) >= maxNames
}

var (
	displayMark = []byte(`"display_name":"`)
	entityMark  = []byte(`"entity_id":"`)
)

func (n *names) look(text []byte) {
	if n == nil {
		return
	}
	n.note(text, displayMark, n.display)
	n.note(text, entityMark, n.entities)
}

func (n *names) note(text, mark []byte, in map[string]bool) {
	for {
		at := bytes.Index(text, mark)
		if at < 0 {
			return
		}
		start := at + len(mark) - 1
		end := endOfString(text, start)
		if end < 0 {
			return
		}
		n.mu.Lock()
		if value := text[start:end]; !in[string(value[1:len(value)-1])] && len(in) < maxNames {
			if name := asText(value); name != "" {
				in[name] = true
			}
		}
		n.mu.Unlock()
		text = text[end:]
	}
}
