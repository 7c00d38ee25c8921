package googleads_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/googleads"
)

func TestFieldsHaveTheirCanonicalForm(t *testing.T) {
	t.Parallel()
	const notToken = "must be the 22 characters of a developer token"
	tests := map[string]struct{ field, value, want, wantErr string }{
		"customer ID":                       {"login_customer_id", "1234567890", "1234567890", ""},
		"customer ID with dashes":           {"login_customer_id", "123-456-7890", "1234567890", ""},
		"customer ID with spaces":           {"login_customer_id", "123 456 7890", "1234567890", ""},
		"customer ID with other dashes":     {"login_customer_id", "123–456‑7890", "1234567890", ""},
		"customer ID with dots":             {"login_customer_id", "123.456.7890", "1234567890", ""},
		"customer ID, invisible characters": {"login_customer_id", "\u200b123\u00a0456\u202f7890\u200e", "1234567890", ""},
		"customer ID in full-width digits":  {"login_customer_id", "１２３-４５６-７８９０", "", "login_customer_id must be the 10 digits"},
		"customer ID as a resource name":    {"login_customer_id", "customers/1234567890", "1234567890", ""},
		"customer ID with its label":        {"login_customer_id", "Customer ID: 123-456-7890", "1234567890", ""},
		"customer ID as configured":         {"login_customer_id", `login_customer_id: "1234567890"`, "1234567890", ""},
		"customer ID with a role":           {"login_customer_id", "(123) 456-7890 (Manager)", "1234567890", ""},
		"conversion ID":                     {"login_customer_id", "AW-1234567890", "", "login_customer_id must be the 10 digits"},
		"customer ID of a client behind it": {"login_customer_id", "customers/1234567890/campaigns/5", "", "login_customer_id must be the 10 digits"},
		"customer ID in an address":         {"login_customer_id", "https://ads.google.com/aw/overview?ocid=1234567890", "", "login_customer_id must be the 10 digits"},
		"letters within a customer ID":      {"login_customer_id", "123no4567890", "", "login_customer_id must be the 10 digits"},
		"customer ID too short":             {"login_customer_id", "123-456-789", "", "login_customer_id must be the 10 digits"},
		"customer ID too long":              {"login_customer_id", "12345678901", "", "login_customer_id must be the 10 digits"},
		"customer ID with a letter":         {"login_customer_id", "123456789O", "", "login_customer_id must be the 10 digits"},
		"version":                           {"api_version", "v27", "v27", ""},
		"version without v":                 {"api_version", "26", "v26", ""},
		"version with V":                    {"api_version", "V26", "v26", ""},
		"version 0":                         {"api_version", "v0", "", "api_version must be a major version"},
		"version with a minor":              {"api_version", "v26.1", "", "api_version must be a major version such as v26: minor versions have the address of their major one, so give v26"},
		"version that leaves its place":     {"api_version", "v26/../v1", "", "api_version must be a major version"},
		"http to another host":              {"base_url", "http://ads.example.com", "", "base_url must start with https://"},
		"http to loopback":                  {"token_url", "http://127.0.0.1:1234/token/", "http://127.0.0.1:1234/token", ""},
		"revocation address":                {"revoke_url", "https://proxy.example.com/revoke", "https://proxy.example.com/revoke", ""},
		"IAM address without scheme":        {"iam_url", "iam.example.com", "", "iam_url must be a URL"},
		"client ID with a space":            {"client_id", "a b", "", "client_id must be printable ASCII"},
		"client secret with a line break":   {"client_secret", "sec\nret", "", "client_secret must be printable ASCII"},
		"refresh token":                     {"refresh_token", refreshToken + "\n", refreshToken, ""},
		"developer token":                   {"developer_token", " " + developerToken + "\n", developerToken, ""},
		"developer token, 21 characters":    {"developer_token", developerToken[1:], "", notToken},
		"developer token, 23 characters":    {"developer_token", developerToken + "x", "", notToken},
		"developer token with - and _":      {"developer_token", "ABcdeFGH93KL-NOPQ_STUv", "ABcdeFGH93KL-NOPQ_STUv", ""},
		"developer token, other characters": {"developer_token", developerToken[1:] + "$", "", "position 22"},
		"developer token in quotes":         {"developer_token", `"` + developerToken + `"`, "", "quotes around it"},
		"developer token with its name":     {"developer_token", "developer_token: " + developerToken, "", "a line of a configuration file"},
		"developer token in two parts":      {"developer_token", developerToken[:11] + " " + developerToken[11:], "", "position 12"},
	}
	fields := allFields()
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
			if err != nil {
				wantNoSecret(t, err.Error())
				if !strings.Contains(err.Error(), tc.wantErr) {
					t.Errorf("got error %q, want one with %q", err, tc.wantErr)
				}
			}
		})
	}
}

// allFields are those of accounts and credentials.
func allFields() []provider.Field {
	fields := googleads.New().AccountFields
	for _, tokenType := range googleads.New().Types {
		fields = append(fields, tokenType.Fields...)
	}
	return fields
}

func TestServiceAccountKeyIsKeptAsCompactJSON(t *testing.T) {
	t.Parallel()
	var indented strings.Builder
	indented.WriteString("\n{\n  \"type\": \"service_account\"")
	for _, name := range []string{"client_email", "private_key_id", "private_key"} {
		value, err := json.Marshal(map[string]string{"client_email": clientEmail, "private_key_id": privateKeyID, "private_key": privateKeyPEM()}[name])
		if err != nil {
			t.Fatalf("Marshal: %v", err)
		}
		indented.WriteString(",\n  \"" + name + "\": " + string(value))
	}
	indented.WriteString("\n}\n")
	field, _ := provider.Lookup(allFields(), "service_account_key")
	got, err := field.Canonical(indented.String())
	if err != nil {
		t.Fatalf("Canonical: %v", err)
	}
	if want := strings.NewReplacer("\n  ", "", "\n", "", `": `, `":`).Replace(indented.String()); got != want {
		t.Error("the canonical form is not the same JSON without white space")
	}
}

func TestServiceAccountKeyCheck(t *testing.T) {
	t.Parallel()
	pkcs8, err := x509.MarshalPKCS8PrivateKey(privateKey())
	if err != nil {
		t.Fatalf("MarshalPKCS8PrivateKey: %v", err)
	}
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("GenerateKey: %v", err)
	}
	ecPKCS8, err := x509.MarshalPKCS8PrivateKey(elliptical)
	if err != nil {
		t.Fatalf("MarshalPKCS8PrivateKey: %v", err)
	}
	encode := func(label string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
	}
	const noKeyFile = "must be the JSON key file"
	tests := map[string]struct {
		value   string
		wantErr string
	}{
		"PKCS #1":                  {value: keyFile(t, nil)},
		"PKCS #8":                  {value: keyFile(t, map[string]any{"private_key": encode("PRIVATE KEY", pkcs8)})},
		"without a token_uri":      {value: keyFile(t, map[string]any{"token_uri": nil})},
		"unknown members":          {value: keyFile(t, map[string]any{"universe_domain": "googleapis.com", "more": 1})},
		"bare private key":         {value: privateKeyPEM(), wantErr: noKeyFile},
		"half a file":              {value: keyFile(t, nil)[:700], wantErr: noKeyFile},
		"file and more":            {value: keyFile(t, nil) + "{}", wantErr: noKeyFile},
		"list":                     {value: "[" + keyFile(t, nil) + "]", wantErr: noKeyFile},
		"string":                   {value: `"` + developerToken + `"`, wantErr: noKeyFile},
		"null":                     {value: "null", wantErr: noKeyFile},
		"no type":                  {value: keyFile(t, map[string]any{"type": nil}), wantErr: `"type" must be "service_account"`},
		"unknown type":             {value: keyFile(t, map[string]any{"type": "robot"}), wantErr: `"type" must be "service_account"`},
		"private_key as object":    {value: keyFile(t, map[string]any{"private_key": map[string]string{"pem": privateKeyPEM()}}), wantErr: `"private_key" is a string`},
		"client_email as a number": {value: keyFile(t, map[string]any{"client_email": 5}), wantErr: `"client_email" is a string`},
		"no client_email":          {value: keyFile(t, map[string]any{"client_email": nil}), wantErr: `"client_email" is`},
		"client_email with spaces": {value: keyFile(t, map[string]any{"client_email": "a b"}), wantErr: `"client_email" is`},
		"no private_key_id":        {value: keyFile(t, map[string]any{"private_key_id": ""}), wantErr: `"private_key_id" is`},
		"private_key_id in lines":  {value: keyFile(t, map[string]any{"private_key_id": "a\nb"}), wantErr: `"private_key_id" is`},
		"no private_key":           {value: keyFile(t, map[string]any{"private_key": nil}), wantErr: `"private_key" is a PEM encoded RSA key`},
		"private_key without PEM":  {value: keyFile(t, map[string]any{"private_key": clientSecret}), wantErr: `"private_key" is a PEM encoded RSA key`},
		"private_key of junk":      {value: keyFile(t, map[string]any{"private_key": encode("PRIVATE KEY", []byte("junk"))}), wantErr: `"private_key" is a PEM encoded RSA key`},
		"private_key not RSA":      {value: keyFile(t, map[string]any{"private_key": encode("PRIVATE KEY", ecPKCS8)}), wantErr: `"private_key" is a PEM encoded RSA key`},
		"private_key too small":    {value: keyFile(t, map[string]any{"private_key": encode("RSA PRIVATE KEY", smallKey(t))}), wantErr: "at least 1024 bits"},
		"token_uri over http":      {value: keyFile(t, map[string]any{"token_uri": "http://thief.example.com"}), wantErr: `"token_uri" is left out or usable: it must start with https://`},
		"token_uri that is no URL": {value: keyFile(t, map[string]any{"token_uri": "token"}), wantErr: `"token_uri"`},
	}
	field, _ := provider.Lookup(allFields(), "service_account_key")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := field.Canonical(tc.value)
			if tc.wantErr == "" {
				if err != nil || got != tc.value {
					t.Errorf("got error %v, want the compact file back", err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), "service_account_key must be ") || !strings.Contains(err.Error(), tc.wantErr) {
				t.Fatalf("got error %v, want one with %q", err, tc.wantErr)
			}
			wantNoSecret(t, err.Error())
		})
	}
}

// smallKey is an RSA key of 512 bits, which crypto/rsa does not make any more.
func smallKey(t *testing.T) []byte {
	t.Helper()
	one := big.NewInt(1)
	for {
		p, err := rand.Prime(rand.Reader, 256)
		if err != nil {
			t.Fatalf("Prime: %v", err)
		}
		q, err := rand.Prime(rand.Reader, 256)
		if err != nil {
			t.Fatalf("Prime: %v", err)
		}
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		if d := new(big.Int).ModInverse(big.NewInt(65537), phi); d != nil && p.Cmp(q) != 0 {
			return x509.MarshalPKCS1PrivateKey(&rsa.PrivateKey{
				PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537}, D: d, Primes: []*big.Int{p, q},
			})
		}
	}
}

func TestCheckAccount(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		settings provider.Values
		wantErr  string
	}{
		"no identity":       {settings: provider.Values{"login_customer_id": "1234567890"}},
		"OAuth client":      {settings: provider.Values{"client_id": "i", "client_secret": clientSecret, "refresh_token": refreshToken}},
		"service account":   {settings: provider.Values{"service_account_key": "{}"}},
		"both kinds":        {settings: provider.Values{"client_id": "i", "client_secret": clientSecret, "refresh_token": refreshToken, "service_account_key": "{}"}, wantErr: "one OAuth identity"},
		"a part of both":    {settings: provider.Values{"client_id": "i", "service_account_key": "{}"}, wantErr: "one OAuth identity"},
		"no refresh token":  {settings: provider.Values{"client_id": "i", "client_secret": clientSecret}, wantErr: "refresh_token must be set too"},
		"only a client ID":  {settings: provider.Values{"client_id": "i"}, wantErr: "client_secret and refresh_token must be set too"},
		"no client ID":      {settings: provider.Values{"client_secret": clientSecret, "refresh_token": refreshToken}, wantErr: "client_id must be set too"},
		"no secret of them": {settings: provider.Values{"client_id": "i", "refresh_token": refreshToken}, wantErr: "client_secret must be set too"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := googleads.New().CheckAccount(tc.settings)
			if (err == nil) != (tc.wantErr == "") {
				t.Fatalf("got error %v, want %q", err, tc.wantErr)
			}
			if err != nil {
				wantNoSecret(t, err.Error())
				if !strings.Contains(err.Error(), tc.wantErr) {
					t.Errorf("got error %q, want one with %q", err, tc.wantErr)
				}
			}
		})
	}
}

func TestSecretsAndEndpointsAreMarked(t *testing.T) {
	t.Parallel()
	var secrets, endpoints []string
	for _, f := range googleads.New().AccountFields {
		if f.Secret {
			secrets = append(secrets, f.Name)
		}
		if f.Endpoint {
			endpoints = append(endpoints, f.Name)
		}
		if f.Description == "" || f.Check == nil {
			t.Errorf("the account field %s lacks a description or a check", f.Name)
		}
	}
	if want := []string{"external_account", "client_secret", "refresh_token", "service_account_key"}; !slices.Equal(secrets, want) {
		t.Errorf("got secrets %q, want %q", secrets, want)
	}
	if want := []string{"base_url", "token_url", "revoke_url", "iam_url", "iamcredentials_url", "sts_url"}; !slices.Equal(endpoints, want) {
		t.Errorf("got endpoints %q, want %q", endpoints, want)
	}
}

func TestTokenTypes(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	for _, tokenType := range googleads.New().Types {
		text := string(tokenType.ResetSemantics)
		for _, f := range tokenType.Fields {
			if text += " " + f.Name; f.Secret {
				text += "*"
			}
		}
		got[tokenType.Name] = text
	}
	want := map[string]string{
		"developer_token":              "immediate developer_token*",
		"oauth_client":                 "overlapping client_id client_secret* refresh_token*",
		"service_account_key":          "overlapping service_account_key*",
		"impersonated_service_account": "none service_account_email",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if name := googleads.New().Name; name != "google_ads" {
		t.Errorf("got the name %q, want google_ads", name)
	}
}

func TestConnectionInfo(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		settings provider.Values
		want     map[string]string
	}{
		"defaults": {
			settings: provider.Values{"client_id": clientID, "client_secret": clientSecret, "token_url": "https://t.example.com"},
			want:     map[string]string{"base_url": "https://googleads.googleapis.com", "api_version": "v26"},
		},
		"all set": {
			settings: provider.Values{"login_customer_id": "1234567890", "base_url": "https://p.example.com", "api_version": "v25"},
			want:     map[string]string{"login_customer_id": "1234567890", "base_url": "https://p.example.com", "api_version": "v25"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := googleads.New().Type("developer_token").Connect(tc.settings, developerTokenToken); !maps.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	own := provider.Values{"token_url": "https://t.example.com", "revoke_url": "https://r.example.com", "iam_url": "https://i.example.com"}
	tests := map[string]struct{ got, want string }{
		"token, default":     {googleads.TokenURL(nil, ""), "https://oauth2.googleapis.com/token"},
		"token, of the key":  {googleads.TokenURL(nil, "https://k.example.com"), "https://k.example.com"},
		"token, account's":   {googleads.TokenURL(own, "https://k.example.com"), "https://t.example.com"},
		"revoke, default":    {googleads.RevokeURL(nil), "https://oauth2.googleapis.com/revoke"},
		"revoke, account's":  {googleads.RevokeURL(own), "https://r.example.com"},
		"IAM, default":       {googleads.IAMURL(nil), "https://iam.googleapis.com"},
		"IAM, the account's": {googleads.IAMURL(own), "https://i.example.com"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.got != tc.want {
				t.Errorf("got %s, want %s", tc.got, tc.want)
			}
		})
	}
}

func TestRunbooks(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		tokenType string
		settings  provider.Values
		console   string
		says      []string
		handIn    string
		previous  string
	}{
		"developer token": {
			tokenType: "developer_token",
			console:   "https://ads.google.com/aw/apicenter",
			says: []string{
				"Admin", "Manager account settings", "API center", "API Access", "Developer token", "Reset token",
				"9 September 2026", "API contact email", "no new review", "left the team", "the manager account at",
				"owners and editors of the Google Cloud project", "no such button any more, there is nothing left to reset", "v27, about January 2027",
				"an empty header is still refused", "historical details",
			},
			handIn:   "developer_token=-",
			previous: "Invalid from the moment of the reset",
		},
		"developer token of a named account": {
			tokenType: "developer_token",
			settings:  provider.Values{"login_customer_id": "1234567890"},
			console:   "https://ads.google.com/aw/apicenter",
			says:      []string{"the manager account 123-456-7890 at"},
			handIn:    "developer_token=-",
			previous:  "no overlap",
		},
		"OAuth client": {
			tokenType: "oauth_client",
			console:   "https://console.cloud.google.com",
			says: []string{
				"second secret", "new consent", "https://www.googleapis.com/auth/adwords", "at most 100", "keeps its value", "2-step verification",
				"all grants of the same user and client", "6 months without use", "7 days after its consent", "nobody uses for 6 months",
			},
			handIn:   "client_secret=-",
			previous: "until it is disabled",
		},
		"service account key": {
			tokenType: "service_account_key",
			settings:  provider.Values{"iam_url": "https://iam.example.com"},
			console:   "https://console.cloud.google.com",
			says: []string{
				"POST https://iam.example.com/v1/projects/-/serviceAccounts/<email>/keys",
				"at most 10", "a minute", "up to 7 minutes", "constraints/iam.disableServiceAccountKeyCreation", "on by default in newer organisations",
				"constraints/iam.managed.disableServiceAccountKeyCreation", "validBeforeTime",
			},
			handIn:   "service_account_key=-",
			previous: "until it is deleted",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := googleads.New().Type(tc.tokenType).Runbook(tc.settings)
			if got.ConsoleURL != tc.console || !strings.Contains(got.Previous, tc.previous) {
				t.Errorf("got console %q, previous %q; want %q and %q", got.ConsoleURL, got.Previous, tc.console, tc.previous)
			}
			if last := got.Steps[len(got.Steps)-1]; !strings.Contains(last, "vault write adtokens/tokens/<name>/rotate "+tc.handIn) {
				t.Errorf("got the last step %q, want the hand-in of %s", last, tc.handIn)
			}
			all := strings.Join(slices.Concat(got.Steps, got.Notes), "\n")
			for _, want := range tc.says {
				if !strings.Contains(all, want) {
					t.Errorf("neither steps nor notes say %q", want)
				}
			}
		})
	}
}
