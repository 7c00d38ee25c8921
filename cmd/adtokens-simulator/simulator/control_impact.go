package simulator

import (
	"fmt"
	"maps"
	"slices"
)

// LegacyCredentials are what the API Credentials page of the Legacy Account Tokens card shows.
type LegacyCredentials struct {
	ReadWrite ImpactCredential `json:"read_write"`
	ReadOnly  ImpactCredential `json:"read_only"`
}

// ScopedTokenName says which scoped token an action is about.
type ScopedTokenName struct {
	Account string `json:"account"`
	Name    string `json:"name"`
}

// ScopedTokenInput is the form that creates a scoped token.
type ScopedTokenInput struct {
	ScopedTokenName
	// Contact is the primary contact.
	Contact string `json:"contact,omitempty"`
	// APIVersion is the current one when 0.
	APIVersion int `json:"api_version,omitempty"`
	// Scopes are endpoint names; nil gives all that the simulator plays, an empty list none.
	Scopes []string `json:"scopes"`
}

type newAccount struct {
	Name string      `json:"name"`
	Kind AccountKind `json:"kind"`
}

type accountVersion struct {
	Account    string `json:"account"`
	APIVersion int    `json:"api_version"`
}

type scopedCopy struct {
	ScopedTokenName
	NewName string `json:"new_name"`
}

type scopedVersion struct {
	ScopedTokenName
	APIVersion int `json:"api_version"`
}

type limit struct {
	RequestsPerHour int `json:"requests_per_hour"`
}

func (s *Simulator) controlCreateAccount(in newAccount) (none, error) {
	if err := free(s.impact.Accounts, in.Name); err != nil {
		return none{}, err
	}
	if _, known := accountKinds[in.Kind]; !known {
		return none{}, fmt.Errorf("%q is no kind of account: use %v", in.Kind, slices.Sorted(maps.Keys(accountKinds)))
	}
	s.addImpactAccount(in.Name, in.Kind)
	return none{}, nil
}

// controlEnableLegacyTokens fails the second time: in the console the button is gone then.
func (s *Simulator) controlEnableLegacyTokens(in name) (LegacyCredentials, error) {
	account, err := find(s.impact.Accounts, "impact.com account", in.Name)
	if err != nil {
		return LegacyCredentials{}, err
	}
	if account.Legacy != nil {
		return LegacyCredentials{}, fmt.Errorf("the legacy tokens of %q are enabled already", in.Name)
	}
	s.enableLegacyTokens(account)
	return account.Legacy.credentials(), nil
}

func (t *legacyTokens) credentials() LegacyCredentials {
	return LegacyCredentials{ReadWrite: t.ReadWrite, ReadOnly: t.ReadOnly}
}

func (s *Simulator) controlShowCredentials(in name) (LegacyCredentials, error) {
	account, err := s.legacyAccount(in.Name)
	if err != nil {
		return LegacyCredentials{}, err
	}
	return account.Legacy.credentials(), nil
}

func (s *Simulator) controlResetReadWrite(in name) (ImpactCredential, error) {
	account, err := s.legacyAccount(in.Name)
	if err != nil {
		return ImpactCredential{}, err
	}
	s.resetAuthToken(account, &account.Legacy.ReadWrite)
	return account.Legacy.ReadWrite, nil
}

func (s *Simulator) controlResetReadOnly(in name) (ImpactCredential, error) {
	account, err := s.legacyAccount(in.Name)
	if err != nil {
		return ImpactCredential{}, err
	}
	s.resetAuthToken(account, &account.Legacy.ReadOnly)
	return account.Legacy.ReadOnly, nil
}

// legacyAccount finds an account whose legacy tokens are enabled.
func (s *Simulator) legacyAccount(name string) (*impactAccount, error) {
	account, err := find(s.impact.Accounts, "impact.com account", name)
	if err != nil {
		return nil, err
	}
	if account.Legacy == nil {
		return nil, fmt.Errorf("the legacy tokens of %q are not enabled", name)
	}
	return account, nil
}

func (s *Simulator) controlUpgradeAPIVersion(in accountVersion) (none, error) {
	account, err := s.legacyAccount(in.Account)
	if err != nil {
		return none{}, err
	}
	return none{}, upgrade(&account.Legacy.APIVersion, account.Kind, in.APIVersion)
}

// upgrade never goes back to an older version.
func upgrade(version *int, kind AccountKind, to int) error {
	if err := checkAPIVersion(kind, to); err != nil {
		return err
	}
	if to <= *version {
		return fmt.Errorf("the token already has API version %d", *version)
	}
	*version = to
	return nil
}

func (s *Simulator) controlRateLimit(in limit) (none, error) {
	if in.RequestsPerHour < 0 {
		return none{}, fmt.Errorf("a rate limit must not be negative")
	}
	s.options.ImpactRateLimit = in.RequestsPerHour
	return none{}, nil
}

func (s *Simulator) controlCreateScopedToken(in ScopedTokenInput) (ScopedToken, error) {
	account, err := find(s.impact.Accounts, "impact.com account", in.Account)
	if err != nil {
		return ScopedToken{}, err
	}
	if err := free(account.Scoped, in.Name); err != nil {
		return ScopedToken{}, err
	}
	token := ScopedToken{Name: in.Name, Contact: in.Contact, APIVersion: in.APIVersion, Scopes: in.Scopes}
	if token.APIVersion == 0 {
		token.APIVersion = accountKinds[account.Kind].apiVersion
	}
	if err := checkAPIVersion(account.Kind, token.APIVersion); err != nil {
		return ScopedToken{}, err
	}
	if token.Scopes == nil {
		token.Scopes = []string{companyInformation}
	}
	return s.addScopedToken(account, token), nil
}

// addScopedToken gives the token a credential of its own.
func (s *Simulator) addScopedToken(account *impactAccount, token ScopedToken) ScopedToken {
	token.ImpactCredential = s.newImpactCredential(account)
	account.Scoped[token.Name] = &token
	return token
}

// scopedToken finds a token and its account.
func (s *Simulator) scopedToken(in ScopedTokenName) (*impactAccount, *ScopedToken, error) {
	account, err := find(s.impact.Accounts, "impact.com account", in.Account)
	if err != nil {
		return nil, nil, err
	}
	token, err := find(account.Scoped, "scoped token", in.Name)
	return account, token, err
}

func (s *Simulator) controlShowScopedToken(in ScopedTokenName) (ScopedToken, error) {
	_, token, err := s.scopedToken(in)
	if err != nil {
		return ScopedToken{}, err
	}
	return *token, nil
}

func (s *Simulator) controlDuplicateScopedToken(in scopedCopy) (ScopedToken, error) {
	account, token, err := s.scopedToken(in.ScopedTokenName)
	if err != nil {
		return ScopedToken{}, err
	}
	if err := free(account.Scoped, in.NewName); err != nil {
		return ScopedToken{}, err
	}
	duplicate := *token
	duplicate.Name = in.NewName
	duplicate.Disabled = false
	return s.addScopedToken(account, duplicate), nil
}

func (s *Simulator) controlResetScopedToken(in ScopedTokenName) (ScopedToken, error) {
	account, token, err := s.scopedToken(in)
	if err != nil {
		return ScopedToken{}, err
	}
	s.resetAuthToken(account, &token.ImpactCredential)
	return *token, nil
}

func (s *Simulator) controlUpgradeScopedToken(in scopedVersion) (none, error) {
	account, token, err := s.scopedToken(in.ScopedTokenName)
	if err != nil {
		return none{}, err
	}
	return none{}, upgrade(&token.APIVersion, account.Kind, in.APIVersion)
}

func (s *Simulator) controlDisableScopedToken(in ScopedTokenName) (none, error) {
	_, token, err := s.scopedToken(in)
	if err != nil {
		return none{}, err
	}
	token.Disabled = true
	return none{}, nil
}

func (s *Simulator) controlDeleteScopedToken(in ScopedTokenName) (none, error) {
	account, token, err := s.scopedToken(in)
	if err != nil {
		return none{}, err
	}
	delete(account.Scoped, token.Name)
	return none{}, nil
}
