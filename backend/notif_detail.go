package backend

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// maxDetail bounds the sentence of a message, in bytes.
const maxDetail = 2048

// happening is an event on its way to the receivers. Token is nil where the event is not about one.
type happening struct {
	eventType string
	token     *token
	// metadata are the event's own.
	metadata map[string]string
}

func newHappening(eventType string, t *token, pairs []string) happening {
	h := happening{eventType: eventType, token: t, metadata: map[string]string{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		h.metadata[pairs[i]] = pairs[i+1]
	}
	return h
}

// data says what the event is about, with a placeholder for the mount.
func (h happening) data(provider string) messageData {
	data := messageData{
		Mount: mountPlaceholder, Account: h.metadata["account"], Provider: cmp.Or(h.metadata["provider"], provider),
		Campaign:    h.metadata["campaign"],
		Fingerprint: h.metadata["fingerprint"],
	}
	if t := h.token; t != nil {
		data.Token, data.Account, data.Provider, data.Version = t.name, t.Account, cmp.Or(t.Provider, provider), t.Number()
		data.Fingerprint, data.Health, data.RotationState = t.fingerprint(), string(t.health()), string(t.State())
		if h.eventType != eventTokenDelete {
			data.Runbook = mountPlaceholder + "tokens/" + t.name + "/rotate"
		}
	}
	data.Detail = cleanText(boundedDetail(h.detail()))
	return data
}

// boundedDetail cuts a text that is too long for a message, between two characters.
func boundedDetail(text string) string {
	if len(text) <= maxDetail {
		return text
	}
	return strings.ToValidUTF8(text[:maxDetail], "") + "…"
}

// detail is a sentence about the event: its own, or what the token's record has.
func (h happening) detail() string {
	if own := h.metadata["detail"]; own != "" {
		return own
	}
	if h.token != nil {
		if about := h.aboutToken(h.token); about != "" {
			return about
		}
	}
	if h.metadata["campaign"] != "" {
		return h.ofCampaign()
	}
	if sentence := plainDetails[h.eventType]; sentence != "" {
		return sentence
	}
	return "this happened: " + strings.TrimPrefix(h.eventType, eventNamespace)
}

// plainDetails are the sentences of events that have nothing more to say.
var plainDetails = map[string]string{
	eventConfigWrite:    "an account was configured or changed",
	eventConfigDelete:   "an account was deleted",
	eventProviderWrite:  "the definition of a platform was written",
	eventProviderDelete: "the definition of a platform was deleted",
	eventTokenWrite:     "a token was defined, or its definition or policy changed",
	eventTokenDelete:    "a token was deleted",
	eventRetire:         "the engine has ended an old value",
	eventCampaignDone:   "a campaign has ended",
}

// ofCampaign says how a campaign has ended.
func (h happening) ofCampaign() string {
	m := h.metadata
	sentence := fmt.Sprintf("the campaign has ended: %s of %s tokens are done", cmp.Or(m["done"], "0"), cmp.Or(m["total"], "0"))
	if failed := m["failed"]; failed != "" && failed != "0" {
		sentence += ", " + failed + " failed"
	}
	return sentence + "; `vault read " + mountPlaceholder + "campaigns/" + m["campaign"] + "` shows them"
}

func (h happening) aboutToken(t *token) string {
	switch h.eventType {
	case eventRotate:
		return fmt.Sprintf("version %d is current", t.Number())
	case eventRotateFail:
		if rotation.Source(h.metadata["source"]).ByPerson() {
			return "a value that was handed in was not published: the provider refused it, gave no useful answer, " +
				"or shows that it is somebody else's. Whoever handed it in was told why"
		}
		return cmp.Or(t.LastError, "a rotation has failed")
	case eventVerifyFail:
		if c := t.LastVerification; c != nil && t.health() == rotation.HealthRejected && c.Detail != "" {
			return fmt.Sprintf("the provider rejects version %d: %s", t.Number(), c.Detail)
		}
		return cmp.Or(t.LastError, fmt.Sprintf("the provider rejects version %d", t.Number()))
	case eventOverdue:
		return "its rotation is overdue since " + t.nextRotation.UTC().Format(time.RFC3339)
	case eventRetirementWaits:
		return fmt.Sprintf("version %s waits for its end, because %s of its readers have not read a newer one; "+
			"`vault read %stokens/%s/readers` shows who",
			h.metadata["version"], cmp.Or(h.metadata["behind"], "some"), mountPlaceholder, t.name)
	case eventIdentityChanged:
		return fmt.Sprintf("the platform shows another identity of version %d than before: %s instead of %s",
			t.Number(), h.metadata["identity"], h.metadata["previous_identity"])
	case eventExpiring:
		return fmt.Sprintf("version %d ends by itself at %s", t.Number(), t.expires.UTC().Format(time.RFC3339))
	}
	return ""
}
