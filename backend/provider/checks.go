package provider

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"unicode"
)

// maxEmailLength is that of SMTP, in bytes.
const maxEmailLength = 254

// EmailAddress is the Check of one address without a name beside it.
func EmailAddress(value string) (string, error) {
	address, err := mail.ParseAddress(value)
	if err != nil || address.Address != value || len(value) > maxEmailLength ||
		!strings.Contains(value[strings.LastIndex(value, "@"):], ".") ||
		strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", errors.New("must be an e-mail address such as ads-api@example.com")
	}
	return value, nil
}

// CACertificates is the Check of PEM encoded CA certificates. Text between them is dropped, and other blocks are refused:
// the value is shown to whoever may read the account, and bundles are put together by hand, with comments and with the
// private keys that lay beside.
func CACertificates(value string) (string, error) {
	const (
		begin = "-----BEGIN "
		want  = "must hold at least one PEM encoded certificate"
	)
	if strings.Contains(value, "PRIVATE KEY-----") {
		return "", errors.New(want + " and nothing else; this one holds a private key, which would be shown: leave it out")
	}
	var certificates strings.Builder
	// Each block has to begin a line for those that read the value later.
	rest, onlyCertificates := value, strings.Count("\n"+value, "\n"+begin) == strings.Count(value, begin)
	for number := 1; strings.Contains(rest, begin); number++ {
		text, block, _ := strings.Cut(rest, begin)
		onlyCertificates = onlyCertificates && strings.TrimSpace(text) == ""
		// Decode skips what it cannot read, so the block has to end before the next one begins.
		block, _, _ = strings.Cut(block, begin)
		decoded, after := pem.Decode([]byte(begin + block))
		if decoded == nil || decoded.Type != "CERTIFICATE" || len(decoded.Headers) > 0 {
			return "", fmt.Errorf(want+" and nothing else; its block %d is none", number)
		}
		if _, err := x509.ParseCertificate(decoded.Bytes); err != nil {
			return "", fmt.Errorf(want+" and nothing else; its block %d is damaged", number)
		}
		_ = pem.Encode(&certificates, decoded) // a builder takes everything
		rest = string(after) + rest[len(text)+len(begin)+len(block):]
	}
	switch {
	case certificates.Len() == 0:
		return "", errors.New(want)
	case onlyCertificates && strings.TrimSpace(rest) == "":
		return value, nil
	default:
		return strings.TrimSpace(certificates.String()), nil
	}
}
