package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// platform is what the engine says about an ad platform.
type platform struct {
	Name, Title, Origin string
	Verified            bool
	Notes               []string
	Sources             []struct{ Title, URL, Read string }
	AccountFields       []string `json:"account_fields"`
	TokenTypes          map[string]struct {
		Title          string
		ResetSemantics string `json:"reset_semantics"`
		Fields         []string
		Automatic      bool
		AccessTokens   bool `json:"access_tokens"`
		Consent        bool
		Revoke         bool
	} `json:"token_types"`
	// Definition is the document that describes it, empty where the engine has it as code.
	Definition string
}

// document is the part of a platform's definition that says what values look like.
type document struct {
	TokenTypes map[string]struct {
		Fields  yaml.Node `yaml:"fields"`
		Runbook struct {
			ConsoleURL string `yaml:"console_url"`
			Role       string
		}
		Consent struct {
			Credential map[string]any
		}
	} `yaml:"token_types"`
}

// people is what people call the platform, who know it and not its API.
func (about *platform) people() string {
	return cmp.Or(strings.TrimSuffix(about.Title, " API"), about.Name)
}

// document is what can be read of the platform's definition.
func (about *platform) document() (d document) {
	_ = yaml.Unmarshal([]byte(about.Definition), &d) // it is for the engine to judge; what cannot be read is left out
	return d
}

// fieldForm is what a definition says about a credential field.
type fieldForm struct {
	Secret      bool
	Form        string
	Description string
}

// input is a field of a form for a value.
type input struct {
	Name, Label string
	// Form says what the value looks like.
	Form   string
	Secret bool
	// File says that it is the content of a file, with several lines.
	File bool
	// Optional says that the token keeps what it has where this is left empty.
	Optional bool
}

// ownForms are the fields of the platform that has no definition. What is not here and in no definition is taken for a secret.
var ownForms = map[string]fieldForm{
	"client_id":             {},
	"service_account_email": {},
	"developer_token":       {Secret: true},
	"client_secret":         {Secret: true},
	"refresh_token":         {Secret: true},
	"service_account_key":   {Secret: true},
}

// fileFields have several lines.
var fileFields = []string{"service_account_key"}

// inputs are the fields to hand in for a token type, as far as names says which. Platform may be nil.
func (p *pages) inputs(about *platform, kind string, names []string, hasValue bool) []input {
	forms := map[string]fieldForm{}
	if about != nil && about.Definition != "" {
		forms = about.forms(kind)
	}
	var all []input
	for _, name := range names {
		form, known := forms[name]
		if !known {
			if form, known = ownForms[name]; !known {
				form = fieldForm{Secret: true}
			}
		}
		in := input{
			Name: name, Label: p.textOr("field."+name, name), Secret: form.Secret, File: slices.Contains(fileFields, name),
			Optional: hasValue && len(names) > 1,
		}
		provider := ""
		if about != nil {
			provider = about.Name
		}
		switch own := p.textOr("form."+name, ""); {
		case p.textOr("form."+provider+"."+name, "") != "":
			in.Form = p.text("form." + provider + "." + name)
		case form.Form != "":
			in.Form = p.text("form.declared", form.Form)
		case form.Description != "":
			in.Form = form.Description
		default:
			in.Form = own
		}
		all = append(all, in)
	}
	return all
}

// forms are the fields of a token type by their names; none where the definition cannot be read.
func (about *platform) forms(kind string) map[string]fieldForm {
	forms := map[string]fieldForm{}
	fields := about.document().TokenTypes[kind].Fields
	_ = fields.Decode(&forms) // what cannot be read is taken for a secret without a form
	return forms
}

// consentFields are those that a consent needs where the token has no value yet: all that it does not give.
func (about *platform) consentFields(kind string, names []string) []string {
	given := []string{"refresh_token"}
	if about != nil && about.Definition != "" {
		if gives := about.document().TokenTypes[kind].Consent.Credential; len(gives) > 0 {
			given = slices.Collect(maps.Keys(gives))
		}
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(given, name) })
}
