package googleads_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// selfAssertedToken has a key file that names the fake's token endpoint.
func selfAssertedToken(t *testing.T, g *fakeGoogle) provider.Token {
	t.Helper()
	return provider.Token{Type: "service_account_key", Credential: provider.Values{
		"service_account_key": keyFile(t, map[string]any{"token_uri": g.URL + "/token"}),
	}}
}

func withoutTokenURL(a provider.Account) provider.Account {
	delete(a.Settings, "token_url")
	return a
}

func TestVerify_ForeignTokenURIProvesNothing(t *testing.T) {
	t.Parallel()
	google := newGoogle(t)
	token := selfAssertedToken(t, google)
	got, err := verify(t, withoutTokenURL(google.account(t)), token)
	if err != nil || got.Outcome != provider.Accepted || !got.SelfAsserted || !got.Caveat || !strings.Contains(got.Detail, "Set token_url in the account's configuration") {
		t.Errorf("got %+v, error %v; want a self-asserted acceptance with what to set", got, err)
	}
	if strings.Contains(got.Detail, "genuine") || strings.Contains(got.Detail, "Google grants") {
		t.Errorf("got %q, which claims what is not known", got.Detail)
	}

	google.ads = adsError(403, noProject)
	got, err = verify(t, withoutTokenURL(google.account(t)), token)
	if err != nil || !got.SelfAsserted || !strings.Contains(got.Detail, "Set token_url") || !strings.Contains(got.Detail, "ask for Explorer access") {
		t.Errorf("got %+v, error %v; want both warnings", got, err)
	}

	google.token = oauthError(400, "invalid_grant")
	got, err = verify(t, withoutTokenURL(google.account(t)), token)
	if err != nil || got.Outcome != provider.Rejected || !got.SelfAsserted {
		t.Errorf("got %+v, error %v; want rejected", got, err)
	}
}

func TestVerify_AccountsTokenURLBeatsAForeignTokenURI(t *testing.T) {
	t.Parallel()
	google := newGoogle(t)
	thief := newGoogle(t)
	got, err := verify(t, google.account(t), selfAssertedToken(t, thief))
	if err != nil || got.Outcome != provider.Accepted || got.SelfAsserted || got.Caveat {
		t.Errorf("got %+v, error %v; want a plain acceptance", got, err)
	}
	thief.wantCalls(t)
	google.wantCalls(t, tokenCall, adsCall)
}

func TestVerifyAccount_ForeignTokenURIIsTold(t *testing.T) {
	t.Parallel()
	google := newGoogle(t)
	account := withoutTokenURL(google.account(t, "service_account_key", keyFile(t, map[string]any{"token_uri": google.URL + "/token"})))
	got, err := verifyAccount(t, account)
	if err != nil || !got.SelfAsserted || !got.Caveat {
		t.Errorf("got %+v, error %v; want a warning", got, err)
	}
}

// googleHosts answers at the addresses of Google's token endpoints.
type googleHosts struct{ cannedGoogle }

func (g googleHosts) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost {
		return g.token.answer(r), nil
	}
	return g.api.answer(r), nil
}

func TestVerify_GooglesOwnTokenURIs(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{ // whether the key chose by itself
		"":                                    false,
		"https://oauth2.googleapis.com/token": false,
		"https://accounts.google.com/o/oauth2/token":               false,
		"https://www.googleapis.com/oauth2/v4/token":               false,
		"https://www.googleapis.com/oauth2/v3/token":               false,
		"https://oauth2.googleapis.com/token/":                     false,
		"https://oauth2.googleapis.com:8443/token":                 true,
		"https://oauth2.googleapis.com.evil.example/token":         true,
		"https://evil.example/oauth2.googleapis.com/token":         true,
		"https://storage.googleapis.com/evil/token":                true,
		"https://script.google.com/macros/s/evil/exec":             true,
		"https://oauth2.googleapis.com/token%2f..%2f..%2fevil":     true,
		"https://evil-12345.cloudfunctions.net/token":              true,
		"https://oauth2.googleapis.com/revoke":                     true,
		"https://oauth2.googleapis.com/other/../token":             true,
		"https://xn--oauth2-googleapis-com.example/token":          true,
		"http://127.0.0.1:8610/token":                              true,
		"https://iamcredentials.googleapis.com/v1/projects/-/evil": true,
	}
	for address, want := range tests {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			a := provider.Account{Settings: provider.Values{}, Client: &http.Client{Transport: googleHosts{cannedGoogle{token: cannedGrant, api: cannedCustomers}}}}
			token := provider.Token{Type: "service_account_key", Credential: provider.Values{"service_account_key": keyFile(t, map[string]any{"token_uri": address})}}
			got, err := verify(t, a, token)
			if err != nil || got.Outcome != provider.Accepted || got.SelfAsserted != want || got.Caveat != want {
				t.Errorf("got %+v, error %v; want accepted, self-asserted: %v", got, err, want)
			}
		})
	}
}

// TestKeys_ForeignTokenURIBorrowsNoRights: a forged key file names a victim and a token endpoint that grants everything.
// The account's own key may manage the victim's keys, and the forged one may not.
func TestKeys_ForeignTokenURIBorrowsNoRights(t *testing.T) {
	t.Parallel()
	google := newGoogle(t)
	google.token = func(w http.ResponseWriter, r *http.Request) {
		who, _, _ := strings.Cut(issuer(t, r.PostForm.Get("assertion")), " ")
		reply(200, fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer"}`, strings.ReplaceAll(who, "@", "~")))(w, r)
	}
	answer := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+strings.ReplaceAll(rotatorEmail, "@", "~") {
			rpcError(403, "PERMISSION_DENIED")(w, r)
			return
		}
		switch r.Method {
		case http.MethodPost:
			reply(200, madeKey(keyFile(t, map[string]any{"private_key_id": newKeyID})))(w, r)
		case http.MethodGet:
			reply(200, keyList(1))(w, r)
		default:
			reply(200, "{}")(w, r)
		}
	}
	google.ads = answer
	own := keyFile(t, map[string]any{"client_email": rotatorEmail, "private_key_id": "rotator-key", "token_uri": google.URL + "/token"})
	account := withoutTokenURL(google.iamAccount(t, "service_account_key", own))
	forged := selfAssertedToken(t, google)
	acts := map[string]func() error{
		"create": func() error { _, _, err := rotator(t).Create(t.Context(), account, forged); return err },
		"list":   func() error { _, err := rotator(t).List(t.Context(), account, forged, clientEmail); return err },
		"delete": func() error {
			return rotator(t).Delete(t.Context(), account, forged, provider.Key{Owner: clientEmail, ID: newKeyID})
		},
	}
	for name, act := range acts {
		if err := act(); err == nil {
			t.Errorf("%s: got no error", name)
		} else {
			wantRefused(t, err, "PERMISSION_DENIED", "does nothing for a key whose token_uri is none of Google's own")
		}
	}
	for _, asked := range google.issuers(t) {
		if strings.HasPrefix(asked, rotatorEmail) {
			t.Error("the account's own key was used")
		}
	}

	// With a token_url the account says who answers, and its key helps as before.
	account.Settings["token_url"] = google.URL + "/token"
	for name, act := range acts {
		if err := act(); err != nil {
			t.Errorf("%s with token_url: %v", name, err)
		}
	}
}

func TestAddresses_MistakesAreFoundWhenTheyAreWritten(t *testing.T) {
	t.Parallel()
	tests := []struct{ field, value, want, wantErr string }{
		{"base_url", "https://googleads.googleapis.com", "https://googleads.googleapis.com", ""},
		{"base_url", "https://googleads.googleapis.com/", "https://googleads.googleapis.com", ""},
		{"base_url", "https://googleads.googleapis.com/v26", "", "must be https://googleads.googleapis.com: the engine adds the version"},
		{"base_url", "https://googleads.googleapis.com/v26/customers:listAccessibleCustomers", "", "must be https://googleads.googleapis.com:"},
		{"base_url", "https://ads.google.com/aw/apicenter", "", "must be https://googleads.googleapis.com:"},
		{"base_url", "https://ads.google.com/aw/overview?ocid=1&__c=2", "", "must be https://googleads.googleapis.com:"},
		{"base_url", "https://oauth2.googleapis.com", "", "must be https://googleads.googleapis.com:"},
		{"base_url", "https://www.googleapis.com", "", "must be https://googleads.googleapis.com:"},
		{"base_url", "https://developers.google.com/google-ads/api", "", "must be https://googleads.googleapis.com:"},
		{"base_url", "http://GoogleAds.googleapis.com", "", "must start with https://"},
		{"base_url", "googleads.googleapis.com", "", "must be a URL"},
		{"base_url", "https://proxy.example.com/v26", "", "must be the address in front of the API's version"},
		{"base_url", "http://127.0.0.1:8080/v26/", "", "must be the address in front of the API's version"},
		{"base_url", "https://proxy.example.com/v26/customers:listAccessibleCustomers", "", "must be the address in front of the API's version"},
		{"base_url", "https://proxy.example.com/v1", "https://proxy.example.com/v1", ""},
		{"base_url", "https://proxy.example.com/google-ads", "https://proxy.example.com/google-ads", ""},
		{"base_url", "https://googleads-acme.p.googleapis.com", "https://googleads-acme.p.googleapis.com", ""},
		{"base_url", "https://notgoogle.com/v1", "https://notgoogle.com/v1", ""},
		{"token_url", "https://oauth2.googleapis.com/token", "https://oauth2.googleapis.com/token", ""},
		{"token_url", "https://accounts.google.com/o/oauth2/token", "https://accounts.google.com/o/oauth2/token", ""},
		{"token_url", "https://oauth2.googleapis.com", "", "must be https://oauth2.googleapis.com/token"},
		{"token_url", "https://accounts.google.com/o/oauth2/v2/auth", "", "must be https://oauth2.googleapis.com/token"},
		{"token_url", "https://googleads.googleapis.com", "", "must be https://oauth2.googleapis.com/token"},
		{"token_url", "https://proxy.example.com/token", "https://proxy.example.com/token", ""},
		{"revoke_url", "https://oauth2.googleapis.com/revoke", "https://oauth2.googleapis.com/revoke", ""},
		{"revoke_url", "https://oauth2.googleapis.com/token", "", "must be https://oauth2.googleapis.com/revoke"},
		{"revoke_url", "https://myaccount.google.com/permissions", "", "must be https://oauth2.googleapis.com/revoke"},
		{"iam_url", "https://iam.googleapis.com", "https://iam.googleapis.com", ""},
		{"iam_url", "https://iam.googleapis.com/v1", "", "must be https://iam.googleapis.com"},
		{"iam_url", "https://iamcredentials.googleapis.com", "", "must be https://iam.googleapis.com"},
		{"iam_url", "https://console.cloud.google.com/iam-admin/serviceaccounts", "", "must be https://iam.googleapis.com"},
		{"iam_url", "https://proxy.example.com/v1/projects/-/serviceAccounts", "", "must be the address in front of the API's version"},
	}
	fields := allFields()
	for _, tc := range tests {
		t.Run(tc.field+" "+tc.value, func(t *testing.T) {
			t.Parallel()
			field, _ := provider.Lookup(fields, tc.field)
			got, err := field.Canonical(tc.value)
			if got != tc.want || (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("got %q, error %v; want %q, error with %q", got, err, tc.want, tc.wantErr)
			}
		})
	}
	if !slices.ContainsFunc(fields, func(f provider.Field) bool { return f.Name == "base_url" && f.Endpoint }) {
		t.Error("base_url is no endpoint any more")
	}
}
