package simulator

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"time"
)

// KeyLimitError is how the IAM API refuses one key too many; both ways occur.
type KeyLimitError string

// The ways.
const (
	KeyLimitResourceExhausted  KeyLimitError = "resource_exhausted"  // HTTP 429
	KeyLimitFailedPrecondition KeyLimitError = "failed_precondition" // HTTP 400
)

// KeyCreation says which organisation policy forbids new keys, if any does.
type KeyCreation string

// The policy's effects.
const (
	KeyCreationAllowed KeyCreation = "allowed"
	// KeyCreationForbidden is the legacy policy, iam.disableServiceAccountKeyCreation.
	KeyCreationForbidden KeyCreation = "forbidden"
	// KeyCreationForbiddenManaged is iam.managed.disableServiceAccountKeyCreation, which newer organisations begin with.
	KeyCreationForbiddenManaged KeyCreation = "forbidden_managed"
)

// KeyAdministration is a service account's permission to manage the keys of the project's service accounts, its own included.
type KeyAdministration string

// The permissions.
const (
	KeyAdministrationAllowed KeyAdministration = "allowed"
	KeyAdministrationDenied  KeyAdministration = "denied"
)

// IAMSettings say how the IAM API behaves to changes from now on. With no delays it is consistent at once.
type IAMSettings struct {
	// KeyPropagation is how long assertions of a fresh key are refused.
	KeyPropagation time.Duration `json:"key_propagation"`
	// KeyDeletionDelay is how long assertions of a deleted key are still accepted.
	KeyDeletionDelay time.Duration `json:"key_deletion_delay"`
	// KeyListLag is how long reads do not show that a key was made or deleted.
	KeyListLag time.Duration `json:"key_list_lag"`
	// KeyLife is how long new keys live, as the policy iam.serviceAccountKeyExpiryHours has it; 0 is for ever.
	KeyLife       time.Duration `json:"key_life"`
	KeyLimitError KeyLimitError `json:"key_limit_error"`
	KeyCreation   KeyCreation   `json:"key_creation"`
}

// maxKeys is the documented number of user-managed keys that a service account can have.
const maxKeys = 10

type serviceAccount struct {
	Name              string            `json:"name"`
	Email             string            `json:"email"`
	ID                string            `json:"unique_id"`
	Keys              []*accountKey     `json:"keys"`
	KeyAdministration KeyAdministration `json:"key_administration"`
	AdsAccess         AdsAccess         `json:"ads_access"`

	// systemKey is the id of the key that Google manages itself. Nobody can sign with it; it shows up in lists.
	systemKey string
	created   time.Time
}

// accountKey stays in the world when it is deleted: the deletion takes effect later.
type accountKey struct {
	KeyInfo
	File json.RawMessage `json:"file"`

	public *rsa.PublicKey
	// When assertions of the key are accepted, and when reads show it: the delays of the moment it was made or deleted count.
	usable, visible period
}

// period is a time from until; a zero until is never.
type period struct {
	from, until time.Time
}

func (p period) includes(now time.Time) bool {
	return !now.Before(p.from) && (p.until.IsZero() || now.Before(p.until))
}

// KeyInfo is what there is to know of a key without its private half.
type KeyInfo struct {
	ID       string    `json:"id"`
	Created  time.Time `json:"created"`
	Disabled bool      `json:"disabled"`
	// Expires is the zero time for a key that lives until it is deleted.
	Expires time.Time `json:"expires,omitzero"`
	// Deleted is the zero time for a key that was not deleted.
	Deleted time.Time `json:"deleted,omitzero"`
}

func (s *Simulator) addServiceAccount(name string) *serviceAccount {
	account := &serviceAccount{
		Name:              name,
		Email:             name + "@" + googleProject + ".iam.gserviceaccount.com",
		ID:                "1" + randomString(digits, 20),
		KeyAdministration: KeyAdministrationAllowed,
		AdsAccess:         AdsAccessGranted,
		systemKey:         randomString(hexDigits, 40),
		created:           s.now(),
	}
	s.google.ServiceAccounts[name] = account
	return account
}

// addKey makes a key of the service account.
func (s *Simulator) addKey(account *serviceAccount) (*accountKey, error) {
	private, err := rsaKey(s.keysMade)
	if err != nil {
		return nil, err
	}
	s.keysMade++
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("encoding a private key: %w", err)
	}
	now := s.now()
	key := &accountKey{
		KeyInfo: KeyInfo{ID: randomString(hexDigits, 40), Created: now},
		public:  &private.PublicKey,
		usable:  period{from: now.Add(s.google.IAM.KeyPropagation)},
		visible: period{from: now.Add(s.google.IAM.KeyListLag)},
	}
	if s.google.IAM.KeyLife > 0 {
		key.Expires = now.Add(s.google.IAM.KeyLife).Truncate(time.Second)
	}
	block := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	key.File, err = json.MarshalIndent(map[string]string{
		"type":                        "service_account",
		"project_id":                  googleProject,
		"private_key_id":              key.ID,
		"private_key":                 block,
		"client_email":                account.Email,
		"client_id":                   account.ID,
		"auth_uri":                    "https://accounts.google.com/o/oauth2/auth",
		"token_uri":                   s.google.TokenURI,
		"auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
		"client_x509_cert_url":        "https://www.googleapis.com/robot/v1/metadata/x509/" + strings.Replace(account.Email, "@", "%40", 1),
		"universe_domain":             "googleapis.com",
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding a key file: %w", err)
	}
	account.Keys = append(account.Keys, key)
	s.issue(Secret{GoogleToken, kindPrivateKey, account.Name, key.ID, block})
	return key, nil
}

// accountByEmail returns nil for an unknown address.
func (s *Simulator) accountByEmail(email string) *serviceAccount {
	for _, account := range s.google.ServiceAccounts {
		if account.Email == email {
			return account
		}
	}
	return nil
}

// key returns nil for an unknown id.
func (a *serviceAccount) key(id string) *accountKey {
	for _, key := range a.Keys {
		if key.ID == id {
			return key
		}
	}
	return nil
}

// existing counts the keys that were not deleted.
func (a *serviceAccount) existing() int {
	n := 0
	for _, key := range a.Keys {
		if key.Deleted.IsZero() {
			n++
		}
	}
	return n
}

// removeKey deletes a key, which takes effect later.
func (s *Simulator) removeKey(key *accountKey) {
	now := s.now()
	key.Deleted = now
	key.usable.until = now.Add(s.google.IAM.KeyDeletionDelay)
	key.visible.until = now.Add(s.google.IAM.KeyListLag)
}

// isUsable reports whether assertions of the key are accepted now. The documentation speaks of delays of creation and
// deletion only: disabling works at once.
func (s *Simulator) isUsable(key *accountKey) bool {
	now := s.now()
	return !key.Disabled && key.usable.includes(now) && (key.Expires.IsZero() || now.Before(key.Expires))
}
