package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-cleanhttp"
)

// Client does by HTTP what a person does in the providers' consoles.
type Client struct {
	baseURL string
	http    *http.Client
}

// NewClient returns a client of the control API at baseURL.
func NewClient(baseURL string) *Client {
	return &Client{baseURL: strings.TrimSuffix(baseURL, "/"), http: cleanhttp.DefaultClient()}
}

// ActionError is what the console answers to a mistake. The same action would fail again.
type ActionError struct {
	Action string
	// Message is a sentence without secrets.
	Message string
}

func (e *ActionError) Error() string { return e.Action + ": " + e.Message }

// call runs one action. Its error is an *ActionError where the console refuses.
func call[Out any](ctx context.Context, c *Client, action string, in any) (Out, error) {
	var out Out
	body, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("encoding the input of %s: %w", action, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.baseURL+"/"+action, bytes.NewReader(body))
	if err != nil {
		return out, fmt.Errorf("calling %s: %w", action, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return out, fmt.Errorf("calling %s: %w", action, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		var failure controlError
		if err := json.NewDecoder(response.Body).Decode(&failure); err != nil {
			return out, fmt.Errorf("%s: the simulator answered %s", action, response.Status)
		}
		return out, &ActionError{Action: action, Message: failure.Message}
	}
	if err := json.NewDecoder(response.Body).Decode(&out); err != nil {
		return out, fmt.Errorf("reading the answer of %s: %w", action, err)
	}
	return out, nil
}

// InjectFault makes requests fail.
func (c *Client) InjectFault(ctx context.Context, fault Fault) error {
	_, err := call[none](ctx, c, "fault/inject", fault)
	return err
}

// ClearFaults ends all faults.
func (c *Client) ClearFaults(ctx context.Context) error {
	_, err := call[none](ctx, c, "fault/clear", none{})
	return err
}

// AdvanceClock moves the world's time, back when d is negative.
func (c *Client) AdvanceClock(ctx context.Context, d time.Duration) error {
	_, err := call[none](ctx, c, "clock/advance", advance{d})
	return err
}

// Ledger returns the requests counted and the secrets issued so far.
func (c *Client) Ledger(ctx context.Context) (Ledger, error) {
	return call[Ledger](ctx, c, "ledger", none{})
}

// State returns the whole world as JSON for a person to read, secrets included.
func (c *Client) State(ctx context.Context) (json.RawMessage, error) {
	return call[json.RawMessage](ctx, c, "state", none{})
}

// ResetDeveloperToken replaces the developer token and returns the new one; the previous one is invalid at once.
func (c *Client) ResetDeveloperToken(ctx context.Context) (string, error) {
	out, err := call[value](ctx, c, "google/reset-developer-token", none{})
	return out.Value, err
}

// DeveloperToken returns the developer token.
func (c *Client) DeveloperToken(ctx context.Context) (string, error) {
	out, err := call[value](ctx, c, "google/show-developer-token", none{})
	return out.Value, err
}

// SetDeveloperTokenMode says what the API does with the developer-token header.
func (c *Client) SetDeveloperTokenMode(ctx context.Context, mode DeveloperTokenMode) error {
	_, err := call[none](ctx, c, "google/developer-token-mode", value{string(mode)})
	return err
}

// SetDeveloperTokenStatus says what the genuine developer token is good for.
func (c *Client) SetDeveloperTokenStatus(ctx context.Context, status DeveloperTokenStatus) error {
	_, err := call[none](ctx, c, "google/developer-token-status", value{string(status)})
	return err
}

// SetProjectAccess says whether the Google Cloud project may use the API.
func (c *Client) SetProjectAccess(ctx context.Context, access ProjectAccess) error {
	_, err := call[none](ctx, c, "google/project-access", value{string(access)})
	return err
}

// CreateOAuthClient makes an OAuth client with a secret and a refresh token.
func (c *Client) CreateOAuthClient(ctx context.Context, client string) (OAuthCredential, error) {
	return call[OAuthCredential](ctx, c, "google/create-oauth-client", name{client})
}

// OAuthClient returns the newest live values of an OAuth client.
func (c *Client) OAuthClient(ctx context.Context, client string) (OAuthCredential, error) {
	return call[OAuthCredential](ctx, c, "google/show-oauth-client", name{client})
}

// AddClientSecret gives an OAuth client a second secret; both are live.
func (c *Client) AddClientSecret(ctx context.Context, client string) (OAuthCredential, error) {
	return call[OAuthCredential](ctx, c, "google/add-client-secret", name{client})
}

// DisableClientSecret ends a secret of an OAuth client.
func (c *Client) DisableClientSecret(ctx context.Context, client, secret string) error {
	_, err := call[none](ctx, c, "google/disable-client-secret", clientSecretName{client, secret})
	return err
}

// DeleteClientSecret deletes a disabled secret of an OAuth client.
func (c *Client) DeleteClientSecret(ctx context.Context, client, secret string) error {
	_, err := call[none](ctx, c, "google/delete-client-secret", clientSecretName{client, secret})
	return err
}

// NewConsent gives an OAuth client one more refresh token.
func (c *Client) NewConsent(ctx context.Context, client string) (OAuthCredential, error) {
	return call[OAuthCredential](ctx, c, "google/new-consent", name{client})
}

// WithdrawConsent ends all refresh tokens of an OAuth client.
func (c *Client) WithdrawConsent(ctx context.Context, client string) error {
	_, err := call[none](ctx, c, "google/withdraw-consent", name{client})
	return err
}

// CreateServiceAccount makes a service account with a key and returns the JSON key file.
func (c *Client) CreateServiceAccount(ctx context.Context, account string) (json.RawMessage, error) {
	return call[json.RawMessage](ctx, c, "google/create-service-account", name{account})
}

// ServiceAccountKey returns the JSON key file of the newest key.
func (c *Client) ServiceAccountKey(ctx context.Context, account string) (json.RawMessage, error) {
	return call[json.RawMessage](ctx, c, "google/show-service-account-key", name{account})
}

// ServiceAccountKeys returns all user-managed keys there ever were, oldest first, without propagation delays.
func (c *Client) ServiceAccountKeys(ctx context.Context, account string) ([]KeyInfo, error) {
	return call[[]KeyInfo](ctx, c, "google/list-service-account-keys", name{account})
}

// CreateServiceAccountKey makes one more key, as a person would, and returns its JSON key file.
func (c *Client) CreateServiceAccountKey(ctx context.Context, account string) (json.RawMessage, error) {
	return call[json.RawMessage](ctx, c, "google/create-service-account-key", name{account})
}

// DisableServiceAccountKey disables a key.
func (c *Client) DisableServiceAccountKey(ctx context.Context, key KeyName) error {
	_, err := call[none](ctx, c, "google/disable-service-account-key", key)
	return err
}

// EnableServiceAccountKey enables a disabled key.
func (c *Client) EnableServiceAccountKey(ctx context.Context, key KeyName) error {
	_, err := call[none](ctx, c, "google/enable-service-account-key", key)
	return err
}

// DeleteServiceAccountKey deletes a key.
func (c *Client) DeleteServiceAccountKey(ctx context.Context, key KeyName) error {
	_, err := call[none](ctx, c, "google/delete-service-account-key", key)
	return err
}

// SetKeyAdministration says whether a service account may manage the project's service account keys.
func (c *Client) SetKeyAdministration(ctx context.Context, account string, permission KeyAdministration) error {
	_, err := call[none](ctx, c, "google/key-administration", keyAdministration{account, permission})
	return err
}

// IAMSettings returns how the IAM API behaves.
func (c *Client) IAMSettings(ctx context.Context) (IAMSettings, error) {
	return call[IAMSettings](ctx, c, "google/show-iam-settings", none{})
}

// ConfigureIAM says how the IAM API behaves; empty choices mean the default.
func (c *Client) ConfigureIAM(ctx context.Context, settings IAMSettings) error {
	_, err := call[none](ctx, c, "google/configure-iam", settings)
	return err
}

// HookReset performs a reset on behalf of a company's automation and returns the credential fields of the new value.
func (c *Client) HookReset(ctx context.Context, in HookToken) (map[string]string, error) {
	return call[map[string]string](ctx, c, "hook/reset", in)
}

// HookShow looks the current value up on behalf of a company's automation and returns its credential fields.
func (c *Client) HookShow(ctx context.Context, in HookToken) (map[string]string, error) {
	return call[map[string]string](ctx, c, "hook/show", in)
}

// CreateImpactAccount makes an account without tokens.
func (c *Client) CreateImpactAccount(ctx context.Context, account string, kind AccountKind) error {
	_, err := call[none](ctx, c, "impact/create-account", newAccount{account, kind})
	return err
}

// EnableLegacyTokens presses "Enable Legacy Tokens".
func (c *Client) EnableLegacyTokens(ctx context.Context, account string) (LegacyCredentials, error) {
	return call[LegacyCredentials](ctx, c, "impact/enable-legacy-tokens", name{account})
}

// ImpactCredentials views the "API Credentials" of the legacy tokens.
func (c *Client) ImpactCredentials(ctx context.Context, account string) (LegacyCredentials, error) {
	return call[LegacyCredentials](ctx, c, "impact/show-credentials", name{account})
}

// ResetReadWrite presses "Reset (Read/Write)" and returns the new credential; the previous one is invalid at once.
func (c *Client) ResetReadWrite(ctx context.Context, account string) (ImpactCredential, error) {
	return call[ImpactCredential](ctx, c, "impact/reset-read-write", name{account})
}

// ResetReadOnly presses "Reset (Read-Only)" and returns the new credential; the previous one is invalid at once.
func (c *Client) ResetReadOnly(ctx context.Context, account string) (ImpactCredential, error) {
	return call[ImpactCredential](ctx, c, "impact/reset-read-only", name{account})
}

// UpgradeAPIVersion upgrades the API version of the legacy tokens.
func (c *Client) UpgradeAPIVersion(ctx context.Context, account string, version int) error {
	_, err := call[none](ctx, c, "impact/upgrade-api-version", accountVersion{account, version})
	return err
}

// SetImpactRateLimit sets the requests that each account may make in an hour.
func (c *Client) SetImpactRateLimit(ctx context.Context, requestsPerHour int) error {
	_, err := call[none](ctx, c, "impact/rate-limit", limit{requestsPerHour})
	return err
}

// CreateScopedToken makes a scoped token.
func (c *Client) CreateScopedToken(ctx context.Context, in ScopedTokenInput) (ScopedToken, error) {
	return call[ScopedToken](ctx, c, "impact/create-scoped-token", in)
}

// ScopedToken views a scoped token.
func (c *Client) ScopedToken(ctx context.Context, token ScopedTokenName) (ScopedToken, error) {
	return call[ScopedToken](ctx, c, "impact/show-scoped-token", token)
}

// DuplicateScopedToken makes a second token with the same scopes and a credential of its own.
func (c *Client) DuplicateScopedToken(ctx context.Context, token ScopedTokenName, newName string) (ScopedToken, error) {
	return call[ScopedToken](ctx, c, "impact/duplicate-scoped-token", scopedCopy{token, newName})
}

// ResetScopedToken replaces the token's auth token; the previous one is invalid at once.
func (c *Client) ResetScopedToken(ctx context.Context, token ScopedTokenName) (ScopedToken, error) {
	return call[ScopedToken](ctx, c, "impact/reset-scoped-token", token)
}

// UpgradeScopedToken upgrades the token's API version.
func (c *Client) UpgradeScopedToken(ctx context.Context, token ScopedTokenName, version int) error {
	_, err := call[none](ctx, c, "impact/upgrade-scoped-token", scopedVersion{token, version})
	return err
}

// DisableScopedToken makes the token genuine, but good for nothing.
func (c *Client) DisableScopedToken(ctx context.Context, token ScopedTokenName) error {
	_, err := call[none](ctx, c, "impact/disable-scoped-token", token)
	return err
}

// DeleteScopedToken deletes the token.
func (c *Client) DeleteScopedToken(ctx context.Context, token ScopedTokenName) error {
	_, err := call[none](ctx, c, "impact/delete-scoped-token", token)
	return err
}
