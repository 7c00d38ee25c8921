package googleads

import (
	"encoding/json"
	"encoding/pem"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// keyIdentity is that of the key which the file names. Members beside client_email and private_key_id, and their order,
// make no other key. The file was checked when it came in, so that its private key is not looked at again: identities of
// all tokens of a mount are taken when it starts.
func keyIdentity(credential provider.Values) string {
	file, err := readKeyNames(credential[fieldServiceAccountKey])
	if err != nil {
		return credential[fieldServiceAccountKey]
	}
	return provider.Key{Owner: file.ClientEmail, ID: file.PrivateKeyID}.Identity()
}

// whose says whose the access tokens are that Google grants for an OAuth identity: a service account's, or an OAuth client's.
func whose(identity provider.Values) string {
	if identity[fieldServiceAccountKey] == "" {
		return identity[fieldClientID]
	}
	file, err := readKeyNames(identity[fieldServiceAccountKey])
	if err != nil {
		return ""
	}
	return strings.ToLower(file.ClientEmail)
}

// keyContent is the key and its private part: a file whose private part was damaged is replaced by a good one of the same
// key.
func keyContent(credential provider.Values) string {
	file, err := readKeyNames(credential[fieldServiceAccountKey])
	if err != nil {
		return credential[fieldServiceAccountKey]
	}
	private := []byte(file.PrivateKey)
	if block, _ := pem.Decode(private); block != nil {
		private = block.Bytes // line ends and white space do not matter
	}
	return keyIdentity(credential) + "\n" + string(private)
}

// readKeyNames reads a key file without checking it.
func readKeyNames(value string) (*keyFile, error) {
	var file keyFile
	err := json.Unmarshal([]byte(value), &file)
	return &file, err
}

// SelfAsserted says yes to a key file that names a token_uri other than Google's own, in an account without a token_url:
// whoever wrote the file chose who confirms it.
func (keys) SelfAsserted(settings, credential provider.Values) bool {
	return selfAsserted(settings, credential)
}
