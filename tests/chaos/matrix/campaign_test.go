//go:build unix

package matrix

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// TestCampaignCrashMatrix has a campaign rotate a token of each kind, and kills the plugin, or Vault, before each step of it. The campaign
// goes on by itself, the token is reset once, and the campaign says what has become of it.
func TestCampaignCrashMatrix(t *testing.T) {
	t.Parallel()
	plugin := vaulttest.BuildPlugin(t, "adtokens-failpoints", "-tags", "failpoints")
	var told []story
	for _, id := range []string{"hook", hookAsync, hookRefuses, "key", "api"} {
		told = append(told, stories[slices.IndexFunc(stories, func(s story) bool { return s.id == id })])
	}
	undisturbed := newWorld(t, vaulttest.StartDev(t), plugin)
	var rows []row
	for _, s := range told {
		path, err := undisturbed.recordCampaign(t.Context(), s)
		if err != nil {
			vaulttest.Fatalf(t, "%s, undisturbed: %v", s.name, err)
		}
		for at := range path {
			rows = append(rows, row{story: s, path: path, at: at})
		}
	}
	if len(rows) < 2*len(told) {
		t.Fatalf("only %d points were found", len(rows))
	}
	for _, e := range events[:2] {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			campaignColumn(t, newWorld(t, e.start(t), plugin), e, rows)
		})
	}
}

// newCampaignSubject makes a token whose rotations a campaign begins.
func (w *world) newCampaignSubject(ctx context.Context, told story, name string) (*subject, error) {
	told.name = fmt.Sprintf("crash (campaign %s)", name) // the reason in the history
	return w.newSubject(ctx, told, name)
}

// campaign begins the subject's campaign, or changes it.
func (s *subject) campaign(ctx context.Context, data fields) error {
	_, err := s.Write(ctx, "campaigns/"+s.name, data)
	return err
}

// campaignEnds waits until the campaign is in one of the states, and returns its item.
func (s *subject) campaignEnds(ctx context.Context, states ...string) (item fields, err error) {
	err = await(func() error {
		data, err := s.data(ctx, "campaigns/"+s.name)
		if err != nil {
			return err
		}
		if items, _ := data["items"].([]any); len(items) == 1 {
			item, _ = items[0].(fields)
		}
		if !slices.Contains(states, fmt.Sprint(data["state"])) {
			return fmt.Errorf("the campaign is %v instead of %s: %v", data["state"], strings.Join(states, " or "), item)
		}
		return nil
	})
	return item, err
}

// campaignState is the state in which the story's campaign ends.
func (s story) campaignState() string {
	if s.fails() {
		return "failed"
	}
	return "done"
}

func (w *world) recordCampaign(ctx context.Context, told story) ([]string, error) {
	s, err := w.newCampaignSubject(ctx, told, told.id+"-undisturbed")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.watch(""), s.campaign(ctx, fields{"reason": "crash", "tokens": s.name})); err != nil {
		return nil, err
	}
	if _, err := s.campaignEnds(ctx, told.campaignState()); err != nil {
		return nil, err
	}
	if err := errors.Join(s.settled(ctx, told.version), s.quiet(ctx)); err != nil {
		return nil, err
	}
	path, err := s.reached()
	const ofQuiet = 2 // a write and an event
	return path[:len(path)-ofQuiet], errors.Join(err, s.forget(), s.note(ctx), s.check(ctx, told.version, told.made))
}

// campaignColumn has the event happen while the token of each row is stopped at its point.
func campaignColumn(t *testing.T, w *world, e event, rows []row) {
	t.Helper()
	ctx := t.Context()
	w.hook.spoil()
	subjects := lineUp(rows, func(r row) (*subject, error) {
		return w.newCampaignSubject(ctx, r.story, fmt.Sprintf("%s-%d", r.story.id, r.at))
	})
	phase := subjects.phase
	phase(func(r row, s *subject) error {
		return errors.Join(s.watch(r.stop()), s.campaign(ctx, fields{"reason": "crash", "tokens": s.name}))
	})
	phase(func(r row, s *subject) error { return s.stopped(r.stop()) })
	e.happen(t, w)
	phase(func(_ row, s *subject) error { return s.release() })
	w.wake(t)
	phase(func(r row, s *subject) error { return s.campaignRecovers(ctx, r, e) })
	if err := w.mend(ctx); err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
	for i, r := range rows {
		if problem := subjects.problem(t, i); problem != "" {
			t.Errorf("%s, before %s: %s", r.story.id, r.stop(), problem)
		}
	}
}

// campaignRecovers waits until the campaign has come to its end by itself, and compares what it says with what is there.
func (s *subject) campaignRecovers(ctx context.Context, r row, e event) error {
	version, made := r.ends(e)
	state := "done"
	if version == s.story.begins {
		state = "failed"
	}
	// An answer that is lost ends the campaign's part, and a person does the rest.
	if _, err := s.campaignEnds(ctx, "done", "failed"); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	item, err := s.campaignEnds(ctx, state)
	if err != nil {
		return err
	}
	if number(item["version_before"]) != s.story.begins || number(item["version_now"]) != version || item["how"] != "automatic" || item["state"] != state {
		return fmt.Errorf("the item is %v; it should be of version %d", item, version)
	}
	if err := errors.Join(s.settled(ctx, version), s.note(ctx)); err != nil {
		return err
	}
	return errors.Join(s.check(ctx, version, made), s.forget())
}
