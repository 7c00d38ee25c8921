package resethook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// maxNesting is how deep in an answer the credential is looked for.
const maxNesting = 4

// object is a JSON object.
type object = map[string]any

// read takes the new credential out of a hook's answer. A secret that came is never dropped, as far as it can be helped: the
// reset has killed the value before, and the new one may be nowhere else. So a body that cannot be used is an error after
// which the same key asks again, and gets the value once the hook is mended. Only an answer that has no secret at all is
// final.
func (r *Request) read(response *provider.Response) (Answer, error) {
	body := bytes.TrimSpace(response.Body)
	if len(body) == 0 {
		return Answer{}, &Unusable{Detail: fmt.Sprintf("The reset hook says that the reset is done and gives no new credential "+
			"(HTTP %d, no body). "+
			"If the token was reset, the old value is dead: ", response.Status) + fromTheConsole}
	}
	answer, ok := decode(body)
	if !ok {
		return Answer{}, unreadable(response)
	}
	top, isObject := answer.(object)
	found := r.find(answer, 0)
	switch {
	case len(found) > 1:
		if found = r.distinct(found, top); len(found) > 1 {
			return Answer{}, misshapen(response, "gave several new credentials in one answer")
		}
	case len(found) == 0 && isObject:
		found = []object{top}
	case len(found) == 0:
		return Answer{}, unreadable(response)
	}
	return r.complete(response, r.take(found[0], top))
}

// distinct leaves one of the objects that give the same, and only those with a new secret where there are any: a hook may
// tell of the old credential too.
func (r *Request) distinct(found []object, top object) []object {
	kept := []object{found[0]}
	for _, o := range found[1:] {
		values := r.take(o, top).values
		switch {
		case slices.ContainsFunc(kept, func(k object) bool { return maps.Equal(r.take(k, top).values, values) }):
		case !r.isNew(r.take(kept[0], top).values):
			kept = []object{o}
		case r.isNew(values):
			kept = append(kept, o)
		}
	}
	return kept
}

// decode reads one JSON value. Numbers keep all their digits.
func decode(body []byte) (any, bool) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var answer any
	if decoder.Decode(&answer) != nil {
		return nil, false
	}
	_, err := decoder.Token()
	return answer, err == io.EOF
}

// find returns the outermost objects that have a secret field: the answer itself, or what a framework has wrapped in
// {"data": …} or a list.
func (r *Request) find(answer any, depth int) []object {
	var found []object
	switch answer := answer.(type) {
	case object:
		if slices.ContainsFunc(r.Fields, func(f provider.Field) bool { _, came := text(member(answer, f.Name)); return f.Secret && came }) {
			return []object{answer}
		}
		if depth < maxNesting {
			for _, name := range slices.Sorted(maps.Keys(answer)) {
				found = append(found, r.find(answer[name], depth+1)...)
			}
		}
	case []any:
		if depth < maxNesting {
			for _, element := range answer {
				found = append(found, r.find(element, depth+1)...)
			}
		}
	}
	return found
}

// member is the value of a field in an object: under the field's own name, else under the only other spelling of it that has a value,
// such as authToken. Languages and frameworks have habits of their own, and a secret in a name's other spelling is as new as any.
func member(o object, field string) any {
	if value := o[field]; value != nil {
		return value
	}
	var found any
	for name, value := range o {
		if value == nil || letters(name) != letters(field) {
			continue
		}
		if found != nil {
			return nil
		}
		found = value
	}
	return found
}

// letters drops case and what joins words.
func letters(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "", ".", "").Replace(name))
}

// text returns a member that has a value: a string that is not empty, or a whole number, which a hook may have made of a
// string of digits.
func text(member any) (string, bool) {
	switch member := member.(type) {
	case string:
		return member, strings.TrimSpace(member) != ""
	case json.Number:
		return member.String(), !strings.ContainsAny(member.String(), ".eE+-")
	default:
		return "", false
	}
}

// taken is what an object of an answer has of the credential.
type taken struct {
	values provider.Values
	// secret is whether a secret field is among the values.
	secret bool
	// problems say what is wrong with fields that came, and badSecret is whether one of those is secret. A secret that is no text
	// has not come.
	problems  []string
	badSecret bool
}

// take reads the fields of the type from the object, and where it lacks one from the answer around it.
func (r *Request) take(from, around object) taken {
	t := taken{values: provider.Values{}}
	for _, f := range r.Fields {
		given := member(from, f.Name)
		if given == nil {
			given = member(around, f.Name)
		}
		value, came := text(given)
		canonical, err := f.Canonical(value)
		switch {
		case err != nil:
			t.problems = append(t.problems, err.Error())
			t.badSecret = t.badSecret || f.Secret
		case came:
			t.values[f.Name] = canonical
			t.secret = t.secret || f.Secret
		case !leftOut(given) && !f.Secret:
			t.problems = append(t.problems, f.Name+" must be a string")
		}
	}
	return t
}

// leftOut says whether a member has no value: it is missing, null or blank.
func leftOut(member any) bool {
	blank, isString := member.(string)
	return member == nil || isString && strings.TrimSpace(blank) == ""
}

// complete fills in what the hook has left out.
func (r *Request) complete(response *provider.Response, t taken) (Answer, error) {
	switch {
	case t.secret:
	case t.badSecret:
		return Answer{}, misshapen(response, "gave a new credential that cannot be used: "+strings.Join(t.problems, "; "))
	default:
		for _, f := range r.Fields {
			if f.Secret {
				t.problems = append(t.problems, f.Name+" must be there as a string")
			}
		}
		return Answer{}, &Unusable{Detail: "The reset hook's answer is not the new credential: " + strings.Join(t.problems, "; ") +
			". If the token was reset, the old value is dead: " + fromTheConsole}
	}
	answer := Answer{Credential: provider.Values{}}
	for _, f := range r.Fields {
		if value := r.Current[f.Name]; value != "" {
			answer.Credential[f.Name] = value
		}
	}
	maps.Copy(answer.Credential, t.values)
	if len(t.problems) > 0 {
		answer.Note = "The reset hook's answer has a mistake, and the field keeps its value therefore: " + strings.Join(t.problems, "; ")
	}
	return answer, nil
}

// isNew says whether a secret differs from the current one.
func (r *Request) isNew(values provider.Values) bool {
	return slices.ContainsFunc(r.Fields, func(f provider.Field) bool {
		return f.Secret && values[f.Name] != "" && values[f.Name] != r.Current[f.Name]
	})
}

const fromTheConsole = "take the new one from the provider's console and hand it in"

// unreadable is for a body that is no JSON, and may be the new value all the same: nothing of it is told.
func unreadable(response *provider.Response) *provider.Error {
	return misshapen(response, fmt.Sprintf("gave an unreadable answer (HTTP %d): "+
		"a reset hook answers with a JSON object of the credential's fields", response.Status))
}

// misshapen is for an answer after which the request is repeated.
func misshapen(response *provider.Response, problem string) *provider.Error {
	return &provider.Error{Host: response.Host, Problem: problem +
		". The request is repeated with the same key, so mend the hook's answer; or " + fromTheConsole}
}
