// Package definition reads provider definitions: ad platforms described as data. It makes a provider.Provider of a document, and
// does what the document says with requests, answers and rules.
package definition

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// Definition is a document that has been read.
type Definition struct {
	source []byte
	*document
	lines     map[string]int
	endpoints []*field
	settings  []*field
	types     []*tokenType
	// trusted is for documents that come with the engine: their hints may look at secrets.
	trusted bool
	// checked is for documents that were checked before.
	checked bool
}

// tokenType is a kind of credential.
type tokenType struct {
	*typeDocument
	name       string
	definition *Definition
	fields     []*field
	options    []*field
	// compiled is made at the first use.
	compiled func() *abilities
}

// Parse reads and checks a definition. Its error is Mistakes, with everything that is wrong. Taken are the names that the engine uses:
// its own, or those of Taken.
func Parse(text []byte, taken provider.Taken) (*Definition, error) {
	return parse(text, "", taken, false)
}

// ParseAs is Parse for a definition that has to have the name.
func ParseAs(name string, text []byte, taken provider.Taken) (*Definition, error) {
	return parse(text, name, taken, false)
}

// ParseCatalogue is Parse for a document that comes with the engine. Its hints may look at secrets.
func ParseCatalogue(text []byte, taken provider.Taken) (*Definition, error) {
	return parse(text, "", taken, true)
}

func parse(text []byte, name string, taken provider.Taken, trusted bool) (*Definition, error) {
	w, mistakes := read(text)
	if len(mistakes) > 0 {
		return nil, mistakes
	}
	l := &list{lines: w.lines}
	checkSchema(l, w.json)
	d, err := newDefinition(text, w, trusted)
	if err != nil {
		l.add("", "the document cannot be read: %v", err)
		return nil, l.mistakes.sorted()
	}
	d.check(l, taken)
	if name != "" && d.Name() != "" && d.Name() != name {
		l.add("name", "is %s, and the path's is %s: they must be the same", quote(d.Name()), name)
	}
	if len(l.mistakes) > 0 {
		return nil, l.mistakes.sorted()
	}
	return d, nil
}

// Load reads a definition that has been checked before. That is much faster than Parse, because nothing is compiled before its first
// use. The error is Mistakes.
func Load(text []byte) (*Definition, error) {
	compiled, err := Compile(text)
	if err != nil {
		return nil, err
	}
	return LoadCompiled(text, compiled)
}

// Compile gives the form of a document that LoadCompiled reads. The error is Mistakes.
func Compile(text []byte) ([]byte, error) {
	w, mistakes := read(text)
	if len(mistakes) > 0 {
		return nil, mistakes
	}
	return w.json, nil
}

// LoadCompiled is Load for a document whose compiled form is at hand, which takes a fifth of the time: nobody reads YAML.
func LoadCompiled(text, compiled []byte) (*Definition, error) {
	d, err := newDefinition(text, &written{json: compiled}, true)
	if err != nil {
		return nil, Mistakes{{Problem: "the document cannot be read: " + err.Error()}}
	}
	d.checked = true
	return d, nil
}

// newDefinition reads what it can: values of another type than the schema's are left out.
func newDefinition(text []byte, w *written, trusted bool) (*Definition, error) {
	d := &Definition{source: bytes.Clone(text), document: &document{}, lines: w.lines, trusted: trusted}
	if err := json.Unmarshal(w.json, d.document); err != nil && !isTypeError(err) {
		return nil, err
	}
	d.endpoints, d.settings = newFields(d.Account.Endpoints, true), newFields(d.Account.Settings, false)
	for _, m := range d.TokenTypes {
		t := &tokenType{
			typeDocument: m.Value, name: m.Name, definition: d,
			fields: newFields(m.Value.Fields, false), options: newFields(m.Value.Options, false),
		}
		t.compiled = sync.OnceValue(func() *abilities { return compileType(t, &list{lines: d.lines}) })
		d.types = append(d.types, t)
	}
	return d, nil
}

// Name is the value of an account's provider.
func (d *Definition) Name() string { return d.document.Name }

// Title is what people call the platform's API.
func (d *Definition) Title() string { return d.document.Title }

// Notes are what a user of the platform has to know.
func (d *Definition) Notes() []string { return d.document.Notes }

// Verified is false where Notes name facts that are not confirmed.
func (d *Definition) Verified() bool { return d.document.Verified == nil || *d.document.Verified }

// Sources are where the facts are from.
func (d *Definition) Sources() []Source { return d.document.Sources }

// Document is the definition as it was written.
func (d *Definition) Document() []byte { return bytes.Clone(d.source) }

// accountFields are the account's settings, endpoints first.
func (d *Definition) accountFields() []*field {
	return slices.Concat(d.endpoints, d.settings)
}

func (d *Definition) typeNamed(name string) *tokenType {
	for _, t := range d.types {
		if t.name == name {
			return t
		}
	}
	return nil
}

// Provider is the platform as the engine knows it.
func (d *Definition) Provider() *provider.Provider {
	p := &provider.Provider{
		Name: d.document.Name, Title: d.Title(), Notes: d.document.Notes, Unverified: !d.Verified(),
		CheckAccount: d.checkAccount,
		Limits: provider.Limits{Verifications: provider.Rate{
			Burst: d.Account.Limits.Verifications.Burst, Every: time.Duration(d.Account.Limits.Verifications.Every),
		}},
	}
	for _, f := range d.accountFields() {
		p.AccountFields = append(p.AccountFields, f.provided())
	}
	for _, t := range d.types {
		p.Types = append(p.Types, t.provided())
	}
	return p
}

// provided is the type as the engine knows it.
func (t *tokenType) provided() *provider.TokenType {
	kind := &provider.TokenType{
		Name: t.name, Title: t.Title, Description: t.Description, ResetSemantics: provider.ResetSemantics(t.ResetSemantics),
		Subject: t.Subject, Lifetime: time.Duration(t.Lifetime),
		Verify: t.verify, Runbook: t.runbook, Connect: t.connect, CheckOptions: t.checkOptions,
	}
	for _, f := range t.fields {
		kind.Fields = append(kind.Fields, f.provided())
	}
	for _, f := range t.options {
		kind.Options = append(kind.Options, f.provided())
	}
	for _, m := range t.Connection {
		kind.Connection = append(kind.Connection, provider.Field{Name: m.Name, Description: t.describeConnection(m.Name)})
	}
	if t.Grant != nil {
		kind.Mint = t.mint
	}
	if r := t.rolling(); r.Answer == answerSometimes || r.Answer == answerAlways {
		kind.Refresh = &provider.Refresh{PreviousDies: r.Previous == "dies", KeepAlive: time.Duration(r.KeepAlive)}
	}
	kind.Consent = t.consents()
	if t.Rotate != nil {
		kind.Renew = &provider.Renewal{Call: t.renew, Repeatable: t.Rotate.LostAnswer == "repeat"}
	}
	if t.Revoke != nil {
		kind.Retire = t.retire
	}
	return kind
}
