package simulator

import (
	"bytes"
	"crypto/subtle"
	"slices"
	"strings"
)

// Secret is one secret value that a provider handed out.
type Secret struct {
	Service Service `json:"service"`
	// Kind is developer_token, client_secret, refresh_token, private_key, access_token or auth_token; with a platform by rules, the
	// field.
	Kind string `json:"kind"`
	// Owner names the OAuth client, service account or impact.com account; with a platform by rules, the credential, or the platform
	// where all credentials share the value.
	Owner string `json:"owner"`
	// ID is what identifies the value without giving it away: a client id, key id or account SID.
	ID    string `json:"id"`
	Value string `json:"value"`
}

// Ledger is what the providers know about requests and secrets.
type Ledger struct {
	// Requests counts by service and endpoint (the route, such as "POST /token"), requests that met a fault included.
	Requests map[Service]map[string]int `json:"requests"`
	// UserAgents counts the same requests by service and User-Agent.
	UserAgents map[Service]map[string]int `json:"user_agents"`
	// Issued holds every secret value ever made, oldest first.
	Issued []Secret `json:"issued"`
	// Live holds the values that a request could be authorised with now: a deleted key is live until its deletion took effect.
	Live []Secret `json:"live"`
}

// IsLive reports whether a secret value, or the key that a key id names, is accepted by its provider now.
func (l Ledger) IsLive(valueOrID string) bool {
	return slices.ContainsFunc(l.Live, func(secret Secret) bool {
		return secret.Value == valueOrID || (secret.Kind == kindPrivateKey && secret.ID == valueOrID)
	})
}

// Leaks names ("kind of owner") the issued secrets that occur in text, never their values.
func (l Ledger) Leaks(text []byte) []string {
	var found []string
	for _, secret := range l.Issued {
		if bytes.Contains(text, []byte(secret.needle())) {
			found = append(found, secret.Kind+" of "+secret.Owner+" "+secret.ID)
		}
	}
	return found
}

// needle is the part of a value that survives the ways it is written down: a PEM block is wrapped or JSON-escaped, but
// each line of its body stays whole. The last full line is taken: the first ones are alike in all keys.
func (secret Secret) needle() string {
	if secret.Kind != kindPrivateKey {
		return secret.Value
	}
	lines := strings.Split(strings.TrimSpace(secret.Value), "\n")
	return lines[len(lines)-3]
}

const (
	kindDeveloperToken = "developer_token"
	kindClientSecret   = "client_secret"
	kindRefreshToken   = "refresh_token"
	kindPrivateKey     = "private_key"
	kindAccessToken    = "access_token"
	kindAuthToken      = "auth_token"
)

// issue records a new secret value. The caller holds mu, or is New.
func (s *Simulator) issue(secret Secret) { s.issued = append(s.issued, secret) }

// ledger collects the current Ledger. The caller holds mu.
func (s *Simulator) ledger() Ledger {
	ledger := Ledger{Requests: s.requests, UserAgents: s.userAgents, Issued: s.issued, Live: []Secret{}}
	for _, secret := range s.issued {
		if s.isLive(secret) {
			ledger.Live = append(ledger.Live, secret)
		}
	}
	return ledger
}

func (s *Simulator) isLive(secret Secret) bool {
	if p := s.platforms[string(secret.Service)]; p != nil {
		return p.isLive(secret, s.now())
	}
	switch secret.Kind {
	case kindDeveloperToken:
		return s.google.DeveloperToken == secret.Value
	case kindClientSecret:
		client := s.clientByID(secret.ID)
		return client != nil && client.acceptsSecret(secret.Value)
	case kindRefreshToken:
		client := s.clientByID(secret.ID)
		return client != nil && client.refreshToken(secret.Value, s.now()) != nil
	case kindPrivateKey:
		key := s.google.ServiceAccounts[secret.Owner].key(secret.ID)
		return key != nil && s.isUsable(key)
	case kindAccessToken:
		return s.liveAccessToken(secret.Value) != nil
	case kindAuthToken:
		_, token := s.impactToken(secret.ID)
		return token != nil && sameSecret(token.AuthToken, secret.Value) && (token.scoped == nil || !token.scoped.Disabled)
	}
	return false
}

// sameSecret compares in constant time, as providers do.
func sameSecret(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
