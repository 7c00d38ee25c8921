package main

import (
	"strings"
	"testing"
)

// consentBy begins a consent; with given fields beside it.
func consentBy(at, who string, given map[string]any) line {
	return line{at: at, operation: "update", path: "adtokens/tokens/rw/consent", who: who, given: given}
}

// answerBy has jane hand in what the browser was sent to.
func answerBy(at string, version int, fingerprint string) line {
	return line{
		at: at, operation: "update", path: "adtokens/tokens/rw/rotate", who: "jane", version: version, fingerprint: fingerprint, published: "-",
		given: map[string]any{"redirect_url": "hmac-sha256:r", "reason": "new consent"},
	}
}

func accessTo(at, who string, version int) line {
	return line{at: at, operation: "read", path: "adtokens/access-token/rw", who: who, version: version, published: "-"}
}

// refreshedRead is a read of a version of which only the fingerprint is another one.
func refreshedRead(at, who string, version int, fingerprint, published string) line {
	l := readOf(at, who, version, fingerprint)
	l.published = published
	return l
}

func TestConsent_NobodyKnowsItsValueButWhoGaveTheClient(t *testing.T) {
	t.Parallel()
	client := map[string]any{"client_id": "hmac-sha256:i", "client_secret": "hmac-sha256:s"}
	inTurn := []line{
		consentBy("02 09:00", "early", client), // more than ten minutes before the answer
		consentBy("02 10:00", "olga", client), answerBy("02 10:05", 1, "aaaa"), accessTo("02 10:06", "app", 1),
		consentBy("03 10:00", "olga", client), consentBy("03 10:01", "otto", map[string]any{"redirect_uri": "hmac-sha256:u"}), // which counts
		consentBy("04 10:00", "nobody", client), // never answered
	}
	for name, lines := range map[string][]line{
		"in turn": inTurn,
		"of another log, which is read first": {
			answerBy("02 10:05", 1, "aaaa"), accessTo("02 10:06", "app", 1), consentBy("02 10:00", "olga", client), consentBy("02 09:00", "early", client),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := logOf(lines...)
			exposure := audit(t, log, "exposure", "-output=json", "-")
			if got := statesOf(t, exposure.stdout, "readers", "state"); len(got) != 1 || got["olga"] != "current" {
				t.Errorf("exposure: %v", got)
			}
			if got := statesOf(t, exposure.stdout, "access_tokens", "reads"); len(got) != 1 || got["app"] != "1" || !strings.Contains(exposure.stdout, "ends by itself") {
				t.Errorf("exposure, access tokens: %s", exposure.stdout)
			}
			if got := statesOf(t, audit(t, log, "leaver", "-display-name=jane", "-output=json", "-").stdout, "tokens", "reset"); len(got) != 0 {
				t.Errorf("leaver: %v", got)
			}
			if got := statesOf(t, audit(t, log, "leaver", "-display-name=olga", "-output=json", "-").stdout, "tokens", "reset"); got["olga"] != "yes" {
				t.Errorf("leaver: %v", got)
			}
			rotations := audit(t, log, "rotations", "-output=json", "-")
			if got := statesOf(t, rotations.stdout, "rotations", "how"); len(got) != 1 || got["jane"] != "consent" {
				t.Errorf("rotations: %v", got)
			}
		})
	}
}

func TestAccessTokens_AreNoKnowledgeOfTheCredential(t *testing.T) {
	t.Parallel()
	log := logOf(answerBy("02 10:05", 1, "aaaa"), accessTo("02 11:00", "app", 1), answerBy("03 10:05", 2, "bbbb"), accessTo("03 11:00", "other", 2))
	if got := audit(t, log, "stale", "-window=0", "-output=json", "-").stdout; len(statesOf(t, got, "readers", "state")) != 0 {
		t.Errorf("stale: %s", got)
	}
	leaver := audit(t, log, "leaver", "-display-name=app", "-")
	for _, want := range []string{"None, as far as the logs tell.", "nothing has to be reset for it"} {
		if !strings.Contains(leaver.stdout, want) {
			t.Errorf("leaver does not say %q: %s", want, leaver.stdout)
		}
	}
	incident := audit(t, log, "incident", "-token=rw", "-since=2026-11-02T00:00:00Z", "-output=json", "-").stdout
	if got := statesOf(t, incident, "access_tokens", "reads"); len(got) != 2 || len(statesOf(t, incident, "readers", "state")) != 0 {
		t.Errorf("incident: %s", incident)
	}
}

func TestRefresh_IsNoNewVersion(t *testing.T) {
	t.Parallel()
	published := rotationTo("02 10:00", 2, "a2")
	published.published = "-"
	for name, test := range map[string]struct {
		lines []line
		want  map[string]string // who is stale, -window=0
	}{
		"published by a request, refreshed before the first read": {
			[]line{published, refreshedRead("02 11:00", "alice", 2, "b2", "p2"), refreshedRead("02 12:00", "bob", 2, "c2", "p2")}, map[string]string{},
		},
		"published before the log": {
			[]line{refreshedRead("02 11:00", "alice", 2, "b2", "p2"), refreshedRead("02 12:00", "bob", 2, "c2", "p2")}, map[string]string{},
		},
		"rotated since": {
			[]line{
				refreshedRead("02 11:00", "alice", 2, "b2", "p2"), refreshedRead("02 12:00", "bob", 2, "c2", "p2"), refreshedRead("03 12:00", "carol", 3, "d3", "p3"),
			}, map[string]string{"alice": "stale", "bob": "stale"},
		},
		"made anew under the same number": {
			[]line{
				refreshedRead("02 11:00", "alice", 2, "b2", "p2"),
				{at: "02 11:30", operation: "delete", path: "adtokens/tokens/rw", who: "olga"},
				refreshedRead("02 12:00", "bob", 2, "c2", "later"),
			}, map[string]string{"alice": "stale"},
		},
		"made anew after a request had published the number": {
			[]line{
				published,
				{at: "02 11:30", operation: "delete", path: "adtokens/tokens/rw", who: "olga"},
				refreshedRead("02 12:00", "bob", 2, "c2", "later"),
			}, map[string]string{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := statesOf(t, audit(t, logOf(test.lines...), "stale", "-window=0", "-output=json", "-").stdout, "readers", "state")
			if len(got) != len(test.want) {
				t.Errorf("stale: %v, want %v", got, test.want)
			}
			for who, state := range test.want {
				if got[who] != state {
					t.Errorf("stale: %v, want %v", got, test.want)
				}
			}
		})
	}
}
