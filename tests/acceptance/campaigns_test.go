//go:build unix

package acceptance

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// campaignItems are a campaign's, by token.
func (w *world) campaignItems(t *testing.T, campaign string) map[string]fields {
	t.Helper()
	items := map[string]fields{}
	listed, _ := w.data(t, "campaigns/"+campaign)["items"].([]any)
	for _, listed := range listed {
		item, _ := listed.(fields)
		items[fmt.Sprint(item["token"])] = item
	}
	return items
}

func (w *world) awaitCampaign(t *testing.T, campaign, state string) fields {
	t.Helper()
	var data fields
	vaulttest.Await(t, "the campaign "+campaign+" to be "+state, func() bool {
		data = w.data(t, "campaigns/"+campaign)
		return data["state"] == state
	})
	return data
}

// importScopedTokens makes tokens of the account agency.
func (w *world) importScopedTokens(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		token := done(w.sim.CreateScopedToken(t.Context(), simulator.ScopedTokenInput{ScopedTokenName: simulator.ScopedTokenName{Account: "agency", Name: name}}))(t)
		w.write(t, "tokens/"+name, impactToken("scoped", token.ImpactCredential))
	}
}

// TestCampaigns_JaneLeaves is a campaign from its beginning to its end: some by the hook, a key by the key API, one by a person.
func TestCampaigns_JaneLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	account := w.googleFields(t)
	account["iam_url"] = w.sim.GoogleURL
	w.write(t, "config/google", account)
	w.write(t, "tokens/dev", fields{"account": "google", "type": "developer_token", "developer_token": done(w.sim.DeveloperToken(t.Context()))(t)})
	w.write(t, "tokens/key", fields{
		"account": "google", "type": "service_account_key", "rotation_grace_period": "1h", "disable_automated_rotation": true,
		"service_account_key": string(done(w.sim.ServiceAccountKey(t.Context(), simulator.DefaultName))(t)),
	})
	w.importScopedTokens(t, "app-1", "app-2")
	h := startHook(t, w)
	w.addHook(t, "agency", h)

	answer := w.write(t, "campaigns/jane-leaves", fields{"reason": "Jane leaves", "tokens": "rw,ro,app-*,dev,key"})
	has(t, answer.Data, fields{"state": "running"})
	vaulttest.Await(t, "the engine to have done its part", func() bool {
		progress, _ := w.data(t, "campaigns/jane-leaves")["progress"].(fields)
		return fmt.Sprint(progress["done"]) == "5"
	})
	data := w.data(t, "campaigns/jane-leaves")
	hasOnly(t, data, "reason", "state", "progress", "items", "created_at", "created_by", "parallel", "selection")
	has(t, data, fields{
		"reason": "Jane leaves", "state": "running", "parallel": 5,
		"progress":   fields{"total": 6, "done": 5, "waiting": 0, "running": 0, "waiting_for_person": 1, "failed": 0},
		"created_by": fields{"entity_id": "", "display_name": "token"},
	})
	items := w.campaignItems(t, "jane-leaves")
	for name, item := range items {
		hasOnly(t, item, "token", "how", "state", "version_before", "version_now", "done_at", "last_error", "console_url")
		if name != "dev" {
			has(t, item, fields{"how": "automatic", "state": "done", "version_before": 1, "version_now": 2, "last_error": ""})
		}
	}
	has(t, items["dev"], fields{"how": "person", "state": "waiting", "version_now": 1, "done_at": nil, "console_url": w.data(t, "tokens/dev/rotate")["console_url"]})
	requests, _ := h.asked()
	for _, request := range requests {
		has(t, request, fields{"reason": "Jane leaves (campaign jane-leaves)"})
	}
	versions := w.history(t, "key")
	has(t, versions[len(versions)-1], fields{"reason": "Jane leaves (campaign jane-leaves)", "source": "iam", "display_name": "token"})

	status, warnings := w.read(t, "status")
	has(t, status, fields{"campaigns": fields{"jane-leaves": fields{"state": "running", "progress": data["progress"]}}})
	mentions(t, "the warnings", strings.Join(warnings, "\n"), "campaign jane-leaves, since", "1 of its 6 tokens wait for a person", w.Path+"/campaigns/jane-leaves")

	w.write(t, "tokens/dev/rotate", fields{"developer_token": done(w.sim.ResetDeveloperToken(t.Context()))(t)})
	w.awaitCampaign(t, "jane-leaves", "done")
	has(t, w.campaignItems(t, "jane-leaves")["dev"], fields{"state": "done", "version_now": 2})

	output := w.CLI(t, vaulttest.Command{Args: []string{"list", "-detailed", w.Path + "/campaigns"}})
	mentions(t, "the list", output.Stdout, "jane-leaves", "done:6", "total:6")
	if secret := w.remove(t, "campaigns/jane-leaves"); secret != nil {
		t.Errorf("deleting it answers %v", secret)
	}
	if secret := w.remove(t, "campaigns/jane-leaves"); secret != nil {
		t.Errorf("deleting what is gone answers %v", secret)
	}
	_, err := w.Read(t.Context(), "campaigns/jane-leaves")
	refused(t, err, http.StatusNotFound, "campaign \"jane-leaves\" does not exist")
}

func TestCampaigns_RefuseWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	with := func(more fields) fields {
		data := fields{"reason": "x", "tokens": "*"}
		maps.Copy(data, more)
		return data
	}
	w.write(t, "campaigns/there", with(nil))
	for name, tc := range map[string]struct {
		path   string
		data   fields
		status int
		words  []string
	}{
		"no reason":             {"campaigns/x", fields{"tokens": "*"}, http.StatusBadRequest, []string{"reason is missing"}},
		"no selection":          {"campaigns/x", fields{"reason": "x"}, http.StatusBadRequest, []string{"tokens='*'"}},
		"nothing that fits":     {"campaigns/x", fields{"reason": "x", "tokens": "nobody-*"}, http.StatusBadRequest, []string{"fits no token", "nobody-*"}},
		"an unknown account":    {"campaigns/x", fields{"reason": "x", "accounts": "agencies"}, http.StatusBadRequest, []string{"these accounts do not exist: agencies"}},
		"an unknown provider":   {"campaigns/x", fields{"reason": "x", "providers": "impacts"}, http.StatusBadRequest, []string{"these providers do not exist: impacts"}},
		"an unknown type":       {"campaigns/x", fields{"reason": "x", "types": "legacy"}, http.StatusBadRequest, []string{"these types do not exist: legacy"}},
		"none at once":          {"campaigns/x", with(fields{"parallel": 0}), http.StatusBadRequest, []string{"parallel must be from 1 to 1000"}},
		"too many at once":      {"campaigns/x", with(fields{"parallel": 1001}), http.StatusBadRequest, []string{"parallel must be from 1 to 1000"}},
		"numbers for names":     {"campaigns/x", fields{"reason": "x", "tokens": []any{7}}, http.StatusBadRequest, []string{"tokens must be names, separated by commas"}},
		"a flag for names":      {"campaigns/x", fields{"reason": "x", "accounts": true}, http.StatusBadRequest, []string{"accounts must be names"}},
		"no name at all":        {"campaigns/x", fields{"reason": "x", "types": ","}, http.StatusBadRequest, []string{"types is empty"}},
		"a part of one at once": {"campaigns/x", with(fields{"parallel": 1.5}), http.StatusBadRequest, []string{"parallel must be a whole number"}},
		"a reader of no name":   {"campaigns/x", fields{"reason": "x", "read_by": ""}, http.StatusBadRequest, []string{"read_by must be"}},
		"a reader of nothing":   {"campaigns/x", fields{"reason": "x", "read_by": "oidc-nobody"}, http.StatusBadRequest, []string{"fits no token"}},
		"a page of a write":     {"campaigns/x", with(fields{"limit": 3}), http.StatusBadRequest, []string{"for reads"}},
		"a retry of a word":     {"campaigns/there", fields{"retry": "soon"}, http.StatusBadRequest, []string{"retry must be true or false"}},
		"an unknown field":      {"campaigns/x", with(fields{"acounts": "agency"}), http.StatusBadRequest, []string{"did you mean accounts?"}},
		"a name that is taken":  {"campaigns/there", with(nil), http.StatusBadRequest, []string{"exists"}},
		"a retry of nothing":    {"campaigns/x", fields{"retry": true}, http.StatusNotFound, []string{"does not exist"}},
		"a cancel of nothing":   {"campaigns/x", fields{"cancel": true}, http.StatusNotFound, []string{"does not exist"}},
		"neither":               {"campaigns/there", fields{"retry": false}, http.StatusBadRequest, []string{"retry=true", "cancel=true"}},
		"a name that is none":   {"campaigns/a..b", with(nil), http.StatusBadRequest, []string{"the name of a campaign must be"}},
		"a reason of two lines": {"campaigns/x", with(fields{"reason": "a\nb"}), http.StatusBadRequest, []string{"reason must be one line"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := w.Write(t.Context(), tc.path, tc.data)
			refused(t, err, tc.status, tc.words...)
		})
	}
}

func TestCampaigns_WarnOfWhatIsNotInThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	secret := w.write(t, "campaigns/x", fields{"reason": "x", "tokens": "rw,gone,nobody-*", "accounts": "agency,agencies"})
	mentions(t, "the warnings", strings.Join(secret.Warnings, "\n"), "there are no tokens with these names: gone, nobody-*", "these accounts do not exist: agencies")
	has(t, secret.Data, fields{"state": "running"})
}

func TestCampaigns_RetryAndCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	h := startHook(t, w, hookAnswer{status: http.StatusUnprocessableEntity, body: "not today"})
	w.addHook(t, "agency", h)
	w.write(t, "campaigns/x", fields{"reason": "x", "tokens": "rw,ro", "parallel": 1})
	data := w.awaitCampaign(t, "x", "failed")
	has(t, data, fields{"progress": fields{"total": 2, "done": 1, "waiting": 0, "running": 0, "waiting_for_person": 0, "failed": 1}})
	w.write(t, "campaigns/x", fields{"retry": true})
	w.awaitCampaign(t, "x", "done")
	warns(t, w.write(t, "campaigns/x", fields{"cancel": true}).Warnings, "is done")

	w.write(t, "config/agency", fields{"reset_hook_url": "", "reset_hook_secret": ""})
	w.write(t, "campaigns/y", fields{"reason": "y", "accounts": "agency"})
	has(t, w.write(t, "campaigns/y", fields{"cancel": true}).Data, fields{"state": "cancelled"})
	_, err := w.Write(t.Context(), "campaigns/y", fields{"retry": true})
	refused(t, err, http.StatusBadRequest, "is cancelled")
	has(t, w.data(t, "campaigns/y"), fields{"state": "cancelled"})
}

// TestCampaigns_ACampaignersPolicyReadsNoValue: who may begin campaigns may have tokens reset, and learns no value.
func TestCampaigns_ACampaignersPolicyReadsNoValue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	w.addHook(t, "agency", startHook(t, w))
	policy := fmt.Sprintf(`path "%s/campaigns/*" { capabilities = ["create", "read", "update", "delete", "list"] }`, w.Path)
	succeeded(t, w.Server.Client.Sys().PutPolicyWithContext(t.Context(), w.Path+"-campaigns", policy))
	made := done(w.Server.Client.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{Policies: []string{w.Path + "-campaigns"}, NoDefaultPolicy: true}))(t)
	campaigner := &world{Mount: w.As(t, made.Auth.ClientToken), sim: w.sim}
	campaigner.write(t, "campaigns/x", fields{"reason": "x", "tokens": "rw"})
	campaigner.awaitCampaign(t, "x", "done")
	for _, path := range []string{"creds/rw", "tokens/rw", "tokens/rw/history", "config/agency", "status"} {
		_, err := campaigner.Read(t.Context(), path)
		refused(t, err, http.StatusForbidden)
	}
	tellsNoSecret(t, "the campaign", []string{asJSON(t, campaigner.data(t, "campaigns/x"))})
}
