package definition

import (
	"slices"
	"time"
)

// Description is a definition for people: what a page about the platform says.
type Description struct {
	Name, Title string
	// Verified is false where Notes name facts that are not confirmed.
	Verified bool
	Notes    []string
	Sources  []Source
	// Account are the platform's own settings, addresses first.
	Account []FieldDescription
	// Burst verifications of one account are made at once by the engine itself, and one more each time that Every has passed. Zero is
	// the engine's own limit.
	Burst int
	Every time.Duration
	Types []TypeDescription
}

// FieldDescription is a setting, an option or a field of a credential.
type FieldDescription struct {
	Name, Description, Form, Default string
	// Choices are all values that it takes; empty where there are others.
	Choices                    []string
	Secret, Required, Endpoint bool
}

// TypeDescription is a token type.
type TypeDescription struct {
	Name, Title, Description, ResetSemantics string
	Fields, Options                          []FieldDescription
	// Connection names what apps get beside the credential, Subject what tells a reset hook which token it is.
	Connection, Subject []string
	// Lifetime is how long a value lives after its publication; zero where it does not end by itself.
	Lifetime time.Duration
	// Verify is the method and the address of the request that proves a value; empty where the grant does.
	Verify string
	// Control is the field of which a wrong value is tried too; empty where none is.
	Control string
	// Grant is the type of the grant that gives access tokens; empty where there are none.
	Grant string
	// RefreshAnswer is never, sometimes or always: whether an access token comes with a new refresh token. PreviousDies says that the
	// one before is dead then, KeepAlive when the engine refreshes at the latest.
	RefreshAnswer string
	PreviousDies  bool
	KeepAlive     time.Duration
	// Rotates, Revokes and Consents say what the engine can do by the platform's API. RepeatsLost says that a rotation whose answer was
	// lost is tried again.
	Rotates, RepeatsLost, Revokes, Consents bool
	ConsoleURL, Role, Previous              string
	Steps, RunbookNotes                     []Text
}

// Text is a sentence that holds where an expression over the account says so; one without When holds always.
type Text struct{ When, Text string }

// Type returns the type of this name; nil where there is none.
func (d Description) Type(name string) *TypeDescription {
	for i := range d.Types {
		if d.Types[i].Name == name {
			return &d.Types[i]
		}
	}
	return nil
}

// Describe tells of the definition. Nothing is compiled for that.
func (d *Definition) Describe() Description {
	limit := d.Account.Limits.Verifications
	description := Description{
		Name: d.document.Name, Title: d.document.Title, Verified: d.document.Verified == nil || *d.document.Verified,
		Notes: slices.Clone(d.document.Notes), Sources: slices.Clone(d.document.Sources),
		Account: describeFields(d.accountFields()), Burst: limit.Burst, Every: time.Duration(limit.Every),
	}
	for _, t := range d.types {
		description.Types = append(description.Types, t.describe())
	}
	return description
}

func (t *tokenType) describe() TypeDescription {
	runbook := t.Runbook
	d := TypeDescription{
		Name: t.name, Title: t.Title, Description: t.Description, ResetSemantics: t.ResetSemantics,
		Fields: describeFields(t.fields), Options: describeFields(t.options), Subject: slices.Clone(t.Subject),
		Lifetime: time.Duration(t.Lifetime), Rotates: t.Rotate != nil, Revokes: t.Revoke != nil, Consents: t.Consent != nil,
		ConsoleURL: runbook.ConsoleURL, Role: runbook.Role, Previous: runbook.Previous,
		Steps: describeTexts(runbook.Steps), RunbookNotes: describeTexts(runbook.Notes),
	}
	for _, m := range t.Connection {
		d.Connection = append(d.Connection, m.Name)
	}
	if t.Rotate != nil {
		d.RepeatsLost = t.Rotate.LostAnswer == "repeat"
	}
	if t.Grant != nil {
		d.Grant, d.RefreshAnswer = t.Grant.Type, "never"
		if r := t.Grant.RefreshToken; r.Answer != "" {
			d.RefreshAnswer = r.Answer
			d.PreviousDies, d.KeepAlive = r.Previous == "dies", time.Duration(r.KeepAlive)
		}
	}
	t.describeVerify(&d)
	return d
}

func (t *tokenType) describeVerify(d *TypeDescription) {
	if t.Verify == nil {
		return
	}
	if t.Verify.Control != nil {
		d.Control = t.Verify.Control.Field
	}
	if r := t.Verify.Request; r != nil {
		method := r.Method
		if method == "" {
			method = "GET"
		}
		d.Verify = method + " " + r.URL
	}
}

func describeFields(fields []*field) []FieldDescription {
	all := make([]FieldDescription, len(fields))
	for i, f := range fields {
		all[i] = FieldDescription{
			Name: f.name, Description: f.Description, Form: f.Form, Default: f.Default, Choices: slices.Clone(f.Choices.names),
			Secret: f.Secret, Required: f.Required, Endpoint: f.isEndpoint || f.Endpoint,
		}
	}
	return all
}

func describeTexts(documents []textDocument) []Text {
	texts := make([]Text, len(documents))
	for i, d := range documents {
		texts[i] = Text(d)
	}
	return texts
}
