package googleads

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"unicode"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// customerIDLength is in digits.
const customerIDLength = 10

var errNoCustomerID = errors.New("must be the 10 digits of a customer ID such as 123-456-7890")

// customerIDWords are what stands beside a customer ID on screens, in addresses of the API and in configuration files.
// Other words make it another kind of number: AW-1234567890 is a conversion ID.
var customerIDWords = []string{
	"account", "ads", "cid", "client", "customer", "customers", "google", "id", "ids", "login", "manager", "mcc", "no", "number",
}

// checkCustomerID takes the ten digits whatever stands between them: dashes of all kinds, spaces, dots, invisible
// characters. Words may stand before and after, not between; digits of other scripts count as words.
func checkCustomerID(value string) (string, error) {
	var digits, word strings.Builder
	words := []string{}
	between := false // a word has come since the last digit
	endWord := func() {
		if word.Len() > 0 {
			words = append(words, strings.ToLower(word.String()))
			word.Reset()
		}
	}
	for _, r := range value {
		switch isDigit := r >= '0' && r <= '9'; {
		case isDigit && between && digits.Len() > 0:
			return "", errNoCustomerID
		case isDigit:
			endWord()
			digits.WriteRune(r)
			between = false
		case unicode.IsLetter(r), unicode.IsNumber(r):
			word.WriteRune(r)
			between = true
		default:
			endWord()
		}
	}
	endWord()
	foreign := slices.ContainsFunc(words, func(w string) bool { return !slices.Contains(customerIDWords, w) })
	if digits.Len() != customerIDLength || foreign {
		return "", errNoCustomerID
	}
	return digits.String(), nil
}

func checkAPIVersion(value string) (string, error) {
	number := strings.TrimPrefix(strings.ToLower(value), "v")
	if major, minor, found := strings.Cut(number, "."); found && isMajor(major) && isMajor("1"+minor) {
		return "", fmt.Errorf("must be a major version such as %s: minor versions have the address of their major one, so give v%s",
			defaultAPIVersion, major)
	}
	if !isMajor(number) {
		return "", fmt.Errorf("must be a major version such as %s", defaultAPIVersion)
	}
	return "v" + number, nil
}

func isMajor(number string) bool {
	_, err := provider.Match(`[1-9][0-9]{0,3}`, "")(number)
	return err == nil
}

// developerTokenLength is in characters. It is the one thing about a developer token's form that Google's documentation
// and its sample tokens agree on, and what tells a token that was not copied to its end, which no call can tell since the
// sunset.
const developerTokenLength = 22

// developerTokenPunctuation is in sample tokens of Google's client libraries, though the documentation says alphanumeric.
const developerTokenPunctuation = "-_"

// checkDeveloperToken looks for what was copied beside a token rather than at the token's form.
func checkDeveloperToken(value string) (string, error) {
	const want = "must be the 22 characters of a developer token: letters, digits, - and _"
	switch foreign := strings.IndexFunc(value, func(r rune) bool { return !isTokenCharacter(r) }); {
	case strings.ContainsAny(value, ":="):
		return "", errors.New(want + "; this is a line of a configuration file: hand in what stands behind the name")
	case strings.ContainsAny(value, "\"'`“”"):
		return "", errors.New(want + "; this one has quotes around it: hand it in without them")
	case foreign >= 0:
		return "", fmt.Errorf("%s; the character at position %d is none of these", want, len([]rune(value[:foreign]))+1)
	case len(value) != developerTokenLength:
		return "", fmt.Errorf("%s; this one has %d: was it copied to its end, and nothing beside it?", want, len(value))
	}
	return value, nil
}

func isTokenCharacter(r rune) bool {
	return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) || strings.ContainsRune(developerTokenPunctuation, r)
}

const (
	digits       = "0123456789"
	lowerLetters = "abcdefghijklmnopqrstuvwxyz"
	upperLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// controlToken returns a wrong developer token of the same shape as a genuine one: of its length, with a letter where it
// has one, a digit where it has one, and the same punctuation, so that no check of the form tells them apart.
func controlToken(genuine string) string {
	if genuine == "" {
		genuine = strings.Repeat("0", developerTokenLength)
	}
	for {
		control := []byte(genuine)
		for i, c := range control {
			for _, class := range []string{digits, lowerLetters, upperLetters} {
				if strings.IndexByte(class, c) >= 0 {
					control[i] = randomOf(class)
				}
			}
		}
		if string(control) == genuine { // by chance, or because it is all punctuation
			control[0] = randomOf(digits + lowerLetters + upperLetters)
		}
		if string(control) != genuine {
			return string(control)
		}
	}
}

func randomOf(class string) byte {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(len(class))))
	if err != nil { // crypto/rand ends the program rather than return one
		panic(err)
	}
	return class[i.Int64()]
}
