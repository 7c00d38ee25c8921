package googleads

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// What an answer about a developer token means to an operator.
const (
	detailTokenProven = "Google Ads accepts the developer token, and rejects a wrong one of the same form"
	detailTestOnly    = "The developer token is genuine, but has test-only access: it works with test accounts and not with production " +
		"accounts"
	detailSunset = "Google Ads accepts the developer token, and a wrong one of the same form as well, so its answer proves nothing: Google " +
		"retired developer tokens on 9 September 2026 and ignores the developer-token header since"
	detailHeaderRefused = "This version of the Google Ads API refuses the developer-token header itself: apps must stop sending it; " +
		"without it the same call succeeds"
	detailNoIdentity = "The account has no OAuth identity, and a developer token can only be tried together with one: set client_id, " +
		"client_secret and refresh_token, or service_account_key, in the account's configuration"
	detailIdentityRefused = "Google refuses the account's own OAuth identity, so it could not be asked about the developer token; correct " +
		"the identity in the account's configuration"
	detailControlUnclear = "Google Ads accepts the developer token, but answered the control call with a wrong token by another error than " +
		"that the token is invalid, so its answer proves nothing"
	detailNotToldApart = "Google Ads says that the developer token is not approved, and does not tell it from a wrong one, so its answer " +
		"proves nothing"
	detailNotPermitted = "Google Ads refused the call because of what the Google Cloud project or the user behind the account's OAuth " +
		"identity may do, so it says nothing about the developer token; check the project's access level and the user's access to the manager " +
		"account"
)

// tokenRejections are the codes that refuse a developer token.
var tokenRejections = map[string]string{
	codeTokenInvalid: "Google Ads rejects the developer token: it is not valid, or not any more since a reset",
	codeTokenProhibited: "Google Ads rejects the developer token: it may not be used with the Google Cloud project of the account's OAuth " +
		"identity",
	codeTokenNotOnAllowlist: "Google Ads rejects the developer token: it is not on the allowlist",
}

// verifyAccount tries the OAuth identity that developer tokens are tried with.
func verifyAccount(ctx context.Context, a provider.Account) (*provider.Verification, error) {
	if !hasIdentity(a.Settings) {
		return nil, nil
	}
	v, err := verifyIdentity(ctx, a, a.Settings)
	if err != nil {
		return nil, err
	}
	return &v, nil
}

// verifyCredential takes two calls.
func verifyCredential(ctx context.Context, a provider.Account, t provider.Token) (provider.Verification, error) {
	return verifyIdentity(ctx, a, t.Credential)
}

// verifyIdentity proves an OAuth identity, unless only the identity itself says who is to answer.
func verifyIdentity(ctx context.Context, a provider.Account, identity provider.Values) (provider.Verification, error) {
	v, err := tryIdentity(ctx, a, identity)
	if err != nil || !selfAsserted(a.Settings, identity) {
		return v, err
	}
	v.SelfAsserted = true
	if v.Outcome != provider.Accepted {
		return v, nil
	}
	detail := detailSelfAsserted
	if rest, warned := strings.CutPrefix(v.Detail, grantedBut); warned {
		detail += ". Besides, " + rest
	}
	v.Detail, v.Caveat = detail, true
	return v, nil
}

// grantedBut begins an acceptance with a warning.
const grantedBut = "The credential is genuine: Google grants an access token; but "

// tryIdentity lets the grant decide, and then the API, where no call with the identity can succeed. The developer-token
// header, optional since 9 September 2026, is left out.
func tryIdentity(ctx context.Context, a provider.Account, identity provider.Values) (provider.Verification, error) {
	access, err := grant(ctx, a, grantRequest{identity: identity, scope: scopeAdWords})
	if refused, ok := errors.AsType[*provider.Refused](err); ok {
		return provider.Verification{Outcome: provider.Rejected, Detail: refused.Detail, Code: refused.Code}, nil
	}
	if err != nil {
		return provider.Verification{}, err
	}
	answer, err := listCustomers(ctx, a, adsCall{access: access, secrets: secretsOf(a.Settings, identity)})
	if err != nil {
		return provider.Verification{}, err
	}
	v := judgeIdentity(answer)
	v.Identity = whose(identity)
	return v, nil
}

// judgeIdentity reads the API's answer to a call with an access token that was granted.
func judgeIdentity(answer *adsAnswer) provider.Verification {
	warned := func(detail string) provider.Verification {
		v := verdict(answer, provider.Accepted, grantedBut+detail)
		v.Caveat = true
		return v
	}
	switch {
	case answer.ok() && answer.customers == 0:
		return warned("the Google Ads API lists no customer for it: give its user or service account access in Google Ads under Admin, then " +
			"Access and security")
	case answer.ok():
		return verdict(answer, provider.Accepted, "Google grants an access token, and the Google Ads API accepts it")
	case answer.has(codeTwoStepVerification):
		v := verdict(answer, provider.Rejected,
			"Google grants an access token, but the Google Ads API refuses every call with it: "+refusalAdvice[codeTwoStepVerification])
		v.Code = codeTwoStepVerification
		return v
	case answer.advice() != "" && !answer.wantsDeveloperToken():
		return warned("the Google Ads API does not let it in: " + answer.advice())
	case answer.permissionDenied() && !answer.wantsDeveloperToken():
		return warned("the Google Ads API does not let it in: check the access level of the Google Cloud project and the permissions in " +
			"Google Ads")
	case answer.bearerRefused():
		return verdict(answer, provider.Inconclusive, "Google grants an access token, but the Google Ads API does not take it, so its answer "+
			"proves nothing; "+
			"check base_url of the account")
	case answer.wantsDeveloperToken():
		return verdict(answer, provider.Accepted, "Google grants an access token, and the Google Ads API takes it; it still wants a developer "+
			"token beside it")
	case answer.status == http.StatusUnauthorized:
		return verdict(answer, provider.Inconclusive, "Google grants an access token, but the Google Ads API does not accept who is behind "+
			"it, for a reason that "+
			"this engine does not know, so apps may fail with it")
	case answer.has(codeUnsupportedVersion):
		return warned("this version of the Google Ads API is not live (HTTP " + strconv.Itoa(answer.status) + "): check api_version of the " +
			"account")
	default:
		return warned(fmt.Sprintf("the Google Ads API refused the call (HTTP %d): check api_version and login_customer_id of the "+
			"account", answer.status))
	}
}

func verdict(answer *adsAnswer, outcome provider.Outcome, detail string) provider.Verification {
	return provider.Verification{Outcome: outcome, Detail: detail, Code: answer.code(), RequestID: answer.requestID}
}

// probe calls the Google Ads API with a developer token; the empty string means without the header.
type probe func(developerToken string) (*adsAnswer, error)

// verifyDeveloperToken takes three calls, and a fourth if Google calls the token not approved and cannot tell it from a wrong one.
func verifyDeveloperToken(ctx context.Context, a provider.Account, t provider.Token) (provider.Verification, error) {
	if !hasIdentity(a.Settings) {
		return provider.Verification{Outcome: provider.Inconclusive, Detail: detailNoIdentity}, nil
	}
	access, err := grant(ctx, a, grantRequest{identity: a.Settings, scope: scopeAdWords})
	if refused, ok := errors.AsType[*provider.Refused](err); ok {
		return provider.Verification{Outcome: provider.Inconclusive, Detail: detailIdentityRefused + ": " + refused.Detail, Code: refused.Code}, nil
	}
	if err != nil {
		return provider.Verification{}, err
	}
	token := t.Credential[fieldDeveloperToken]
	secrets := append(secretsOf(a.Settings), token)
	call := func(developerToken string) (*adsAnswer, error) {
		return listCustomers(ctx, a, adsCall{access: access, developerToken: developerToken, secrets: secrets})
	}
	genuine, err := call(token)
	switch {
	case err != nil:
		return provider.Verification{}, err
	case genuine.bearerRefused():
		return verdict(genuine, provider.Inconclusive, detailIdentityRefused), nil
	case genuine.ok(), genuine.has(codeTokenNotApproved):
		return judgeByControl(token, genuine, call)
	default:
		return judgeRefusal(genuine, call)
	}
}

// judgeByControl tells an answer that proves the token from one that any token gets, by the same call with a wrong
// token: since 9 September 2026 the API accepts any value.
func judgeByControl(token string, genuine *adsAnswer, call probe) (provider.Verification, error) {
	control, err := call(controlToken(token))
	switch {
	case err != nil:
		return provider.Verification{}, err
	case control.has(codeTokenInvalid) && genuine.ok():
		return verdict(genuine, provider.Accepted, detailTokenProven), nil
	case control.has(codeTokenInvalid):
		v := verdict(genuine, provider.Accepted, detailTestOnly)
		v.Caveat = true
		return v, nil
	case genuine.ok() && control.ok():
		return verdict(genuine, provider.Inconclusive, detailSunset), nil
	case genuine.ok():
		return verdict(control, provider.Inconclusive, detailControlUnclear), nil
	case control.ok():
		return verdict(genuine, provider.Inconclusive, detailNotToldApart), nil
	default:
		return judgeRefusal(genuine, call)
	}
}

// judgeRefusal finds out whether the header is refused, whatever its value, by the same call without it.
func judgeRefusal(refusal *adsAnswer, call probe) (provider.Verification, error) {
	without, err := call("")
	if err == nil && without.ok() {
		return verdict(refusal, provider.Rejected, detailHeaderRefused), nil
	}
	for _, code := range refusal.codes {
		// The code decides, so it does not matter whether the second call got an answer.
		if detail, ok := tokenRejections[code]; ok {
			v := verdict(refusal, provider.Rejected, detail)
			v.Code = code
			return v, nil
		}
	}
	switch {
	case err != nil:
		return provider.Verification{}, err
	case refusal.has(codeTokenNotApproved):
		return verdict(refusal, provider.Inconclusive, detailNotToldApart), nil
	case refusal.advice() != "":
		return verdict(refusal, provider.Inconclusive, detailNotPermitted+": "+refusal.advice()), nil
	case refusal.permissionDenied():
		return verdict(refusal, provider.Inconclusive, detailNotPermitted), nil
	default:
		return verdict(refusal, provider.Inconclusive, fmt.Sprintf("Google Ads refused the call, with and without the developer token, "+
			"for another reason (HTTP %d); check api_version and login_customer_id of the account", refusal.status)), nil
	}
}
