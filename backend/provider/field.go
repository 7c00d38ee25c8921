package provider

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"unicode"
)

// maxFieldLength bounds every value that an operator hands in. A service account key file has about 2,400 bytes.
const maxFieldLength = 16 * 1024

// Field is one named value that an operator hands in.
type Field struct {
	Name        string
	Description string
	// Secret values are write-only in accounts, and are never repeated in an error.
	Secret bool
	// Flag values are true or false, kept as "true" or as nothing.
	Flag bool
	// File values are the content of a file, which may have several lines.
	File bool
	// Members are names in such a file that tell it from others.
	Members []string
	// Endpoint values decide where requests go: addresses, the CA that is trusted for them, and whatever else is a part of an
	// address that apps or the engine use.
	Endpoint bool
	// Default holds where the operator gives nothing.
	Default string
	// Check returns the canonical form of a trimmed value that is not empty. Its error completes the sentence
	// "<name> …" and never repeats the value.
	Check func(value string) (string, error)
	// Show returns what may be shown of a value that is no secret as a whole and can hold one. Nil shows it all.
	Show func(value string) string
}

// Shown is what may be shown of a value that is not Secret.
func (f Field) Shown(value string) string {
	if f.Show == nil {
		return value
	}
	return f.Show(value)
}

// Canonical trims and checks a value. The empty string is returned as it is: whether a field is needed is for the
// caller to say.
func (f Field) Canonical(value string) (string, error) {
	value = strings.TrimSpace(value)
	if value == "" {
		return "", nil
	}
	if len(value) > maxFieldLength {
		return "", fmt.Errorf("%s must have at most %d bytes, this one has %d", f.Name, maxFieldLength, len(value))
	}
	if f.Check == nil {
		return value, nil
	}
	canonical, err := f.Check(value)
	if err != nil {
		return "", fmt.Errorf("%s %w", f.Name, err)
	}
	return canonical, nil
}

// Same says whether a stored value is the given canonical one, or becomes it: what is canonical can change with the version
// of the plugin.
func (f Field) Same(stored, given string) bool {
	if stored == given {
		return true
	}
	canonical, err := f.Canonical(stored)
	return err == nil && canonical == given
}

// Names lists the names of fields in their order.
func Names(fields []Field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return names
}

// Lookup finds a field by its name.
func Lookup(fields []Field, name string) (Field, bool) {
	for _, f := range fields {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}

// Match returns a Check that wants the whole value to match the pattern. Want completes "must be …".
func Match(pattern, want string) func(string) (string, error) {
	re := Pattern(`^(?:` + pattern + `)$`)
	return func(value string) (string, error) {
		if !re().MatchString(value) {
			return "", fmt.Errorf("must be %s", want)
		}
		return value, nil
	}
}

// OneOf returns a Check that wants one of the given values.
func OneOf(allowed ...string) func(string) (string, error) {
	return func(value string) (string, error) {
		if !slices.Contains(allowed, value) {
			return "", fmt.Errorf("must be one of %s", strings.Join(allowed, ", "))
		}
		return value, nil
	}
}

// Opaque is the Check of a value whose form the platform does not publish: the characters of which HTTP makes tokens
// (token68 of RFC 9110, b64token of RFC 6750), which all OAuth clients, refresh tokens and API tokens that are known to be
// genuine are made of. Values end up in files that a shell, a parser of .env files or of YAML reads. None of these acts on
// any of the characters, where a quote, a $, a ; or a # could end the value and begin a command.
func Opaque(value string) (string, error) {
	if i := strings.IndexFunc(value, func(r rune) bool { return !isTokenCharacter(r) }); i >= 0 {
		return "", fmt.Errorf("must be printable ASCII without spaces, and without what a shell or a parser acts on: "+
			"only letters, digits and . _ ~ + / = - ; "+
			"the character at position %d is another one", i+1)
	}
	return value, nil
}

func isTokenCharacter(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r <= unicode.MaxASCII && strings.ContainsRune("._~+/=-", r)
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
