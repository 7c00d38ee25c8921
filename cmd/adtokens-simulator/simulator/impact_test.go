package simulator_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

var basePaths = map[simulator.AccountKind]string{
	simulator.Agency:  "Agencies",
	simulator.Brand:   "Advertisers",
	simulator.Partner: "Mediapartners",
}

func basic(sid, token string) map[string]string {
	return map[string]string{
		"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(sid+":"+token)),
		"Accept":        "application/json",
	}
}

// company asks for the company information of an agency with the token's own credential.
func (w world) company(t *testing.T, credential simulator.ImpactCredential) response {
	t.Helper()
	return send(t, request{
		method: "GET",
		url:    w.ImpactURL + "/Agencies/" + credential.AccountSID + "/CompanyInformation",
		header: basic(credential.AccountSID, credential.AuthToken),
	})
}

func (w world) agency(t *testing.T) simulator.LegacyCredentials {
	t.Helper()
	return must(w.console.ImpactCredentials(t.Context(), "agency"))(t)
}

func TestCompanyInformationOfEachKind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for kind, basePath := range basePaths {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			account := "my-" + string(kind)
			check(t, w.console.CreateImpactAccount(t.Context(), account, kind))
			credential := must(w.console.EnableLegacyTokens(t.Context(), account))(t).ReadOnly
			if !regexp.MustCompile(`^IR[0-9A-Za-z]{32}$`).MatchString(credential.AccountSID) {
				t.Errorf("the account SID is %s", credential.AccountSID)
			}
			for otherKind, otherPath := range basePaths {
				answer := send(t, request{
					method: "GET",
					url:    w.ImpactURL + "/" + otherPath + "/" + credential.AccountSID + "/CompanyInformation",
					header: basic(credential.AccountSID, credential.AuthToken),
				})
				if want := map[bool]int{true: 200, false: 401}[otherPath == basePath]; answer.status != want {
					t.Errorf("under the path of kind %s: got status %d, want %d", otherKind, answer.status, want)
				}
				if answer.status == 200 && answer.object(t)["CompanyName"] != account {
					t.Error("the answer does not name the company")
				}
			}
		})
	}
}

func TestImpactAnswersInXMLUnlessAskedForJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	credential := w.agency(t).ReadWrite
	for name, test := range map[string]struct {
		accept, token string
		json          bool
	}{
		"no Accept":         {"", credential.AuthToken, false},
		"anything":          {"*/*", credential.AuthToken, false},
		"XML":               {"text/xml", credential.AuthToken, false},
		"JSON":              {"application/json", credential.AuthToken, true},
		"JSON among others": {"text/html, application/json;q=0.9", credential.AuthToken, true},
		"error, no Accept":  {"", "wrong", false},
		"error, JSON":       {"application/json", "wrong", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := basic(credential.AccountSID, test.token)
			header["Accept"] = test.accept
			answer := send(t, request{
				method: "GET", url: w.ImpactURL + "/Agencies/" + credential.AccountSID + "/CompanyInformation", header: header,
			})
			if test.json {
				if object := answer.object(t); answer.status != 200 && object["Status"] != "ERROR" {
					t.Errorf("got %v", object)
				}
				return
			}
			var root struct {
				XMLName xml.Name
				Status  string
			}
			check(t, xml.Unmarshal(answer.body, &root))
			if root.XMLName.Local != "ImpactRadiusResponse" {
				t.Errorf("the root is %s", root.XMLName.Local)
			}
			if answer.status != 200 && root.Status != "ERROR" {
				t.Errorf("status %d says %q", answer.status, root.Status)
			}
		})
	}
}

func TestImpactRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tokens := w.agency(t)
	good := tokens.ReadWrite
	company := "/Agencies/" + good.AccountSID + "/CompanyInformation"
	tests := map[string]struct {
		method, path string
		header       map[string]string
		status       int
		field        string
	}{
		"no credentials":            {"GET", company, map[string]string{"Authorization": ""}, 401, ""},
		"bearer token":              {"GET", company, map[string]string{"Authorization": "Bearer " + good.AuthToken}, 401, ""},
		"wrong token":               {"GET", company, basic(good.AccountSID, "wrong"), 401, ""},
		"the other token's value":   {"GET", company, basic(good.AccountSID, tokens.ReadOnly.AuthToken), 401, ""},
		"the other token's path":    {"GET", company, basic(tokens.ReadOnly.AccountSID, tokens.ReadOnly.AuthToken), 401, ""},
		"unknown SID":               {"GET", "/Agencies/IRx/CompanyInformation", basic("IRx", good.AuthToken), 401, ""},
		"unknown resource":          {"GET", "/Agencies/" + good.AccountSID + "/Nothing", nil, 404, ""},
		"unknown base path":         {"GET", "/agencies/" + good.AccountSID + "/CompanyInformation", nil, 404, ""},
		"wrong method":              {"DELETE", company, nil, 405, ""},
		"version that is no number": {"GET", company, map[string]string{"IR-Version": "latest"}, 400, "IR-Version"},
		"unknown version":           {"GET", company, map[string]string{"IR-Version": "4"}, 400, "IR-Version"},
		"unknown version, query":    {"GET", company + "?IrVersion=0", nil, 400, "IrVersion"},
		"known version":             {"GET", company, map[string]string{"IR-Version": "3"}, 200, ""},
		"known version, query":      {"GET", company + "?IrVersion=3", nil, 200, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := merged(basic(good.AccountSID, good.AuthToken), test.header)
			answer := send(t, request{method: test.method, url: w.ImpactURL + test.path, header: header})
			if answer.status != test.status {
				t.Fatalf("got status %d, want %d", answer.status, test.status)
			}
			var body struct {
				Status, Message string
				Errors          []struct{ Field string }
			}
			check(t, json.Unmarshal(answer.body, &body))
			if answer.status != 200 && (body.Status != "ERROR" || body.Message == "") {
				t.Errorf("got %+v", body)
			}
			if test.field != "" && (len(body.Errors) != 1 || body.Errors[0].Field != test.field) {
				t.Errorf("got errors %v, want one of field %s", body.Errors, test.field)
			}
		})
	}
}

func TestLegacyResetsAreIndependent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.agency(t)
	fresh := must(w.console.ResetReadWrite(t.Context(), "agency"))(t)
	if fresh.AccountSID != before.ReadWrite.AccountSID || fresh.AuthToken == before.ReadWrite.AuthToken {
		t.Error("a reset must keep the account SID and replace the auth token")
	}
	if after := w.agency(t); after.ReadWrite != fresh || after.ReadOnly != before.ReadOnly {
		t.Error("the console shows something else than the reset gave")
	}
	for name, test := range map[string]struct {
		credential simulator.ImpactCredential
		status     int
	}{
		"previous read/write": {before.ReadWrite, 401},
		"new read/write":      {fresh, 200},
		"read-only":           {before.ReadOnly, 200},
	} {
		if answer := w.company(t, test.credential); answer.status != test.status {
			t.Errorf("%s: got status %d, want %d", name, answer.status, test.status)
		}
	}
	must(w.console.ResetReadOnly(t.Context(), "agency"))(t)
	if answer := w.company(t, before.ReadOnly); answer.status != 401 {
		t.Errorf("the previous read-only token got status %d", answer.status)
	}
	if answer := w.company(t, fresh); answer.status != 200 {
		t.Errorf("the read/write token got status %d after the other reset", answer.status)
	}
}

func TestUpgradeOfLegacyTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check(t, w.console.UpgradeAPIVersion(t.Context(), "agency", 3))
	if answer := w.company(t, w.agency(t).ReadWrite); answer.status != 200 {
		t.Errorf("got status %d", answer.status)
	}
}

func TestRateLimitIsPerAccountAndHour(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	check(t, w.console.SetImpactRateLimit(ctx, 2))
	tokens := w.agency(t)
	check(t, w.console.CreateImpactAccount(ctx, "other", simulator.Agency))
	other := must(w.console.EnableLegacyTokens(ctx, "other"))(t)

	expect := func(credential simulator.ImpactCredential, status int, remaining, reset string) {
		t.Helper()
		answer := w.company(t, credential)
		if answer.status != status {
			t.Errorf("got status %d, want %d", answer.status, status)
		}
		for header, want := range map[string]string{"X-RateLimit-Limit": "2", "X-RateLimit-Remaining": remaining, "X-RateLimit-Reset": reset} {
			if got := answer.header.Get(header); got != want {
				t.Errorf("%s is %q, want %q", header, got, want)
			}
		}
	}
	expect(tokens.ReadWrite, 200, "1", "3600")
	expect(tokens.ReadOnly, 200, "0", "3600")
	check(t, w.console.AdvanceClock(ctx, time.Minute))
	expect(tokens.ReadWrite, 429, "0", "3540")
	expect(other.ReadWrite, 200, "1", "3600")
	check(t, w.console.AdvanceClock(ctx, 59*time.Minute))
	expect(tokens.ReadWrite, 200, "1", "3600")
}

func TestScopedTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	name := simulator.ScopedTokenName{Account: "agency", Name: "reports"}
	token := must(w.console.CreateScopedToken(ctx, simulator.ScopedTokenInput{ScopedTokenName: name, Contact: "team@example.com"}))(t)
	expect := func(what string, credential simulator.ImpactCredential, status int) {
		t.Helper()
		if answer := w.company(t, credential); answer.status != status {
			t.Errorf("%s: got status %d, want %d", what, answer.status, status)
		}
	}
	expect("new token", token.ImpactCredential, http.StatusOK)

	duplicate := must(w.console.DuplicateScopedToken(ctx, name, "reports-2"))(t)
	if duplicate.AccountSID == token.AccountSID {
		t.Error("a duplicate must have a credential of its own")
	}
	expect("duplicate", duplicate.ImpactCredential, http.StatusOK)

	reset := must(w.console.ResetScopedToken(ctx, name))(t)
	expect("value before the reset", token.ImpactCredential, http.StatusUnauthorized)
	expect("value after the reset", reset.ImpactCredential, http.StatusOK)
	expect("duplicate after the reset", duplicate.ImpactCredential, http.StatusOK)

	check(t, w.console.DisableScopedToken(ctx, name))
	expect("disabled token", reset.ImpactCredential, http.StatusForbidden)
	if !must(w.console.ScopedToken(ctx, name))(t).Disabled {
		t.Error("the console does not show that the token is disabled")
	}
	check(t, w.console.DeleteScopedToken(ctx, name))
	expect("deleted token", reset.ImpactCredential, http.StatusUnauthorized)

	narrow := must(w.console.CreateScopedToken(ctx, simulator.ScopedTokenInput{
		ScopedTokenName: simulator.ScopedTokenName{Account: "agency", Name: "narrow"}, Scopes: []string{}, APIVersion: 2,
	}))(t)
	expect("token without the scope", narrow.ImpactCredential, http.StatusForbidden)
	check(t, w.console.UpgradeScopedToken(ctx, simulator.ScopedTokenName{Account: "agency", Name: "narrow"}, 3))
}
