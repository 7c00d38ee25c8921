package googleads_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

func keyField(t testing.TB) provider.Field {
	t.Helper()
	field, ok := provider.Lookup(allFields(), "service_account_key")
	if !ok {
		t.Fatal("there is no field service_account_key")
	}
	return field
}

func indented(t *testing.T, file string) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(file), "", "  "); err != nil {
		t.Fatalf("Indent: %v", err)
	}
	return out.String() + "\n"
}

// wrapped has a line break after each 76 characters, as base64 prints.
func wrapped(text, lineBreak string) string {
	var out strings.Builder
	for len(text) > 76 {
		out.WriteString(text[:76] + lineBreak)
		text = text[76:]
	}
	return out.String() + text + lineBreak
}

func quoted(t *testing.T, text string) string {
	t.Helper()
	encoded, err := json.Marshal(text)
	if err != nil {
		t.Fatalf("Marshal: %v", err)
	}
	return string(encoded)
}

// TestKeyFile_FormsThatAreTaken has the ways in which people pass a key file on. All are the same value.
func TestKeyFile_FormsThatAreTaken(t *testing.T) {
	t.Parallel()
	file := keyFile(t, nil)
	lines := indented(t, file)
	tests := map[string]string{
		"as it is":                 lines,
		"with CRLF":                strings.ReplaceAll(lines, "\n", "\r\n"),
		"with a byte order mark":   "\uFEFF" + lines,
		"base64":                   base64.StdEncoding.EncodeToString([]byte(lines)),
		"base64, wrapped":          wrapped(base64.StdEncoding.EncodeToString([]byte(lines)), "\n"),
		"base64, wrapped CRLF":     wrapped(base64.StdEncoding.EncodeToString([]byte(lines)), "\r\n"),
		"base64, unpadded":         base64.RawStdEncoding.EncodeToString([]byte(lines)),
		"base64 for addresses":     base64.URLEncoding.EncodeToString([]byte(lines)),
		"base64 of base64":         base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(lines)))),
		"base64 with a mark":       base64.StdEncoding.EncodeToString([]byte("\uFEFF" + lines)),
		"JSON string":              quoted(t, lines),
		"JSON string of base64":    quoted(t, base64.StdEncoding.EncodeToString([]byte(lines))),
		"JSON string, twice":       quoted(t, quoted(t, lines)),
		"base64 of a JSON string":  base64.StdEncoding.EncodeToString([]byte(quoted(t, lines))),
		"line breaks of a shell":   strings.ReplaceAll(file, `\n`, "\n"),
		"CRLF of a shell":          strings.ReplaceAll(file, `\n`, "\r\n"),
		"escapes within the name":  strings.Replace(file, `"type"`, "\"\\u0074ype\"", 1),
		"unknown member like ours": strings.Replace(file, "{", `{"client_email_verified":"yes",`, 1),
	}
	field := keyField(t)
	for name, value := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := field.Canonical(value)
			if err != nil {
				t.Fatalf("Canonical: %v", err)
			}
			var gotMembers, wantMembers map[string]any
			if json.Unmarshal([]byte(got), &gotMembers) != nil || json.Unmarshal([]byte(file), &wantMembers) != nil {
				t.Fatal("the canonical form is no JSON object")
			}
			for member, want := range wantMembers {
				if gotMembers[member] != want {
					t.Errorf("the member %s has changed", member)
				}
			}
			wantStable(t, field, got)
		})
	}
}

func wantStable(t *testing.T, field provider.Field, canonical string) {
	t.Helper()
	if again, err := field.Canonical(canonical); err != nil || again != canonical {
		t.Errorf("the canonical form has another one, error %v", err)
	}
	if strings.ContainsAny(canonical, "\n\r") {
		t.Error("the canonical form has line breaks")
	}
}

// TestKeyFile_LineBreaksOfThePrivateKey: what got lost on the way and can only have been a line break comes back; the
// other members stay as they came, in their order.
func TestKeyFile_LineBreaksOfThePrivateKey(t *testing.T) {
	t.Parallel()
	key := privateKeyPEM()
	field := keyField(t)
	for name, text := range map[string]string{
		"escaped":                strings.ReplaceAll(key, "\n", `\n`),
		"escaped twice":          strings.ReplaceAll(key, "\n", `\\n`),
		"escaped, with CR":       strings.ReplaceAll(key, "\n", `\r\n`),
		"escaped and there":      strings.ReplaceAll(key, "\n", "\\n\n"),
		"spaces":                 strings.ReplaceAll(key, "\n", " "),
		"tabs":                   strings.ReplaceAll(key, "\n", "\t"),
		"carriage returns":       strings.ReplaceAll(key, "\n", "\r"),
		"none":                   strings.ReplaceAll(key, "\n", ""),
		"no white space at all":  strings.Join(strings.Fields(key), ""),
		"two":                    strings.ReplaceAll(key, "\n", "\n\n"),
		"two, with CR":           strings.ReplaceAll(key, "\n", "\r\n\r\n"),
		"indented and escaped":   "  " + strings.ReplaceAll(key, "\n", "\\n    "),
		"lost between the frame": strings.Replace(strings.ReplaceAll(key, "\n", ""), "KEY-----", "KEY-----\n", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := field.Canonical(keyFile(t, map[string]any{"private_key": text}))
			if err != nil {
				t.Fatalf("Canonical: %v", err)
			}
			if want := keyFile(t, nil); got != want {
				t.Error("the key file is not the one with the line breaks")
			}
			wantStable(t, field, got)
		})
	}
}

func TestKeyFile_PrivateKeyIsKeptAsGivenWhereItCanBeRead(t *testing.T) {
	t.Parallel()
	field := keyField(t)
	for name, text := range map[string]string{
		"with CRLF":              strings.ReplaceAll(privateKeyPEM(), "\n", "\r\n"),
		"without the last break": strings.TrimSpace(privateKeyPEM()),
		"with text in front":     "Bag Attributes\n" + privateKeyPEM(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := keyFile(t, map[string]any{"private_key": text})
			if got, err := field.Canonical(file); err != nil || got != file {
				t.Errorf("got another file, error %v", err)
			}
		})
	}
}

// TestKeyFile_OthersAreNamed: what is no key file of a service account is told what it is, and where it belongs.
func TestKeyFile_OthersAreNamed(t *testing.T) {
	t.Parallel()
	utf16le := func(text string) string {
		var out strings.Builder
		for _, unit := range utf16.Encode([]rune(text)) {
			out.WriteByte(byte(unit))
			out.WriteByte(byte(unit >> 8))
		}
		return out.String()
	}
	const user = `"client_id":"c","client_secret":"` + clientSecret + `","refresh_token":"` + refreshToken + `"`
	lostLines := `its line breaks are lost or doubled`
	key := privateKeyPEM()
	tests := map[string]struct{ value, wantErr string }{
		"user's credentials":          {`{"type":"authorized_user",` + user + `}`, "client_id, client_secret and refresh_token (a token of the type oauth_client)"},
		"user's, without a type":      {`{` + user + `}`, "a token of the type oauth_client"},
		"user's, in base64":           {base64.StdEncoding.EncodeToString([]byte(`{"type":"authorized_user",` + user + `}`)), "a token of the type oauth_client"},
		"desktop client":              {`{"installed":{` + user + `}}`, "the file of an OAuth client, which holds no refresh token"},
		"web client":                  {`{"web":{"client_id":"c"}}`, "the file of an OAuth client, which holds no refresh token"},
		"workload identity":           {`{"type":"external_account","audience":"a"}`, "a workload identity federation file, which holds no key"},
		"workforce identity":          {`{"type":"external_account_authorized_user"}`, "workforce identity federation"},
		"impersonation":               {`{"type":"impersonated_service_account"}`, "whose place another credential takes"},
		"distributed cloud":           {`{"type":"gdch_service_account"}`, "Google Distributed Cloud"},
		"answer of the IAM API":       {`{"name":"projects/p/serviceAccounts/a/keys/k","privateKeyData":"e30="}`, "hand in its privateKeyData"},
		"private key alone":           {key, "the private key alone"},
		"name of the file":            {"/home/me/key-file.json", "without the @ in front"},
		"UTF-16":                      {utf16le(keyFile(t, nil)), "this is UTF-16"},
		"UTF-16, mark lost":           {"\uFFFD\uFFFD" + utf16le(keyFile(t, nil)), "this is UTF-16"},
		"member in another spelling":  {strings.Replace(keyFile(t, nil), `"client_email"`, `"Client_Email"`, 1), `"client_email" is there in another spelling`},
		"spelled in two ways":         {strings.Replace(keyFile(t, nil), "{", `{"CLIENT_EMAIL":"victim@p.iam.gserviceaccount.com",`, 1), `"client_email" is there in another spelling`},
		"two owners":                  {strings.Replace(keyFile(t, nil), "{", `{"client_email":"victim@p.iam.gserviceaccount.com",`, 1), `one "client_email"; this one has it twice`},
		"two owners, one escaped":     {strings.Replace(keyFile(t, nil), "{", `{"client\u005femail":"victim@p.iam.gserviceaccount.com",`, 1), `one "client_email"; this one has it twice`},
		"half a private key":          {keyFile(t, map[string]any{"private_key": key[:len(key)/2]}), lostLines},
		"private key without an end":  {keyFile(t, map[string]any{"private_key": strings.ReplaceAll(key, "\n", " ")[:900]}), lostLines},
		"private key, + become space": {keyFile(t, map[string]any{"private_key": strings.ReplaceAll(strings.ReplaceAll(key, "\n", `\n`), key[200:203], "")}), lostLines},
		"backslashes lost":            {keyFile(t, map[string]any{"private_key": strings.ReplaceAll(key, "\n", "n")}), lostLines},
		"private key with passphrase": {keyFile(t, map[string]any{"private_key": "-----BEGIN ENCRYPTED PRIVATE KEY-----\nanVuaw==\n-----END ENCRYPTED PRIVATE KEY-----\n"}), "no passphrase"},
		"single quotes":               {strings.ReplaceAll(keyFile(t, nil), `"`, `'`), "must be the JSON key file"},
		"wrapped too often":           {quoted(t, quoted(t, quoted(t, keyFile(t, nil)))), "must be the JSON key file"},
	}
	field := keyField(t)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := field.Canonical(tc.value)
			if err == nil || !strings.HasPrefix(err.Error(), "service_account_key must be ") || !strings.Contains(err.Error(), tc.wantErr) {
				t.Fatalf("got %d bytes, error %v; want the error %q", len(got), err, tc.wantErr)
			}
			wantNoSecret(t, err.Error())
		})
	}
}
