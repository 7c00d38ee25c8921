package impact

import (
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

const consoleURL = "https://app.impact.com"

const (
	handInToken = "Hand the new value in at once: `vault write adtokens/tokens/<name>/rotate auth_token=-`, paste it, press Enter and then Ctrl-D. " +
		"account_sid keeps its value unless it is handed in too."
	handInPair = "Hand the new value in: `vault write adtokens/tokens/<name>/rotate auth_token=-` after a Reset, " +
		"`vault write adtokens/tokens/<name>/rotate account_sid=IR… auth_token=-` for another token. Paste the Auth Token, press Enter and then Ctrl-D."
	noAPI = "There is no public API that resets, creates or reads tokens: a person does it, or a tool that a person runs."
)

// runbook follows impact.com's help pages "Manage Legacy API Tokens as an Agency" and "Manage API Access Tokens as an
// Agency".
func runbook(settings provider.Values, tokenType string) provider.Runbook {
	accountType := settings[fieldAccountType]
	switch tokenType {
	case typeLegacyReadWrite:
		return legacyRunbook(accountType, legacyToken{menu: "Reset (Read/Write)", name: "Read/Write", other: "Read-Only"})
	case typeLegacyReadOnly:
		return legacyRunbook(accountType, legacyToken{menu: "Reset (Read-Only)", name: "Read-Only", other: "Read/Write"})
	case typeScoped:
		return scopedRunbook(accountType)
	default:
		return provider.Runbook{}
	}
}

// openTokens is the way to the page with the API tokens.
func openTokens(accountType string) string {
	const signIn = "Sign in to impact.com as an Account Administrator or Implementation Specialist: other roles do not see the tokens. "
	if accountType == "agency" {
		return signIn + "In the left menu open Settings, then in the column Account, under Technical, Platform REST Web Services."
	}
	return signIn + "Open your user profile, then Settings, Technical, API."
}

// otherKinds says, for a brand or partner, how much is known of the page.
func otherKinds(accountType string) []string {
	if accountType == "agency" {
		return nil
	}
	return []string{"impact.com describes the page's menus for agencies; on the page of a " + accountType + " account they may be named or placed differently."}
}

// legacyToken names one of the two legacy tokens as the console does.
type legacyToken struct{ menu, name, other string }

func legacyRunbook(accountType string, l legacyToken) provider.Runbook {
	reset := "On the Legacy Account Tokens card open More and choose " + l.menu + "."
	view := "Open the card and its page API Credentials, and copy the Auth Token of the " + l.name + " token."
	notes := []string{
		"If there is no Legacy Account Tokens card: Enable Legacy Tokens, top right on the same page, makes it appear, and is gone itself then.",
		"The card's page Overview has a drop-down API Version, which upgrades the tokens' version: leave it alone, unless the apps are ready for the newer one.",
	}
	if accountType != "agency" {
		reset = "Reset the " + l.name + " token there (an agency's console calls it " + l.menu + ")."
		view = "Copy the new Auth Token of the " + l.name + " token."
		notes = nil
	}
	return provider.Runbook{
		ConsoleURL: consoleURL,
		Steps: []string{
			"Have a terminal with Vault access ready: from the reset until the apps read the new value, their requests fail.",
			openTokens(accountType),
			reset,
			view,
			handInToken,
		},
		Previous: "Invalid from the moment of the reset: it no longer passes authorisation checks. There is no overlap.",
		Notes: append(append(notes, otherKinds(accountType)...),
			"The two legacy resets are independent: this one leaves the "+l.other+" token alone.",
			"Both legacy tokens show the same company, so Vault cannot tell one from the other: make sure that what you copy belongs to the "+l.name+" token.",
			"Legacy tokens are those made before April 2025 (another page of impact.com says June 2025). They still work and no end date is published; impact.com encourages the move to scoped tokens.",
			"The current value can be read again in the console at any time, without a reset.",
			noAPI),
	}
}

func scopedRunbook(accountType string) provider.Runbook {
	return provider.Runbook{
		ConsoleURL: consoleURL,
		Steps: []string{
			openTokens(accountType),
			"Without downtime: make a second token with the same scopes and API version; Duplicate in the menu of the token does that. It has an Account SID and an Auth Token of its own.",
			"Or with a short outage: choose Reset in the menu of the token. The old Auth Token dies at once.",
			"Copy the Auth Token, and the Account SID of a second token.",
			handInPair,
		},
		Previous: "After a Reset: invalid at once. Beside a second token: works until it is disabled or deleted in the console.",
		Notes: append(otherKinds(accountType),
			"Once every app has read the second token: Disable the first one in its menu, see that nothing fails, and Delete it.",
			"Upgrade Version in the menu changes which API version the apps get by default: it is no part of a rotation.",
			"A token that is disabled, or lacks the scope of the endpoint that verification reads, answers HTTP 403: genuine all the same. "+
				"Set probe_path to a resource within its scopes for a check that tells.",
			noAPI),
	}
}
