package backend

import (
	"maps"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// notificationWrite is a write of a notification. What is nil was left out.
type notificationWrite struct {
	name string
	// settings are those that came, in canonical form; empty ones are to be removed.
	settings provider.Values
	// events are the patterns that came; none of them is the default.
	events *[]string
	// mount is the path of the mount.
	mount string
}

// apply returns the entry as a write changes it, checked. Stored is nil for a new notification.
func (w *notificationWrite) apply(stored *notification, id string) (notificationEntry, error) {
	entry := notificationEntry{Schema: notificationSchema, ID: id, Settings: provider.Values{}, Mount: w.mount}
	if stored != nil {
		entry.ID, entry.Events = stored.ID, stored.Events
		maps.Copy(entry.Settings, stored.Settings)
	}
	maps.Copy(entry.Settings, w.settings)
	maps.DeleteFunc(entry.Settings, func(_, value string) bool { return value == "" })
	if entry.Settings[fieldNotifyFormat] == "" {
		entry.Settings[fieldNotifyFormat] = formatStandard
	}
	if w.events != nil {
		entry.Events = *w.events
	}
	if entry.Settings[fieldNotifyURL] == "" {
		return entry, badInput("%s is missing: give the address of the receiver, such as %s=https://hooks.example.com/adtokens; nothing was changed",
			fieldNotifyURL, fieldNotifyURL)
	}
	if stored != nil {
		if err := w.checkEndpoint(&stored.notificationEntry, &entry); err != nil {
			return entry, err
		}
	}
	return entry, w.checkSecret(&entry)
}

// checkSecret wants a secret for the format that signs, and none for the other.
func (w *notificationWrite) checkSecret(next *notificationEntry) error {
	switch {
	case next.Settings[fieldNotifyFormat] == formatStandard && next.Settings[fieldNotifySecret] == "":
		return badInput("%s is missing: messages of the format %s are signed with it. `echo whsec_$(openssl rand -base64 32)` makes one, "+
			"which the receiver has to know too; nothing was changed", fieldNotifySecret, formatStandard)
	case next.Settings[fieldNotifyFormat] == formatSlack && w.settings[fieldNotifySecret] != "":
		return badInput("%s is for the format %s; that of %s has no signature, and its %s is the secret; nothing was changed",
			fieldNotifySecret, formatStandard, formatSlack, fieldNotifyURL)
	case next.Settings[fieldNotifyFormat] == formatSlack:
		delete(next.Settings, fieldNotifySecret)
	}
	return nil
}

// checkEndpoint keeps what is secret from following a change of where it is sent: who may write here need not know the secret. Of
// slack the address itself is secret, which no other format may show.
func (w *notificationWrite) checkEndpoint(stored, next *notificationEntry) error {
	_, urlGiven := w.settings[fieldNotifyURL]
	_, secretGiven := w.settings[fieldNotifySecret]
	changed := changedSettings(stored, next, fieldNotifyURL, fieldNotifyCACert)
	switch {
	case stored.Settings[fieldNotifyFormat] != next.Settings[fieldNotifyFormat] && !urlGiven:
		return badInput("%s can change only together with %s: give it in the same write; nothing was changed", fieldNotifyFormat, fieldNotifyURL)
	case len(changed) == 0:
	case stored.Settings[fieldNotifySecret] != "" && next.Settings[fieldNotifyFormat] == formatStandard && !secretGiven:
		return badInput("%s can change only together with the secret: give %s in the same write; nothing was changed",
			strings.Join(changed, ", "), fieldNotifySecret)
	case next.Settings[fieldNotifyFormat] == formatSlack && !urlGiven:
		return badInput("%s can change only together with %s, which is the secret of this format: give it in the same write; nothing was changed",
			strings.Join(changed, ", "), fieldNotifyURL)
	}
	return nil
}

func changedSettings(stored, next *notificationEntry, names ...string) []string {
	var changed []string
	for _, name := range names {
		if stored.Settings[name] != next.Settings[name] {
			changed = append(changed, name)
		}
	}
	return changed
}
