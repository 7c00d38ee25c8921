package provider

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
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
	// Endpoint values decide where requests go: addresses, the CA that is trusted for them, and whatever else is a part of an
	// address that apps or the engine use.
	Endpoint bool
	// Default holds where the operator gives nothing.
	Default string
	// Check returns the canonical form of a trimmed value that is not empty. Its error completes the sentence
	// "<name> …" and never repeats the value.
	Check func(value string) (string, error)
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
	re := regexp.MustCompile(`^(?:` + pattern + `)$`)
	return func(value string) (string, error) {
		if !re.MatchString(value) {
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

// Opaque is the Check of a value whose form the platform does not publish: printable ASCII without spaces.
func Opaque(value string) (string, error) {
	if i := strings.IndexFunc(value, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsGraphic(r) || r == ' ' }); i >= 0 {
		return "", fmt.Errorf("must be printable ASCII without spaces; the character at position %d is not", i+1)
	}
	return value, nil
}

// EndpointURL is the Check of an address that requests are sent to: https, or http where the host is loopback,
// without user info, query and fragment. A trailing slash is dropped.
func EndpointURL(value string) (string, error) {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Hostname() == "" {
		return "", errors.New("must be a URL such as https://host.example.com")
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return "", errors.New("must be a URL without user info, query and fragment")
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && isLoopback(u.Hostname()):
	default:
		return "", errors.New("must start with https:// (plain http is for loopback hosts only), because secrets are sent there")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
