package backend

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// resetHook resets tokens at the simulated console, once for each key, unless a test wants something else of a token.
type resetHook struct {
	console *simulator.Client
	mu      sync.Mutex
	// refuses and holds are by token: the one is refused for good, and the other one told to come back.
	refuses, holds map[string]bool
	resets         map[string]map[string]string
	// keys are those that came for a token, each once, in order; reasons are those of the last one.
	keys    map[string][]string
	reasons map[string]string
}

func (h *resetHook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var event struct {
		Key        string `json:"idempotency_key"`
		Token      string `json:"token"`
		TokenType  string `json:"token_type"`
		AccountSID string `json:"account_sid"`
		Reason     string `json:"reason"`
	}
	if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
		http.Error(w, "no event", http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Contains(h.keys[event.Token], event.Key) {
		h.keys[event.Token] = append(h.keys[event.Token], event.Key)
	}
	h.reasons[event.Token] = event.Reason
	switch {
	case h.refuses[event.Token]:
		http.Error(w, "not this one", http.StatusUnprocessableEntity)
		return
	case h.holds[event.Token]:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusAccepted)
		return
	}
	value := h.resets[event.Key]
	if value == nil {
		var err error
		if value, err = h.console.HookReset(r.Context(), simulator.HookToken{TokenType: event.TokenType, AccountSID: event.AccountSID}); err != nil {
			http.Error(w, "the console failed", http.StatusInternalServerError)
			return
		}
		h.resets[event.Key] = value
	}
	gives(value)(w, r)
}

func (h *resetHook) set(change func(h *resetHook)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(h)
}

func (h *resetHook) keysOf(token string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.keys[token])
}

// withScoped configures an agency, with a hook where that is wanted, and imports n of its tokens: acme-0 and so on.
func (f *fixture) withScoped(t *testing.T, n int, hooked bool) *resetHook {
	t.Helper()
	h := &resetHook{
		console: f.provider, refuses: map[string]bool{}, holds: map[string]bool{}, resets: map[string]map[string]string{}, keys: map[string][]string{}, reasons: map[string]string{},
	}
	f.campaigns.pace = time.Millisecond
	account := map[string]any{"provider": "impact", "account_type": "agency", "base_url": f.server.ImpactURL, "contact_email": "ads@acme.example"}
	if hooked {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		account["reset_hook_url"], account["reset_hook_secret"] = server.URL, "whsec_"+hookSecret
	}
	f.write(t, "config/acme", account)
	for i := range n {
		f.importScoped(t, fmt.Sprintf("acme-%d", i))
	}
	return h
}

func (f *fixture) importScoped(t *testing.T, name string) {
	t.Helper()
	issued, err := f.provider.CreateScopedToken(t.Context(), simulator.ScopedTokenInput{ScopedTokenName: simulator.ScopedTokenName{Account: "agency", Name: name + " " + rand.Text()}})
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "tokens/"+name, map[string]any{"account": "acme", "type": "scoped", "account_sid": issued.AccountSID, "auth_token": issued.AuthToken})
}

// items are a campaign's, by token.
func (f *fixture) items(t *testing.T, campaign string) map[string]map[string]any {
	t.Helper()
	byToken := map[string]map[string]any{}
	for _, listed := range f.read(t, "campaigns/"+campaign)["items"].([]any) {
		item := listed.(map[string]any)
		byToken[item["token"].(string)] = item
	}
	return byToken
}

func (f *fixture) awaitCampaign(t *testing.T, campaign, state string) map[string]any {
	t.Helper()
	var last map[string]any
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if last = f.read(t, "campaigns/"+campaign); last["state"] == state {
			return last
		}
		if time.Now().After(deadline) {
			t.Fatalf("after a minute the campaign is %v", last)
		}
	}
}

func TestCampaign_RotatesWhatTheEngineCan(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := f.withScoped(t, 3, true)
	f.write(t, "tokens/acme-1", map[string]any{"disable_automated_rotation": true})
	f.write(t, "campaigns/jane-leaves", map[string]any{"reason": "Jane leaves", "tokens": "acme-*"})
	got := f.awaitCampaign(t, "jane-leaves", "done")
	if progress := got["progress"].(map[string]any); progress["total"] != 3 || progress["done"] != 3 {
		t.Errorf("the progress is %v", progress)
	}
	if by := got["created_by"].(map[string]any); by["entity_id"] != "entity-jane" || by["display_name"] != "userpass-jane" {
		t.Errorf("it was created by %v", by)
	}
	for name, item := range f.items(t, "jane-leaves") {
		if item["how"] != "automatic" || item["version_before"] != 1 || item["version_now"] != 2 || item["done_at"] == nil || item["last_error"] != "" {
			t.Errorf("%s: %v", name, item)
		}
		versions := f.read(t, "tokens/"+name+"/history")["versions"].([]any)
		last := versions[len(versions)-1].(map[string]any)
		if last["reason"] != "Jane leaves (campaign jane-leaves)" || last["display_name"] != "userpass-jane" || last["source"] != "hook" {
			t.Errorf("the history of %s ends with %v", name, last)
		}
		if keys := h.keysOf(name); len(keys) != 1 {
			t.Errorf("%s was reset with the keys %v", name, keys)
		}
	}
	eventually(t, "its end to be stored", func() bool { return f.campaigns.get("jane-leaves") == nil })
	f.awaitCampaign(t, "jane-leaves", "done") // from storage
}

func TestCampaign_APersonDoesTheRest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	response := f.write(t, "campaigns/q4", map[string]any{"reason": "Q4", "accounts": "acme"})
	if progress := response.Data["progress"].(map[string]any); response.Data["state"] != "running" || progress["waiting_for_person"] != 1 {
		t.Errorf("it begins with %v", response.Data)
	}
	item := f.items(t, "q4")["acme-rw"]
	if item["how"] != "person" || item["state"] != "waiting" || !strings.HasPrefix(item["console_url"].(string), "https://") || item["done_at"] != nil {
		t.Errorf("the item is %v", item)
	}
	fresh := f.resetReadWrite(t)
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken})
	f.awaitCampaign(t, "q4", "done")
	if item := f.items(t, "q4")["acme-rw"]; item["version_now"] != 2 || item["done_at"] == nil {
		t.Errorf("the item is %v", item)
	}
}

func TestCampaign_FailedOnesAreTriedOnceMore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := f.withScoped(t, 2, true)
	h.set(func(h *resetHook) { h.refuses["acme-1"] = true })
	f.write(t, "campaigns/x", map[string]any{"reason": "x", "tokens": "acme-*"})
	f.awaitCampaign(t, "x", "failed")
	if item := f.items(t, "x")["acme-1"]; item["state"] != "failed" || !strings.Contains(item["last_error"].(string), "hook") {
		t.Errorf("the item is %v", item)
	}
	eventually(t, "its state to be stored", func() bool {
		entry, err := f.campaignEntries.Load(t.Context(), f.storage, "x")
		return err == nil && entry.State == campaignFailed
	})
	h.set(func(h *resetHook) { h.refuses["acme-1"] = false })
	if got := f.write(t, "campaigns/x", map[string]any{"retry": true}); got.Data["state"] != "running" || len(got.Warnings) != 0 {
		t.Errorf("the retry answers %v with %q", got.Data, got.Warnings)
	}
	f.awaitCampaign(t, "x", "done")
	if a, b := h.keysOf("acme-0"), h.keysOf("acme-1"); len(a) != 1 || len(b) != 2 {
		t.Errorf("the hook was asked with the keys %v and %v, want one and two", a, b)
	}
}

func TestCampaign_AFailedOneThatAPersonResetIsDone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := f.withScoped(t, 1, true)
	h.set(func(h *resetHook) { h.refuses["acme-0"] = true })
	f.write(t, "campaigns/x", map[string]any{"reason": "x", "tokens": "acme-0"})
	f.awaitCampaign(t, "x", "failed")
	value, err := f.provider.HookReset(t.Context(), simulator.HookToken{TokenType: "scoped", AccountSID: f.read(t, "creds/acme-0")["account_sid"].(string)})
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "tokens/acme-0/rotate", map[string]any{"auth_token": value["auth_token"]})
	f.awaitCampaign(t, "x", "done")
}

func TestCampaign_HasNoMoreUnderWayThanItMay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := f.withScoped(t, 5, true)
	h.set(func(h *resetHook) {
		for i := range 5 {
			h.holds[fmt.Sprintf("acme-%d", i)] = true
		}
	})
	f.write(t, "campaigns/x", map[string]any{"reason": "x", "tokens": "acme-*", "parallel": 2})
	running := func() int { return f.read(t, "campaigns/x")["progress"].(map[string]any)["running"].(int) }
	eventually(t, "two rotations to be under way", func() bool { return running() == 2 })
	f.write(t, "tokens/acme-4", map[string]any{"refresh_ttl": "2m"}) // has the campaign look
	if n := running(); n != 2 {
		t.Errorf("%d rotations are under way", n)
	}
	if got := f.write(t, "campaigns/x", map[string]any{"cancel": true}); got.Data["state"] != "cancelled" || len(got.Warnings) != 1 {
		t.Errorf("cancelling answers %v with %q", got.Data, got.Warnings)
	}
	h.set(func(h *resetHook) { clear(h.holds) })
	eventually(t, "those under way to end", func() bool {
		f.clock.Advance(time.Second) // the hook's Retry-After
		return f.read(t, "campaigns/x")["progress"].(map[string]any)["done"] == 2
	})
	if got := f.read(t, "campaigns/x"); got["state"] != "cancelled" || got["progress"].(map[string]any)["waiting"] != 3 {
		t.Errorf("it is %v with %v", got["state"], got["progress"])
	}
	if response, err := f.handle(t, logical.UpdateOperation, "campaigns/x", map[string]any{"retry": true}); err != nil || !response.IsError() {
		t.Errorf("a retry of a cancelled campaign gives %v, error %v", response, err)
	}
}

func TestCampaign_TokensThatAreGoneHaveFailed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withScoped(t, 2, false)
	f.write(t, "campaigns/x", map[string]any{"reason": "x", "tokens": "acme-0,acme-1"})
	for i := range 2 {
		if _, err := f.handle(t, logical.DeleteOperation, fmt.Sprintf("tokens/acme-%d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	f.importScoped(t, "acme-1")
	f.awaitCampaign(t, "x", "failed")
	items := f.items(t, "x")
	if !strings.Contains(items["acme-0"]["last_error"].(string), "was deleted") || !strings.Contains(items["acme-1"]["last_error"].(string), "made anew") {
		t.Errorf("the items are %v", items)
	}
	f.write(t, "campaigns/x", map[string]any{"retry": true})
	items = f.items(t, "x")
	if items["acme-0"]["state"] != "failed" || items["acme-1"]["state"] != "waiting" {
		t.Errorf("after a retry the items are %v", items)
	}
}

func TestCampaign_GoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := f.withScoped(t, 4, true)
	h.set(func(h *resetHook) { h.holds["acme-1"], h.refuses["acme-2"] = true, true })
	f.campaigns.pace = time.Hour // nothing is stored of its items but what the beginning stored
	f.write(t, "campaigns/x", map[string]any{"reason": "x", "tokens": "acme-*", "parallel": 3})
	eventually(t, "it to come to a halt", func() bool {
		p := f.read(t, "campaigns/x")["progress"].(map[string]any)
		return p["done"] == 2 && p["failed"] == 1 && p["running"] == 1
	})
	f.stopWork()
	again := f.restart(t)
	p := again.read(t, "campaigns/x")["progress"].(map[string]any)
	if p["done"] != 2 || p["failed"] != 1 || p["running"] != 1 {
		t.Errorf("after a crash the progress is %v", p)
	}
	h.set(func(h *resetHook) { clear(h.holds) })
	eventually(t, "the campaign to end", func() bool {
		f.clock.Advance(time.Second) // the hook's Retry-After
		return again.read(t, "campaigns/x")["state"] == "failed"
	})
	for i := range 4 {
		if keys := h.keysOf(fmt.Sprintf("acme-%d", i)); len(keys) != 1 {
			t.Errorf("acme-%d was asked for with the keys %v", i, keys)
		}
	}
}

// restart is the engine in a new process.
func (f *fixture) restart(t *testing.T) *fixture {
	t.Helper()
	again := &fixture{backend: newBackend(f.clock.Now), storage: f.storage, server: f.server, provider: f.provider, clock: f.clock}
	config := logical.TestBackendConfig()
	config.StorageView, config.Logger = f.storage, hclog.NewNullLogger()
	if err := again.setUp(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	again.scheduler.Now = time.Now
	again.campaigns.pace = time.Millisecond
	t.Cleanup(func() { again.Cleanup(t.Context()) })
	return again
}

func TestCampaign_SelectsWhatFitsAllThatIsGiven(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.withGoogle(t)
	f.write(t, "config/widgets", map[string]any{"provider": "impact", "account_type": "agency", "base_url": f.server.ImpactURL, "contact_email": "ads@acme.example"})
	f.write(t, "tokens/acme-ro", map[string]any{"account": "acme", "type": "legacy_read_only"})
	f.write(t, "tokens/widgets-rw", map[string]any{"account": "widgets", "type": "legacy_read_write"})
	f.write(t, "tokens/robot", map[string]any{"account": "google", "type": "service_account_key"})
	f.write(t, "tokens/keyless", map[string]any{"account": "google", "type": "impersonated_service_account", "service_account_email": "a@b.iam.gserviceaccount.com", "verify": false})
	for name, tc := range map[string]struct {
		given map[string]any
		want  []string
		// warns has a part of each warning, or of the refusal where nothing is wanted.
		warns []string
	}{
		"all":                {map[string]any{"tokens": "*"}, []string{"acme-ro", "acme-rw", "robot", "widgets-rw"}, []string{"nothing to reset", "keyless"}},
		"a pattern":          {map[string]any{"tokens": "*-rw"}, []string{"acme-rw", "widgets-rw"}, nil},
		"a pattern between":  {map[string]any{"tokens": "a*-r*"}, []string{"acme-ro", "acme-rw"}, nil},
		"names":              {map[string]any{"tokens": []any{"robot", "acme-rw"}}, []string{"acme-rw", "robot"}, nil},
		"an account":         {map[string]any{"accounts": "acme"}, []string{"acme-ro", "acme-rw"}, nil},
		"accounts, one not":  {map[string]any{"accounts": "widgets,acne"}, []string{"widgets-rw"}, []string{"these accounts do not exist: acne"}},
		"a provider":         {map[string]any{"providers": "google_ads"}, []string{"robot"}, []string{"nothing to reset"}},
		"a type":             {map[string]any{"types": "legacy_read_write"}, []string{"acme-rw", "widgets-rw"}, nil},
		"type and account":   {map[string]any{"types": "legacy_read_write", "accounts": "acme"}, []string{"acme-rw"}, nil},
		"type of another":    {map[string]any{"types": "legacy_read_write,scoped"}, []string{"acme-rw", "widgets-rw"}, []string{"no token of the selection is of type: scoped"}},
		"a name too many":    {map[string]any{"tokens": "robot, acme-x, b*"}, []string{"robot"}, []string{"no tokens with these names: acme-x, b*"}},
		"none of the name":   {map[string]any{"tokens": "acme-x"}, nil, []string{"fits no token", "acme-x"}},
		"none of all":        {map[string]any{"types": "legacy_read_write", "accounts": "google"}, nil, []string{"fits no token"}},
		"no such type":       {map[string]any{"types": "legacy"}, nil, []string{"these types do not exist: legacy"}},
		"no such provider":   {map[string]any{"providers": "impakt"}, nil, []string{"these providers do not exist: impakt"}},
		"nothing to reset":   {map[string]any{"tokens": "keyless"}, nil, []string{"fits no token", "nothing to reset"}},
		"no selection":       {nil, nil, []string{"tokens='*'"}},
		"an empty list":      {map[string]any{"tokens": ""}, nil, []string{"tokens is empty"}},
		"no names":           {map[string]any{"tokens": "a/b"}, nil, []string{"tokens must be names"}},
		"no patterns there":  {map[string]any{"accounts": "ac*"}, nil, []string{"accounts must be names"}},
		"numbers":            {map[string]any{"tokens": []any{1}}, nil, []string{"tokens must be names, separated by commas"}},
		"too many patterns":  {map[string]any{"tokens": strings.Repeat("a*,", 60) + manyPatterns()}, nil, []string{"100 names with a *"}},
		"none at once":       {map[string]any{"tokens": "*", "parallel": 0}, nil, []string{"parallel must be from 1 to 1000"}},
		"too many at once":   {map[string]any{"tokens": "*", "parallel": 1001}, nil, []string{"parallel must be from 1 to 1000"}},
		"without a reason":   {map[string]any{"tokens": "*", "reason": " "}, nil, []string{"reason is missing"}},
		"a field too many":   {map[string]any{"tokens": "*", "token": "x"}, nil, []string{"token"}},
		"after is for reads": {map[string]any{"tokens": "*", "after": "x"}, nil, []string{"for reads"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			campaign := "campaigns/" + strings.NewReplacer(" ", "-", ",", "").Replace(name)
			given := map[string]any{"reason": "x"}
			maps.Copy(given, tc.given)
			response, err := f.handle(t, logical.UpdateOperation, campaign, given)
			if err != nil {
				t.Fatal(err)
			}
			if tc.want == nil {
				if !response.IsError() || !containsAll(response.Error().Error(), tc.warns) {
					t.Errorf("got %v, want a refusal with each of %q", response, tc.warns)
				}
				return
			}
			if response.IsError() || (len(tc.warns) == 0) != (len(response.Warnings) == 0) || !containsAll(strings.Join(response.Warnings, "\n"), tc.warns) {
				t.Errorf("got %v, want warnings with each of %q", response, tc.warns)
			}
			var got []string
			for _, item := range f.read(t, campaign)["items"].([]any) {
				got = append(got, item.(map[string]any)["token"].(string))
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("it selects %v, want %v", got, tc.want)
			}
		})
	}
}

func manyPatterns() string {
	patterns := make([]string, maxPatterns+1)
	for i := range patterns {
		patterns[i] = fmt.Sprintf("x%d*", i)
	}
	return strings.Join(patterns, ",")
}

func TestCampaign_WritesOfWhatExists(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.write(t, "campaigns/x", map[string]any{"reason": "x", "tokens": "*"})
	for name, tc := range map[string]struct {
		path  string
		given map[string]any
		want  string
	}{
		"the name again":  {"campaigns/x", map[string]any{"reason": "y", "tokens": "*"}, "exists"},
		"another reason":  {"campaigns/x", map[string]any{"reason": "y", "retry": true}, "exists"},
		"more at once":    {"campaigns/x", map[string]any{"parallel": 7}, "exists"},
		"nothing":         {"campaigns/x", nil, "either retry=true"},
		"no retry":        {"campaigns/x", map[string]any{"retry": false}, "either retry=true"},
		"both":            {"campaigns/x", map[string]any{"retry": true, "cancel": true}, "either retry=true"},
		"retry of none":   {"campaigns/y", map[string]any{"retry": true}, "does not exist"},
		"cancel of none":  {"campaigns/y", map[string]any{"cancel": true}, "does not exist"},
		"too long a name": {"campaigns/" + strings.Repeat("x", 200), map[string]any{"reason": "x", "tokens": "*"}, "the name of a campaign must be"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response, err := f.handle(t, logical.UpdateOperation, tc.path, tc.given)
			if err == nil {
				err = response.Error()
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, error %v; want %q", response, err, tc.want)
			}
		})
	}
	if got := f.write(t, "campaigns/x", map[string]any{"retry": true}); len(got.Warnings) != 1 {
		t.Errorf("a retry without failed items warns %q", got.Warnings)
	}
}

func TestCampaign_ListStatusAndMetricsTell(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.write(t, "campaigns/x", map[string]any{"reason": "x", "tokens": "*"})
	f.write(t, "campaigns/y", map[string]any{"reason": "y", "tokens": "*"})
	f.write(t, "campaigns/y", map[string]any{"cancel": true})
	response, err := f.handle(t, logical.ListOperation, "campaigns/", nil)
	if err != nil {
		t.Fatal(err)
	}
	info := response.Data["key_info"].(map[string]any)
	if x, y := info["x"].(map[string]any), info["y"].(map[string]any); x["state"] != "running" || y["state"] != "cancelled" || x["progress"].(map[string]any)["total"] != 1 {
		t.Errorf("the list has %v", info)
	}
	status, err := f.handle(t, logical.ReadOperation, "status", nil)
	if err != nil {
		t.Fatal(err)
	}
	if shown := status.Data["campaigns"].(map[string]any); len(shown) != 1 || shown["x"] == nil || !strings.Contains(strings.Join(status.Warnings, "\n"), "campaign x, since") {
		t.Errorf("the status has %v and warns %q", shown, status.Warnings)
	}
	text := string(f.read(t, "metrics")[logical.HTTPRawBody].([]byte))
	if !strings.Contains(text, `adtokens_campaign_items{campaign="x",state="waiting_for_person"} 1`) || strings.Contains(text, `campaign="y"`) {
		t.Errorf("the metrics have not what they should: %s", text)
	}
}

func TestCampaign_ManyItemsArePagedAndStoredInChunks(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	const n = 2*campaignChunk + 5
	for i := range n {
		f.write(t, fmt.Sprintf("tokens/t-%04d", i), map[string]any{"account": "acme", "type": "legacy_read_write"})
	}
	f.write(t, "campaigns/x", map[string]any{"reason": "x", "tokens": "t-*"})
	stored := func() int {
		keys, err := logical.CollectKeysWithPrefix(t.Context(), f.storage, campaignItemPrefix)
		if err != nil {
			t.Fatal(err)
		}
		return len(keys)
	}
	if stored() != 3 {
		t.Errorf("it is stored in %d chunks, want 3", stored())
	}
	response, err := f.handle(t, logical.ReadOperation, "campaigns/x", map[string]any{"after": "t-0099", "limit": 10})
	if err != nil {
		t.Fatal(err)
	}
	items := response.Data["items"].([]any)
	if first := items[0].(map[string]any)["token"]; len(items) != 10 || first != "t-0100" || len(response.Warnings) != 0 {
		t.Errorf("a page has %d items from %v, and warns %q", len(items), first, response.Warnings)
	}
	again := f.restart(t)
	if items := again.items(t, "x"); len(items) != n {
		t.Errorf("after a start it has %d items", len(items))
	}
	if response, err := again.handle(t, logical.DeleteOperation, "campaigns/x", nil); err != nil || response != nil {
		t.Errorf("deleting it gives %v, error %v", response, err)
	}
	if stored() != 0 {
		t.Errorf("%d chunks are left", stored())
	}
	if response, err := again.handle(t, logical.DeleteOperation, "campaigns/x", nil); err != nil || response != nil {
		t.Errorf("deleting what is gone gives %v, error %v", response, err)
	}
}

// A crash between the writes of a creation or deletion leaves items without a campaign.
func TestCampaign_LeftoversAreRemovedAtTheNextStart(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.write(t, "campaigns/x", map[string]any{"reason": "x", "tokens": "*"})
	f.stopWork()
	if err := f.storage.Put(t.Context(), &logical.StorageEntry{Key: campaignItemsKey("left", 0), Value: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	again := f.restart(t)
	if items := again.items(t, "x"); len(items) != 1 {
		t.Errorf("it has %d items", len(items))
	}
	eventually(t, "the leftovers to be removed", func() bool {
		keys, err := logical.CollectKeysWithPrefix(t.Context(), again.storage, campaignItemPrefix)
		return err == nil && len(keys) == 1
	})
}

// Two campaigns about one token reset it once.
func TestCampaign_TwoOfOneTokenResetItOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := f.withScoped(t, 1, true)
	h.set(func(h *resetHook) { h.holds["acme-0"] = true })
	f.write(t, "campaigns/x", map[string]any{"reason": "x", "tokens": "*"})
	eventually(t, "its rotation to begin", func() bool { return len(h.keysOf("acme-0")) == 1 })
	f.write(t, "campaigns/y", map[string]any{"reason": "y", "tokens": "*"})
	h.set(func(h *resetHook) { clear(h.holds) })
	eventually(t, "the rotation to end", func() bool {
		f.clock.Advance(time.Second) // the hook's Retry-After
		return f.read(t, "campaigns/x")["state"] == "done"
	})
	f.awaitCampaign(t, "y", "done")
	if keys := h.keysOf("acme-0"); len(keys) != 1 {
		t.Errorf("it was reset with the keys %v", keys)
	}
}

func TestCampaign_AHookThatComesLaterIsUsed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := f.withScoped(t, 1, false)
	f.write(t, "campaigns/x", map[string]any{"reason": "x", "tokens": "*"})
	if item := f.items(t, "x")["acme-0"]; item["how"] != "person" {
		t.Errorf("the item is %v", item)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	f.write(t, "config/acme", map[string]any{"reset_hook_url": server.URL, "reset_hook_secret": "whsec_" + hookSecret})
	f.awaitCampaign(t, "x", "done")
}

func TestCampaign_DamagedItemsAreToldAndCanBeDeleted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.write(t, "campaigns/x", map[string]any{"reason": "x", "tokens": "*"})
	f.stopWork()
	entry, err := f.campaignEntries.Load(t.Context(), f.storage, "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.storage.Delete(t.Context(), campaignItemsKey(entry.ID, 0)); err != nil {
		t.Fatal(err)
	}
	again := f.restart(t)
	if _, err := again.handle(t, logical.ReadOperation, "campaigns/x", nil); err == nil || !strings.Contains(err.Error(), "vault delete") {
		t.Errorf("reading it gives %v", err)
	}
	status, err := again.handle(t, logical.ReadOperation, "status", nil)
	if err != nil || !strings.Contains(strings.Join(status.Warnings, "\n"), `campaign "x" cannot be used`) {
		t.Errorf("the status warns %q, error %v", status.Warnings, err)
	}
	if response, err := again.handle(t, logical.DeleteOperation, "campaigns/x", nil); err != nil || response.IsError() {
		t.Errorf("deleting it gives %v, error %v", response, err)
	}
}

func TestCampaign_AReasonShowsNoSecret(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	secret := f.withImpact(t, nil).AuthToken
	for field, data := range map[string]map[string]any{
		"reason":  {"reason": "it is " + secret, "tokens": "*"},
		"read_by": {"reason": "x", "read_by": secret},
	} {
		response, err := f.handle(t, logical.UpdateOperation, "campaigns/x", data)
		if err != nil || !response.IsError() || strings.Contains(response.Error().Error(), secret) || !strings.HasPrefix(response.Error().Error(), field) {
			t.Errorf("a secret in %s gives %v, error %v", field, response, err)
		}
	}
}

func TestCampaign_EndIsAnEvent(t *testing.T) {
	t.Parallel()
	l := &listener{}
	f := newFixture(t, func(c *logical.BackendConfig) { c.EventsSender = l })
	f.withImpact(t, nil)
	f.write(t, "campaigns/x", map[string]any{"reason": "x", "tokens": "*"})
	fresh := f.resetReadWrite(t)
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken})
	eventually(t, "the event", func() bool { return slices.Contains(l.kinds(), "adtokens/campaign-done") })
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.kind == eventCampaignDone && (e.metadata["campaign"] != "x" || e.metadata["state"] != "done" || e.metadata["path"] != "campaigns/x") {
			t.Errorf("the event has %v", e.metadata)
		}
	}
}

// What releases have stored is read by those after them.
func TestCampaign_StoredFormIsWrittenDown(t *testing.T) {
	t.Parallel()
	const (
		entry = `{"schema":1,"id":"11111111-2222-3333-4444-555555555555","reason":"Jane leaves","selection":{"tokens":["acme-*"],"accounts":["acme"],` +
			`"providers":["impact"],"types":["scoped"],"read_by":"userpass-jane"},"parallel":5,"created_at":"2026-11-02T09:30:00Z",` +
			`"entity_id":"entity-olga","display_name":"userpass-olga","total":1,"state":"running"}`
		items = `{"schema":1,"items":[{"token":"acme-rw","token_id":"66666666-7777-8888-9999-000000000000","account":"acme","before":2,"how":"automatic",` +
			`"state":"failed","try":1,"begun":true,"now":2,"done_at":"2026-11-02T09:30:00Z","last_error":"not today"}]}`
		record = `{"ended_rotation":"11111111-2222-3333-4444-555555555555"}`
	)
	for _, tc := range []struct {
		stored string
		into   any
	}{{entry, &campaignEntry{}}, {items, &campaignItems{}}, {record, &rotation.Record{}}} {
		if err := json.Unmarshal([]byte(tc.stored), tc.into); err != nil {
			t.Fatal(err)
		}
		if again, err := json.Marshal(tc.into); err != nil || string(again) != tc.stored {
			t.Errorf("error %v; it is stored as\n%s\nand was as\n%s", err, again, tc.stored)
		}
	}
}

func TestCampaign_SelectsWhatSomebodyHasRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.write(t, "tokens/acme-ro", map[string]any{"account": "acme", "type": "legacy_read_only"})
	f.read(t, "creds/acme-rw")
	for name, who := range map[string]string{"entity": "entity-jane", "display-name": "userpass-jane"} {
		f.write(t, "campaigns/"+name, map[string]any{"reason": "Jane leaves", "read_by": who})
		if items := f.items(t, name); len(items) != 1 || items["acme-rw"] == nil {
			t.Errorf("by %s it selects %v", name, items)
		}
		if selection := f.read(t, "campaigns/"+name)["selection"].(map[string]any); selection["read_by"] != who {
			t.Errorf("the selection is %v", selection)
		}
	}
	for name, data := range map[string]map[string]any{
		"of nobody":     {"read_by": "userpass-olga"},
		"of others":     {"read_by": "userpass-jane", "tokens": "acme-ro"},
		"of an unnamed": {"read_by": " "},
	} {
		data["reason"] = "Jane leaves"
		response, err := f.handle(t, logical.UpdateOperation, "campaigns/x", data)
		if err != nil || !response.IsError() {
			t.Errorf("a campaign %s gives %v, error %v", name, response, err)
			continue
		}
		if says := response.Error().Error(); name != "of an unnamed" && !strings.Contains(says, "tokens/<name>/readers") {
			t.Errorf("a campaign %s is refused with %q, which does not say where readers are shown", name, says)
		}
	}
}
