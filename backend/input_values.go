package backend

import (
	"encoding/json"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
)

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

var wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// isWhole wants a whole number as people write it. The sdk would read a text with a leading zero as an octal number.
func isWhole(value any) bool {
	switch v := value.(type) {
	case bool:
		return false
	case float64:
		return v == math.Trunc(v) && math.Abs(v) <= maxExact
	case string:
		return wholeNumber.MatchString(v)
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
