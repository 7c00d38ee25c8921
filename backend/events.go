package backend

import (
	"errors"
	"time"
)

// Event types, in Vault's event notifications and the engine's own.
const (
	eventConfigWrite     = "adtokens/config-write"
	eventConfigDelete    = "adtokens/config-delete"
	eventTokenWrite      = "adtokens/token-write"
	eventProviderWrite   = "adtokens/provider-write"
	eventProviderDelete  = "adtokens/provider-delete"
	eventTokenDelete     = "adtokens/token-delete"
	eventRotate          = "adtokens/rotate"
	eventRotateFail      = "adtokens/rotate-fail"
	eventVerifyFail      = "adtokens/verify-fail"
	eventRetire          = "adtokens/retire"
	eventOverdue         = "adtokens/overdue"
	eventExpiring        = "adtokens/expiring"
	eventRetirementWaits = "adtokens/retirement-waits"
	eventCampaignDone    = "adtokens/campaign-done"
	eventIdentityChanged = "adtokens/identity-changed"
)

// ErrEventsUnsupported is what an EventSender returns where the server has no event notifications at all.
var ErrEventsUnsupported = errors.New("the server has no event notifications")

// eventTimeout bounds the sending: what happened has happened, and its caller is waiting.
const eventTimeout = 5 * time.Second

// eventOperations says what each event attests, and whether data changed that consumers hold.
var eventOperations = map[string]struct{ operation, modified string }{
	eventConfigWrite:     {"write", "true"},
	eventConfigDelete:    {"delete", "true"},
	eventTokenWrite:      {"write", "true"},
	eventProviderWrite:   {"write", "true"},
	eventProviderDelete:  {"delete", "true"},
	eventTokenDelete:     {"delete", "true"},
	eventRotate:          {"rotate", "true"},
	eventRotateFail:      {"rotate", "false"},
	eventVerifyFail:      {"verify", "false"},
	eventRetire:          {"retire", "false"},
	eventOverdue:         {"rotate", "false"},
	eventExpiring:        {"rotate", "false"},
	eventRetirementWaits: {"retire", "false"},
	eventCampaignDone:    {"rotate", "false"},
	eventIdentityChanged: {"verify", "false"},
}
