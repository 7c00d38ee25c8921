# vault agent -config=/etc/vault-agent/supervisor.hcl
#
# The agent starts the app with the credential in its environment, and starts it anew when the credential changes.

auto_auth {
  method "approle" {
    mount_path = "auth/approle"
    config = {
      role_id_file_path                   = "/etc/vault-agent/role-id"
      secret_id_file_path                 = "/etc/vault-agent/secret-id"
      remove_secret_id_file_after_reading = false
    }
  }
}

template_config {
  exit_on_retry_failure = true
}

env_template "IMPACT_URL" {
  contents = "{{ with secret \"adtokens/creds/acme-rw\" }}{{ .Data.account_url }}{{ end }}"
}

env_template "IMPACT_ACCOUNT_SID" {
  contents = "{{ with secret \"adtokens/creds/acme-rw\" }}{{ .Data.account_sid }}{{ end }}"
}

env_template "IMPACT_AUTH_TOKEN" {
  contents = "{{ with secret \"adtokens/creds/acme-rw\" }}{{ .Data.auth_token }}{{ end }}"
}

# For the app's log: it identifies the value and gives nothing away.
env_template "IMPACT_FINGERPRINT" {
  contents = "{{ with secret \"adtokens/creds/acme-rw\" }}{{ .Data.fingerprint }}{{ end }}"
}

exec {
  command                   = ["/usr/local/bin/acme-report"]
  restart_on_secret_changes = "always"
  restart_stop_signal       = "SIGTERM"
}
