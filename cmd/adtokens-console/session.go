package main

import (
	"maps"
	"sync"
	"time"
)

// How long a session lasts: unused, and at all. It also ends with its Vault token.
const (
	maxIdle = 30 * time.Minute
	maxAge  = 12 * time.Hour
)

// How long a session remembers what was found out, and what was done.
const (
	surveyAge  = 5 * time.Second
	mountsAge  = time.Minute
	resultAge  = 10 * time.Minute
	consentAge = 10 * time.Minute
)

// maxConsents is how many consents may be under way in a session.
const maxConsents = 20

// session is a person who has signed in. The Vault token is in the user, and nowhere else.
type session struct {
	user *user
	// name is what Vault calls the person.
	name string
	// fromLogin says that the console got the token by a login, so that nobody else has it.
	fromLogin bool
	begun     time.Time
	// ends is when the Vault token does, zero where that is not known.
	ends time.Time

	mu      sync.Mutex
	used    time.Time
	mounts  []string
	found   time.Time // when mounts were looked for
	surveys map[string]*survey
	results map[string]*result
	// consents are those under way, by their state.
	consents map[string]consentUnderWay
}

// result is what became of something that the person did with a token.
type result struct {
	At time.Time
	// Good, Bad or neither.
	Tone string
	// Title and Text are in words; Detail is what Vault said.
	Title  string
	Text   []string
	Detail string
	// OtherIdentity says that the value belongs to another account than the one before, and that a person may insist.
	OtherIdentity bool

	// signedOut says that the Vault token is no more.
	signedOut bool
}

// consentUnderWay is what a platform's redirect belongs to.
type consentUnderWay struct {
	mount, token string
	begun        time.Time
}

// alive says whether the session can go on at a time.
func (s *session) alive(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Sub(s.used) < maxIdle && now.Before(s.latestEnd())
}

// latestEnd is when the session ends, however much it is used.
func (s *session) latestEnd() time.Time {
	if latest := s.begun.Add(maxAge); s.ends.IsZero() || latest.Before(s.ends) {
		return latest
	}
	return s.ends
}

// touch says that the person is still there.
func (s *session) touch(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = now
}

// tell keeps a result until the page of the token shows it, and forgets what was known of the mount before.
func (s *session) tell(mount, token string, r *result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.surveys, mount)
	maps.DeleteFunc(s.results, func(_ string, old *result) bool { return r.At.Sub(old.At) > resultAge })
	s.results[mount+"/"+token] = r
}

// told is the last result of a token, nil where there is none.
func (s *session) told(mount, token string, now time.Time) *result {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.results[mount+"/"+token]
	if r == nil || now.Sub(r.At) > resultAge {
		return nil
	}
	return r
}

// beginConsent remembers which token a platform's redirect will be for.
func (s *session) beginConsent(state string, c consentUnderWay) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.consents, func(_ string, old consentUnderWay) bool { return c.begun.Sub(old.begun) > consentAge })
	if len(s.consents) >= maxConsents {
		clear(s.consents)
	}
	s.consents[state] = c
}

// endConsent says which token a redirect is for, once.
func (s *session) endConsent(state string, now time.Time) (consentUnderWay, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, known := s.consents[state]
	delete(s.consents, state)
	return c, known && now.Sub(c.begun) <= consentAge
}

// knownMounts are the mounts as they were found a moment ago.
func (s *session) knownMounts(now time.Time) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.found) > mountsAge {
		return nil
	}
	return s.mounts
}

func (s *session) foundMounts(mounts []string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mounts, s.found = mounts, now
}

// knownSurvey is a mount as it was a moment ago, nil where that is too long ago.
func (s *session) knownSurvey(mount string, now time.Time) *survey {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.surveys[mount]; known != nil && now.Sub(known.at) < surveyAge {
		return known
	}
	delete(s.surveys, mount)
	return nil
}

func (s *session) surveyed(mount string, found *survey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.surveys[mount] = found
}
