package backend

import (
	"maps"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/helper/automatedrotationutil"
)

func (b *backend) policyFields() map[string]*framework.FieldSchema {
	fields := commonPolicyFields()
	fields["type"].AllowedValues = allowed(b.typesThat(anyType))
	for _, kind := range b.allTypes() {
		for _, f := range kind.Options {
			addFieldSchema(fields, f, "")
		}
	}
	return fields
}

// commonPolicyFields define tokens of every type.
func commonPolicyFields() map[string]*framework.FieldSchema {
	fields := map[string]*framework.FieldSchema{
		"account":               {Type: framework.TypeString, Description: "Name of the account that the token belongs to. Fixed once the token exists."},
		"type":                  {Type: framework.TypeString, Description: "Kind of token, one of the provider's. Fixed once the token exists."},
		"refresh_ttl":           {Type: framework.TypeDurationSecond, Default: defaultRefreshTTL, Description: "How long an app may go on with a value before it looks again; bounds the outage after a reset. At least 1s."},
		"verify_period":         {Type: framework.TypeDurationSecond, Default: defaultVerifyPeriod, Description: "How often the provider is asked whether the credential still works; 0 for never."},
		"rotation_grace_period": {Type: framework.TypeDurationSecond, Default: defaultGracePeriod, Description: "How long an old value lives on that the engine retires itself."},
		"retire_after": {
			Type: framework.TypeString, Default: retireByGrace, AllowedValues: allowed([]string{retireByGrace, retireAdopted}),
			Description: "When an old value ends that the engine retires itself: grace (after rotation_grace_period) or adopted (once everybody who has read the token within reader_window has a newer one).",
		},
		"reader_window":        {Type: framework.TypeDurationSecond, Default: defaultReaderWindow, Description: "For how long after its last read a reader counts for retire_after. At least 1s."},
		"rotate_before_expiry": {Type: framework.TypeDurationSecond, Default: defaultBeforeExpiry, Description: "How long before its own end a value is due for rotation, where it has one; at most half of its life counts."},
		"lease_ttl":            {Type: framework.TypeDurationSecond, Default: 0, Description: "With more than 0, reads of creds/ carry a lease of this length, which ends with the version; each such read writes to storage."},
		"rotate_on_rejection":  {Type: framework.TypeBool, Default: false, Description: "Replace a value at once that the provider is found to reject, where the engine can: at most three times in 24 hours."},
		"custom_metadata":      {Type: framework.TypeKVPairs, Description: "Your own key=value pairs, shown when the token is read."},
	}
	automatedrotationutil.AddAutomatedRotationFields(fields)
	delete(fields, "rotation_policy") // a feature of the enterprise edition's rotation manager
	fields["rotation_period"].Description = "How long after its publication a credential is due for rotation; 0 for never. Excludes rotation_schedule."
	fields["rotation_schedule"].Description = "Cron expression (five fields, UTC) of when a rotation is due. Excludes rotation_period."
	fields["rotation_window"].Description = "How long after a scheduled time an automatic rotation may still start, at least 1h; 0 for no limit."
	fields["disable_automated_rotation"].Description = "Plan no rotations, whatever rotation_period and rotation_schedule say."
	fields["rotation_period"].Default, fields["rotation_window"].Default, fields["disable_automated_rotation"].Default = 0, 0, false
	return fields
}

func (b *backend) tokenFields() map[string]*framework.FieldSchema {
	fields := b.policyFields()
	maps.Copy(fields, b.credentialSchemas())
	maps.Copy(fields, handInFields())
	fields["name"] = nameField()
	fields[fieldForce] = &framework.FieldSchema{Type: framework.TypeBool, Query: true, Default: false, Description: "When deleting: forget old values that could not be retired, and delete a token whose storage entry cannot be read."}
	return fields
}

func (b *backend) tokenResponseFields() map[string]*framework.FieldSchema {
	fields := b.policyFields()
	for _, name := range []string{"refresh_ttl", "verify_period", "rotation_grace_period", "rotate_before_expiry", "reader_window", "lease_ttl", "rotation_period", "rotation_window"} {
		fields[name] = &framework.FieldSchema{Type: framework.TypeInt, Description: fields[name].Description + " In seconds."}
	}
	maps.Copy(fields, tokenStateFields())
	return fields
}

// tokenStateFields are what reading a token gives beside its definition.
func tokenStateFields() map[string]*framework.FieldSchema {
	return map[string]*framework.FieldSchema{
		"provider":            {Type: framework.TypeString, Description: "Ad platform of the account."},
		"version":             {Type: framework.TypeInt, Description: "Number of the current credential, 0 where there is none."},
		"fingerprint":         {Type: framework.TypeString, Description: "Keyed hash of the current credential, which identifies it and tells nothing about it."},
		"health":              {Type: framework.TypeString, Description: "ok, rejected, unverified or none."},
		"last_verification":   {Type: framework.TypeMap, Description: "When the provider was last asked about the current credential (at), with outcome and detail."},
		"rotation_state":      {Type: framework.TypeString, Description: "What an automatic rotation is doing."},
		"last_error":          {Type: framework.TypeString, Description: "Why the last automatic work failed."},
		"last_vault_rotation": {Type: framework.TypeTime, Description: "When the current credential was published."},
		"next_vault_rotation": {Type: framework.TypeTime, Description: "When the policy wants it replaced."},
		"overdue":             {Type: framework.TypeBool, Description: "That time has passed."},
		"retiring":            {Type: framework.TypeSlice, Description: "Old values that the engine is going to retire: version (0 for one that was never published) and at."},
		"identity":            {Type: framework.TypeString, Description: "Whose the credential is at the platform, as far as a verification has told; empty where none has."},
		"expires_at":          {Type: framework.TypeTime, Description: "When the current value ends by itself, as far as is known."},
		"next_refresh":        {Type: framework.TypeTime, Description: "When the engine refreshes the current credential by itself, so that it does not die of disuse."},
		"refreshed_at":        {Type: framework.TypeTime, Description: "When the current credential was last refreshed."},
		"refreshes":           {Type: framework.TypeInt, Description: "How often that has happened since it was published."},
	}
}
