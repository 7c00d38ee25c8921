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
			return notOfForm(name, req.Data[name], schema.Type)
		}
	}
	// A read or list with a parameter too many answers all the same, with the sdk's warning: nothing is done or lost.
	if req.Operation == logical.ReadOperation || req.Operation == logical.ListOperation {
		return nil
	}
	return b.checkFieldNames(ctx, req, path)
}

// namedPaths are the first parts of paths that are followed by a name, with what bears the name.
var namedPaths = map[string]string{
	"config": "an account", "tokens": "a token", "creds": "a token", "access-token": "a token", "report": "a token",
	"campaigns": "a campaign", "notifications": "a notification",
}

// checkPathName explains a path that the framework does not route because of the name in it, and refuses a name that is too long.
func checkPathName(path string, routed bool) error {
	noun, rest, _ := strings.Cut(path, "/")
	bearer, named := namedPaths[noun]
	if !named || rest == "" {
		return nil
	}
	name, below, deeper := strings.Cut(rest, "/")
	known := len(name) <= maxNameLength && validName().MatchString(name)
	switch {
	case len(name) > maxNameLength:
	case routed, deeper && below == "" && known:
		return nil // a list of what no list is for, the framework says so
	case deeper && known:
		return noPathBelow(noun, bearer)
	}
	return badInput("the name of %s must be %s, such as acme-rw; nothing was changed", bearer, nameRule)
}

// given is what came with the request in a field that the path declares; nil where the field was left out. It is for path files.
func given[T any](d *framework.FieldData, field string) *T {
	raw, has := d.GetOk(field)
	if !has {
		return nil
	}
	return new(raw.(T))
}

// noPathBelow explains a path that goes on after the name where there is none.
func noPathBelow(noun, bearer string) error {
	has := fmt.Sprintf("%s/<name> has none", noun)
	if noun == "tokens" {
		has = "those are tokens/<name>/rotate, tokens/<name>/consent, tokens/<name>/verify, tokens/<name>/readers, tokens/<name>/retire and tokens/<name>/history"
	}
	if noun+"/" == notificationsPrefix {
		has = "that is notifications/<name>/test"
	}
	return badInput("there is no such path below %s: %s. If the slash was meant as a part of the name: the name of %s is %s; nothing was changed",
		bearer, has, bearer, nameRule)
}

// checkFieldNames refuses fields that the path, or the type of its token, does not have. The sdk would ignore them, and do the
// rest: with a misspelt credential field, an automatic rotation. Fields that their handler explains are left to it.
func (b *backend) checkFieldNames(ctx context.Context, req *logical.Request, path *framework.Path) error {
	takes := b.findInputs(ctx, req, path)
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(req.Data)) {
		switch {
		case capturedBy(path, name):
			if fmt.Sprint(req.Data[name]) != strings.Split(req.Path, "/")[1] {
				return badInput("%s is a part of the path, and the path has another one: leave the field out; nothing was changed", name)
			}
		case slices.Contains(takes.names, name), slices.Contains(takes.explained, name):
		default:
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
	if len(takes.names) > 0 {
		has = "its fields are " + strings.Join(takes.names, ", ")
	}
	return badInput("%s; %s. Nothing was changed%s", takes.noFieldOf(what, unknown), has, membersOf(unknown, takes.own))
}

// warnOfIgnored says of a read what the sdk says where a path takes only the fields that it declares.
func (b *backend) warnOfIgnored(req *logical.Request, response *logical.Response) {
	if response == nil || req.Operation != logical.ReadOperation || len(req.Data) == 0 {
		return
	}
	path := b.Route(req.Path)
	if path == nil || !path.TakesArbitraryInput {
		return
	}
	ignored := slices.DeleteFunc(slices.Sorted(maps.Keys(req.Data)), func(name string) bool { return path.Fields[name] != nil })
	if len(ignored) > 0 {
		response.AddWarning(fmt.Sprintf("Endpoint ignored these unrecognized parameters: %v", ignored))
	}
}

// membersOf explains unknown fields that are the members of a file: the CLI reads a file without a field's name in front of it as the
// fields themselves.
func membersOf(unknown []string, own []provider.Field) string {
	for _, f := range own {
		if slices.ContainsFunc(unknown, func(name string) bool { return slices.Contains(f.Members, name) }) {
			return fmt.Sprintf(". These are members of a key file: hand the file in as one value, in the CLI with %s=@key-file.json", f.Name)
		}
	}
	return ""
}

// capturedBy says whether the field is the name in the path.
func capturedBy(path *framework.Path, field string) bool {
	return strings.Contains(path.Pattern, "(?P<"+field+">")
}

// undeclaredInputs are the fields of a path that its account, its token or its room has, and the path does not declare.
func (b *backend) undeclaredInputs(ctx context.Context, req *logical.Request) providerInputs {
	noun, rest, _ := strings.Cut(req.Path, "/")
	switch name, below, _ := strings.Cut(rest, "/"); {
	case noun == "config":
		return b.accountInputs(ctx, req.Storage, name, req.Data)
	case noun+"/" == notificationsPrefix && below == "":
		return providerInputs{own: notificationFields(), all: notificationFields()}
	case noun == "tokens" && below == "":
		return b.tokenInputs(ctx, req.Storage, name, req.Data)
	case noun == "tokens" && below == "rotate":
		return b.rotateInputs(ctx, req.Storage, name)
	case noun == "tokens" && below == "consent":
		return b.consentInputs(ctx, req.Storage, name)
	}
	return providerInputs{}
}

// findInputs finds the fields that a write or deletion takes, whether the path declares them or not.
func (b *backend) findInputs(ctx context.Context, req *logical.Request, path *framework.Path) inputs {
	takes := b.undeclaredInputs(ctx, req)
	deletion := req.Operation == logical.DeleteOperation
	explained := slices.Concat(provider.Names(takes.explained), slices.Collect(maps.Keys(path.Fields)))
	if deletion {
		takes.own, explained = nil, nil
	}
	_, deletes := path.Operations[logical.DeleteOperation]
	names := provider.Names(takes.own)
	for field, schema := range path.Fields {
		_, isProviders := provider.Lookup(takes.all, field)
		forDeletion := deletes && field == fieldForce
		if !isProviders && (!schema.Query || field == fieldForce) && !capturedBy(path, field) && !slices.Contains(takes.idle, field) && forDeletion == deletion {
			names = append(names, field)
		}
	}
	slices.Sort(names)
	return inputs{names: slices.Compact(names), explained: explained, own: takes.own}
}
