package main

import (
	"time"
)

// What the engine says about one token.

type token struct {
	Account          string
	Provider         string
	Type             string
	Version          int
	Fingerprint      string
	Health           string
	RefreshTTL       int            `json:"refresh_ttl"`
	LastVerification *verification  `json:"last_verification"`
	RotationState    string         `json:"rotation_state"`
	LastError        string         `json:"last_error"`
	LastRotation     *time.Time     `json:"last_vault_rotation"`
	NextRotation     *time.Time     `json:"next_vault_rotation"`
	Overdue          bool           `json:"overdue"`
	ExpiresAt        *time.Time     `json:"expires_at"`
	Retiring         []retiring     `json:"retiring"`
	RetireAfter      string         `json:"retire_after"`
	Identity         any            `json:"identity"`
	NextRefresh      *time.Time     `json:"next_refresh"`
	Metadata         map[string]any `json:"custom_metadata"`
}

type verification struct {
	At      time.Time
	Outcome string
	Detail  string
}

type retiring struct {
	At      *time.Time
	Version int
}

type runbook struct {
	ConsoleURL     string `json:"console_url"`
	Role           string
	Steps          []string
	ResetSemantics string `json:"reset_semantics"`
	Previous       string `json:"previous_credential"`
	Fields         []string
	Automatic      bool
	Consent        bool
	Notes          []string
}

type history struct {
	Versions []historyEntry
}

type historyEntry struct {
	Version      int
	CreatedAt    *time.Time `json:"created_at"`
	Reason       string
	DisplayName  string `json:"display_name"`
	Source       string
	Verification string
	RetiredAt    *time.Time `json:"retired_at"`
	RetiredHow   string     `json:"retired_how"`
	Note         string
}

type readers struct {
	CurrentVersion int `json:"current_version"`
	Readers        []reader
	Summary        struct {
		Total, Current, Behind, Forgotten int
	}
}

type reader struct {
	EntityID    string `json:"entity_id"`
	DisplayName string `json:"display_name"`
	Client      string
	Address     string
	Path        string
	Version     int
	FirstRead   *time.Time `json:"first_read"`
	LastRead    *time.Time `json:"last_read"`
}

// concern is what a person has to look at.
func (t *token) concern(now time.Time) concern {
	s := statusRow{Version: t.Version, Health: t.Health, Overdue: t.Overdue, ExpiresAt: t.ExpiresAt, LastError: t.LastError}
	return s.concern(now)
}
