package backend

import (
	"errors"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/vault/sdk/logical"
)

// mountPlaceholder stands for the path of the mount in every text of the engine. Texts are made, and some of them stored, where no
// request says where the mount is; finishAnswer puts the path in when a text leaves the engine.
const mountPlaceholder = "<mount>/"

// ownTexts are the fields of responses that hold the engine's own sentences. Others, such as a reason or custom_metadata, are shown
// as they were given.
var ownTexts = map[string]bool{
	"error": true, "last_error": true, "detail": true, "verification_detail": true, "previous_credential": true,
	"steps": true, "notes": true, "runbook": true, "help": true,
}

func withMount(text, mount string) string {
	return strings.ReplaceAll(text, mountPlaceholder, mount)
}

// mountedError keeps the identity of an error whose text has nothing to fill in: Vault compares sentinels.
func mountedError(err error, mount string) error {
	if err == nil || !strings.Contains(err.Error(), mountPlaceholder) {
		return err
	}
	text := withMount(err.Error(), mount)
	if coded, ok := err.(logical.HTTPCodedError); ok { //nolint:errorlint // respond has it outermost
		return logical.CodedError(coded.Code(), text)
	}
	return errors.New(text)
}

// fillIn changes the engine's own texts in the data, at any depth.
func fillIn(data map[string]any, mount string) {
	for name, value := range data {
		switch v := value.(type) {
		case string:
			if ownTexts[name] && strings.Contains(v, mountPlaceholder) {
				data[name] = withMount(v, mount)
			}
		case []string:
			if ownTexts[name] {
				for i := range v {
					v[i] = withMount(v[i], mount)
				}
			}
		case map[string]any:
			fillIn(v, mount)
		case []any:
			for _, element := range v {
				if inner, ok := element.(map[string]any); ok {
					fillIn(inner, mount)
				}
			}
		}
	}
}

// mountPath is the path of the mount as the requests had it that came last, for what is said where there is no request. The zero value
// knows none.
type mountPath struct{ last atomic.Pointer[string] }

func (m *mountPath) note(path string) {
	if last := m.last.Load(); path != "" && (last == nil || *last != path) {
		kept := path // of its own, so that the usual request allocates nothing
		m.last.Store(&kept)
	}
}

// fillIn gives an error for the log the path of the mount.
func (m *mountPath) fillIn(err error) error {
	if last := m.last.Load(); last != nil {
		return mountedError(err, *last)
	}
	return err
}
