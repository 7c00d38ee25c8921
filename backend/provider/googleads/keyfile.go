package googleads

import (
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

// typeOfKeyFile is the "type" of a service account's key file.
const typeOfKeyFile = "service_account"

// keyFile holds the members of a service account's JSON key file that a grant needs.
type keyFile struct {
	Type         string `json:"type"`
	ClientEmail  string `json:"client_email"`
	PrivateKeyID string `json:"private_key_id"`
	// PrivateKey is PEM.
	PrivateKey string `json:"private_key"`
	TokenURI   string `json:"token_uri"`
}

// checkKeyFile is the Check of a key file, in any of the forms that readKeyFile takes. The canonical form is the file's
// JSON without white space, its members as they came; a private key whose line breaks were lost or doubled has them back.
func checkKeyFile(value string) (string, error) {
	text, err := readKeyFile(value)
	if err != nil {
		return "", err
	}
	if _, err := parseKeyFile(text); err != nil {
		return "", err
	}
	return text, nil
}

var errNoKeyFile = errors.New("must be the JSON key file of a service account, as the Google Cloud console downloads it (in the CLI: " +
	"@key-file.json)")

// Both become part of addresses of the IAM API.
var (
	checkServiceAccount = provider.Match(`[0-9A-Za-z._+-]+@[0-9A-Za-z.-]+`, "the address of a service account")
	checkKeyID          = provider.Match(`[0-9A-Za-z_-]{1,128}`, "the ID of a key")
)

// parseKeyFile reads a key file in its canonical form. It never passes on an error of a decoder, which could quote the key.
func parseKeyFile(value string) (*keyFile, error) {
	var key keyFile
	if err := json.Unmarshal([]byte(value), &key); err != nil {
		var wrongType *json.UnmarshalTypeError
		if errors.As(err, &wrongType) && wrongType.Field != "" {
			return nil, fmt.Errorf("must be a key file whose %q is a string", wrongType.Field)
		}
		return nil, errNoKeyFile
	}
	if key.Type != typeOfKeyFile {
		return nil, errors.New(`must be the key file of a service account: its "type" must be "service_account"`)
	}
	if _, err := checkServiceAccount(key.ClientEmail); err != nil {
		return nil, errors.New(`must be a key file whose "client_email" is the service account's address`)
	}
	if _, err := checkKeyID(key.PrivateKeyID); err != nil {
		return nil, errors.New(`must be a key file whose "private_key_id" is the ID of the key`)
	}
	if !isRSAKey(key.PrivateKey) {
		return nil, errNoPrivateKey
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

var errNoPrivateKey = fmt.Errorf(
	`must be a key file whose "private_key" is a PEM encoded RSA key (PKCS #8 or PKCS #1, no passphrase) of at least %d bits`, minKeyBits)

// isRSAKey reads what golang.org/x/oauth2 reads: PKCS #8 or PKCS #1, whatever the PEM block is called.
func isRSAKey(text string) bool {
	block, _ := pem.Decode([]byte(text))
	return block != nil && isRSA(block.Bytes)
}

func isRSA(der []byte) bool {
	if parsed, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		key, ok := parsed.(*rsa.PrivateKey)
		return ok && key.N.BitLen() >= minKeyBits
	}
	key, err := x509.ParsePKCS1PrivateKey(der)
	return err == nil && key.N.BitLen() >= minKeyBits
}
