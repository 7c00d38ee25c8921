//go:build unix

package matrix

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// story is a rotation of one kind, or what goes wrong with one.
type story struct {
	// name is for the table, and the reason of the rotation. id begins the names of its tokens.
	name, id   string
	credential credential
	// grace is the rotation_grace_period.
	grace string
	// policy is the token's beside that.
	policy fields
	// before is what happened before.
	before func(context.Context, *subject) error
	// faults are met by the token's requests to the provider.
	faults []simulator.Fault
	// first is the first step, where the plugin may work on the token by itself before that.
	first string
	// from is the first point that the story is about; empty for all.
	from string
	// version is the current one in the end, and begins at first.
	begins, version int
	// made is how many values the provider has made by then.
	made int
	// loses says that the rotation ends with a lost answer, after which a person hands in what the console shows.
	loses bool
}

// fails says that the story ends without what was asked for.
func (s story) fails() bool { return s.version == s.begins }

// Graces: the one is over soon, the other outlasts every story.
const (
	forShort = "2s"
	forLong  = "1h"
)

// The hook treats the tokens of these in a way of their own.
const (
	hookAsync   = "hook-async"
	hookRefuses = "hook-refuses"
	hookFails   = "hook-fails"
)

var (
	iamFails = func(method string, status int) simulator.Fault {
		return simulator.Fault{Service: simulator.GoogleIAM, Kind: simulator.FaultStatus, Method: method, Status: status, Times: 1}
	}
	answerLost = simulator.Fault{Service: simulator.GoogleIAM, Kind: simulator.FaultDropAfter, Method: http.MethodPost, Times: 1}
	rejects    = simulator.Fault{Service: simulator.Impact, Kind: simulator.FaultStatus, Status: http.StatusUnauthorized, Times: 1}
)

func skip(requests int, f simulator.Fault) simulator.Fault {
	f.Skip = requests
	return f
}

// stories are one for each kind of rotation, and one for each way in which the state machine goes on otherwise.
var stories = []story{
	{
		name: "assisted", id: "assisted", credential: assisted{}, begins: 1, version: 2, made: 1,
	},
	{
		name: "hook", id: "hook", credential: byHook{}, begins: 1, version: 2, made: 1,
	},
	{
		name: "hook, asynchronous", id: hookAsync, credential: byHook{}, begins: 1, version: 2, made: 1,
	},
	{
		name: "service account key", id: "key", credential: key{}, grace: forLong, begins: 1, version: 2, made: 1,
	},
	{
		name: "retirement after the grace period", id: "retirement", credential: key{}, grace: forShort, begins: 1, version: 2, made: 1,
		from: "old value retired",
	},
	{
		name: "retirement, refused at first", id: "retirement-refused", credential: key{}, grace: forShort, begins: 1, version: 2, made: 1,
		from: "old value retired", faults: []simulator.Fault{iamFails(http.MethodDelete, http.StatusInternalServerError)},
	},
	{
		name: "key, in the grace of another", id: "key-twice", credential: key{}, grace: forLong, begins: 2, version: 3, made: 1,
		before: func(ctx context.Context, s *subject) error {
			if err := s.rotate(ctx); err != nil {
				return err
			}
			return s.note(ctx)
		},
	},
	{
		name: "key, its answer lost", id: "key-lost", credential: key{}, grace: forLong, begins: 1, version: 2, made: 2,
		faults: []simulator.Fault{answerLost},
	},
	{
		name: "key, keys not listed", id: "key-unlisted", credential: key{}, grace: forLong, begins: 1, version: 1,
		faults: []simulator.Fault{iamFails(http.MethodGet, http.StatusServiceUnavailable)},
	},
	{
		name: "key, its answer lost and then refused", id: "key-refused", credential: key{}, grace: forLong, begins: 1, version: 1, made: 1,
		faults: []simulator.Fault{answerLost, skip(1, iamFails(http.MethodGet, http.StatusForbidden))},
	},
	{
		name: "hook, refused", id: hookRefuses, credential: byHook{}, begins: 1, version: 1,
	},
	{
		name: "hook, its value rejected at first", id: "hook-rejected", credential: byHook{}, begins: 1, version: 2, made: 1,
		faults: []simulator.Fault{rejects},
	},
	{
		name: "hook, again after a rejection", id: "hook-again", credential: byHook{}, begins: 1, version: 2, made: 1,
		before: rejectedForGood, first: "stored: pending --> requested",
	},
	{
		name: "assisted, while the hook fails", id: hookFails, credential: insteadOfHook{}, begins: 1, version: 2, made: 1,
		before: func(ctx context.Context, s *subject) error {
			s.request(ctx, fields{})
			return s.leave(ctx)
		},
		first: "value tried",
	},
}

func init() { stories = append(stories, append(apiStories, adoptionStories...)...) }

// rejectedForGood has a rotation wait with a value that somebody resets before it was tried.
func rejectedForGood(ctx context.Context, s *subject) error {
	const tried = "1 value tried"
	if err := errors.Join(s.watch(tried), s.ask(ctx)); err != nil {
		return err
	}
	if err := s.stopped(tried); err != nil {
		return err
	}
	if _, err := s.world.sim.ResetReadWrite(ctx, s.name); err != nil {
		return err
	}
	if err := s.release(); err != nil {
		return err
	}
	if err := s.leave(ctx); err != nil {
		return err
	}
	return s.forget()
}

// credential is a kind of token.
type credential interface {
	// make makes one at the provider, and returns what configures its account and imports it.
	make(context.Context, *subject) (account, token fields, err error)
	// handOver is what a request to rotate it has to say, beside the reason.
	handOver(context.Context, *subject) (fields, error)
	// value is what the ledger of the provider calls the value that an app reads.
	value(creds fields) string
	// path is a part of the paths of the token's requests.
	path(*subject) string
	// source is how history says that a version was obtained.
	source() string
	// retired is how history says that one stopped to work.
	retired() string
}

// legacy is a read-write token of impact.com.
type legacy struct{}

func (legacy) make(ctx context.Context, s *subject) (account, token fields, err error) {
	if err := s.world.sim.CreateImpactAccount(ctx, s.name, simulator.Agency); err != nil {
		return nil, nil, err
	}
	credentials, err := s.world.sim.EnableLegacyTokens(ctx, s.name)
	s.sid = credentials.ReadWrite.AccountSID
	account = fields{
		"provider": "impact", "contact_email": "ads-api@acme.example", "account_type": string(simulator.Agency), "base_url": s.world.sim.ImpactURL,
	}
	return account, fields{"type": "legacy_read_write", "account_sid": s.sid, "auth_token": credentials.ReadWrite.AuthToken}, err
}

func (legacy) value(creds fields) string { value, _ := creds["auth_token"].(string); return value }

func (legacy) path(s *subject) string { return "/" + s.sid + "/" }

func (legacy) retired() string { return "rejected by provider" }

// assisted is reset by a person, who presses the button once and hands the value in until it is taken.
type assisted struct{ legacy }

func (assisted) handOver(ctx context.Context, s *subject) (fields, error) {
	credentials, err := s.world.sim.ImpactCredentials(ctx, s.name)
	value := credentials.ReadWrite
	if err == nil && value.AuthToken == s.versions[len(s.versions)] {
		value, err = s.world.sim.ResetReadWrite(ctx, s.name)
	}
	return fields{"auth_token": value.AuthToken}, err
}

func (assisted) source() string { return "assisted" }

// byHook is reset by the hook.
type byHook struct{ legacy }

func (k byHook) make(ctx context.Context, s *subject) (account, token fields, err error) {
	account, token, err = k.legacy.make(ctx, s)
	if err == nil {
		account["reset_hook_url"] = s.world.hook.url
		account["reset_hook_secret"] = "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	}
	return account, token, err
}

func (byHook) handOver(context.Context, *subject) (fields, error) { return fields{}, nil }

func (byHook) source() string { return "hook" }

// insteadOfHook is handed in by a person although there is a hook.
type insteadOfHook struct{ assisted }

func (k insteadOfHook) make(ctx context.Context, s *subject) (account, token fields, err error) {
	return byHook{k.legacy}.make(ctx, s)
}

// key is a key of a service account, which the engine makes by itself.
type key struct{}

func (key) make(ctx context.Context, s *subject) (account, token fields, err error) {
	file, err := s.world.sim.CreateServiceAccount(ctx, s.name)
	url := s.world.sim.GoogleURL
	account = fields{
		"provider": "google_ads", "contact_email": "ads-api@acme.example", "base_url": url, "token_url": url + "/token", "iam_url": url,
	}
	return account, fields{"type": "service_account_key", "service_account_key": string(file)}, err
}

func (key) handOver(context.Context, *subject) (fields, error) { return fields{}, nil }

func (key) value(creds fields) string {
	file, _ := creds["service_account_key"].(string)
	var id struct {
		ID string `json:"private_key_id"`
	}
	_ = json.Unmarshal([]byte(file), &id) // an empty id is at no provider
	return id.ID
}

func (key) path(s *subject) string { return "/" + s.name + "@" }

func (key) source() string { return "iam" }

func (key) retired() string { return "retired by the engine" }
