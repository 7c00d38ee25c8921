package main

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// campaignName is what the engine takes for the name of a campaign.
var campaignName = regexp.MustCompile(`^\w+(?:(?:\.|-+)\w+)*$`)

const longestCampaignName = 128

// checkCampaign refuses a name that no campaign can have.
func (q *leaver) checkCampaign() error {
	if q.campaign == "" || len(q.campaign) <= longestCampaignName && campaignName.MatchString(q.campaign) {
		return nil
	}
	return cli.Usagef("-campaign is a name of letters, digits and underscores, joined by dashes or single dots, such as jane-leaves")
}

// campaignCommands are the commands that reset what a leaver knows, or may know, one for each namespace.
func (q *leaver) campaignCommands(rows []leaverRow) []string {
	names := map[string][]string{}
	for _, row := range rows {
		if row.Reset != resets["stale"] {
			names[row.Namespace] = append(names[row.Namespace], row.Name)
		}
	}
	reason := cmp.Or(q.displayName, "entity "+q.entity) + " leaves"
	commands := []string{}
	for _, namespace := range slices.Sorted(maps.Keys(names)) {
		option := ""
		if namespace != "" {
			option = "-namespace=" + quoted(strings.TrimSuffix(namespace, "/")) + " "
		}
		slices.Sort(names[namespace])
		commands = append(commands, fmt.Sprintf("vault write %s%s reason=%s tokens=%s",
			option, quoted(strings.TrimPrefix(q.mount, namespace)+"campaigns/"+q.campaign), quoted(reason), quoted(strings.Join(slices.Compact(names[namespace]), ","))))
	}
	return commands
}

// campaignNotes say what the commands are about.
func (q *leaver) campaignNotes(commands []string) []string {
	if len(commands) == 0 {
		return []string{"As far as the logs tell nothing is to be reset, so there is no campaign to begin."}
	}
	return []string{fmt.Sprintf("This begins the campaign that resets what is yes or check; `vault read %scampaigns/%s` then tells how far it is, also with what "+
		"the engine has rotated and nobody has read yet. What says no afterwards, here, is done.", q.mount, q.campaign)}
}

var plainInShell = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// quoted is a text as a shell takes it for one word.
func quoted(text string) string {
	text = harmless(text)
	if plainInShell.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
