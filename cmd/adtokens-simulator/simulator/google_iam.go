package simulator

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// serviceAccountKey is a key as the IAM API shows it. The private fields are in the answer to its creation only.
type serviceAccountKey struct {
	Name            string `json:"name"`
	PrivateKeyType  string `json:"privateKeyType,omitempty"`
	KeyAlgorithm    string `json:"keyAlgorithm"`
	PrivateKeyData  string `json:"privateKeyData,omitempty"`
	ValidAfterTime  string `json:"validAfterTime"`
	ValidBeforeTime string `json:"validBeforeTime"`
	KeyOrigin       string `json:"keyOrigin"`
	KeyType         string `json:"keyType"`
	Disabled        bool   `json:"disabled,omitempty"`
}

const (
	userManaged   = "USER_MANAGED"
	systemManaged = "SYSTEM_MANAGED"

	keyFileType  = "TYPE_GOOGLE_CREDENTIALS_FILE"
	keyAlgorithm = "KEY_ALG_RSA_2048"
)

// keyOperation answers an authorised request about the keys of an account. It runs under mu.
type keyOperation func(r *http.Request, account *serviceAccount) (any, *googleError)

// handleIAM checks bearer token and permission, finds the account and runs the operation.
func (s *Simulator) handleIAM(verb string, operation keyOperation) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		answer, failure := s.administer(r, verb, operation)
		s.mu.Unlock()
		if failure != nil {
			writeGoogleError(w, *failure)
			return
		}
		writeGoogleJSON(w, http.StatusOK, answer)
	}
}

// handleKeyVerb answers POST …/keys/{id}:disable and :enable, which a ServeMux pattern cannot tell apart.
func (s *Simulator) handleKeyVerb(w http.ResponseWriter, r *http.Request) {
	id, verb, _ := strings.Cut(r.PathValue("key"), ":")
	r.SetPathValue("key", id)
	switch verb {
	case "disable":
		s.handleIAM(verb, s.setDisabled(true))(w, r)
	case "enable":
		s.handleIAM(verb, s.setDisabled(false))(w, r)
	default:
		handleGoogleNotFound(w, r)
	}
}

func (s *Simulator) administer(r *http.Request, verb string, operation keyOperation) (any, *googleError) {
	caller, denied := s.authorize(r, scopeCloudPlatform)
	if denied != nil {
		return nil, denied
	}
	// Only service accounts get the cloud-platform scope here, so the caller is one.
	if caller.serviceAccount.KeyAdministration == KeyAdministrationDenied {
		return nil, permissionDenied("iam.serviceAccountKeys."+verb, r)
	}
	account := s.accountByName(r.PathValue("project"), r.PathValue("account"))
	if account == nil {
		return nil, &googleError{Code: http.StatusNotFound, Message: "Unknown service account"}
	}
	return operation(r, account)
}

func permissionDenied(permission string, r *http.Request) *googleError {
	resource := "projects/" + r.PathValue("project") + "/serviceAccounts/" + r.PathValue("account")
	return &googleError{
		Code:    http.StatusForbidden,
		Message: fmt.Sprintf("Permission '%s' denied on resource (or it may not exist).", permission),
		Details: []any{map[string]any{
			"@type":    "type.googleapis.com/google.rpc.ErrorInfo",
			"reason":   "IAM_PERMISSION_DENIED",
			"domain":   "iam.googleapis.com",
			"metadata": map[string]string{"permission": permission, "resource": resource},
		}},
	}
}

// accountByName takes the account's address or unique id, and "-" for the project.
func (s *Simulator) accountByName(project, name string) *serviceAccount {
	if project != "-" && project != googleProject {
		return nil
	}
	for _, account := range s.google.ServiceAccounts {
		if account.Email == name || account.ID == name {
			return account
		}
	}
	return nil
}

func (a *serviceAccount) resource(key *accountKey) serviceAccountKey {
	end := "9999-12-31T23:59:59Z"
	if !key.Expires.IsZero() {
		end = key.Expires.UTC().Format(time.RFC3339)
	}
	return serviceAccountKey{
		Name:            "projects/" + googleProject + "/serviceAccounts/" + a.Email + "/keys/" + key.ID,
		KeyAlgorithm:    keyAlgorithm,
		ValidAfterTime:  key.Created.UTC().Format(time.RFC3339),
		ValidBeforeTime: end,
		KeyOrigin:       "GOOGLE_PROVIDED",
		KeyType:         userManaged,
		Disabled:        key.Disabled,
	}
}

func (s *Simulator) createKey(r *http.Request, account *serviceAccount) (any, *googleError) {
	if failure := checkKeyRequest(r); failure != nil {
		return nil, failure
	}
	switch s.google.IAM.KeyCreation {
	case KeyCreationForbidden:
		return nil, policyViolation(account)
	case KeyCreationForbiddenManaged:
		return nil, managedPolicyViolation()
	}
	if account.existing() >= maxKeys {
		return nil, s.keyLimitReached()
	}
	key, err := s.addKey(account)
	if err != nil {
		return nil, &googleError{Code: http.StatusInternalServerError, Message: err.Error()}
	}
	answer := account.resource(key)
	answer.PrivateKeyType = keyFileType
	answer.PrivateKeyData = base64.StdEncoding.EncodeToString(key.File)
	return answer, nil
}

// checkKeyRequest refuses what the real API knows and nobody here asks for: other formats and algorithms.
func checkKeyRequest(r *http.Request) *googleError {
	var body struct {
		PrivateKeyType string `json:"privateKeyType"`
		KeyAlgorithm   string `json:"keyAlgorithm"`
	}
	if err := decode(r.Body, &body); err != nil {
		return &googleError{Code: http.StatusBadRequest, Message: "Invalid JSON payload received."}
	}
	if !slices.Contains([]string{"", "TYPE_UNSPECIFIED", keyFileType}, body.PrivateKeyType) {
		return &googleError{Code: http.StatusBadRequest, Message: "Invalid value at 'private_key_type'"}
	}
	if !slices.Contains([]string{"", "KEY_ALG_UNSPECIFIED", keyAlgorithm}, body.KeyAlgorithm) {
		return &googleError{Code: http.StatusBadRequest, Message: "Invalid value at 'key_algorithm'"}
	}
	return nil
}

func policyViolation(account *serviceAccount) *googleError {
	const message = "Key creation is not allowed on this service account."
	return &googleError{
		Code: http.StatusBadRequest, Status: "FAILED_PRECONDITION", Message: message,
		Details: []any{map[string]any{
			"@type": "type.googleapis.com/google.rpc.PreconditionFailure",
			"violations": []any{map[string]string{
				"type":        "constraints/iam.disableServiceAccountKeyCreation",
				"subject":     "projects/" + googleProject + "/serviceAccounts/" + account.Email,
				"description": message,
			}},
		}},
	}
}

// managedPolicyViolation is the answer of the policy that newer organisations begin with.
func managedPolicyViolation() *googleError {
	const policy = "constraints/iam.managed.disableServiceAccountKeyCreation"
	info := errorInfo("CUSTOM_ORG_POLICY_VIOLATION")
	info["metadata"] = map[string]string{"service": "iam.googleapis.com", "customConstraints": policy}
	return &googleError{
		Code: http.StatusBadRequest, Status: "FAILED_PRECONDITION",
		Message: fmt.Sprintf("Operation denied by org policy: [%q: %q].", policy, "This constraint, when enforced, blocks service account key "+
			"creation."),
		Details: []any{info},
	}
}

func (s *Simulator) keyLimitReached() *googleError {
	if s.google.IAM.KeyLimitError == KeyLimitFailedPrecondition {
		return &googleError{Code: http.StatusBadRequest, Status: "FAILED_PRECONDITION", Message: "Precondition check failed."}
	}
	return &googleError{
		Code: http.StatusTooManyRequests, Message: "Maximum number of keys on account reached.",
		Details: []any{map[string]string{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "86401s"}},
	}
}

// listKeys shows the keys of the types asked for; asked for none, it shows Google's own key as well.
func (s *Simulator) listKeys(r *http.Request, account *serviceAccount) (any, *googleError) {
	types := r.URL.Query()["keyTypes"]
	for _, keyType := range types {
		if !slices.Contains([]string{userManaged, systemManaged}, keyType) {
			return nil, &googleError{Code: http.StatusBadRequest, Message: fmt.Sprintf("Invalid value at 'key_types' (%q)", keyType)}
		}
	}
	wanted := func(keyType string) bool { return len(types) == 0 || slices.Contains(types, keyType) }
	var answer struct {
		Keys []serviceAccountKey `json:"keys,omitempty"`
	}
	if wanted(systemManaged) {
		system := account.resource(&accountKey{KeyInfo: KeyInfo{ID: account.systemKey, Created: account.created}})
		system.KeyType = systemManaged
		answer.Keys = append(answer.Keys, system)
	}
	for _, key := range account.Keys {
		if wanted(userManaged) && key.visible.includes(s.now()) {
			answer.Keys = append(answer.Keys, account.resource(key))
		}
	}
	return answer, nil
}

func (s *Simulator) getKey(r *http.Request, account *serviceAccount) (any, *googleError) {
	key := account.key(r.PathValue("key"))
	if key == nil || !key.visible.includes(s.now()) {
		return nil, unknownKey(r)
	}
	return account.resource(key), nil
}

func (s *Simulator) deleteKey(r *http.Request, account *serviceAccount) (any, *googleError) {
	key := account.key(r.PathValue("key"))
	if key == nil || !key.Deleted.IsZero() {
		return nil, unknownKey(r)
	}
	s.removeKey(key)
	return struct{}{}, nil
}

// setDisabled disables or enables a key; doing it twice is no error.
func (s *Simulator) setDisabled(disabled bool) keyOperation {
	return func(r *http.Request, account *serviceAccount) (any, *googleError) {
		key := account.key(r.PathValue("key"))
		if key == nil || !key.Deleted.IsZero() {
			return nil, unknownKey(r)
		}
		key.Disabled = disabled
		return struct{}{}, nil
	}
}

func unknownKey(r *http.Request) *googleError {
	return &googleError{Code: http.StatusNotFound, Message: fmt.Sprintf("Service account key %s does not exist.", r.PathValue("key"))}
}
