package googleads

import (
	"fmt"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

const (
	apiCenterURL    = "https://ads.google.com/aw/apicenter"
	cloudConsoleURL = "https://console.cloud.google.com"
)

// The runbooks follow Google's page "Developer Token Reset" and Google Cloud's documentation of OAuth clients and service account keys.

func developerTokenRunbook(settings provider.Values) provider.Runbook {
	manager := "the manager account"
	if id := settings[fieldLoginCustomerID]; id != "" {
		manager = fmt.Sprintf("the manager account %s-%s-%s", id[:3], id[3:6], id[6:])
	}
	return provider.Runbook{
		ConsoleURL: apiCenterURL,
		Steps: []string{
			"Have a terminal with Vault access ready: from the reset until the apps read the new token, their requests fail.",
			"Sign in to " + manager + " at " + apiCenterURL + " (in the menus: Admin, then API center under Manager account settings).",
			"Under API Access, Developer token, choose Reset token, and copy the new token. Where there is no such button any more, there is " +
				"nothing left to reset: since 9 September 2026 the value is no credential.",
			"Hand it in at once: `vault write adtokens/tokens/<name>/rotate developer_token=-`, paste it, press Enter and then Ctrl-D.",
		},
		Previous: "Invalid from the moment of the reset: every request with it fails. There is no overlap.",
		Notes: []string{
			"Reset the token when it is believed compromised, or when a person who knows it has left the team.",
			"The new token has the same access level as the old one and needs no new review: it works at once.",
			"Check on the same occasion who reads what Google writes. It writes to the owners and editors of the Google Cloud project that owns " +
				"the OAuth client or service account, so at least one of them has to be a team's address; and, for now, to the API contact email of " +
				"the API center, which has to be valid, monitored, and a team's rather than a person's.",
			"Google retired developer tokens on 9 September 2026. Since then the API ignores what the developer-token header says (an empty " +
				"header is still refused: leave it out instead), and access levels belong to the Google Cloud project of the OAuth client or " +
				"service account. The first major version that may refuse the header is v27, about January 2027. Code that still sends a value " +
				"keeps working.",
			"The API center shows only historical details since then, and is to be removed.",
			"Because the API accepts any value since then, verification tells `inconclusive` for a genuine token; what protects the account " +
				"today is the OAuth client or service account key, which can be kept here as a token of its own.",
			"There is no public API for the reset: a person does it, or a tool that a person runs.",
		},
	}
}

func oauthClientRunbook(provider.Values) provider.Runbook {
	return provider.Runbook{
		ConsoleURL: cloudConsoleURL,
		Steps: []string{
			"Decide what to replace: the client secret, the refresh token, or both. A field that is not handed in keeps its value.",
			"For the client secret: open the OAuth client in the Google Cloud console and add a second secret. Both work side by side.",
			"For the refresh token: get a new one by a new consent of the Google Ads user, who needs 2-step verification, with the scope " +
				scopeAdWords + ". The old one keeps working.",
			"Hand the new value in: `vault write adtokens/tokens/<name>/rotate client_secret=-`, or `refresh_token=-`; for both, " +
				"`client_secret=@secret-file refresh_token=-`. Paste the value, press Enter and then Ctrl-D.",
		},
		Previous: "A client secret works until it is disabled in the Google Cloud console, a refresh token until it is revoked.",
		Notes: []string{
			"Once every app has read the new client secret: disable the old one in the Google Cloud console, see that nothing fails, and delete it.",
			"Once every app has read the new refresh token: revoke the old one, if you have to. Reports say that this can end all grants of the " +
				"same user and client, the new refresh token among them: verify the new one afterwards, and be ready for another consent. Revoking " +
				"an access token that came from a refresh token revokes that as well.",
			"Google keeps at most 100 refresh tokens per user and client: beyond that the oldest stops working without notice.",
			"A refresh token also dies after 6 months without use, and 7 days after its consent if the OAuth app is External and in Testing: " +
				"publish the app. Google deletes an OAuth client that nobody uses for 6 months, after a mail.",
			"Client secrets have no public API; a person adds and deletes them.",
		},
	}
}

func serviceAccountKeyRunbook(settings provider.Values) provider.Runbook {
	return provider.Runbook{
		ConsoleURL: cloudConsoleURL,
		Steps: []string{
			"Create a second key for the same service account, in the Google Cloud console or by the IAM API: `POST " + IAMURL(settings) +
				"/v1/projects/-/serviceAccounts/<email>/keys`, whose privateKeyData is the key file in base64. The private key is shown this once.",
			"Give the key a minute or two: Google may refuse a fresh one for that long (up to 7 minutes were reported).",
			"Hand the key file in and delete it: `vault write adtokens/tokens/<name>/rotate service_account_key=- < key-file.json`, then `rm key-file.json`.",
		},
		Previous: "Works until it is deleted. A deleted key may go on working for a short while.",
		Notes: []string{
			"A service account has at most 10 keys that users manage; delete one that nobody uses if there is no room for another.",
			"An organisation policy can forbid new keys: constraints/" + keyCreationPolicy + ", or constraints/" + managedKeyCreationPolicy +
				", which is on by default in newer organisations. Creation then fails with HTTP 400 FAILED_PRECONDITION until an administrator " +
				"exempts the project.",
			"An organisation policy can also give new keys an end (constraints/iam.serviceAccountKeyExpiryHours): after its validBeforeTime a " +
				"key is refused.",
			"Once every app has read the new key: delete the old one by its private_key_id.",
		},
	}
}

func impersonatedRunbook(settings provider.Values) provider.Runbook {
	return provider.Runbook{
		ConsoleURL: cloudConsoleURL + "/iam-admin/serviceaccounts",
		Role:       "Somebody who may change the permissions of the service account (roles/iam.serviceAccountAdmin)",
		Steps: []string{
			"There is nothing to reset: this token has no secret. Apps read adtokens/access-token/<name>.",
			"To end what was handed out, take the role Service Account Token Creator (roles/iam.serviceAccountTokenCreator) on the service account away " +
				"from the account's own identity, or disable the service account; access tokens that exist live on for up to an hour.",
			"To act for another service account, make another token.",
		},
		Previous: "There is no old value.",
		Notes: []string{
			"The account's own identity needs the role Service Account Token Creator on the service account, and the project the IAM Service Account " +
				"Credentials API. The service account needs access in Google Ads (Admin, Access and security).",
			"The engine asks " + credentialsURL(settings) + " for access tokens of an hour.",
		},
	}
}
