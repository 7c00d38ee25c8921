package simulator_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// probe is how the platforms' own documentation has a value tried, in a request that names every field that matters.
type probe struct {
	platform, kind string
	// secret is the field whose wrong value is tried.
	secret string
	// grant gives {access_token} first, where there is one.
	grant   func(fields map[string]string) request
	token   string // the member of the grant's answer, access_token when empty
	request func(fields map[string]string) request
	// The answers: status and part of the body.
	accepted, refused, expired, denied want
}

type want struct {
	status int
	part   string
}

func bearer(token string) map[string]string {
	return map[string]string{"Authorization": "Bearer " + token}
}

func authorize(user, password string) map[string]string {
	return map[string]string{"Authorization": basicAuth(user, password)}
}

// asJSON is the header of a request with a body of JSON.
func asJSON() map[string]string { return map[string]string{"Content-Type": "application/json"} }

// refresh is a refresh grant with the client in the body.
func refresh(path string, more ...string) func(map[string]string) request {
	return func(f map[string]string) request {
		form := url.Values{
			"grant_type": {"refresh_token"}, "client_id": {f["client_id"]}, "client_secret": {f["client_secret"]}, "refresh_token": {f["refresh_token"]},
		}
		for pair := range slices.Chunk(more, 2) {
			form.Set(pair[0], pair[1])
		}
		return request{method: "POST", url: path, form: form}
	}
}

// basicRefresh is a refresh grant with the client in the header.
func basicRefresh(path string) func(map[string]string) request {
	return func(f map[string]string) request {
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {f["refresh_token"]}}
		return request{method: "POST", url: path, form: form, header: authorize(f["client_id"], f["client_secret"])}
	}
}

func clientCredentials(path string) func(map[string]string) request {
	return func(f map[string]string) request {
		return request{method: "POST", url: path, form: url.Values{
			"grant_type": {"client_credentials"}, "client_id": {f["client_id"]}, "client_secret": {f["client_secret"]},
		}}
	}
}

func get(path string, header func(f map[string]string) map[string]string) func(map[string]string) request {
	return func(f map[string]string) request { return request{method: "GET", url: path, header: header(f)} }
}

func bearerOf(field string) func(map[string]string) map[string]string {
	return func(f map[string]string) map[string]string { return bearer(f[field]) }
}

func headerOf(name, field string) func(map[string]string) map[string]string {
	return func(f map[string]string) map[string]string { return map[string]string{name: f[field]} }
}

var probes = []probe{
	{
		platform: "tiktok_ads", kind: "marketing_api_token", secret: "access_token",
		request: func(f map[string]string) request {
			query := url.Values{"app_id": {f["app_id"]}, "secret": {f["secret"]}}.Encode()
			return request{method: "GET", url: "/open_api/v1.3/oauth2/advertiser/get/?" + query, header: map[string]string{"Access-Token": f["access_token"]}}
		},
		accepted: want{200, `"code":0`}, refused: want{200, `"code":40105`}, expired: want{200, `"code":40102`}, denied: want{200, `"code":40001`},
	},
	{
		platform: "meta", kind: "system_user_token", secret: "access_token", request: get("/v26.0/me", bearerOf("access_token")),
		accepted: want{200, `"id":"`}, refused: want{400, `"code":190`}, expired: want{400, `"error_subcode":463`}, denied: want{403, `"code":200`},
	},
	{
		platform: "microsoft_ads", kind: "oauth_client", secret: "developer_token",
		grant: refresh("/common/oauth2/v2.0/token", "scope", "https://ads.microsoft.com/msads.manage offline_access"),
		request: func(f map[string]string) request {
			header := asJSON()
			header["AuthenticationToken"], header["DeveloperToken"] = f["{token}"], f["developer_token"]
			return request{method: "POST", url: "/CustomerManagement/v13/User/Query", header: header, json: `{"UserId":null}`}
		},
		accepted: want{200, `"User":{`}, refused: want{401, `"Code":105`}, denied: want{400, `"Code":106`},
	},
	{
		platform: "pinterest_ads", kind: "oauth_client", secret: "{token}", grant: basicRefresh("/v5/oauth/token"),
		request:  get("/v5/user_account", bearerOf("{token}")),
		accepted: want{200, `"username"`}, refused: want{401, `"code":2`}, denied: want{403, `"code":29`},
	},
	{
		platform: "criteo", kind: "oauth_client", secret: "{token}", grant: clientCredentials("/oauth2/token"),
		request:  get("/2026-07/marketing-solutions/me", bearerOf("{token}")),
		accepted: want{200, `"Application"`}, refused: want{401, `authorization-token-invalid`}, denied: want{403, `consent`},
	},
	{
		platform: "the_trade_desk", kind: "api_token", secret: "api_token", request: get("/v3/partner/acme", headerOf("TTD-Auth", "api_token")),
		accepted: want{200, `PartnerId`}, refused: want{401, `invalid`}, expired: want{401, `expired`}, denied: want{403, ``},
	},
	{
		platform: "the_trade_desk", kind: "login", secret: "{token}", token: "Token",
		grant: func(f map[string]string) request {
			return request{method: "POST", url: "/v3/authentication", header: asJSON(), json: `{"Login":"` + f["login"] + `","Password":"` + f["password"] + `"}`}
		},
		request:  get("/v3/partner/acme", headerOf("TTD-Auth", "{token}")),
		accepted: want{200, `PartnerId`}, refused: want{401, `invalid`}, denied: want{403, ``},
	},
	{
		platform: "awin", kind: "api_token", secret: "api_token", request: get("/publishers", bearerOf("api_token")),
		accepted: want{200, `[{"publisherId":`}, refused: want{401, ``}, denied: want{403, ``},
	},
	{
		platform: "awin", kind: "api_token", secret: "api_token", request: get("/accounts", bearerOf("api_token")),
		accepted: want{200, `{"accounts":`}, refused: want{401, ``}, denied: want{403, ``},
	},
	{
		platform: "appsflyer", kind: "api_token_v2", secret: "api_token", request: get("/api/mng/apps", bearerOf("api_token")),
		accepted: want{200, `id123456789`}, refused: want{401, ``}, denied: want{403, ``},
	},
	{
		platform: "outbrain", kind: "api_token", secret: "ob_token_v1", request: get("/amplify/v0.1/marketers", headerOf("OB-TOKEN-V1", "ob_token_v1")),
		accepted: want{200, `marketers`}, refused: want{401, ``}, expired: want{401, ``}, denied: want{403, ``},
	},
	{
		platform: "tune", kind: "network_api_key", secret: "network_token",
		request: func(f map[string]string) request {
			return request{method: "GET", url: "/Apiv3/json?NetworkId=acme&Target=Offer&Method=findAll&NetworkToken=" + f["network_token"]}
		},
		accepted: want{200, `"status":1`}, refused: want{401, `"status":-1`}, denied: want{403, `"status":-1`},
	},
	{
		platform: "tune", kind: "affiliate_api_key", secret: "api_key",
		request: func(f map[string]string) request {
			return request{method: "GET", url: "/Apiv3/json?NetworkId=acme&Target=Affiliate_Offer&Method=findAll&api_key=" + f["api_key"]}
		},
		accepted: want{200, `"status":1`}, refused: want{401, `"status":-1`}, denied: want{403, `"status":-1`},
	},
	{
		platform: "linkedin_ads", kind: "oauth_client", secret: "{token}", grant: refresh("/oauth/v2/accessToken"),
		request:  get("/v2/me", bearerOf("{token}")),
		accepted: want{200, `"id"`}, refused: want{401, `INVALID`}, denied: want{403, `ACCESS_DENIED`},
	},
	{
		platform: "linkedin_ads", kind: "access_token", secret: "access_token",
		request: func(f map[string]string) request {
			return request{method: "POST", url: "/oauth/v2/introspectToken", form: url.Values{
				"client_id": {f["client_id"]}, "client_secret": {f["client_secret"]}, "token": {f["access_token"]},
			}}
		},
		accepted: want{200, `"active":true`}, refused: want{200, `"active":false`}, expired: want{200, `"status":"expired"`},
	},
	{
		platform: "amazon_ads", kind: "oauth_client", secret: "{token}", grant: refresh("/auth/o2/token"),
		request: get("/v2/profiles", func(f map[string]string) map[string]string {
			return map[string]string{"Authorization": "Bearer " + f["{token}"], "Amazon-Advertising-API-ClientId": f["client_id"]}
		}),
		accepted: want{200, `profileId`}, refused: want{401, `UNAUTHORIZED`}, denied: want{403, `FORBIDDEN`},
	},
	{
		platform: "taboola", kind: "oauth_client", secret: "{token}", grant: clientCredentials("/backstage/oauth/token"),
		request:  get("/backstage/api/1.0/users/current/account", bearerOf("{token}")),
		accepted: want{200, `account_id`}, refused: want{401, `<oauth><error>`}, denied: want{403, ``},
	},
	{
		platform: "partnerize", kind: "api_key", secret: "user_api_key",
		request: get("/user", func(f map[string]string) map[string]string {
			return authorize(f["application_key"], f["user_api_key"])
		}),
		accepted: want{200, `user_id`}, refused: want{401, `unauthorized`}, denied: want{404, ``},
	},
	{
		platform: "adjust", kind: "api_token", secret: "api_token", request: get("/reports", bearerOf("api_token")),
		accepted: want{200, `rows`}, refused: want{401, ``}, denied: want{403, ``},
	},
	{
		platform: "cj", kind: "personal_access_token", secret: "access_token",
		request: func(f map[string]string) request {
			header := bearer(f["access_token"])
			header["Content-Type"] = "application/json"
			return request{method: "POST", url: "/query", header: header, json: `{"query":"{ __typename }"}`}
		},
		accepted: want{200, `"data":{`}, refused: want{401, ``}, denied: want{200, `errors`},
	},
	{
		platform: "everflow", kind: "api_key", secret: "api_key", request: get("/v1/networks/users", headerOf("X-Eflow-API-Key", "api_key")),
		accepted: want{200, `users`}, refused: want{401, ``}, denied: want{403, ``},
	},
	{
		platform: "snapchat_ads", kind: "oauth_client", secret: "{token}", grant: refresh("/login/oauth2/access_token"),
		request: get("/v1/me", bearerOf("{token}")), accepted: want{200, `me`}, refused: want{401, ``}, denied: want{403, ``},
	},
	{
		platform: "reddit_ads", kind: "oauth_client", secret: "{token}", grant: basicRefresh("/api/v1/access_token"),
		request: get("/api/v3/me", bearerOf("{token}")), accepted: want{200, `data`}, refused: want{401, ``}, denied: want{403, ``},
	},
	{
		platform: "acme_ads", kind: "api_key", secret: "api_key", request: get("/v2/EMEA/me", headerOf("X-Key", "api_key")),
		accepted: want{200, `account_id`}, refused: want{401, `190`}, expired: want{401, `463`}, denied: want{403, ``},
	},
	{
		platform: "acme_ads", kind: "oauth_client", secret: "{token}", grant: basicRefresh("/oauth/token"),
		request: get("/v2/me", bearerOf("{token}")), accepted: want{200, `account_id`}, refused: want{401, `190`}, denied: want{403, ``},
	},
}

func TestPlatform_BuiltInScriptsAnswerAsDocumented(t *testing.T) {
	t.Parallel()
	for _, p := range probes {
		t.Run(p.platform+" "+p.kind, func(t *testing.T) {
			t.Parallel()
			p.run(t, newShop(t, p.platform, p.kind))
		})
	}
}

func (p probe) run(t *testing.T, s *shop) {
	t.Helper()
	ask := func(what string, fields map[string]string, want want) {
		t.Helper()
		r := p.request(fields)
		r.url = s.url + r.url
		send(t, r).wants(t, what, want.status, want.part)
	}
	fields := maps.Clone(s.fields)
	if p.grant != nil {
		name := p.token
		if name == "" {
			name = "access_token"
		}
		r := p.grant(fields)
		r.url = s.url + r.url
		fields["{token}"] = send(t, r).text(t, name)
	}
	ask("the genuine value", fields, p.accepted)
	wrong := maps.Clone(fields)
	wrong[p.secret] = wrong[p.secret][:len(wrong[p.secret])-4] + "0000"
	ask("a wrong value", wrong, p.refused)
	if p.denied.status != 0 {
		check(t, s.console.DenyRights(t.Context(), s.credential, true))
		ask("the genuine value without the right", fields, p.denied)
		check(t, s.console.DenyRights(t.Context(), s.credential, false))
	}
	if p.expired.status != 0 {
		check(t, s.console.ExpireCredential(t.Context(), simulator.PlatformFields{PlatformName: s.credential, Fields: []string{p.secret}}))
		ask("an expired value", fields, p.expired)
	}
	if p.grant == nil {
		fields = must(s.console.ResetCredential(t.Context(), simulator.PlatformReset{PlatformName: s.credential, Fields: []string{p.secret}}))(t)
		ask("the value after a reset", fields, p.accepted)
	}
}

func TestPlatform_EveryKindOfCredentialIsTried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, platform := range must(w.console.Platforms(t.Context()))(t) {
		for kind := range platform.Kinds {
			if !slices.ContainsFunc(probes, func(p probe) bool { return p.platform == platform.Name && p.kind == kind }) {
				t.Errorf("no test tries a credential of %s of kind %s", platform.Name, kind)
			}
		}
	}
}

// TestPlatform_BadClientsGetTheirAnswer is about what differs from RFC 6749.
func TestPlatform_BadClientsGetTheirAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := map[string]string{"client_id": "x", "client_secret": "x", "refresh_token": "x"}
	tests := map[string]struct {
		request request
		want    want
	}{
		"taboola":       {clientCredentials("/backstage/oauth/token")(bad), want{400, "<error>invalid_client</error>"}},
		"pinterest_ads": {basicRefresh("/v5/oauth/token")(bad), want{401, `"code":2`}},
		"criteo":        {clientCredentials("/oauth2/token")(bad), want{401, "invalid_client"}},
		"microsoft_ads": {refresh("/common/oauth2/v2.0/token", "scope", "openid")(bad), want{400, "invalid_request"}},
		"linkedin_ads":  {refresh("/oauth/v2/accessToken")(bad), want{401, "invalid_client"}},
	}
	for platform, test := range tests {
		test.request.url = w.PlatformsURL + "/" + platform + test.request.url
		send(t, test.request).wants(t, platform, test.want.status, test.want.part)
	}
	slash := request{method: http.MethodPost, url: w.PlatformsURL + "/taboola/backstage/oauth/token/"}
	send(t, slash).wants(t, "a slash too many", 403, "<html>")
}

func TestPlatform_LivesOfRefreshTokens(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	tests := map[string]struct {
		grant func(map[string]string) request
		// rolls says that a refresh gives another refresh token, and lasts how many days the first one works.
		rolls bool
		lasts int
		part  string
	}{
		"microsoft_ads": {refresh("/common/oauth2/v2.0/token", "scope", "https://ads.microsoft.com/msads.manage offline_access"), true, 90, "invalid_grant"},
		"pinterest_ads": {basicRefresh("/v5/oauth/token"), true, 60, "invalid_grant"},
		"linkedin_ads":  {refresh("/oauth/v2/accessToken"), false, 365, "invalid_grant"},
		"amazon_ads":    {refresh("/auth/o2/token"), false, 365, "invalid_grant"},
	}
	for platform, test := range tests {
		t.Run(platform, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, platform, "oauth_client")
			grant := func(fields map[string]string) response {
				r := test.grant(fields)
				r.url = s.url + r.url
				return send(t, r)
			}
			first := grant(s.fields)
			next := maps.Clone(s.fields)
			next["refresh_token"] = first.text(t, "refresh_token")
			if got := next["refresh_token"] != s.fields["refresh_token"]; got != test.rolls {
				t.Errorf("the refresh token rolls: %t", got)
			}
			s.advance(t, time.Duration(test.lasts)*day-time.Minute)
			grant(s.fields).wants(t, "in its last minute", 200, "access_token")
			s.advance(t, time.Minute)
			grant(s.fields).wants(t, "after its life", 400, test.part)
		})
	}
}

func TestPlatform_TUNEKeyReplacesItself(t *testing.T) {
	t.Parallel()
	for kind, field := range map[string]string{"network_api_key": "network_token", "affiliate_api_key": "api_key"} {
		s := newShop(t, "tune", kind)
		target, param := "ApiKey", "NetworkToken"
		if kind == "affiliate_api_key" {
			target, param = "Affiliate_ApiKey", "api_key"
		}
		regenerate := s.url + "/Apiv3/json?NetworkId=acme&Method=regenerateApiKey&Target=" + target + "&" + param + "="
		answer := send(t, request{method: "POST", url: regenerate + s.fields[field]})
		answer.wants(t, kind, 200, `"status":1`)
		send(t, request{method: "POST", url: regenerate + s.fields[field]}).wants(t, "the key before", 401, `"status":-1`)
		live := must(s.console.LiveValues(t.Context(), s.credential))(t)
		if len(live) != 1 || live[0].Value == s.fields[field] {
			t.Errorf("%s: %d values are live", kind, len(live))
		}
	}
}

func TestPlatform_TikTokConsentGivesALongTermToken(t *testing.T) {
	t.Parallel()
	s := newShop(t, "tiktok_ads", "marketing_api_token")
	page := s.url + "/portal/auth?app_id=" + s.fields["app_id"] + "&state=abc&redirect_uri=" + url.QueryEscape("https://app.example/back")
	back := must(s.console.Consent(t.Context(), page))(t).Query()
	exchange := request{
		method: "POST", url: s.url + "/open_api/v1.3/oauth2/access_token/", header: asJSON(),
		json: `{"app_id":"` + s.fields["app_id"] + `","secret":"` + s.fields["secret"] + `","auth_code":"` + back.Get("auth_code") + `"}`,
	}
	send(t, exchange).wants(t, "the code", 200, `"code":0`)
	send(t, exchange).wants(t, "the code once more", 200, `"code":40110`)
	if live := must(s.console.LiveValues(t.Context(), s.credential))(t); back.Get("state") != "abc" || len(live) != 4 {
		t.Errorf("%d values are live, want the app's two and two tokens", len(live))
	}
}

func TestPlatform_LinkedInLooksAtBothKindsOfToken(t *testing.T) {
	t.Parallel()
	s := newShop(t, "linkedin_ads", "oauth_client")
	grant := refresh("/oauth/v2/accessToken")(s.fields)
	grant.url = s.url + grant.url
	granted := send(t, grant)
	look := func(token string) response {
		return s.post(t, "/oauth/v2/introspectToken", url.Values{
			"client_id": {s.fields["client_id"]}, "client_secret": {s.fields["client_secret"]}, "token": {token},
		})
	}
	look(granted.text(t, "access_token")).wants(t, "the access token", 200, `"active":true`)
	refreshToken := look(s.fields["refresh_token"])
	refreshToken.wants(t, "the refresh token", 200, `"active":true`)
	ends, _ := refreshToken.object(t)["expires_at"].(float64)
	if left := time.Until(time.Unix(int64(ends), 0)); left < 364*24*time.Hour || left > 365*24*time.Hour {
		t.Errorf("the refresh token ends in %s", left)
	}
	s.advance(t, 60*24*time.Hour)
	look(granted.text(t, "access_token")).wants(t, "the access token after 60 days", 200, `"active":false`)
	look(s.fields["refresh_token"]).wants(t, "the refresh token after 60 days", 200, `"active":true`)
}
