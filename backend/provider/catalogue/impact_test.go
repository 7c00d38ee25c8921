package catalogue_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

func TestImpact_FieldsHaveTheirCanonicalForm(t *testing.T) {
	t.Parallel()
	const (
		notSID  = "account_sid must be an Account SID"
		exports = "probe_path must not be of ReportExport (100 requests a day) or ClickExport (10)"
		noPath  = "base_url must be the address without the account's path, such as https://api.impact.com: leave out everything from /"
		console = "base_url is an address of impact.com's console; the API has https://api.impact.com"
		bare    = "base_url must be https://api.impact.com without a path"
		notPath = "probe_path must be the path of a resource below the account"
	)
	tests := map[string]struct{ field, value, want, wantErr string }{
		"agency":                      {"account_type", "agency", "agency", ""},
		"no such kind of account":     {"account_type", "publisher", "", "account_type must be one of agency, brand, partner"},
		"version":                     {"api_version", " 14 ", "14", ""},
		"version 0":                   {"api_version", "0", "", "api_version must be a whole number"},
		"negative version":            {"api_version", "-3", "", "api_version must be a whole number"},
		"version with v":              {"api_version", "v3", "", "api_version must be a whole number"},
		"http to another host":        {"base_url", "http://api.impact.com", "", "base_url must start with https://"},
		"address with user info":      {"base_url", "https://IR:token@api.impact.com", "", "without user info"},
		"API":                         {"base_url", " https://api.impact.com/ ", "https://api.impact.com", ""},
		"proxy with a path":           {"base_url", "https://proxy.example.com/impact/", "https://proxy.example.com/impact", ""},
		"without a scheme":            {"base_url", "api.impact.com", "", "base_url must be a URL such as https://host.example.com: https:// is missing"},
		"with the token":              {"base_url", "https://api.impact.com?token=" + authToken, "", "this one has a query"},
		"of an agency":                {"base_url", "https://api.impact.com/Agencies/" + accountSID, "", noPath + "Agencies on"},
		"of a brand":                  {"base_url", "https://api.impact.com/Advertisers", "", noPath + "Advertisers on"},
		"of a partner":                {"base_url", "https://api.impact.com/MediaPartners/" + accountSID + "/", "", noPath + "Mediapartners on"},
		"of a partner, at a proxy":    {"base_url", "https://proxy.example.com/impact/mediapartners", "", noPath + "Mediapartners on"},
		"of the resource":             {"base_url", "https://proxy.example.com/CompanyInformation", "", noPath + "CompanyInformation on"},
		"with the Account SID":        {"base_url", "https://api.impact.com/" + accountSID, "", bare},
		"with a version":              {"base_url", "https://API.impact.com/v14", "", bare},
		"console":                     {"base_url", "https://app.impact.com", "", console},
		"page of the console":         {"base_url", "https://app.impact.com/secure/agency/accountSettings", "", console},
		"web site":                    {"base_url", "https://www.impact.com/", "", console},
		"account SID":                 {"account_sid", "IRq8mWJybvoQ1020978kbj7am8zzM2dBL1\n", "IRq8mWJybvoQ1020978kbj7am8zzM2dBL1", ""},
		"short account SID":           {"account_sid", "IR12", "IR12", ""},
		"longest account SID":         {"account_sid", strings.Repeat("a", 128), strings.Repeat("a", 128), ""},
		"account SID of another form": {"account_sid", "ad-42_Q", "ad-42_Q", ""},
		"account SID too long":        {"account_sid", strings.Repeat("a", 129), "", notSID + " alone: this has more than 128 characters"},
		"account SID that is a path":  {"account_sid", "IR/../../" + strings.Repeat("a", 16), "", notSID + " alone: this is an address or a path"},
		"account SID in an address":   {"account_sid", "https://api.impact.com/Agencies/" + accountSID, "", notSID + " alone: this is an address"},
		"account SID and auth token":  {"account_sid", accountSID + ":" + authToken, "", notSID + " alone: this has a colon, as the pair of user and password does"},
		"account SID beside the name": {"account_sid", accountSID + " " + authToken, "", notSID + " alone: this has blanks"},
		"account SID that climbs":     {"account_sid", "..", "", notSID + ": letters and digits"},
		"account SID with a query":    {"account_sid", accountSID + "?x=" + authToken, "", notSID + ": letters and digits"},
		"account SID with an escape":  {"account_sid", accountSID + "%2e", "", notSID + ": letters and digits"},
		"account SID, other letters":  {"account_sid", "IRäöü", "", notSID + ": letters and digits"},
		"account SID, an override":    {"account_sid", accountSID + "\u202e", "", notSID + ": letters and digits"},
		"auth token":                  {"auth_token", authToken + "\n", authToken, ""},
		"auth token with a space":     {"auth_token", authToken + " x", "", "auth_token must be printable ASCII"},
		"auth token for a shell":      {"auth_token", "$(" + authToken + ")", "", "auth_token must be printable ASCII"},
		"auth token of a template":    {"auth_token", authToken + "\"; curl", "", "auth_token must be printable ASCII"},
		"probe path of reports":       {"probe_path", "ReportExport/adv_performance", "", exports},
		"probe path of clicks":        {"probe_path", "ClickExport", "", exports},
		"probe path, other case":      {"probe_path", "Campaigns/1/reportexport.json", "", exports},
		"probe path, near to it":      {"probe_path", "Reports/ReportExports", "Reports/ReportExports", ""},
		"probe path":                  {"probe_path", "Campaigns", "Campaigns", ""},
		"probe path of two parts":     {"probe_path", "Campaigns/100.5/Ads_a-b~c", "Campaigns/100.5/Ads_a-b~c", ""},
		"probe path from the root":    {"probe_path", "/Campaigns", "", notPath},
		"probe path that ends so":     {"probe_path", "Campaigns/", "", notPath},
		"probe path that climbs":      {"probe_path", "../IRother/Campaigns", "", notPath},
		"probe path that climbs late": {"probe_path", "Campaigns/../../x", "", notPath},
		"probe path to itself":        {"probe_path", ".", "", notPath},
		"probe path with ./":          {"probe_path", "./Campaigns", "", notPath},
		"probe path with a host":      {"probe_path", "https://thief.example.com", "", notPath},
		"probe path with a query":     {"probe_path", "Campaigns?x=1", "", notPath},
		"probe path with a fragment":  {"probe_path", "Campaigns#x", "", notPath},
		"probe path with an escape":   {"probe_path", "%2e%2e/x", "", notPath},
		"probe path with a backslash": {"probe_path", `..\x`, "", notPath},
		"probe path with a space":     {"probe_path", "Camp aigns", "", notPath},
		"probe path with a new line":  {"probe_path", "Camp\r\naigns", "", notPath},
	}
	fields := impact().AccountFields
	for _, tokenType := range impact().Types {
		fields = slices.Concat(fields, tokenType.Fields, tokenType.Options)
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			field, ok := provider.Lookup(fields, tc.field)
			if !ok {
				t.Fatalf("there is no field %s", tc.field)
			}
			got, err := field.Canonical(tc.value)
			if got != tc.want || (err == nil) != (tc.wantErr == "") {
				t.Fatalf("got %q, error %v; want %q, error with %q", got, err, tc.want, tc.wantErr)
			}
			if err != nil && (!strings.Contains(err.Error(), tc.wantErr) || strings.Contains(err.Error(), authToken)) {
				t.Errorf("got error %q, want one with %q and without the value", err, tc.wantErr)
			}
		})
	}
}

func TestImpact_CheckAccountWantsAnAccountType(t *testing.T) {
	t.Parallel()
	if err := impact().CheckAccount(provider.Values{"base_url": "https://api.impact.com"}); err == nil || !strings.Contains(err.Error(), "account_type is missing") {
		t.Errorf("got error %v, want one about account_type", err)
	}
	if err := impact().CheckAccount(provider.Values{"account_type": "brand"}); err != nil {
		t.Errorf("got error %v, want none", err)
	}
}

func TestImpact_AccountsHaveNoIdentityToTry(t *testing.T) {
	t.Parallel()
	if impact().VerifyAccount != nil {
		t.Error("accounts have an identity to try")
	}
}

func TestImpact_TokenTypes(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	for _, tokenType := range impact().Types {
		text := string(tokenType.ResetSemantics)
		for _, f := range slices.Concat(tokenType.Fields, tokenType.Options) {
			if text += " " + f.Name; f.Secret {
				text += "*"
			}
		}
		got[tokenType.Name] = text
	}
	const fields = " account_sid auth_token* probe_path"
	want := map[string]string{
		"legacy_read_write": "immediate" + fields, "legacy_read_only": "immediate" + fields, "scoped": "overlapping" + fields,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if name := impact().Name; name != "impact" {
		t.Errorf("got the name %q, want impact", name)
	}
}

func TestImpact_WhatIsPartOfTheAddressIsAnEndpoint(t *testing.T) {
	t.Parallel()
	for _, f := range impact().AccountFields {
		if f.Endpoint != (f.Name == "base_url" || f.Name == "account_type") || f.Secret || f.Description == "" || f.Check == nil {
			t.Errorf("the account field %s is marked wrong, or lacks a description or a check: %+v", f.Name, f)
		}
	}
}

// impactDefault is the address that the engine stores with an account that gives none.
func impactDefault(t *testing.T) string {
	t.Helper()
	f, ok := provider.Lookup(impact().AccountFields, "base_url")
	if !ok || !f.Endpoint {
		t.Fatal("base_url is no endpoint")
	}
	return f.Default
}

func TestImpact_ConnectionInfo(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		settings provider.Values
		want     map[string]string
	}{
		"agency, defaults": {
			settings: provider.Values{"account_type": "agency", "base_url": impactDefault(t)},
			want:     map[string]string{"base_url": "https://api.impact.com", "account_url": "https://api.impact.com/Agencies/" + accountSID},
		},
		"brand, with a version": {
			settings: provider.Values{"account_type": "brand", "api_version": "14", "base_url": impactDefault(t)},
			want: map[string]string{
				"base_url": "https://api.impact.com", "account_url": "https://api.impact.com/Advertisers/" + accountSID, "api_version": "14",
			},
		},
		"partner, behind a proxy": {
			settings: provider.Values{"account_type": "partner", "base_url": "https://proxy.example.com/impact"},
			want: map[string]string{
				"base_url": "https://proxy.example.com/impact", "account_url": "https://proxy.example.com/impact/Mediapartners/" + accountSID,
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := impact().Type("scoped").Connect(tc.settings, token("scoped")); !maps.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestImpact_Runbooks(t *testing.T) {
	t.Parallel()
	const (
		agencyPath  = "open Settings, then in the column Account, under Technical, Platform REST Web Services"
		otherPath   = "Open your user profile, then Settings, Technical, API"
		independent = "The two legacy resets are independent: this one leaves the "
		roles       = "as an Account Administrator or Implementation Specialist"
		sameCompany = "Both legacy tokens show the same company"
		handIn      = "vault write adtokens/tokens/<name>/rotate auth_token=-"
	)
	tests := map[string]struct {
		accountType, tokenType string
		says, silentOn         []string
		previous               string
	}{
		"agency, read/write": {
			accountType: "agency", tokenType: "legacy_read_write", previous: "Invalid from the moment of the reset",
			says:     []string{agencyPath, "Legacy Account Tokens", "Reset (Read/Write)", "API Credentials", "Enable Legacy Tokens", "is gone itself then", "drop-down API Version", roles, sameCompany, independent + "Read-Only token alone", "April 2025 (another page of impact.com says June 2025)"},
			silentOn: []string{"Reset (Read-Only)", "named or placed differently"},
		},
		"agency, read-only": {
			accountType: "agency", tokenType: "legacy_read_only", previous: "Invalid from the moment of the reset",
			says:     []string{agencyPath, "Reset (Read-Only)", independent + "Read/Write token alone"},
			silentOn: []string{"Reset (Read/Write)", "named or placed differently"},
		},
		"agency, scoped": {
			accountType: "agency", tokenType: "scoped", previous: "After a Reset: invalid at once. Beside a second token: works until it is disabled or deleted",
			says:     []string{agencyPath, roles, "Duplicate", "Reset", "Upgrade Version", "Disable", "Delete", "account_sid=", "probe_path"},
			silentOn: []string{"Legacy", "legacy", "named or placed differently"},
		},
		"brand, read/write": {
			accountType: "brand", tokenType: "legacy_read_write", previous: "no overlap",
			says:     []string{otherPath, roles, sameCompany, "on the page of a brand account they may be named or placed differently", independent + "Read-Only token alone"},
			silentOn: []string{agencyPath, "Legacy Account Tokens"},
		},
		"partner, read-only": {
			accountType: "partner", tokenType: "legacy_read_only", previous: "no overlap",
			says:     []string{otherPath, "on the page of a partner account they may be named or placed differently", independent + "Read/Write token alone"},
			silentOn: []string{agencyPath, "Legacy Account Tokens"},
		},
		"partner, scoped": {
			accountType: "partner", tokenType: "scoped", previous: "After a Reset: invalid at once",
			says:     []string{otherPath, "on the page of a partner account they may be named or placed differently"},
			silentOn: []string{agencyPath, "Legacy"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := impact().Type(tc.tokenType).Runbook(provider.Values{"account_type": tc.accountType})
			if got.ConsoleURL == "" || !strings.Contains(got.Previous, tc.previous) {
				t.Errorf("got console %q, previous %q; want an address and %q", got.ConsoleURL, got.Previous, tc.previous)
			}
			if last := got.Steps[len(got.Steps)-1]; !strings.Contains(last, handIn) {
				t.Errorf("got the last step %q, want the hand-in", last)
			}
			all := strings.Join(slices.Concat(got.Steps, got.Notes), "\n")
			for _, want := range tc.says {
				if !strings.Contains(all, want) {
					t.Errorf("neither steps nor notes say %q", want)
				}
			}
			for _, unwanted := range tc.silentOn {
				if strings.Contains(all, unwanted) {
					t.Errorf("steps or notes say %q", unwanted)
				}
			}
		})
	}
}
