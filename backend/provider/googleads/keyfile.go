package googleads

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// minKeyBits is the smallest key size of IAM, and the smallest that Go signs with.
const minKeyBits = 1024

// keyFile holds the members of a service account's JSON key file that a grant needs.
type keyFile struct {
	Type         string `json:"type"`
	ClientEmail  string `json:"client_email"`
	PrivateKeyID string `json:"private_key_id"`
	// PrivateKey is PEM.
	PrivateKey string `json:"private_key"`
	TokenURI   string `json:"token_uri"`
}

// checkKeyFile is the Check of a key file. Its canonical form is the same JSON without white space.
func checkKeyFile(value string) (string, error) {
	if _, err := parseKeyFile(value); err != nil {
		return "", err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(value)); err != nil {
		return "", errNoKeyFile
	}
	return compact.String(), nil
}

var errNoKeyFile = errors.New("must be the JSON key file of a service account, as the Google Cloud console downloads it (in the CLI: @key-file.json)")

// Both become part of addresses of the IAM API.
var (
	checkServiceAccount = provider.Match(`[0-9A-Za-z._+-]+@[0-9A-Za-z.-]+`, "the address of a service account")
	checkKeyID          = provider.Match(`[0-9A-Za-z_-]{1,128}`, "the ID of a key")
)

// parseKeyFile never passes on an error of a decoder, which could quote the key.
func parseKeyFile(value string) (*keyFile, error) {
	var key keyFile
	if err := json.Unmarshal([]byte(value), &key); err != nil {
		var wrongType *json.UnmarshalTypeError
		if errors.As(err, &wrongType) && wrongType.Field != "" {
			return nil, fmt.Errorf("must be a key file whose %q is a string", wrongType.Field)
		}
		return nil, errNoKeyFile
	}
	if key.Type != "service_account" {
		return nil, errors.New(`must be the key file of a service account: its "type" must be "service_account"`)
	}
	if _, err := checkServiceAccount(key.ClientEmail); err != nil {
		return nil, errors.New(`must be a key file whose "client_email" is the service account's address`)
	}
	if _, err := checkKeyID(key.PrivateKeyID); err != nil {
		return nil, errors.New(`must be a key file whose "private_key_id" is the ID of the key`)
	}
	if !isRSAKey(key.PrivateKey) {
		return nil, fmt.Errorf(`must be a key file whose "private_key" is a PEM encoded RSA key (PKCS #8 or PKCS #1, no passphrase) of at least %d bits`, minKeyBits)
	}
	if key.TokenURI != "" {
		address, err := provider.EndpointURL(key.TokenURI)
		if err != nil {
			return nil, fmt.Errorf(`must be a key file whose "token_uri" is left out or usable: it %w`, err)
		}
		key.TokenURI = address
	}
	return &key, nil
}

func isRSAKey(text string) bool {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return false
	}
	if parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		key, ok := parsed.(*rsa.PrivateKey)
		return ok && key.N.BitLen() >= minKeyBits
	}
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	return err == nil && key.N.BitLen() >= minKeyBits
}
