package backend

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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

// finishAnswer gives an error its status, and the texts of a response or an error the path of the mount, so that what they say to type can
// be pasted.
func finishAnswer(req *logical.Request, response *logical.Response, err error) (*logical.Response, error) {
	response, err = respond(response, err)
	if req.MountPoint == "" {
		return response, err
	}
	if response != nil {
		for i, warning := range response.Warnings {
			response.Warnings[i] = withMount(warning, req.MountPoint)
		}
		if _, _, isCredential := hotName(req.Path); !isCredential || response.IsError() {
			fillIn(response.Data, req.MountPoint)
		}
	}
	err = mountedError(err, req.MountPoint)
	coded, ok := err.(logical.HTTPCodedError) //nolint:errorlint // respond has it outermost
	if ok && coded.Code() == http.StatusNotFound && req.Operation == logical.ReadOperation {
		return readOfNothing(req, coded)
	}
	return response, err
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

// readOfNothing answers HTTP 404 with its text. Vault's Go client, and with it the vault command, takes a 404 that has nothing but
// errors for "no value found" and drops the text; with a further member in the body it reports the errors. What reads the HTTP
// answer itself sees the errors in their usual place.
func readOfNothing(req *logical.Request, nothing logical.HTTPCodedError) (*logical.Response, error) {
	if req.WrapInfo != nil && req.WrapInfo.TTL > 0 {
		return nil, nothing // an answer would be wrapped, an error is not
	}
	body, err := json.Marshal(map[string]any{"errors": []string{nothing.Error()}, "status": nothing.Code()})
	if err != nil {
		return nil, fmt.Errorf("encoding an error: %w", err)
	}
	return &logical.Response{Data: map[string]any{
		logical.HTTPContentType: "application/json", logical.HTTPStatusCode: nothing.Code(), logical.HTTPRawBody: string(body),
	}}, nil
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
