package googleads_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/googleads"
)

const (
	newKeyID     = "fedcba9876543210fedcba9876543210fedcba98"
	rotatorEmail = "rotator@project.iam.gserviceaccount.com"
	keysPath     = "/v1/projects/-/serviceAccounts/" + clientEmail + "/keys"
	createCall   = "POST " + keysPath
	listCall     = "GET " + keysPath
	deleteCall   = "DELETE " + keysPath + "/" + newKeyID
)

func rotator(t *testing.T) provider.Keys {
	t.Helper()
	return googleads.New().Type("service_account_key").Keys
}

// iam has the fake Google answer the IAM API's requests by their method.
func (g *fakeGoogle) iam(answers map[string]http.HandlerFunc) *fakeGoogle {
	g.ads = func(w http.ResponseWriter, r *http.Request) { answers[r.Method](w, r) }
	return g
}

func (g *fakeGoogle) iamAccount(t *testing.T, settings ...string) provider.Account {
	t.Helper()
	return g.account(t, append(settings, "iam_url", g.URL)...)
}

// rotatorFile is the key file of another service account, which may manage keys.
func rotatorFile(t *testing.T) string {
	t.Helper()
	return keyFile(t, map[string]any{"client_email": rotatorEmail, "private_key_id": "rotator-key"})
}

// madeKey is the answer to the creation of a key with the given key file.
func madeKey(file string) string {
	return fmt.Sprintf(`{"name":"projects/project/serviceAccounts/%s/keys/%s","privateKeyType":"TYPE_GOOGLE_CREDENTIALS_FILE",
		"privateKeyData":%q,"validAfterTime":"2026-11-22T01:02:03Z"}`, clientEmail, newKeyID, base64.StdEncoding.EncodeToString([]byte(file)))
}

// keyList is the answer that lists n keys, key-1 the newest.
func keyList(n int) string {
	var keys []string
	for i := range n {
		keys = append(keys, fmt.Sprintf(`{"name":"projects/project/serviceAccounts/%s/keys/key-%d","validAfterTime":"2026-11-%02dT10:00:00Z"}`, clientEmail, i+1, 28-i))
	}
	return `{"keys":[` + strings.Join(keys, ",") + `]}`
}

// rpcError is Google's form of an error, with a message that echoes a secret.
func rpcError(code int, status string, details ...string) http.HandlerFunc {
	return reply(code, fmt.Sprintf(`{"error":{"code":%d,"status":%q,"message":"bad %s","details":[%s]}}`, code, status, accessToken, strings.Join(details, ",")))
}

// managedViolation is the answer of the managed policy.
const managedViolation = `{"error":{"code":400,"message":"Operation denied by org policy: [\"constraints/iam.managed.disableServiceAccountKeyCreation\": \"no\"].",
	"status":"FAILED_PRECONDITION","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"CUSTOM_ORG_POLICY_VIOLATION",
	"domain":"googleapis.com","metadata":{"service":"iam.googleapis.com"}}]}}`

const policyViolation = `{"@type":"type.googleapis.com/google.rpc.PreconditionFailure","violations":[
	{"type":"constraints/iam.disableServiceAccountKeyCreation","subject":"projects/project"}]}`

func createKey(ctx context.Context, t *testing.T, a provider.Account) (provider.Values, error) {
	t.Helper()
	made, _, err := rotator(t).Create(ctx, a, keyToken(t))
	if err != nil {
		wantNoSecret(t, err.Error())
		if made != nil {
			t.Errorf("got a credential beside the error %v", err)
		}
	}
	return made, err
}

func TestOnlyServiceAccountKeysRotate(t *testing.T) {
	t.Parallel()
	for _, tokenType := range googleads.New().Types {
		if got, want := tokenType.Keys != nil, tokenType.Name == "service_account_key"; got != want {
			t.Errorf("%s: got %v, want %v", tokenType.Name, got, want)
		}
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	key, err := rotator(t).Key(keyToken(t).Credential)
	if want := (provider.Key{Owner: clientEmail, ID: privateKeyID}); err != nil || key != want {
		t.Errorf("got %+v, error %v; want %+v", key, err, want)
	}
	_, err = rotator(t).Key(oauthClientToken.Credential)
	wantRefused(t, err, "", "service_account_key must be the JSON key file")
}

func TestCreateKey(t *testing.T) {
	t.Parallel()
	google := newGoogle(t)
	var body []byte
	google.iam(map[string]http.HandlerFunc{http.MethodPost: func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		file := "\n" + strings.Replace(keyFile(t, map[string]any{"private_key_id": newKeyID}), ",", " ,\n", 1)
		reply(http.StatusOK, madeKey(file))(w, r)
	}})
	made, err := createKey(t.Context(), t, google.iamAccount(t))
	if err != nil {
		t.Fatalf("CreateKey: %v", err)
	}
	if want := keyFile(t, map[string]any{"private_key_id": newKeyID}); len(made) != 1 || made["service_account_key"] != want {
		t.Error("the credential is not the canonical form of the key file that Google gave")
	}
	google.wantCalls(t, tokenCall, createCall)
	if got := google.calls[1].header.Get("Authorization"); got != "Bearer "+accessToken {
		t.Errorf("got %d bytes of Authorization, want the access token", len(got))
	}
	if got := strings.TrimSpace(string(body)); got != "{}" {
		t.Errorf("got the request body %q, want {}: Google's defaults are what is wanted", got)
	}
	if got, want := google.issuers(t), []string{clientEmail + " https://www.googleapis.com/auth/cloud-platform"}; !slices.Equal(got, want) {
		t.Errorf("got assertions by %q, want %q", got, want)
	}
}

// issuers tells who asked for access tokens, and for what scope.
func (g *fakeGoogle) issuers(t *testing.T) []string {
	t.Helper()
	var issuers []string
	for _, c := range g.calls {
		if c.path == tokenCall {
			issuers = append(issuers, issuer(t, c.form.Get("assertion")))
		}
	}
	return issuers
}

func issuer(t *testing.T, assertion string) string {
	t.Helper()
	var claims struct{ Iss, Scope string }
	decodePart(t, strings.Split(assertion, ".")[1], &claims)
	return claims.Iss + " " + claims.Scope
}

func TestIAMAddressMayHaveAPath(t *testing.T) {
	t.Parallel()
	google := newGoogle(t).iam(map[string]http.HandlerFunc{http.MethodGet: reply(http.StatusOK, "{}")})
	keys, err := rotator(t).List(t.Context(), google.account(t, "iam_url", google.URL+"/proxy/iam"), keyToken(t), clientEmail)
	if err != nil || len(keys) != 0 {
		t.Errorf("got %d keys, error %v; want none", len(keys), err)
	}
	google.wantCalls(t, tokenCall, "GET /proxy/iam"+keysPath)
}

func TestCreateKeyWantsAUsableKeyFile(t *testing.T) {
	t.Parallel()
	file := func(members map[string]any) string { return madeKey(keyFile(t, members)) }
	tests := map[string]string{
		"another service account": file(map[string]any{"private_key_id": newKeyID, "client_email": rotatorEmail}),
		"another key":             file(nil),
		"unsafe token_uri":        file(map[string]any{"private_key_id": newKeyID, "token_uri": "http://thief.example.com"}),
		"path for an ID":          file(map[string]any{"private_key_id": "../x"}),
		"no private key":          file(map[string]any{"private_key_id": newKeyID, "private_key": nil}),
		"huge":                    file(map[string]any{"private_key_id": newKeyID, "more": strings.Repeat("x", 20_000)}),
		"no key file":             madeKey(privateKeyPEM()),
		"empty key file":          madeKey(""),
		"no base64":               `{"name":"projects/project/serviceAccounts/a/keys/b","privateKeyData":"` + accessToken + `!"}`,
		"nothing":                 `{}`,
		"null":                    `null`,
		"list":                    `[]`,
		"page":                    `<html>` + accessToken,
		"other types":             `{"privateKeyData":{"` + accessToken + `":1}}`,
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			google := newGoogle(t).iam(map[string]http.HandlerFunc{http.MethodPost: reply(http.StatusOK, body)})
			_, err := createKey(t.Context(), t, google.iamAccount(t))
			wantSilence(t, err, provider.Unavailable, "unreadable answer (HTTP 200)")
		})
	}
}

func TestCreateKeyTellsWhyThereIsNone(t *testing.T) {
	t.Parallel()
	refused := func(code, detail string) func(*testing.T, error) {
		return func(t *testing.T, err error) {
			t.Helper()
			wantRefused(t, err, code, detail)
		}
	}
	silence := func(kind provider.Kind, says string) func(*testing.T, error) {
		return func(t *testing.T, err error) {
			t.Helper()
			wantSilence(t, err, kind, says)
		}
	}
	const (
		precondition = "FAILED_PRECONDITION"
		exhausted    = "RESOURCE_EXHAUSTED"
		atLimit      = "has 10 keys, and Google allows no more than 10: key-10 of 2026-11-19, key-9 of 2026-11-20, "
	)
	tests := map[string]struct {
		create, list http.HandlerFunc
		want         func(*testing.T, error)
	}{
		"organisation policy": {
			create: rpcError(400, precondition, policyViolation),
			want:   refused(precondition, "(constraints/iam.disableServiceAccountKeyCreation) forbids new keys of "+clientEmail),
		},
		"organisation policy by its sentence": {
			create: reply(400, `{"error":{"code":400,"status":"FAILED_PRECONDITION","message":"Key creation is not allowed on this service account."}}`),
			want:   refused(precondition, "(constraints/iam.disableServiceAccountKeyCreation) forbids new keys of "+clientEmail),
		},
		"managed policy": {
			create: reply(400, managedViolation),
			want:   refused(precondition, "(constraints/iam.managed.disableServiceAccountKeyCreation) forbids new keys of "+clientEmail),
		},
		"managed policy by its reason": {
			create: rpcError(400, precondition, `{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"CUSTOM_ORG_POLICY_VIOLATION"}`),
			want:   refused(precondition, "without an exemption nobody can make one"),
		},
		"refusal of a proxy":      {create: reply(403, `{"error":{"code":403,"status":"blocked"}}`), want: silence(provider.Unavailable, "unreadable answer (HTTP 403)")},
		"refusal, as a page":      {create: reply(403, `{"error":{"code":403,"status":"PERMISSION_DENIED"}}`, "Content-Type", "text/html"), want: silence(provider.Unavailable, "unreadable answer (HTTP 403)")},
		"limit as a precondition": {create: rpcError(400, precondition), list: reply(200, keyList(10)), want: refused(precondition, atLimit)},
		"limit as a quota":        {create: rpcError(429, exhausted), list: reply(200, keyList(10)), want: refused(exhausted, "Vault deletes no keys but those that this token has held")},
		"more than the limit":     {create: rpcError(429, exhausted), list: reply(200, keyList(11)), want: refused(exhausted, "has 11 keys")},
		"other precondition":      {create: rpcError(400, precondition), list: reply(200, keyList(9)), want: refused(precondition, "does not say why")},
		"precondition, no list":   {create: rpcError(400, precondition), list: rpcError(500, "INTERNAL"), want: refused(precondition, "does not say why")},
		"rate limit":              {create: rpcError(429, exhausted), list: reply(200, keyList(9)), want: silence(provider.RateLimited, "(RESOURCE_EXHAUSTED)")},
		"rate limit, no list":     {create: rpcError(429, exhausted), list: rpcError(429, exhausted), want: silence(provider.RateLimited, "HTTP 429")},
		"rate limit of a proxy":   {create: reply(429, "<html>", "Retry-After", "7"), want: silence(provider.RateLimited, "asks to wait 7s")},
		"other refusal":           {create: rpcError(400, "INVALID_ARGUMENT"), want: refused("INVALID_ARGUMENT", "refuses to make a key of "+clientEmail)},
		"secret for a status":     {create: rpcError(400, accessToken), want: silence(provider.Unavailable, "unreadable answer (HTTP 400)")},
		"unknown service account": {create: rpcError(404, "NOT_FOUND"), want: refused("NOT_FOUND", "HTTP 404")},
		"page":                    {create: reply(404, "<html>"+accessToken), want: silence(provider.Unavailable, "unreadable answer (HTTP 404)")},
		"IAM down":                {create: rpcError(503, "UNAVAILABLE"), want: silence(provider.Unavailable, "HTTP 503) (UNAVAILABLE)")},
		"IAM down, with a wait":   {create: reply(502, "<html>", "Retry-After", "30"), want: silence(provider.Unavailable, "asks to wait 30s")},
		"redirect":                {create: reply(307, "", "Location", "https://thief.example.com"), want: silence(provider.Unavailable, "redirect")},
		"dropped connection":      {create: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, want: silence(provider.Unavailable, "closed the connection")},
		"oversized":               {create: reply(200, strings.Repeat(" ", 2<<20)), want: silence(provider.Unavailable, "more than 1048576 bytes")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			google := newGoogle(t).iam(map[string]http.HandlerFunc{http.MethodPost: tc.create, http.MethodGet: tc.list})
			_, err := createKey(t.Context(), t, google.iamAccount(t))
			tc.want(t, err)
			want := []string{tokenCall, createCall}
			if tc.list != nil {
				want = append(want, tokenCall, listCall)
			}
			google.wantCalls(t, want...)
		})
	}
}

func TestCreateKeyObeysItsContext(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		deadline time.Duration
		kind     provider.Kind
		says     string
	}{
		"deadline":     {deadline: 50 * time.Millisecond, kind: provider.Timeout, says: "did not answer in time"},
		"cancellation": {deadline: time.Minute, kind: provider.Unavailable, says: "was cancelled"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), tc.deadline)
			defer cancel()
			google := newGoogle(t)
			google.ads = func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // until then the server does not notice that the client has left
				if tc.kind != provider.Timeout {
					cancel()
				}
				<-r.Context().Done()
			}
			_, err := createKey(ctx, t, google.iamAccount(t))
			wantSilence(t, err, tc.kind, tc.says)
		})
	}
}

// TestWhoManagesKeys checks that the account's key file helps out where the token's own key is refused, and only then.
func TestWhoManagesKeys(t *testing.T) {
	t.Parallel()
	const (
		own, account = clientEmail, rotatorEmail
		unknownKey   = "Google refuses the service account key"
		notAllowed   = "Google does not let it manage the keys of " + clientEmail
		second       = "; as for the account's service_account_key: "
	)
	tests := map[string]struct {
		// refused and denied say who gets no access token, and who may not manage keys.
		refused, denied, account string
		want                     []string // who asks for access tokens
		wantDetail, wantCode     string
	}{
		"own key":                    {want: []string{own}},
		"own key, before another":    {account: rotatorFile(t), want: []string{own}},
		"own key is unknown":         {refused: own, account: rotatorFile(t), want: []string{own, account}},
		"own key may not":            {denied: own, account: rotatorFile(t), want: []string{own, account}},
		"own key is unknown, alone":  {refused: own, want: []string{own}, wantDetail: unknownKey, wantCode: "invalid_grant"},
		"own key may not, alone":     {denied: own, want: []string{own}, wantDetail: notAllowed, wantCode: "PERMISSION_DENIED"},
		"the account's is the same":  {denied: own, account: keyFile(t, nil), want: []string{own}, wantDetail: notAllowed, wantCode: "PERMISSION_DENIED"},
		"neither may":                {denied: own + account, account: rotatorFile(t), want: []string{own, account}, wantDetail: second + notAllowed, wantCode: "PERMISSION_DENIED"},
		"neither is known":           {refused: own + account, account: rotatorFile(t), want: []string{own, account}, wantDetail: second + unknownKey, wantCode: "invalid_grant"},
		"the account's is no answer": {refused: own, account: "junk", want: []string{own}, wantDetail: second + "service_account_key must be"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			google := newGoogle(t)
			google.token = func(w http.ResponseWriter, r *http.Request) {
				who, _, _ := strings.Cut(issuer(t, r.PostForm.Get("assertion")), " ")
				if strings.Contains(tc.refused, who) {
					oauthError(400, "invalid_grant")(w, r)
					return
				}
				reply(200, fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer"}`, strings.ReplaceAll(who, "@", "~")))(w, r)
			}
			google.iam(map[string]http.HandlerFunc{http.MethodPost: func(w http.ResponseWriter, r *http.Request) {
				token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
				if who := strings.ReplaceAll(token, "~", "@"); strings.Contains(tc.denied, who) {
					rpcError(403, "PERMISSION_DENIED")(w, r)
					return
				}
				reply(200, madeKey(keyFile(t, map[string]any{"private_key_id": newKeyID})))(w, r)
			}})
			_, err := createKey(t.Context(), t, google.iamAccount(t, "service_account_key", tc.account))
			if tc.wantDetail != "" {
				wantRefused(t, err, tc.wantCode, tc.wantDetail)
				wantRefused(t, err, tc.wantCode, "roles/iam.serviceAccountKeyAdmin) on "+clientEmail)
			} else if err != nil {
				t.Errorf("CreateKey: %v", err)
			}
			var asked []string
			for _, issuer := range google.issuers(t) {
				who, _, _ := strings.Cut(issuer, " ")
				asked = append(asked, who)
			}
			if !slices.Equal(asked, tc.want) {
				t.Errorf("access tokens were asked for by %q, want %q", asked, tc.want)
			}
		})
	}
}

// TestNobodyElseTriesAfterSilence: the first request may have made a key.
func TestNobodyElseTriesAfterSilence(t *testing.T) {
	t.Parallel()
	google := newGoogle(t).iam(map[string]http.HandlerFunc{http.MethodPost: rpcError(500, "INTERNAL")})
	_, err := createKey(t.Context(), t, google.iamAccount(t, "service_account_key", rotatorFile(t)))
	wantSilence(t, err, provider.Unavailable, "HTTP 500")
	google.wantCalls(t, tokenCall, createCall)

	google = newGoogle(t)
	google.token = reply(503, "")
	_, err = createKey(t.Context(), t, google.iamAccount(t, "service_account_key", rotatorFile(t)))
	wantSilence(t, err, provider.Unavailable, "HTTP 503")
	google.wantCalls(t, tokenCall)
}

func TestAccessTokenThatIAMRefuses(t *testing.T) {
	t.Parallel()
	google := newGoogle(t).iam(map[string]http.HandlerFunc{http.MethodPost: rpcError(401, "UNAUTHENTICATED")})
	_, err := createKey(t.Context(), t, google.iamAccount(t))
	wantRefused(t, err, "UNAUTHENTICATED", "Google does not let it manage the keys")
}

func TestListKeys(t *testing.T) {
	t.Parallel()
	google := newGoogle(t)
	var types []string
	google.iam(map[string]http.HandlerFunc{http.MethodGet: func(w http.ResponseWriter, r *http.Request) {
		types = r.URL.Query()["keyTypes"]
		reply(200, keyList(2))(w, r)
	}})
	got, err := rotator(t).List(t.Context(), google.iamAccount(t), keyToken(t), clientEmail)
	want := []provider.Key{
		{Owner: clientEmail, ID: "key-1", CreatedAt: time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)},
		{Owner: clientEmail, ID: "key-2", CreatedAt: time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, error %v; want %v", got, err, want)
	}
	if !slices.Equal(types, []string{"USER_MANAGED"}) {
		t.Errorf("asked for keys of the types %q, want USER_MANAGED: Google's own keys are no business of ours", types)
	}
	google.wantCalls(t, tokenCall, listCall)
}

func TestListKeys_EndOfAKey(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 12, 24, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {},
		`,"validBeforeTime":"9999-12-31T23:59:59Z"`: {},
		`,"validBeforeTime":"2026-12-24T10:00:00Z"`: end,
	} {
		google := newGoogle(t).iam(map[string]http.HandlerFunc{http.MethodGet: reply(200,
			`{"keys":[{"name":"projects/p/serviceAccounts/a/keys/key-1","validAfterTime":"2026-11-22T01:02:03Z"`+text+`}]}`)})
		keys, err := rotator(t).List(t.Context(), google.iamAccount(t), keyToken(t), clientEmail)
		if err != nil || len(keys) != 1 || !keys[0].ExpiresAt.Equal(want) {
			t.Errorf("%q: got %+v, error %v; want the end %s", text, keys, err, want)
		}
	}
}

func TestListKeysOfAnotherForm(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"no time":        `{"keys":[{"name":"projects/p/serviceAccounts/a/keys/key-1"}]}`,
		"no such time":   `{"keys":[{"name":"projects/p/serviceAccounts/a/keys/key-1","validAfterTime":"yesterday"}]}`,
		"no name":        `{"keys":[{"validAfterTime":"2026-11-22T01:02:03Z"}]}`,
		"path for an ID": `{"keys":[{"name":"projects/p/serviceAccounts/a/keys/..","validAfterTime":"2026-11-22T01:02:03Z"}]}`,
		"null":           `{"keys":[null]}`,
		"no list":        `{"keys":"` + accessToken + `"}`,
		"null answer":    `null`,
		"other object":   `{"status":"ok"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			google := newGoogle(t).iam(map[string]http.HandlerFunc{http.MethodGet: reply(200, body)})
			keys, err := rotator(t).List(t.Context(), google.iamAccount(t), keyToken(t), clientEmail)
			wantSilence(t, err, provider.Unavailable, "unreadable answer (HTTP 200)")
			if keys != nil {
				t.Errorf("got %d keys beside the error", len(keys))
			}
		})
	}
}

func TestListKeysRefused(t *testing.T) {
	t.Parallel()
	google := newGoogle(t).iam(map[string]http.HandlerFunc{http.MethodGet: rpcError(404, "NOT_FOUND")})
	_, err := rotator(t).List(t.Context(), google.iamAccount(t), keyToken(t), clientEmail)
	wantRefused(t, err, "NOT_FOUND", "refuses to list the keys of "+clientEmail)
	_, err = rotator(t).List(t.Context(), google.iamAccount(t), oauthClientToken, clientEmail)
	wantRefused(t, err, "", "service_account_key must be")
}

func TestDeleteKey(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer http.HandlerFunc
		want   func(*testing.T, error)
	}{
		"deleted":      {reply(200, "{}"), nil},
		"gone already": {rpcError(404, "NOT_FOUND"), nil},
		"yes of a proxy": {reply(200, `{"status":"ok"}`), func(t *testing.T, err error) {
			t.Helper()
			wantSilence(t, err, provider.Unavailable, "unreadable answer (HTTP 200)")
		}},
		"gone, says a proxy": {reply(404, `{"error":"NOT_FOUND"}`), func(t *testing.T, err error) {
			t.Helper()
			wantSilence(t, err, provider.Unavailable, "unreadable answer (HTTP 404)")
		}},
		"nothing said": {reply(200, ""), func(t *testing.T, err error) {
			t.Helper()
			wantSilence(t, err, provider.Unavailable, "unreadable answer (HTTP 200)")
		}},
		"no such address": {reply(404, "<html>"), func(t *testing.T, err error) {
			t.Helper()
			wantSilence(t, err, provider.Unavailable, "unreadable answer (HTTP 404)")
		}},
		"not allowed": {rpcError(403, "PERMISSION_DENIED"), func(t *testing.T, err error) {
			t.Helper()
			wantRefused(t, err, "PERMISSION_DENIED", "does not let it manage the keys of "+clientEmail)
		}},
		"refused": {rpcError(400, "INVALID_ARGUMENT"), func(t *testing.T, err error) {
			t.Helper()
			wantRefused(t, err, "INVALID_ARGUMENT", "refuses to delete key "+newKeyID)
		}},
		"IAM down": {rpcError(503, "UNAVAILABLE"), func(t *testing.T, err error) {
			t.Helper()
			wantSilence(t, err, provider.Unavailable, "HTTP 503")
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			google := newGoogle(t).iam(map[string]http.HandlerFunc{http.MethodDelete: tc.answer})
			err := rotator(t).Delete(t.Context(), google.iamAccount(t), keyToken(t), provider.Key{Owner: clientEmail, ID: newKeyID})
			switch {
			case tc.want != nil:
				wantNoSecret(t, fmt.Sprint(err))
				tc.want(t, err)
			case err != nil:
				t.Errorf("DeleteKey: %v", err)
			}
			google.wantCalls(t, tokenCall, deleteCall)
		})
	}
}

// TestNewKeysAreNotLogged: Google's client library logs whole answers when an environment variable says so.
func TestNewKeysAreNotLogged(t *testing.T) {
	t.Setenv("GOOGLE_SDK_GO_LOGGING_LEVEL", "debug")
	log, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	stderr := os.Stderr
	os.Stderr = log
	defer func() { os.Stderr = stderr }()

	google := newGoogle(t).iam(map[string]http.HandlerFunc{http.MethodPost: reply(200, madeKey(keyFile(t, map[string]any{"private_key_id": newKeyID})))})
	if _, err := createKey(t.Context(), t, google.iamAccount(t)); err != nil {
		t.Fatalf("CreateKey: %v", err)
	}
	if logged, err := os.ReadFile(log.Name()); err != nil || len(logged) > 0 {
		t.Errorf("got %d bytes on standard error, error %v; want nothing", len(logged), err)
	}
}

// TestEnvironmentThatTheLibraryRefuses: nothing was sent, and an error says where to look.
func TestEnvironmentThatTheLibraryRefuses(t *testing.T) {
	config := filepath.Join(t.TempDir(), "certificate_config.json")
	if err := os.WriteFile(config, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_API_USE_CLIENT_CERTIFICATE", "true")
	t.Setenv("GOOGLE_API_CERTIFICATE_CONFIG", config)
	google := newGoogle(t)
	_, err := createKey(t.Context(), t, google.iamAccount(t))
	wantSilence(t, err, provider.Unavailable, "environment variables of the Vault server")
	google.wantCalls(t, tokenCall)
}
