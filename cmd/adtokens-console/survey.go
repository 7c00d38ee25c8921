package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// statusPage is how many tokens are asked for at once, which is all that the engine gives.
const statusPage = 5000

// expiringSoon is how long before its end a value needs attention.
const expiringSoon = 14 * 24 * time.Hour

// survey is a mount at a time: every token, in the order of their names.
type survey struct {
	at     time.Time
	rows   []*row
	counts map[concern]int
	// Warnings are what the engine says beside the tokens.
	warnings []string
}

// row is a token in a list.
type row struct {
	Name string
	statusRow
	Concern concern
	mount   string
}

// URL is the address of the token's page.
func (r *row) URL() string { return mountURL(r.mount, "tokens", r.Name) }

// statusRow is a token in the engine's status.
type statusRow struct {
	Account       string
	Type          string
	Version       int
	Age           *int64
	Health        string
	Overdue       bool
	NextRotation  *time.Time `json:"next_vault_rotation"`
	ExpiresAt     *time.Time `json:"expires_at"`
	RotationState string     `json:"rotation_state"`
	LastError     string     `json:"last_error"`
}

// concern is what a person has to look at, the most urgent first. Its name is the end of texts' keys.
type concern int

const (
	rejected concern = iota
	ended
	stuck
	overdue
	expiring
	unproven
	empty
	fine
)

var concernNames = [...]string{"rejected", "ended", "stuck", "overdue", "expiring", "unproven", "empty", "ok"}

func (c concern) String() string { return concernNames[c] }

// Urgent says that apps fail, or will soon.
func (c concern) Urgent() bool { return c <= ended }

// NeedsAttention says that a person has to do something.
func (c concern) NeedsAttention() bool { return c != fine }

func (s *statusRow) concern(now time.Time) concern {
	switch {
	case s.Health == "rejected":
		return rejected
	case s.ExpiresAt != nil && s.ExpiresAt.Before(now):
		return ended
	case s.LastError != "":
		return stuck
	case s.Overdue:
		return overdue
	case s.ExpiresAt != nil && s.ExpiresAt.Before(now.Add(expiringSoon)):
		return expiring
	case s.Health == "unverified":
		return unproven
	case s.Version == 0 && s.Health == "none":
		return empty
	}
	return fine
}

// survey looks at every token of the visit's mount.
func (c *console) survey(v *visit) (*survey, error) {
	now := c.now()
	if known := v.knownSurvey(v.mount, now); known != nil {
		return known, nil
	}
	found, err := readStatus(v.r.Context(), v.user, v.mount, now)
	if err != nil {
		return nil, err
	}
	v.surveyed(v.mount, found)
	return found, nil
}

func readStatus(ctx context.Context, u *user, mount string, now time.Time) (*survey, error) {
	s := &survey{at: now, counts: map[concern]int{}}
	after := ""
	for {
		var answer struct {
			Summary struct{ Total int }
			Tokens  map[string]statusRow
		}
		got, err := u.read(ctx, mount+"/status", map[string][]string{"after": {after}, "limit": {strconv.Itoa(statusPage)}}, &answer)
		if err != nil {
			return nil, err
		}
		if after == "" {
			s.warnings = got.Warnings
		}
		for _, name := range slices.Sorted(maps.Keys(answer.Tokens)) {
			r := &row{Name: name, mount: mount, statusRow: answer.Tokens[name]}
			r.Concern = r.concern(now)
			s.rows = append(s.rows, r)
			s.counts[r.Concern]++
			after = max(after, name)
		}
		if len(answer.Tokens) < statusPage || len(s.rows) >= answer.Summary.Total {
			s.keepOwnWarnings()
			return s, nil
		}
	}
}

// keepOwnWarnings drops the warnings that repeat what a token's row says.
func (s *survey) keepOwnWarnings() {
	byName := make(map[string]*row, len(s.rows))
	for _, r := range s.rows {
		byName[r.Name] = r
	}
	s.warnings = slices.DeleteFunc(s.warnings, func(warning string) bool {
		name, _, _ := strings.Cut(warning, ": ")
		r := byName[name]
		return r != nil && r.Concern != fine || strings.HasPrefix(warning, "campaign ") ||
			strings.HasPrefix(warning, "tokens that are not shown") || strings.HasSuffix(warning, "more tokens have problems")
	})
}

// urgent are the tokens that need attention, the most urgent first; at most so many.
func (s *survey) urgent(most int) (first []*row, more int) {
	for _, r := range s.rows {
		if r.Concern.NeedsAttention() {
			first = append(first, r)
		}
	}
	slices.SortStableFunc(first, func(a, b *row) int { return cmp.Compare(a.Concern, b.Concern) })
	more = max(0, len(first)-most)
	return first[:len(first)-more], more
}

// filter is which tokens of a list are wanted.
type filter struct {
	Words, State string
}

// stateFilters are the choices of a list, beside all tokens.
var stateFilters = []string{"attention", "rejected", "overdue", "expiring", "unproven", "empty", "ok"}

func (f filter) fits(r *row) bool {
	switch {
	case f.State == "attention" && !r.Concern.NeedsAttention(), f.State == "overdue" && !r.Overdue:
		return false
	case f.State != "" && f.State != "attention" && f.State != "overdue" && r.Concern.String() != f.State:
		return false
	case f.Words == "":
		return true
	}
	where := strings.ToLower(r.Name + " " + r.Account + " " + r.Type)
	for word := range strings.FieldsSeq(strings.ToLower(f.Words)) {
		if !strings.Contains(where, word) {
			return false
		}
	}
	return true
}

func (s *survey) filter(f filter) []*row {
	if f == (filter{}) {
		return s.rows
	}
	var fit []*row
	for _, r := range s.rows {
		if f.fits(r) {
			fit = append(fit, r)
		}
	}
	return fit
}

// Seconds is how old the current value is.
func (r *row) Seconds() int {
	if r.Age == nil {
		return 0
	}
	return int(*r.Age)
}
