package simulator

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// AccountKind is a kind of impact.com account.
type AccountKind string

// The kinds of account.
const (
	Agency  AccountKind = "agency"
	Brand   AccountKind = "brand"
	Partner AccountKind = "partner"
)

// accountKinds gives each kind its base path and its current API version.
var accountKinds = map[AccountKind]struct {
	basePath   string
	apiVersion int
}{
	Agency:  {"Agencies", 3},
	Brand:   {"Advertisers", 14},
	Partner: {"Mediapartners", 16},
}

// companyInformation is the one endpoint that is played, and the one scope that scoped tokens can have.
const companyInformation = "CompanyInformation"

// defaultRateLimit is documented: requests an hour and account.
const defaultRateLimit = 1000

type impactWorld struct {
	Accounts map[string]*impactAccount `json:"accounts"`
}

type impactAccount struct {
	Name string      `json:"name"`
	Kind AccountKind `json:"kind"`
	// Legacy is nil until legacy tokens are enabled.
	Legacy *legacyTokens           `json:"legacy"`
	Scoped map[string]*ScopedToken `json:"scoped"`

	// The requests used of the current window, which is over at windowEnd.
	used      int
	windowEnd time.Time
}

type legacyTokens struct {
	APIVersion int              `json:"api_version"`
	ReadWrite  ImpactCredential `json:"read_write"`
	ReadOnly   ImpactCredential `json:"read_only"`
}

// ImpactCredential is the pair that authenticates an impact.com request. Each token has its own.
type ImpactCredential struct {
	AccountSID string `json:"account_sid"`
	AuthToken  string `json:"auth_token"`
}

// ScopedToken is an impact.com token with permissions per endpoint.
type ScopedToken struct {
	Name       string   `json:"name"`
	Contact    string   `json:"contact"`
	APIVersion int      `json:"api_version"`
	Scopes     []string `json:"scopes"`
	Disabled   bool     `json:"disabled"`
	ImpactCredential
}

// liveToken is what a request is judged by, whichever kind of token it comes from.
type liveToken struct {
	ImpactCredential
	scoped *ScopedToken // nil for a legacy token
}

func (s *Simulator) newImpactWorld() impactWorld {
	s.impact = impactWorld{Accounts: map[string]*impactAccount{}}
	for _, kind := range slices.Sorted(maps.Keys(accountKinds)) {
		account := s.addImpactAccount(string(kind), kind)
		if kind == Agency {
			s.enableLegacyTokens(account)
		}
	}
	return s.impact
}

func (s *Simulator) addImpactAccount(name string, kind AccountKind) *impactAccount {
	account := &impactAccount{Name: name, Kind: kind, Scoped: map[string]*ScopedToken{}}
	s.impact.Accounts[name] = account
	return account
}

// enableLegacyTokens starts one version behind the current one, as old tokens are, so that there is something to upgrade to.
func (s *Simulator) enableLegacyTokens(account *impactAccount) {
	account.Legacy = &legacyTokens{
		APIVersion: accountKinds[account.Kind].apiVersion - 1,
		ReadWrite:  s.newImpactCredential(account),
		ReadOnly:   s.newImpactCredential(account),
	}
}

func (s *Simulator) newImpactCredential(account *impactAccount) ImpactCredential {
	credential := ImpactCredential{AccountSID: "IR" + randomString(alphanumeric, 32)}
	s.resetAuthToken(account, &credential)
	return credential
}

// resetAuthToken replaces the auth token; the account SID stays.
func (s *Simulator) resetAuthToken(account *impactAccount, credential *ImpactCredential) {
	credential.AuthToken = randomString(alphanumeric, 32)
	s.issue(Secret{Impact, kindAuthToken, account.Name, credential.AccountSID, credential.AuthToken})
}

// checkAPIVersion refuses versions that an account of the kind does not have.
func checkAPIVersion(kind AccountKind, version int) error {
	if current := accountKinds[kind].apiVersion; version < 1 || version > current {
		return fmt.Errorf("an account of kind %s has the API versions 1 to %d, not %d", kind, current, version)
	}
	return nil
}

// impactToken finds the token with this account SID, disabled or not, and its account.
func (s *Simulator) impactToken(sid string) (*impactAccount, *liveToken) {
	for _, account := range s.impact.Accounts {
		if legacy := account.Legacy; legacy != nil {
			for _, credential := range []ImpactCredential{legacy.ReadWrite, legacy.ReadOnly} {
				if credential.AccountSID == sid {
					return account, &liveToken{ImpactCredential: credential}
				}
			}
		}
		for _, scoped := range account.Scoped {
			if scoped.AccountSID == sid {
				return account, &liveToken{scoped.ImpactCredential, scoped}
			}
		}
	}
	return nil, nil
}
