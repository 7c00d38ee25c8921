package backend

import "sync"

// toldGeneration is how many states that last are remembered at least.
const toldGeneration = 4096

// toldAhead are states that were told before they were stored. The zero value has none.
type toldAhead struct {
	mu sync.Mutex
	// marks are what the event that follows the storing need not tell, by event and token.
	marks map[string]bool
	// ids are those of the states that were told, in two generations, of which the older one is forgotten first.
	ids, older map[string]bool
}

// put notes that a state is told, and says whether it was not told before. The caller holds the token's lock.
func (a *toldAhead) put(h happening, id string) (isNew bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.marks == nil {
		a.marks, a.ids = map[string]bool{}, map[string]bool{}
	}
	a.marks[h.mark()] = true
	if a.ids[id] || a.older[id] {
		a.ids[id] = true
		return false
	}
	if len(a.ids) >= toldGeneration {
		a.ids, a.older = map[string]bool{}, a.ids
	}
	a.ids[id] = true
	return true
}

// forget has a state count as not told.
func (a *toldAhead) forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.ids, id)
	delete(a.older, id)
}

// take says whether the event was told ahead, once.
func (a *toldAhead) take(h happening) bool {
	if h.token == nil || h.metadata["source"] != "" { // one of a person's request
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	told := a.marks[h.mark()]
	delete(a.marks, h.mark())
	return told
}

func (h happening) mark() string { return h.eventType + " " + h.token.name + " " + h.token.ID }
