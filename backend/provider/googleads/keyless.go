package googleads

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2"
	"google.golang.org/api/iam/v1"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// serviceAccountEmail is what the address of a service account looks like; nothing of it means something in a URL's path.
var serviceAccountEmail = provider.Pattern(`^[a-z0-9][a-z0-9._-]{0,62}@[a-z0-9][a-z0-9.-]{0,190}\.gserviceaccount\.com$`)

// checkImpersonated is the Check of service_account_email.
func checkImpersonated(value string) (string, error) {
	value = strings.ToLower(value)
	if !serviceAccountEmail().MatchString(value) {
		return "", errors.New("must be the e-mail address of a service account, such as ads@my-project.iam.gserviceaccount.com")
	}
	return value, nil
}

// impersonatedType is a service account that the account's own identity acts for.
func impersonatedType() *provider.TokenType {
	return &provider.TokenType{
		Name:           typeImpersonated,
		Title:          "Service account without a key",
		Description:    "Service account that the account's own identity acts for, by the IAM Service Account Credentials API. There is no secret.",
		ResetSemantics: provider.None,
		Fields: []provider.Field{{
			Name: fieldServiceAccount, Check: checkImpersonated,
			Description: "E-mail address of the service account.",
		}},
		Subject:    subject(),
		Connection: connection(),
		Connect:    connect,
		Verify:     verifyImpersonated,
		Runbook:    impersonatedRunbook,
		Mint:       mintImpersonated,
	}
}

// credentialsURL is where the account reaches the IAM Service Account Credentials API.
func credentialsURL(settings provider.Values) string {
	return cmp.Or(settings[fieldCredentialsURL], settings[fieldIAMURL], defaultCredentialsURL)
}

// mintImpersonated makes an access token of the service account, acting as the account's own identity.
func mintImpersonated(ctx context.Context, a provider.Account, t provider.Token) (provider.AccessToken, error) {
	token, err := impersonate(ctx, a, t.Credential[fieldServiceAccount])
	if err != nil {
		return provider.AccessToken{}, err
	}
	return provider.AccessToken{Value: token.AccessToken, Type: token.Type(), ExpiresAt: expiry(token, time.Now())}, nil
}

// verifyImpersonated makes an access token and lists the customers with it.
func verifyImpersonated(ctx context.Context, a provider.Account, t provider.Token) (provider.Verification, error) {
	access, err := impersonate(ctx, a, t.Credential[fieldServiceAccount])
	if refused, ok := errors.AsType[*provider.Refused](err); ok {
		return provider.Verification{Outcome: provider.Rejected, Detail: refused.Detail, Code: refused.Code}, nil
	}
	if err != nil {
		return provider.Verification{}, err
	}
	answer, err := listCustomers(ctx, a, adsCall{access: access, secrets: secretsOf(a.Settings)})
	if err != nil {
		return provider.Verification{}, err
	}
	v := judgeIdentity(answer)
	v.Identity = t.Credential[fieldServiceAccount]
	return v, nil
}

const detailNoActor = "The account has no identity that can act for a service account: set external_account, use_host_identity or service_account_key in " +
	"the account's configuration"

// impersonate gets an access token of the service account.
func impersonate(ctx context.Context, a provider.Account, email string) (*oauth2.Token, error) {
	if !hasIdentity(a.Settings) || a.Settings[fieldRefreshToken] != "" {
		return nil, &provider.Refused{Detail: detailNoActor}
	}
	actor, err := grant(ctx, a, grantRequest{identity: a.Settings, scope: iam.CloudPlatformScope})
	if refused, ok := errors.AsType[*provider.Refused](err); ok {
		return nil, &provider.Refused{Detail: "Google refuses the account's own identity: " + refused.Detail, Code: refused.Code}
	}
	if err != nil {
		return nil, err
	}
	return generateToken(ctx, a, actor, email, scopeAdWords)
}

// generateToken asks the IAM Service Account Credentials API, acting with an access token.
func generateToken(ctx context.Context, a provider.Account, actor *oauth2.Token, email, scope string) (*oauth2.Token, error) {
	response, err := send(ctx, a, outgoing{
		method:  http.MethodPost,
		address: credentialsURL(a.Settings) + "/v1/projects/-/serviceAccounts/" + email + ":generateAccessToken",
		header:  http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + actor.AccessToken}},
		body:    `{"scope":["` + scope + `"],"lifetime":"3600s"}`,
	})
	if err != nil {
		return nil, err
	}
	var body struct {
		AccessToken string    `json:"accessToken"`
		ExpireTime  time.Time `json:"expireTime"`
		Error       struct {
			Status string `json:"status"`
		} `json:"error"`
	}
	if err := decode(response, &body); err != nil {
		return nil, err
	}
	if response.Status >= http.StatusBadRequest {
		return nil, notImpersonated(response, rpcStatus(body.Error.Status), email)
	}
	token := &oauth2.Token{AccessToken: body.AccessToken, Expiry: body.ExpireTime}
	if !usableToken(token) {
		return nil, response.Unreadable()
	}
	return token, nil
}

// notImpersonated says why there is no access token.
func notImpersonated(response *provider.Response, status, email string) error {
	if status == "" {
		return response.Unreadable()
	}
	detail := "Google does not let the account's own identity act for " + email
	switch status {
	case "PERMISSION_DENIED", statusNotFound:
		detail += ", or does not know that service account: the identity needs the role Service Account Token Creator " +
			"(roles/iam.serviceAccountTokenCreator) on it, and the project the IAM Service Account Credentials API"
	case statusFailedPrecondition:
		detail += ": the service account may be disabled"
	case "UNAUTHENTICATED":
		detail += ": it does not take the identity's access token"
	}
	return &provider.Refused{Detail: detail, Code: status}
}

// grantByHost gets an access token of the host's own identity from its metadata server. That is never reached by way of a proxy.
func grantByHost(ctx context.Context, a provider.Account, scope string) (*oauth2.Token, error) {
	if a.Client.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.Client.Timeout)
		defer cancel()
	}
	const host = "The metadata server of the Vault server's host"
	text, err := metadata.NewClient(nil).GetWithContext(ctx, "instance/service-accounts/default/token?scopes="+scope)
	if _, undefined := errors.AsType[metadata.NotDefinedError](err); undefined {
		return nil, &provider.Refused{Detail: "The Vault server's host has no service account at Google, so use_host_identity cannot work there"}
	}
	if err != nil {
		kind := provider.Unavailable
		if errors.Is(err, context.DeadlineExceeded) {
			kind = provider.Timeout
		}
		return nil, &provider.Error{Kind: kind, Host: host, Problem: "does not answer, so use_host_identity cannot work: is Vault's server a machine of Google Cloud?"}
	}
	var body struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
		TokenType   string `json:"token_type"`
	}
	err = json.Unmarshal([]byte(text), &body)
	token := &oauth2.Token{AccessToken: body.AccessToken, TokenType: body.TokenType, Expiry: time.Now().Add(time.Duration(body.ExpiresIn) * time.Second)}
	if err != nil || !usableToken(token) {
		return nil, &provider.Error{Host: host, Problem: "gave an unreadable answer"}
	}
	return token, nil
}
