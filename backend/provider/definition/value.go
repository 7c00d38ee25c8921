package definition

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// parseJSON reads one JSON value for expressions. Whole numbers stay exact at any size: those of 64 bits become int or uint, and
// larger ones the text of their digits. It says false where the text is no JSON.
func parseJSON(text []byte) (any, bool) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return nil, false
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, false
	}
	return exact(value), true
}

// exact replaces the numbers of a JSON value.
func exact(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			v[name] = exact(member)
		}
	case []any:
		for i, element := range v {
			v[i] = exact(element)
		}
	case json.Number:
		return exactNumber(v.String())
	}
	return value
}

var (
	wholeNumber = provider.Pattern(`^-?[0-9]+$`)
	// plainNumber is one whose value is small enough to be looked at as a fraction.
	plainNumber = provider.Pattern(`^-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?$`)
)

func exactNumber(text string) any {
	if !wholeNumber().MatchString(text) && plainNumber().MatchString(text) {
		if fraction, ok := new(big.Rat).SetString(text); ok && fraction.IsInt() {
			text = fraction.Num().String() // 7.0 and 1e3 are whole
		}
	}
	if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
		return whole
	}
	if whole, err := strconv.ParseUint(text, 10, 64); err == nil {
		return whole
	}
	if wholeNumber().MatchString(text) {
		return text
	}
	float, _ := strconv.ParseFloat(text, 64) // infinite where it is too large
	return float
}

// maxIdentity is how many characters an identity may have.
const maxIdentity = 256

// schemeName is that of a scheme of HTTP authentication.
var schemeName = provider.Pattern(`^[0-9A-Za-z_-]{1,64}$`)

var plainWord = provider.Pattern(`^[0-9A-Za-z_.:/-]([0-9A-Za-z_.:/ -]{0,126}[0-9A-Za-z_.:/-])?$`)

// plain is an error code or a request id that may be shown: a short plain identifier without a part of a secret. It is empty for
// anything else.
func plain(value ref.Val, secrets []string) string {
	text, ok := scalarText(value)
	if !ok || !plainWord().MatchString(text) || repeats(text, secrets) {
		return ""
	}
	return text
}

// identityOf is whose credential it is, in one spelling; empty where the value is none that may be shown.
func identityOf(value ref.Val, secrets []string) string {
	var texts []string
	if list, ok := value.(traits.Lister); ok {
		for it := list.Iterator(); it.HasNext() == types.True; {
			text, ok := scalarText(it.Next())
			if !ok || len(texts) > maxIdentity {
				return ""
			}
			texts = append(texts, text)
		}
		slices.Sort(texts)
		texts = slices.Compact(texts)
	} else if text, ok := scalarText(value); ok {
		texts = []string{text}
	}
	text := strings.TrimSpace(strings.Join(texts, ","))
	printable := !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
	if len([]rune(text)) > maxIdentity || !printable || repeats(text, secrets) {
		return ""
	}
	return text
}

// scalarText writes a text or a number.
func scalarText(value ref.Val) (string, bool) {
	if value == nil {
		return "", false
	}
	switch v := value.Value().(type) {
	case string:
		return v, true
	case int64:
		return strconv.FormatInt(v, 10), true
	case uint64:
		return strconv.FormatUint(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), !math.IsInf(v, 0) && !math.IsNaN(v)
	default:
		return "", false
	}
}

// seconds reads a number of seconds, which may be written as a text.
func seconds(value ref.Val) (float64, bool) {
	if value == nil {
		return 0, false
	}
	switch v := value.Value().(type) {
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, !math.IsNaN(v) && !math.IsInf(v, 0)
	case string:
		number, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		return number, err == nil && !math.IsNaN(number) && !math.IsInf(number, 0)
	default:
		return 0, false
	}
}

// maxTime is the last moment that RFC 3339 can write.
var maxTime = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// moment reads a time: RFC 3339, Unix seconds, or a timestamp of CEL. It is zero where the value is none, or 0 as platforms write
// "never".
func moment(value ref.Val) time.Time {
	if value == nil {
		return time.Time{}
	}
	var at time.Time
	if stamp, ok := value.Value().(time.Time); ok {
		at = stamp
	} else if unix, ok := seconds(value); ok && unix > 0 && unix < float64(maxTime.Unix()) {
		at = time.Unix(int64(unix), 0)
	} else if text, ok := value.Value().(string); ok {
		at, _ = time.Parse(time.RFC3339, strings.TrimSpace(text))
	}
	if at.Unix() <= 0 || at.After(maxTime) {
		return time.Time{}
	}
	return at.UTC()
}

// minSecretPart is how many characters of a secret may not be shown.
const minSecretPart = 12

// repeats says whether a text holds minSecretPart characters of a secret, or all of a shorter one, as they are, in the other case, or
// in an encoding that servers use.
func repeats(text string, secrets []string) bool {
	decoded := decodings(text)
	text = strings.ToLower(text)
	return slices.ContainsFunc(secrets, func(secret string) bool {
		secret = strings.ToLower(secret)
		return holdsPart(text, secret) || len(secret) >= minSecretPart &&
			slices.ContainsFunc(decoded, func(text string) bool { return holdsPart(text, secret) })
	})
}

func holdsPart(text, secret string) bool {
	length := min(minSecretPart, len(secret))
	for end := length; end <= len(text) && length > 0; end++ {
		if strings.Contains(secret, text[end-length:end]) {
			return true
		}
	}
	return false
}

// encodedRun is text that may be hexadecimal or base64 of minSecretPart characters, in either alphabet.
var encodedRun = provider.Pattern(`[0-9A-Za-z+/_-]{16,}`)

// decodings are what a text may stand for, in lower case. A run of base64 is read from each of its first four characters, because what
// stands before it moves the groups of four.
func decodings(text string) []string {
	var found []string
	if decoded, err := url.QueryUnescape(text); err == nil && decoded != text {
		found = append(found, decoded)
	}
	for _, run := range encodedRun().FindAllString(text, -1) {
		for from := range 4 {
			whole := run[from:]
			if decoded, err := hex.DecodeString(whole[:len(whole)/2*2]); err == nil {
				found = append(found, string(decoded))
			}
			standard := strings.NewReplacer("-", "+", "_", "/").Replace(whole)
			if decoded, err := base64.RawStdEncoding.DecodeString(standard[:len(standard)/4*4]); err == nil {
				found = append(found, string(decoded))
			}
		}
	}
	for i, decoded := range found {
		found[i] = strings.ToLower(decoded)
	}
	return found
}

// encodings adds the forms in which a request carries secrets, for servers that repeat those.
func encodings(authorization string) []string {
	_, value, found := strings.Cut(authorization, " ")
	if !found {
		return nil
	}
	return []string{value}
}

// parseDocumentJSON reads JSON of a document, whose numbers are written as they stand there.
func parseDocumentJSON(text []byte) (any, bool) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	return value, decoder.Decode(&value) == nil
}
