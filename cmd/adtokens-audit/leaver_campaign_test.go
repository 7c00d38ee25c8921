package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

func TestLeaver_CampaignsAreOneForEachNamespace(t *testing.T) {
	t.Parallel()
	row := func(namespace, name, reset string) leaverRow {
		return leaverRow{tokenRef: tokenRef{Namespace: namespace, Name: name}, Reset: reset}
	}
	rows := []leaverRow{
		row("", "b", "yes"), row("", "a", "check"), row("", "a", "yes"), row("", "old", "no"), row("team 1/", "c", "yes"), row("team 1/", "old", "no"), row("team-2/", "old", "no"),
	}
	for name, tc := range map[string]struct {
		query leaver
		want  []string
	}{
		"by display name": {
			leaver{query: query{mount: "adtokens/"}, displayName: "oidc-o'hara@acme.example", campaign: "x"},
			[]string{
				`vault write adtokens/campaigns/x reason='oidc-o'\''hara@acme.example leaves' tokens=a,b`,
				`vault write -namespace='team 1' adtokens/campaigns/x reason='oidc-o'\''hara@acme.example leaves' tokens=c`,
			},
		},
		"by entity, in a namespace's mount": {
			leaver{query: query{mount: "team 1/adtokens/"}, entity: "e-1", campaign: "x"},
			[]string{
				`vault write 'team 1/adtokens/campaigns/x' reason='entity e-1 leaves' tokens=a,b`,
				`vault write -namespace='team 1' adtokens/campaigns/x reason='entity e-1 leaves' tokens=c`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.query.campaignCommands(rows); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	if got := (&leaver{campaign: "x"}).campaignCommands(rows[3:4]); len(got) != 0 {
		t.Errorf("what is old begins %q", got)
	}
}

func TestLeaver_CampaignIsAName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b", "a/b", "a..b", "-x", "$(id)", strings.Repeat("x", 129)} {
		got := audit(t, "", "leaver", "-display-name=userpass-alice", "-campaign="+name, corpus)
		if got.code != cli.ExitUsage || !strings.Contains(got.stderr, "-campaign is a name of letters") {
			t.Errorf("the name %q gives %d: %s", name, got.code, got.stderr)
		}
	}
}
