package googleads

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// maxWrappings is how many times a key file may be wrapped, as base64 or as a JSON string.
const maxWrappings = 3

// byteOrderMark is what some editors begin UTF-8 files with.
const byteOrderMark = "\uFEFF"

// readKeyFile returns the compact JSON of a key file that comes in one of the ways in which people pass one on: as it is,
// in base64 (as the IAM API gives it), or as a JSON string. What is another kind of file is named in the error, which
// quotes nothing of the value.
func readKeyFile(value string) (string, error) {
	for range maxWrappings {
		value = strings.TrimSpace(strings.TrimPrefix(value, byteOrderMark))
		if strings.HasPrefix(value, "{") {
			return readObject(value)
		}
		inner, ok := unwrap(value)
		if !ok {
			break
		}
		value = inner
	}
	return "", explainNoObject(value)
}

// unwrap takes one layer of base64 or of a JSON string away.
func unwrap(value string) (string, bool) {
	if strings.HasPrefix(value, `"`) {
		var inner string
		err := json.Unmarshal([]byte(value), &inner)
		return inner, err == nil
	}
	text := strings.TrimRight(strings.Join(strings.Fields(value), ""), "=")
	text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
	inner, err := base64.RawStdEncoding.DecodeString(text)
	return string(inner), err == nil && len(inner) > 0 && utf8.Valid(inner)
}

// explainNoObject says what a value is that is no JSON object.
func explainNoObject(value string) error {
	switch {
	case strings.Contains(value, "\x00"):
		return errors.New("must be a key file in UTF-8; this is UTF-16, as PowerShell's > writes it: save the file as UTF-8")
	case strings.HasPrefix(value, "-----BEGIN "):
		return fmt.Errorf("%w; this is the private key alone", errNoKeyFile)
	case strings.HasSuffix(value, ".json") && !strings.ContainsAny(value, "{\n"):
		return fmt.Errorf("%w; this is the name of a file, without the @ in front of it", errNoKeyFile)
	default:
		return errNoKeyFile
	}
}

// member is one of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// readObject checks the object itself, and puts lost line breaks of its private key back.
func readObject(text string) (string, error) {
	var members []member
	if !json.Valid([]byte(text)) {
		text = escapeLineBreaks(text)
	}
	members, err := membersOf(text)
	if err != nil {
		if strings.Contains(text, "\x00") {
			return "", explainNoObject(text)
		}
		return "", errNoKeyFile
	}
	if err := explainOtherFile(members); err != nil {
		return "", err
	}
	if err := checkNames(members); err != nil {
		return "", err
	}
	repaired, err := repairPrivateKey(members)
	if err != nil {
		return "", err
	}
	if repaired {
		text = encodeMembers(members)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(text)); err != nil {
		return "", errNoKeyFile
	}
	return compact.String(), nil
}

// membersOf reads an object with its members in order.
func membersOf(text string) ([]member, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	var members []member
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		members = append(members, member{name: name.(string), value: value}) // a decoder takes only strings for names
	}
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errNoKeyFile
	}
	return members, nil
}

func encodeMembers(members []member) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	for i, m := range members {
		text.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
		_ = encoder.Encode(m.name) // a string always encodes
		text.WriteByte(':')
		text.Write(m.value)
	}
	text.WriteByte('}')
	return text.String()
}

// text returns the string that a member is.
func (m member) text() (string, bool) {
	var s string
	return s, len(m.value) > 0 && m.value[0] == '"' && json.Unmarshal(m.value, &s) == nil
}

// otherFiles are the files that people take for a key file, by their "type", with where they belong.
var otherFiles = map[string]string{
	"authorized_user": "the credentials of a user, as gcloud keeps them: they belong into the fields client_id, client_secret and " +
		"refresh_token (a token of the type oauth_client); its consent must have the scope " + scopeAdWords,
	"external_account": "a workload identity federation file, which holds no key: this engine needs a key of the service account itself, " +
		"or an OAuth client with a refresh token",
	"external_account_authorized_user": "the file of a workforce identity federation login, which holds no key: this engine needs the key " +
		"file of a service account, or an OAuth client with a refresh token",
	"impersonated_service_account": "a file that says whose place another credential takes, and holds no key of that service account: make " +
		"one for it and hand that in",
	"gdch_service_account": "the file of a service identity of Google Distributed Cloud, which the Google Ads API does not know",
}

// explainOtherFile names the file that this is instead of a key file; nil where it may be one.
func explainOtherFile(members []member) error {
	const want = "must be the key file of a service account; this is "
	has := func(name string) bool {
		return slices.ContainsFunc(members, func(m member) bool { return m.name == name })
	}
	for _, m := range members {
		kind, _ := m.text()
		if m.name == "type" && otherFiles[kind] != "" {
			return errors.New(want + otherFiles[kind])
		}
	}
	switch {
	case has("type"):
		return nil
	case has("installed"), has("web"):
		return errors.New(want + "the file of an OAuth client, which holds no refresh token: its client_id and client_secret belong into " +
			"these fields (a token of the type oauth_client), beside the refresh_token of a consent")
	case has("privateKeyData"):
		return errors.New(want + "the whole answer of the IAM API: hand in its privateKeyData, as it is")
	case has("refresh_token"):
		return errors.New(want + otherFiles["authorized_user"])
	default:
		return nil
	}
}

// neededNames are the members that say whose key it is and where it is used. Google's libraries differ in how they read
// other spellings and repeated members, so that one app could see another key than the next, or than the engine.
var neededNames = []string{"type", "client_email", "private_key_id", "private_key", "token_uri"}

// checkNames wants each needed member once, and spelled as Google spells it.
func checkNames(members []member) error {
	seen := map[string]bool{}
	for _, m := range members {
		name := strings.ToLower(m.name)
		switch {
		case !slices.Contains(neededNames, name):
		case name != m.name:
			return fmt.Errorf("must be a key file whose members have Google's own names: %q is there in another spelling", name)
		case seen[name]:
			return fmt.Errorf("must be a key file with one %q; this one has it twice", name)
		default:
			seen[name] = true
		}
	}
	return nil
}

// repairPrivateKey gives a private key its line breaks back. It reports whether there was anything to do.
func repairPrivateKey(members []member) (bool, error) {
	i := slices.IndexFunc(members, func(m member) bool { return m.name == "private_key" })
	if i < 0 {
		return false, nil
	}
	given, ok := members[i].text()
	if block, _ := pem.Decode([]byte(given)); !ok || block != nil && !emptyLine().MatchString(strings.TrimSpace(given)) {
		return false, nil
	}
	repaired, found := withLineBreaks(given)
	switch {
	case !found:
		return false, nil
	case repaired == "":
		return false, errors.New(`must be a key file whose "private_key" is whole: its line breaks are lost or doubled, ` +
			"and what is left between the BEGIN and END lines is no key; download or copy the file again")
	}
	encoded, err := json.Marshal(repaired)
	if err != nil {
		return false, errNoKeyFile
	}
	members[i].value = encoded
	return true, nil
}

// A line break may have come as \n or \r\n, with any number of backslashes, as white space, twice, or not at all.
var (
	escapedLineBreak = provider.Pattern(`\\+[rn]`)
	emptyLine        = provider.Pattern(`\n[ \t\r]*\n`)
	pemFrame         = provider.Pattern(`^\s*-----\s*BEGIN` + pemLabel + `-----([A-Za-z0-9+/=\s]*)-----\s*END` + pemLabel + `-----\s*$`)
	pemOfAKey        = provider.Pattern(`BEGIN` + pemLabel)
)

// pemLabel matches the names of private keys in PEM, whose spaces may be lost.
const pemLabel = `\s*(RSA)?\s*PRIVATE\s*KEY\s*`

// withLineBreaks returns the PEM of a private key that has lost its lines; empty where it is no whole key. Found says
// whether there is a key of which that can be said.
func withLineBreaks(text string) (repaired string, found bool) {
	text = escapedLineBreak().ReplaceAllString(text, "\n")
	if !pemOfAKey().MatchString(text) {
		return "", false
	}
	frame := pemFrame().FindStringSubmatch(text)
	if frame == nil || frame[1] != frame[3] {
		return "", true
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(frame[2]), ""))
	if err != nil || !isRSA(der) {
		return "", true
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: strings.TrimSpace(frame[1] + " PRIVATE KEY"), Bytes: der})), true
}

// escapeLineBreaks writes the line breaks within the strings of a JSON text as JSON wants them. A shell's echo puts them
// there for the \n of a private key.
func escapeLineBreaks(text string) string {
	var out strings.Builder
	inString, escaped := false, false
	for _, c := range []byte(text) {
		switch {
		case inString && c == '\n' && !escaped:
			out.WriteString(`\n`)
			continue
		case inString && c == '\r' && !escaped:
			continue
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		}
		out.WriteByte(c)
	}
	return out.String()
}
