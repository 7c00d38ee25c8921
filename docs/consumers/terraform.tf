# Terraform, or OpenTofu, defines accounts and tokens, and no values: what is in data_json is in the state in clear. It plans
# and applies on an empty mount. What uses a value is a configuration of its own, in another directory: terraform-app.tf.
# A token that is made without a credential is at version 0, until somebody hands the first value in:
#   vault write adtokens/tokens/acme-rw/rotate account_sid=… auth_token=-

terraform {
  required_providers {
    vault = {
      source  = "hashicorp/vault"
      version = "~> 5.0"
    }
  }
}

resource "vault_generic_endpoint" "acme_impact" {
  path                 = "adtokens/config/acme-impact"
  ignore_absent_fields = true # reading returns more than was written
  data_json = jsonencode({
    provider      = "impact"
    account_type  = "agency"
    contact_email = "ads-api@acme.example"
  })
}

resource "vault_generic_endpoint" "acme_rw" {
  depends_on           = [vault_generic_endpoint.acme_impact]
  path                 = "adtokens/tokens/acme-rw"
  ignore_absent_fields = true
  data_json = jsonencode({
    account       = "acme-impact"
    type          = "legacy_read_write"
    verify_period = 86400 # durations are seconds, as they are read back: with "24h" every plan would have a difference
    refresh_ttl   = 60
  })
}

# What the engine tells of the token. It has no value in it.
data "vault_generic_secret" "acme_rw" {
  depends_on = [vault_generic_endpoint.acme_rw]
  path       = "adtokens/tokens/acme-rw"
}

output "acme_rw_version" {
  value     = data.vault_generic_secret.acme_rw.data["version"]
  sensitive = true # the provider has all of data sensitive
}
