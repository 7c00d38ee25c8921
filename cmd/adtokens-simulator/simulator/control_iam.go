package simulator

import (
	"encoding/json"
	"fmt"
	"slices"
)

// KeyName says which key of which service account an action is about.
type KeyName struct {
	ServiceAccount string `json:"service_account"`
	ID             string `json:"id"`
}

type keyAdministration struct {
	ServiceAccount string            `json:"service_account"`
	Permission     KeyAdministration `json:"permission"`
}

func (s *Simulator) controlCreateServiceAccount(in name) (json.RawMessage, error) {
	if err := free(s.google.ServiceAccounts, in.Name); err != nil {
		return nil, err
	}
	return s.newKeyFile(s.addServiceAccount(in.Name))
}

func (s *Simulator) newKeyFile(account *serviceAccount) (json.RawMessage, error) {
	key, err := s.addKey(account)
	if err != nil {
		return nil, err
	}
	return key.File, nil
}

// controlShowServiceAccountKey shows the newest key's file. Google shows it only once; the console of a simulator may repeat
// it. The first look at an account without keys makes one.
func (s *Simulator) controlShowServiceAccountKey(in name) (json.RawMessage, error) {
	account, err := find(s.google.ServiceAccounts, "service account", in.Name)
	if err != nil {
		return nil, err
	}
	if len(account.Keys) == 0 {
		return s.newKeyFile(account)
	}
	for _, key := range slices.Backward(account.Keys) {
		if key.Deleted.IsZero() {
			return key.File, nil
		}
	}
	return nil, fmt.Errorf("every key of the service account %q was deleted", in.Name)
}

func (s *Simulator) controlListServiceAccountKeys(in name) ([]KeyInfo, error) {
	account, err := find(s.google.ServiceAccounts, "service account", in.Name)
	if err != nil {
		return nil, err
	}
	keys := []KeyInfo{}
	for _, key := range account.Keys {
		keys = append(keys, key.KeyInfo)
	}
	return keys, nil
}

func (s *Simulator) controlCreateServiceAccountKey(in name) (json.RawMessage, error) {
	account, err := find(s.google.ServiceAccounts, "service account", in.Name)
	if err != nil {
		return nil, err
	}
	if account.existing() >= maxKeys {
		return nil, fmt.Errorf("the service account %q has %d keys already: delete one first", in.Name, maxKeys)
	}
	return s.newKeyFile(account)
}

// existingKey finds a key that was not deleted.
func (s *Simulator) existingKey(in KeyName) (*accountKey, error) {
	account, err := find(s.google.ServiceAccounts, "service account", in.ServiceAccount)
	if err != nil {
		return nil, err
	}
	key := account.key(in.ID)
	if key == nil || !key.Deleted.IsZero() {
		return nil, fmt.Errorf("the service account %q has no key %q", in.ServiceAccount, in.ID)
	}
	return key, nil
}

func (s *Simulator) controlDisableServiceAccountKey(in KeyName) (none, error) {
	key, err := s.existingKey(in)
	if err != nil {
		return none{}, err
	}
	key.Disabled = true
	return none{}, nil
}

func (s *Simulator) controlEnableServiceAccountKey(in KeyName) (none, error) {
	key, err := s.existingKey(in)
	if err != nil {
		return none{}, err
	}
	key.Disabled = false
	return none{}, nil
}

func (s *Simulator) controlDeleteServiceAccountKey(in KeyName) (none, error) {
	key, err := s.existingKey(in)
	if err != nil {
		return none{}, err
	}
	s.removeKey(key)
	return none{}, nil
}

func (s *Simulator) controlKeyAdministration(in keyAdministration) (none, error) {
	account, err := find(s.google.ServiceAccounts, "service account", in.ServiceAccount)
	if err != nil {
		return none{}, err
	}
	return choose(&account.KeyAdministration, in.Permission, KeyAdministrationAllowed, KeyAdministrationDenied)
}

func (s *Simulator) controlShowIAMSettings(none) (IAMSettings, error) { return s.google.IAM, nil }

func (s *Simulator) controlConfigureIAM(in IAMSettings) (none, error) {
	if in.KeyPropagation < 0 || in.KeyDeletionDelay < 0 || in.KeyListLag < 0 || in.KeyLife < 0 {
		return none{}, fmt.Errorf("delays and lives must not be negative")
	}
	if in.KeyLimitError == "" {
		in.KeyLimitError = KeyLimitResourceExhausted
	}
	if in.KeyCreation == "" {
		in.KeyCreation = KeyCreationAllowed
	}
	if _, err := choose(&in.KeyLimitError, in.KeyLimitError, KeyLimitResourceExhausted, KeyLimitFailedPrecondition); err != nil {
		return none{}, err
	}
	if _, err := choose(&in.KeyCreation, in.KeyCreation, KeyCreationAllowed, KeyCreationForbidden, KeyCreationForbiddenManaged); err != nil {
		return none{}, err
	}
	s.google.IAM = in
	return none{}, nil
}
