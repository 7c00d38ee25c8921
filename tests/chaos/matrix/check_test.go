//go:build unix

package matrix

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// check compares what the engine says with what the provider knows, when nothing is left to do. Made is how many values
// the provider has made since the story began: no more, and of resets no fewer.
func (s *subject) check(ctx context.Context, version, made int) error {
	token, err := s.data(ctx, "tokens/"+s.name)
	if err != nil {
		return err
	}
	creds, err := s.data(ctx, "creds/"+s.name)
	if err != nil {
		return err
	}
	issued, live, err := s.values(ctx)
	if err != nil {
		return err
	}
	return errors.Join(
		s.checkCurrent(token, creds, version, live),
		s.checkValues(token, issued, live, made),
		s.checkPlan(token),
		s.checkHistory(ctx, token, live),
	)
}

// checkCurrent wants one current version that works.
func (s *subject) checkCurrent(token, creds fields, version int, live []string) error {
	var problems []error
	for name, data := range map[string]fields{"tokens/": token, "creds/": creds} {
		if got := number(data["version"]); got != version {
			problems = append(problems, fmt.Errorf("%s has version %d instead of %d", name, got, version))
		}
	}
	if token["fingerprint"] != creds["fingerprint"] || token["health"] != "ok" {
		problems = append(problems, fmt.Errorf("the token's fingerprint is %v and that of creds %v, its health %v", token["fingerprint"], creds["fingerprint"], token["health"]))
	}
	if !slices.Contains(live, s.story.credential.value(creds)) {
		problems = append(problems, errors.New("the current value does not work at the provider"))
	}
	if version < s.claimed {
		problems = append(problems, fmt.Errorf("somebody was told that version %d is published", s.claimed))
	}
	return errors.Join(problems...)
}

// checkValues wants the engine to know everything that works, and nothing to be made in vain.
func (s *subject) checkValues(token fields, issued, live []string, made int) error {
	known := []string{s.versions[number(token["version"])]}
	retiring, _ := token["retiring"].([]any)
	for _, old := range retiring {
		entry, _ := old.(fields)
		known = append(known, s.versions[number(entry["version"])])
	}
	for _, value := range live {
		if !slices.Contains(known, value) && !s.toldBeside {
			return errors.New("a value works at the provider that the engine does not know")
		}
	}
	since := len(issued) - s.issued
	_, isKey := s.story.credential.(key)
	if since > made || !isKey && since < made {
		return fmt.Errorf("the provider has made %d values instead of %d", since, made)
	}
	return nil
}

// checkPlan wants the next rotation to be as far away as the policy says.
func (s *subject) checkPlan(token fields) error {
	last, lastErr := time.Parse(time.RFC3339, fmt.Sprint(token["last_vault_rotation"]))
	next, nextErr := time.Parse(time.RFC3339, fmt.Sprint(token["next_vault_rotation"]))
	if err := errors.Join(lastErr, nextErr); err != nil {
		return err
	}
	if next.Sub(last) != period || token["overdue"] != false {
		return fmt.Errorf("the next rotation is planned %s after the last one", next.Sub(last))
	}
	return nil
}

// checkHistory wants an entry for each version, and what they say of its end to be true. A version that died at the reset
// may have no end there: who crashes before that was noted does not look again.
func (s *subject) checkHistory(ctx context.Context, token fields, live []string) error {
	history, err := s.data(ctx, "tokens/"+s.name+"/history")
	if err != nil {
		return err
	}
	versions, _ := history["versions"].([]any)
	if len(versions) != number(token["version"]) {
		return fmt.Errorf("the history has %d versions", len(versions))
	}
	var problems []error
	for i, version := range versions {
		entry, _ := version.(fields)
		problems = append(problems, s.checkEntry(entry, i+1, slices.Contains(live, s.versions[i+1])))
	}
	if last, _ := versions[len(versions)-1].(fields); last["fingerprint"] != token["fingerprint"] {
		problems = append(problems, errors.New("the history's last fingerprint is not the current one"))
	}
	return errors.Join(problems...)
}

// checkEntry compares what the history says of a version with what happened. Works says whether the provider accepts it.
func (s *subject) checkEntry(entry fields, version int, works bool) error {
	source, reason := s.story.credential.source(), s.story.name
	switch version {
	case 1:
		source, reason = "import", ""
	case s.handedIn:
		source = "assisted"
	}
	var problems []error
	if number(entry["version"]) != version || entry["source"] != source || entry["reason"] != reason || entry["verification"] != "accepted" {
		problems = append(problems, fmt.Errorf("the history says of version %d: %v, from %v for %q, verification %v",
			version, entry["version"], entry["source"], entry["reason"], entry["verification"]))
	}
	ended := entry["retired_at"] != nil
	_, isKey := s.story.credential.(key)
	if ended && (works || entry["retired_how"] != s.story.credential.retired()) || isKey && !ended && !works {
		problems = append(problems, fmt.Errorf("the history says that version %d ended at %v (%v), and that it works is %t",
			version, entry["retired_at"], entry["retired_how"], works))
	}
	return errors.Join(problems...)
}
