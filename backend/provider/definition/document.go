package definition

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// document is a definition as it is written.
type document struct {
	Name       string                 `json:"name"`
	Title      string                 `json:"title"`
	Sources    []Source               `json:"sources"`
	Verified   *bool                  `json:"verified"`
	Notes      []string               `json:"notes"`
	Account    accountDocument        `json:"account"`
	TokenTypes ordered[*typeDocument] `json:"token_types"`
}

// Source is where facts of a definition are from.
type Source struct {
	Title string `json:"title"`
	URL   string `json:"url"`
	// Read is the day on which somebody read it.
	Read string `json:"read"`
}

type accountDocument struct {
	Endpoints ordered[*fieldDocument] `json:"endpoints"`
	Settings  ordered[*fieldDocument] `json:"settings"`
	Limits    struct {
		Verifications struct {
			Burst int      `json:"burst"`
			Every duration `json:"every"`
		} `json:"verifications"`
	} `json:"limits"`
}

// fieldDocument is an endpoint, a setting, a field of a credential, or an option.
type fieldDocument struct {
	Description string            `json:"description"`
	Secret      bool              `json:"secret"`
	Pattern     string            `json:"pattern"`
	Form        string            `json:"form"`
	Choices     choices           `json:"choices"`
	Default     string            `json:"default"`
	Required    bool              `json:"required"`
	Endpoint    bool              `json:"endpoint"`
	Refuse      []refusalDocument `json:"refuse"`
}

type refusalDocument struct {
	Pattern string `json:"pattern"`
	Problem string `json:"problem"`
}

type typeDocument struct {
	Title          string                  `json:"title"`
	Description    string                  `json:"description"`
	ResetSemantics string                  `json:"reset_semantics"`
	Fields         ordered[*fieldDocument] `json:"fields"`
	Options        ordered[*fieldDocument] `json:"options"`
	Verify         *verifyDocument         `json:"verify"`
	Lifetime       duration                `json:"lifetime"`
	Connection     ordered[string]         `json:"connection"`
	Subject        []string                `json:"subject"`
	Grant          *grantDocument          `json:"grant"`
	Consent        *consentDocument        `json:"consent"`
	Rotate         *rotateDocument         `json:"rotate"`
	Revoke         *revokeDocument         `json:"revoke"`
	Runbook        runbookDocument         `json:"runbook"`
	Examples       []exampleDocument       `json:"examples"`
}

type requestDocument struct {
	Method      string          `json:"method"`
	URL         string          `json:"url"`
	Headers     ordered[string] `json:"headers"`
	Query       ordered[string] `json:"query"`
	Bearer      *string         `json:"bearer"`
	Basic       *basicDocument  `json:"basic"`
	Form        ordered[string] `json:"form"`
	JSON        json.RawMessage `json:"json"`
	Text        *string         `json:"text"`
	SecretInURL bool            `json:"secret_in_url"`
}

type basicDocument struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

type verifyDocument struct {
	Request   *requestDocument  `json:"request"`
	Outcomes  []outcomeDocument `json:"outcomes"`
	Control   *controlDocument  `json:"control"`
	Identity  string            `json:"identity"`
	ExpiresAt string            `json:"expires_at"`
	RequestID string            `json:"request_id"`
}

type controlDocument struct {
	Field string `json:"field"`
}

type outcomeDocument struct {
	When      string         `json:"when"`
	Outcome   string         `json:"outcome"`
	Detail    string         `json:"detail"`
	Code      string         `json:"code"`
	Caveat    bool           `json:"caveat"`
	Wait      string         `json:"wait"`
	WaitUntil string         `json:"wait_until"`
	Hints     []textDocument `json:"hints"`
}

// grantDocument is a grant, or the exchange of a consent.
type grantDocument struct {
	Type         string            `json:"type"`
	URL          string            `json:"url"`
	Client       string            `json:"client"`
	ClientID     *string           `json:"client_id"`
	ClientSecret *string           `json:"client_secret"`
	Headers      ordered[string]   `json:"headers"`
	Params       ordered[string]   `json:"params"`
	Request      *requestDocument  `json:"request"`
	Outcomes     []outcomeDocument `json:"outcomes"`
	AccessToken  string            `json:"access_token"`
	ExpiresIn    string            `json:"expires_in"`
	TokenType    string            `json:"token_type"`
	RefreshToken rollingDocument   `json:"refresh_token"`
}

type rollingDocument struct {
	Answer    string   `json:"answer"`
	Previous  string   `json:"previous"`
	Value     string   `json:"value"`
	ExpiresIn string   `json:"expires_in"`
	KeepAlive duration `json:"keep_alive"`
}

type consentDocument struct {
	AuthorizeURL string          `json:"authorize_url"`
	Params       ordered[string] `json:"params"`
	PKCE         bool            `json:"pkce"`
	Exchange     grantDocument   `json:"exchange"`
	Credential   ordered[string] `json:"credential"`
}

type rotateDocument struct {
	Request    *requestDocument  `json:"request"`
	Outcomes   []outcomeDocument `json:"outcomes"`
	Credential ordered[string]   `json:"credential"`
	LostAnswer string            `json:"lost_answer"`
}

type revokeDocument struct {
	Request  *requestDocument  `json:"request"`
	Outcomes []outcomeDocument `json:"outcomes"`
}

type runbookDocument struct {
	ConsoleURL string         `json:"console_url"`
	Role       string         `json:"role"`
	Steps      []textDocument `json:"steps"`
	Previous   string         `json:"previous"`
	Notes      []textDocument `json:"notes"`
}

// textDocument is a text that holds where an expression says so, or always.
type textDocument struct {
	When string `json:"when"`
	Text string `json:"text"`
}

// UnmarshalJSON takes a text alone too.
func (t *textDocument) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte(`"`)) {
		return json.Unmarshal(data, &t.Text)
	}
	type plain textDocument
	return json.Unmarshal(data, (*plain)(t))
}

// member is one of a mapping.
type member[T any] struct {
	Name  string
	Value T
}

// ordered is a mapping whose members keep the document's order.
type ordered[T any] []member[T]

// UnmarshalJSON leaves out values of another type than T's: the schema has found them.
func (o *ordered[T]) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return &json.UnmarshalTypeError{Value: "value", Offset: d.InputOffset()}
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		m, from := member[T]{Name: fmt.Sprint(name)}, d.InputOffset()
		err = d.Decode(&m.Value) // reads the whole value whatever is wrong with it
		written := bytes.TrimLeft(data[from:d.InputOffset()], ": \t\r\n")
		if err != nil && !isTypeError(err) || bytes.Equal(written, []byte("null")) {
			continue
		}
		*o = append(*o, m)
	}
	return nil
}

// get finds a member.
func (o ordered[T]) get(name string) (T, bool) {
	for _, m := range o {
		if m.Name == name {
			return m.Value, true
		}
	}
	var none T
	return none, false
}

func isTypeError(err error) bool {
	_, is := errors.AsType[*json.UnmarshalTypeError](err)
	return is
}

// choices are the values that can be chosen, and what a template gets in place of each.
type choices struct {
	names  []string
	values map[string]string
}

// UnmarshalJSON takes a list, or a mapping.
func (c *choices) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("[")) {
		return json.Unmarshal(data, &c.names)
	}
	var pairs ordered[string]
	if err := json.Unmarshal(data, &pairs); err != nil {
		return err
	}
	c.values = map[string]string{}
	for _, pair := range pairs {
		c.names = append(c.names, pair.Name)
		c.values[pair.Name] = pair.Value
	}
	return nil
}

// exampleDocument is an answer of the platform, and what is to be made of it.
type exampleDocument struct {
	Step       string         `json:"step"`
	Account    values         `json:"account"`
	Options    values         `json:"options"`
	Credential values         `json:"credential"`
	Answer     answerDocument `json:"answer"`
	// Control is the answer to the request with a wrong value.
	Control *answerDocument `json:"control"`
	Expect  expectDocument  `json:"expect"`
}

type values = map[string]string

type answerDocument struct {
	Status  int             `json:"status"`
	Headers values          `json:"headers"`
	Body    json.RawMessage `json:"body"`
	Text    *string         `json:"text"`
}

// expectDocument has what an example wants; what is nil does not matter.
type expectDocument struct {
	Outcome     string  `json:"outcome"`
	Detail      *string `json:"detail"`
	Code        *string `json:"code"`
	RequestID   *string `json:"request_id"`
	Identity    *string `json:"identity"`
	Caveat      *bool   `json:"caveat"`
	Wait        *int64  `json:"wait"`
	ExpiresAt   *string `json:"expires_at"`
	AccessToken *string `json:"access_token"`
	ExpiresIn   *int64  `json:"expires_in"`
	Credential  values  `json:"credential"`
}
