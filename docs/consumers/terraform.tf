# Terraform defines accounts and tokens, and no values: what is in data_json is in the state in clear.
# A token that is made without a credential is at version 0, until somebody hands the first value in:
#   vault write adtokens/tokens/acme-rw/rotate account_sid=… auth_token=-

terraform {
  required_version = ">= 1.10" # ephemeral resources
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
    account     = "acme-impact"
    type        = "legacy_read_write"
    refresh_ttl = 60
  })
}

# What reads the credential without leaving it in the state.
ephemeral "vault_generic_secret" "acme_rw" {
  path = "adtokens/creds/acme-rw"
}

# Its history, on the other hand, holds no value.
data "vault_generic_secret" "acme_rw_status" {
  depends_on = [vault_generic_endpoint.acme_rw]
  path       = "adtokens/tokens/acme-rw"
}

output "acme_rw_version" {
  value = data.vault_generic_secret.acme_rw_status.data["version"]
}
