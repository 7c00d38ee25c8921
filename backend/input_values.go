package backend

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-secure-stdlib/parseutil"
	"github.com/hashicorp/vault/sdk/framework"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// textOf is the text of a field that a path need not declare. It takes and refuses what the sdk and fits do where a path declares the
// field as a text.
func textOf(field string, value any) (string, error) {
	text, err := parseutil.ParseString(value)
	if err != nil || !fits(value, framework.TypeString) {
		return "", notOfForm(field, value, framework.TypeString)
	}
	return text, nil
}

// flagOf is "true" for what stands for true, and nothing for what stands for false.
func flagOf(field string, value any) (string, error) {
	on, err := parseutil.ParseBool(value)
	if err != nil || !fits(value, framework.TypeBool) {
		return "", notOfForm(field, value, framework.TypeBool)
	}
	if !on {
		return "", nil
	}
	return "true", nil
}

// notOfForm says what form a field has, and never repeats the value.
func notOfForm(field string, value any, form framework.FieldType) error {
	return badInput("%s must be %s%s; nothing was changed", field, fieldForms[form], shapeOf(value, form))
}

// fieldForms completes the sentence "<field> must be …".
var fieldForms = map[framework.FieldType]string{
	framework.TypeString:           "a string",
	framework.TypeBool:             "true or false",
	framework.TypeInt:              "a whole number",
	framework.TypeKVPairs:          "key=value pairs; an empty object ({}, as JSON) removes them all",
	framework.TypeCommaStringSlice: "names, separated by commas",
	framework.TypeDurationSecond:   "a duration of zero or more whole seconds, such as 90, 15m or 24h",
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

// fits refuses what the sdk would convert although it is most likely a mistake: an empty text, such as that of an unset
// shell variable, to anything but a text; a fraction to a whole number; and a boolean or a large number to anything.
func fits(value any, to framework.FieldType) bool {
	if value == nil {
		return false
	}
	if number, ok := value.(json.Number); ok {
		value = number.String()
	}
	switch to {
	case framework.TypeDurationSecond:
		return isDuration(value)
	case framework.TypeInt:
		return isWhole(value)
	case framework.TypeBool:
		return isBool(value)
	case framework.TypeKVPairs:
		return isPairs(value)
	case framework.TypeCommaStringSlice:
		return isNames(value)
	default:
		return keepsItsText(value)
	}
}

// isPairs wants pairs whose values stay what they are as texts.
func isPairs(value any) bool {
	switch v := value.(type) {
	case string:
		return strings.TrimSpace(v) != ""
	case map[string]any:
		for _, inner := range v {
			if !keepsItsText(inner) {
				return false
			}
		}
	}
	return true
}

// isNames wants texts, because the sdk would take a number or a boolean for a name.
func isNames(value any) bool {
	switch v := value.(type) {
	case string, []string:
		return true
	case []any:
		return !slices.ContainsFunc(v, func(name any) bool { _, text := name.(string); return !text })
	}
	return false
}

// keepsItsText says whether a value is the same as a text: a boolean would become "1", and a number beyond maxExact another one.
func keepsItsText(value any) bool {
	switch v := value.(type) {
	case nil, bool:
		return false
	case float64:
		return math.Abs(v) <= maxExact
	}
	return true
}

// maxExact is the largest number up to which JSON's numbers are exact.
const maxExact = 1 << 53

// maxSeconds is what fits a time.Duration.
const maxSeconds = math.MaxInt64 / int64(time.Second)

var wholeNumber = provider.Pattern(`^-?(0|[1-9][0-9]*)$`)

// isWhole wants a whole number as people write it. The sdk would read a text with a leading zero as an octal number.
func isWhole(value any) bool {
	switch v := value.(type) {
	case bool:
		return false
	case float64:
		return v == math.Trunc(v) && math.Abs(v) <= maxExact
	case string:
		return wholeNumber().MatchString(v)
	default:
		return true // Go's own whole numbers; what is none at all is the sdk's to refuse
	}
}

// isDuration wants whole seconds, because the sdk would cut 1.9 to 1 and 500ms to 0, which for most fields means "never".
func isDuration(value any) bool {
	switch v := value.(type) {
	case bool:
		return false
	case float64:
		return v == math.Trunc(v) && v >= 0 && v <= float64(maxSeconds)
	case string:
		if strings.TrimSpace(v) == "" {
			return false
		}
		// What is no duration to Go is a number of seconds or of days (90d), or the sdk refuses it.
		d, err := time.ParseDuration(v)
		return err != nil || v == "0" || d >= 0 && d%time.Second == 0
	default:
		return true
	}
}

func isBool(value any) bool {
	switch v := value.(type) {
	case float64:
		return v == 0 || v == 1
	case int:
		return v == 0 || v == 1
	case string:
		return v != ""
	default:
		return true
	}
}
