package backend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// checkInput refuses a request whose data or name does not fit, before the sdk sees it: the sdk ignores fields that it does not
// know, converts what is most likely a mistake, and quotes values in its errors. No message of checkInput repeats a value, because
// it could be a secret in the wrong place.
func (b *backend) checkInput(ctx context.Context, req *logical.Request) error {
	switch req.Operation {
	case logical.CreateOperation, logical.UpdateOperation, logical.ReadOperation, logical.DeleteOperation, logical.ListOperation:
	default:
		return nil
	}
	path := b.Route(req.Path)
	if err := checkPathName(req.Path, path != nil); err != nil || path == nil {
		return err
	}
	if _, supported := path.Operations[req.Operation]; !supported {
		return nil // the framework says so
	}
	d := &framework.FieldData{Raw: req.Data, Schema: path.Fields}
	for _, name := range slices.Sorted(maps.Keys(req.Data)) {
		schema := path.Fields[name]
		if schema == nil {
			continue
		}
		if _, _, err := d.GetOkErr(name); err != nil || !fits(req.Data[name], schema.Type) {
			return badInput("%s must be %s%s; nothing was changed", name, fieldForms[schema.Type], shapeOf(req.Data[name], schema.Type))
		}
	}
	// A read or list with a parameter too many answers all the same, with the sdk's warning: nothing is done or lost.
	if req.Operation == logical.ReadOperation || req.Operation == logical.ListOperation {
		return nil
	}
	return b.checkFieldNames(ctx, req, path)
}

// shapeOf says what came in place of a text, where that is something with parts: a program that has read a file of JSON, such as a key
// file, sends its members rather than its text.
func shapeOf(value any, to framework.FieldType) string {
	if to != framework.TypeString {
		return ""
	}
	switch value.(type) {
	case map[string]any:
		return ", and this is an object: send the text of the file as one JSON string (jq: `tojson`)"
	case []any:
		return ", and this is a list: send one value, as a JSON string"
	}
	return ""
}

// fieldForms completes the sentence "<field> must be …".
var fieldForms = map[framework.FieldType]string{
	framework.TypeString:         "a string",
	framework.TypeBool:           "true or false",
	framework.TypeInt:            "a whole number",
	framework.TypeKVPairs:        "key=value pairs; an empty object ({}, as JSON) removes them all",
	framework.TypeDurationSecond: "a duration of zero or more whole seconds, such as 90, 15m or 24h",
}

// namedPaths are the first parts of paths that are followed by a name, with what bears the name.
var namedPaths = map[string]string{
	"config": "an account", "tokens": "a token", "creds": "a token", "access-token": "a token",
}

// checkPathName explains a path that the framework does not route because of the name in it, and refuses a name that is too long.
func checkPathName(path string, routed bool) error {
	noun, rest, _ := strings.Cut(path, "/")
	bearer, named := namedPaths[noun]
	if !named || rest == "" {
		return nil
	}
	name, below, deeper := strings.Cut(rest, "/")
	known := len(name) <= maxNameLength && validName.MatchString(name)
	switch {
	case len(name) > maxNameLength:
	case routed, deeper && below == "" && known:
		return nil // a list of what no list is for, the framework says so
	case deeper && known:
		return noPathBelow(noun, bearer)
	}
	return badInput("the name of %s must be %s, such as acme-rw; nothing was changed", bearer, nameRule)
}

// noPathBelow explains a path that goes on after the name where there is none.
func noPathBelow(noun, bearer string) error {
	has := fmt.Sprintf("%s/<name> has none", noun)
	if noun == "tokens" {
		has = "those are tokens/<name>/rotate, tokens/<name>/verify, tokens/<name>/retire and tokens/<name>/history"
	}
	return badInput("there is no such path below %s: %s. If the slash was meant as a part of the name: the name of %s is %s; nothing was changed",
		bearer, has, bearer, nameRule)
}

// checkFieldNames refuses fields that the path, or the type of its token, does not have. The sdk would ignore them, and do the
// rest: with a misspelt credential field, an automatic rotation.
func (b *backend) checkFieldNames(ctx context.Context, req *logical.Request, path *framework.Path) error {
	own := b.inputNames(ctx, req, path)
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(req.Data)) {
		switch {
		case capturedBy(path, name):
			if fmt.Sprint(req.Data[name]) != strings.Split(req.Path, "/")[1] {
				return badInput("%s is a part of the path, and the path has another one: leave the field out; nothing was changed", name)
			}
		case path.Fields[name] == nil, req.Operation == logical.DeleteOperation && !slices.Contains(own, name):
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	what := req.Path
	if req.Operation == logical.DeleteOperation {
		what = "a deletion of " + req.Path
	}
	has := "it takes no fields"
	if len(own) > 0 {
		has = "its fields are " + strings.Join(own, ", ")
	}
	return badInput("%s; %s. Nothing was changed%s", noFieldOf(what, unknown, own, path.Fields), has, membersOf(unknown, own))
}

// fileMembers are members of files that people have from a provider, with the field that takes the whole file.
var fileMembers = map[string]string{"private_key": "service_account_key", "private_key_id": "service_account_key", "client_email": "service_account_key"}

// membersOf explains unknown fields that are the members of a file: the CLI reads a file without a field's name in front of it as the
// fields themselves.
func membersOf(unknown, own []string) string {
	for _, name := range unknown {
		if field := fileMembers[name]; field != "" && slices.Contains(own, field) {
			return fmt.Sprintf(". These are members of a key file: hand the file in as one value, in the CLI with %s=@key-file.json", field)
		}
	}
	return ""
}

// capturedBy says whether the field is the name in the path.
func capturedBy(path *framework.Path, field string) bool {
	return strings.Contains(path.Pattern, "(?P<"+field+">")
}

// inputNames lists the fields that a write or deletion takes: of the token's type and of the account's provider, where these are
// known.
func (b *backend) inputNames(ctx context.Context, req *logical.Request, path *framework.Path) []string {
	noun, rest, _ := strings.Cut(req.Path, "/")
	name, _, _ := strings.Cut(rest, "/")
	foreign := map[string]bool{}
	switch noun {
	case "tokens":
		foreign = b.foreignTokenFields(ctx, req, name)
	case "config":
		foreign = b.foreignAccountFields(ctx, req, name)
	}
	var names []string
	_, deletes := path.Operations[logical.DeleteOperation]
	for field := range path.Fields {
		forDeletion := deletes && field == fieldForce
		if !capturedBy(path, field) && !foreign[field] && forDeletion == (req.Operation == logical.DeleteOperation) {
			names = append(names, field)
		}
	}
	slices.Sort(names)
	return names
}

// foreignTokenFields are the fields that only tokens of other types have. An error of storage hides nothing but that.
func (b *backend) foreignTokenFields(ctx context.Context, req *logical.Request, name string) map[string]bool {
	var own *provider.TokenType
	t, err := b.tokens.Get(ctx, req.Storage, name)
	exists := err == nil && t != nil
	if exists {
		own = t.kind
	} else if a, err := b.accounts.Get(ctx, req.Storage, strings.TrimSpace(fmt.Sprint(req.Data["account"]))); err == nil && a != nil {
		own = a.platform.Type(strings.TrimSpace(fmt.Sprint(req.Data["type"])))
	}
	foreign := map[string]bool{}
	if own == nil {
		return foreign
	}
	if exists && req.Path == "tokens/"+name {
		own = &provider.TokenType{Options: own.Options} // values are for tokens/<name>/rotate
		foreign["reason"], foreign["verify"] = true, true
	}
	for _, field := range endPreviousNames {
		foreign[field] = field != endPrevious(own)
	}
	for _, kind := range b.allTypes() {
		for _, f := range slices.Concat(kind.Fields, kind.Options) {
			foreign[f.Name] = true
		}
	}
	for _, f := range slices.Concat(own.Fields, own.Options) {
		delete(foreign, f.Name)
	}
	return foreign
}

// foreignAccountFields are the fields that only accounts of other providers have.
func (b *backend) foreignAccountFields(ctx context.Context, req *logical.Request, name string) map[string]bool {
	own, _ := b.platform(ctx, req.Storage, fmt.Sprint(req.Data["provider"]))
	if a, err := b.accounts.Get(ctx, req.Storage, name); err == nil && a != nil {
		own = a.platform
	}
	foreign := map[string]bool{}
	if own == nil {
		return foreign
	}
	for _, p := range b.providers {
		for _, f := range p.AccountFields {
			foreign[f.Name] = true
		}
	}
	for _, f := range accountFields(own) {
		delete(foreign, f.Name)
	}
	return foreign
}
