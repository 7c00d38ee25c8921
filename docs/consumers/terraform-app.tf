# For whoever uses a value of the token that terraform.tf defines. Terraform reads ephemeral resources when it plans: beside
# the definition, the first plan would fail, and every plan until a value was handed in. So this is a configuration of its own.

terraform {
  required_version = ">= 1.11" # ephemeral resources and write-only arguments: of Terraform as of OpenTofu
  required_providers {
    vault = {
      source  = "hashicorp/vault"
      version = "~> 5.8" # the first with this ephemeral resource
    }
  }
}

# Reads the credential, and leaves nothing of it in plan and state.
ephemeral "vault_generic_secret" "acme_rw" {
  path = "adtokens/creds/acme-rw"
}

# An ephemeral value goes where Terraform keeps nothing: into a provider's configuration, or a write-only argument (…_wo).
locals {
  acme_rw = {
    account_url = ephemeral.vault_generic_secret.acme_rw.data["account_url"]
    account_sid = ephemeral.vault_generic_secret.acme_rw.data["account_sid"]
    auth_token  = ephemeral.vault_generic_secret.acme_rw.data["auth_token"]
  }
}

# A write-only argument is written anew when the version beside it (…_wo_version) is another one.
data "vault_generic_secret" "acme_rw" {
  path = "adtokens/tokens/acme-rw"
}

locals {
  acme_rw_version = tonumber(data.vault_generic_secret.acme_rw.data["version"])
}
