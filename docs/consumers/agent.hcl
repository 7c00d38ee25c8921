# vault agent -config=/etc/vault-agent/agent.hcl
#
# VAULT_ADDR, or a vault stanza, says where Vault is.

auto_auth {
  method "approle" {
    mount_path = "auth/approle"
    config = {
      role_id_file_path   = "/etc/vault-agent/role-id"
      secret_id_file_path = "/etc/vault-agent/secret-id"

      # The agent logs in again when it is restarted, or its token cannot be renewed any more.
      remove_secret_id_file_after_reading = false
    }
  }
}

template_config {
  # End, and let the service manager start anew, rather than leave stale files without anybody noticing.
  exit_on_retry_failure = true
}

# What Google's client libraries read.
template {
  source      = "/etc/vault-agent/google-ads.yaml.ctmpl"
  destination = "/run/acme/google-ads.yaml"
  perms       = "0600"

  # Run when the content has changed, and only then.
  exec {
    command = ["/usr/local/bin/acme-report-reload"]
  }
}

# What systemd (EnvironmentFile=) or a POSIX shell reads, and nothing else: other readers have other rules for quotes. For
# docker run --env-file take impact.docker.env.ctmpl.
template {
  source      = "/etc/vault-agent/impact.env.ctmpl"
  destination = "/run/acme/impact.env"
  perms       = "0600"
}
