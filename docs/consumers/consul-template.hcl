# consul-template -config=/etc/consul-template/consul-template.hcl
#
# VAULT_ADDR, or the vault stanza, says where Vault is. The token is whatever a Vault Agent or another login puts into the
# file; consul-template takes it from there each time it changes.

vault {
  vault_agent_token_file = "/run/vault-agent/token"

  # Whoever logs in renews.
  renew_token = false
}

template {
  source      = "/etc/consul-template/google-ads.yaml.ctmpl"
  destination = "/run/acme/google-ads.yaml"
  perms       = 0600
  exec {
    command = ["/usr/local/bin/acme-report-reload"]
  }
}

# For systemd (EnvironmentFile=) or a POSIX shell. For docker run --env-file take impact.docker.env.ctmpl.
template {
  source      = "/etc/consul-template/impact.env.ctmpl"
  destination = "/run/acme/impact.env"
  perms       = 0600
}
