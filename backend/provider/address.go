package provider

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// hiddenQuery takes the place of an address's query wherever the address is shown.
const hiddenQuery = "?…"

// EndpointURL is the Check of an address that requests are sent to: https, or http where the host is loopback,
// without user info, query and fragment. A trailing slash is dropped, because paths are appended.
func EndpointURL(value string) (string, error) {
	u, err := parseAddress(value)
	if err != nil {
		return "", err
	}
	const want = "must be a URL without user info, query and fragment; this one has "
	switch {
	case u.User != nil:
		return "", errors.New(want + "user info (user:password@)")
	case u.RawQuery != "" || u.ForceQuery:
		return "", errors.New(want + "a query (?…)")
	case strings.Contains(value, "#"):
		return "", errors.New(want + "a fragment (#…)")
	}
	if err := checkTarget(u); err != nil {
		return "", err
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// WebhookURL is the Check of the whole address of a webhook, of which every byte is kept: a trailing slash can be another
// resource. Unlike an EndpointURL it may have a query, in which services of functions put their key; ShowWebhookURL leaves
// it out.
func WebhookURL(value string) (string, error) {
	if before, query, _ := strings.Cut(value, "?"); before != "" {
		switch query {
		case "…", "...", "%E2%80%A6":
			return "", errors.New("has " + hiddenQuery + " where its query was, as an address with a query is shown; " +
				"give the whole address, or leave this field out to keep it")
		}
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r > unicode.MaxASCII || r == ' ' }) {
		return "", errors.New("must be ASCII without spaces: percent-encode other characters")
	}
	u, err := parseAddress(value)
	switch {
	case err != nil:
		return "", err
	case u.User != nil:
		return "", errors.New("must be a URL without user info (user:password@), which would be shown; " +
			"a query (?…) is not shown, and every request is signed")
	case strings.Contains(value, "#"):
		return "", errors.New("must be a URL without a fragment (#…), which is never sent")
	}
	if err := checkTarget(u); err != nil {
		return "", err
	}
	return value, nil
}

// RedirectURI is the Check of the address to which a platform sends a person's browser back: https, or http where the host is loopback.
// Every byte is kept, because platforms compare it with the one that is registered.
func RedirectURI(value string) (string, error) {
	u, err := parseAddress(value)
	switch {
	case err != nil:
		return "", err
	case u.User != nil:
		return "", errors.New("must be a URL without user info (user:password@)")
	case strings.Contains(value, "#"):
		return "", errors.New("must be a URL without a fragment (#…)")
	}
	return value, checkTarget(u)
}

// ShowWebhookURL returns the address without its query.
func ShowWebhookURL(value string) string {
	before, query, _ := strings.Cut(value, "?")
	if query == "" {
		return value
	}
	return before + hiddenQuery
}

// parseAddress parses an address that has a scheme and a host.
func parseAddress(value string) (*url.URL, error) {
	scheme, rest, _ := strings.Cut(value, ":")
	if !strings.HasPrefix(rest, "//") && !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "http") {
		return nil, errors.New("must be a URL such as https://host.example.com: https:// is missing")
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Hostname() == "" {
		return nil, errors.New("must be a URL such as https://host.example.com")
	}
	return u, nil
}

// checkTarget wants a host that secrets may be sent to.
func checkTarget(u *url.URL) error {
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())):
		return errors.New("must start with https:// (plain http is for loopback hosts only), because secrets are sent there")
	case strings.EqualFold(u.Hostname(), "https"), strings.EqualFold(u.Hostname(), "http"):
		return errors.New("must be a URL such as https://host.example.com; this one has https:// twice")
	case strings.ContainsFunc(u.Hostname(), func(r rune) bool { return r > unicode.MaxASCII }):
		return errors.New("must name its host in ASCII; a name in other letters has a form that begins with xn--")
	case !isPort(u.Port()):
		return errors.New("must have a port from 1 to 65535, or none")
	}
	return nil
}

// isPort takes the empty text too, which stands for the scheme's own port.
func isPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return text == "" || err == nil && port > 0
}
