package googleads

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"google.golang.org/api/iam/v1"
	"google.golang.org/api/option"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// maxKeys is how many user-managed keys Google lets a service account have, disabled ones included.
const maxKeys = 10

// keys are the keys of service accounts, by Google's IAM API.
type keys struct{}

var _ provider.Keys = keys{}

// Key reads the key file: its owner is client_email, its ID private_key_id.
func (keys) Key(credential provider.Values) (provider.Key, error) {
	file, err := parseKeyFile(credential[fieldServiceAccountKey])
	if err != nil {
		return provider.Key{}, &provider.Refused{Detail: fieldServiceAccountKey + " " + err.Error()}
	}
	return provider.Key{Owner: file.ClientEmail, ID: file.PrivateKeyID}, nil
}

// List lists the user-managed keys of the service account, disabled ones included.
func (k keys) List(ctx context.Context, a provider.Account, t provider.Token, owner string) ([]provider.Key, error) {
	if _, err := k.Key(t.Credential); err != nil {
		return nil, err
	}
	return keyring{account: a, token: t, owner: owner}.list(ctx)
}

// Create makes a key of the service account, an RSA key of 2,048 bits.
func (k keys) Create(ctx context.Context, a provider.Account, t provider.Token) (provider.Values, time.Time, error) {
	own, err := k.Key(t.Credential)
	if err != nil {
		return nil, time.Time{}, err
	}
	return keyring{account: a, token: t, owner: own.Owner}.create(ctx)
}

// Delete deletes a key of the service account key.Owner.
func (keys) Delete(ctx context.Context, a provider.Account, t provider.Token, key provider.Key) error {
	return keyring{account: a, token: t, owner: key.Owner}.delete(ctx, key.ID)
}

// keyring is Google's IAM API for the keys of one service account.
type keyring struct {
	account provider.Account
	// token acts, or the account's own key file where Google does not let the token.
	token provider.Token
	// owner is the service account's address.
	owner string
}

// resource leaves it to Google to find the project of the service account.
func (k keyring) resource() string { return "projects/-/serviceAccounts/" + k.owner }

func (k keyring) list(ctx context.Context) ([]provider.Key, error) {
	var list *iam.ListServiceAccountKeysResponse
	answer, err := k.act(ctx, func(keys *iam.ProjectsServiceAccountsKeysService) (err error) {
		list, err = keys.List(k.resource()).KeyTypes("USER_MANAGED").Context(ctx).Do()
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case !answer.ok():
		return nil, answer.refusal("list the keys of " + k.owner)
	}
	if err := answer.onlyKeys(); err != nil {
		return nil, err
	}
	keys := make([]provider.Key, 0, len(list.Keys))
	for _, listed := range list.Keys {
		key, ok := k.key(listed)
		if !ok {
			return nil, answer.Unreadable()
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// key reads what Google says of a key.
func (k keyring) key(listed *iam.ServiceAccountKey) (provider.Key, bool) {
	if listed == nil {
		return provider.Key{}, false
	}
	id, unknown := checkKeyID(path.Base(listed.Name))
	created, unreadable := time.Parse(time.RFC3339, listed.ValidAfterTime)
	return provider.Key{Owner: k.owner, ID: id, CreatedAt: created, ExpiresAt: endOf(listed)}, unknown == nil && unreadable == nil
}

// never is the year of the end of keys that have none.
const never = 9999

// endOf is when a key ends by itself, which an organisation policy (constraints/iam.serviceAccountKeyExpiryHours) decides
// when it is made; zero where it does not.
func endOf(listed *iam.ServiceAccountKey) time.Time {
	end, err := time.Parse(time.RFC3339, listed.ValidBeforeTime)
	if err != nil || end.Year() >= never {
		return time.Time{}
	}
	return end
}

func (k keyring) create(ctx context.Context) (_ provider.Values, end time.Time, _ error) {
	var created *iam.ServiceAccountKey
	answer, err := k.act(ctx, func(keys *iam.ProjectsServiceAccountsKeysService) (err error) {
		created, err = keys.Create(k.resource(), &iam.CreateServiceAccountKeyRequest{}).Context(ctx).Do()
		return err
	})
	switch {
	case answer == nil:
		return nil, end, err
	case answer.status == statusFailedPrecondition, answer.status == codeResourceExhausted:
		return nil, end, k.explainNoNewKey(ctx, answer, err)
	case err != nil:
		return nil, end, err
	case !answer.ok():
		return nil, end, answer.refusal("make a key of " + k.owner)
	}
	credential, ok := k.credential(created)
	if !ok {
		return nil, end, answer.Unreadable()
	}
	return credential, endOf(created), nil
}

// credential checks the new key file as if it were handed in. The rotation deletes keys by what the file says, so it
// has to be about this service account and the key that Google names.
func (k keyring) credential(created *iam.ServiceAccountKey) (provider.Values, bool) {
	file, err := base64.StdEncoding.DecodeString(created.PrivateKeyData)
	if err != nil {
		return nil, false
	}
	field, _ := provider.Lookup(identityFields(""), fieldServiceAccountKey)
	value, err := field.Canonical(string(file))
	if err != nil {
		return nil, false
	}
	credential := provider.Values{fieldServiceAccountKey: value}
	key, err := keys{}.Key(credential)
	return credential, err == nil && key.Owner == k.owner && key.ID == path.Base(created.Name)
}

// explainNoNewKey tells apart what Google answers alike. At the key limit FAILED_PRECONDITION and RESOURCE_EXHAUSTED are
// both possible, and each has other causes as well. Limited is the error of a plain rate limit.
func (k keyring) explainNoNewKey(ctx context.Context, answer *iamAnswer, limited error) error {
	if policy := answer.forbiddingPolicy(); policy != "" {
		return &provider.Refused{Code: answer.status, Detail: "An organisation policy " +
			"(constraints/" + policy + ") forbids new keys of " + k.owner +
			": have an administrator of the organisation's policies exempt its project; without an exemption nobody can make one"}
	}
	keys, err := k.list(ctx)
	switch {
	case err == nil && len(keys) >= maxKeys:
		return &provider.Refused{Code: answer.status, Detail: fmt.Sprintf("%s has %d keys, and Google allows no more than %d: %s; delete one "+
			"that nobody uses "+
			"in the Google Cloud console, since Vault deletes no keys but those that this token has held", k.owner, len(keys), maxKeys, describe(keys))}
	case limited != nil:
		return limited
	default:
		return &provider.Refused{Code: answer.status, Detail: "Google refuses to make a key of " + k.owner + " and does not say why: check " +
			"the organisation's policies, such as constraints/" + managedKeyCreationPolicy + ", and that the service account is enabled and has " +
			"fewer than 10 keys"}
	}
}

func (k keyring) delete(ctx context.Context, id string) error {
	answer, err := k.act(ctx, func(keys *iam.ProjectsServiceAccountsKeysService) error {
		_, err := keys.Delete(k.resource() + "/keys/" + id).Context(ctx).Do()
		return err
	})
	switch {
	case err != nil:
		return err
	case answer.ok():
		return decodeDone(answer.Response)
	case answer.status == statusNotFound:
		return nil
	default:
		return answer.refusal("delete key " + id + " of " + k.owner)
	}
}

// keyRequest is one request of the IAM API. What its error says is not passed on: it carries the body of the answer.
type keyRequest func(*iam.ProjectsServiceAccountsKeysService) error

// act sends a request as the token's key, and as the account's where Google does not let the first. As provider.Do
// does, it returns the answer beside the *provider.Error of a 429 or 5xx.
func (k keyring) act(ctx context.Context, request keyRequest) (*iamAnswer, error) {
	var reasons []string
	var code string
	for _, identity := range k.identities() {
		access, err := grant(ctx, k.account, grantRequest{identity: identity, scope: iam.CloudPlatformScope})
		if refused, ok := errors.AsType[*provider.Refused](err); ok {
			reasons, code = append(reasons, refused.Detail), refused.Code
			continue
		}
		if err != nil {
			return nil, err
		}
		answer, err := k.send(ctx, access, request)
		if err != nil || !answer.denied() {
			return answer, err
		}
		reasons, code = append(reasons, "Google does not let it manage the keys of "+k.owner+", or does not know that service "+
			"account"), answer.status
	}
	if k.account.Settings[fieldServiceAccountKey] != "" && selfAsserted(k.account.Settings, k.token.Credential) {
		reasons[0] += "; and the account's service_account_key does nothing for a key whose token_uri is none of Google's own, as long as the " +
			"account has no token_url"
	}
	return nil, &provider.Refused{Code: code, Detail: strings.Join(reasons, "; as for the account's service_account_key: ") +
		"; a rotation needs the role Service Account Key Admin (roles/iam.serviceAccountKeyAdmin) on " + k.owner +
		" for that service account itself, or for the one of service_account_key in the account's configuration"}
}

// identities are the key files to act with, in turn. The account's does nothing for a key that names by itself who is to
// vouch for it: such a key could claim to be of any service account.
func (k keyring) identities() []provider.Values {
	own, account := k.token.Credential, k.account.Settings
	file := account[fieldServiceAccountKey]
	if account[fieldExternalAccount] != "" || account[fieldHostIdentity] != "" {
		if selfAsserted(account, own) {
			return []provider.Values{own}
		}
		return []provider.Values{own, account}
	}
	if file == "" || file == own[fieldServiceAccountKey] || selfAsserted(account, own) {
		return []provider.Values{own}
	}
	return []provider.Values{own, account}
}

// send makes one call: the library repeats nothing for this API, and its call is carried like that of a grant.
func (k keyring) send(ctx context.Context, access *oauth2.Token, request keyRequest) (*iamAnswer, error) {
	e := &exchange{ctx: ctx, client: k.account.Client}
	service, err := iam.NewService(ctx,
		option.WithHTTPClient(&http.Client{Transport: &oauth2.Transport{Source: oauth2.StaticTokenSource(access), Base: e}}),
		option.WithEndpoint(IAMURL(k.account.Settings)+"/"),
		// Left out, the environment variable GOOGLE_SDK_GO_LOGGING_LEVEL could have new private keys logged.
		option.WithLogger(slog.New(slog.DiscardHandler)))
	if err == nil {
		err = request(service.Projects.ServiceAccounts.Keys)
	}
	switch {
	case e.response == nil && e.err != nil:
		return nil, e.err
	case e.response == nil:
		return nil, &provider.Error{Host: "Google", Problem: "cannot be called: its client library does not work with the GOOGLE_API_… " +
			"environment variables of the Vault server"}
	}
	return parseIAM(e, err, append(secretsOf(k.account.Settings, k.token.Credential), access.AccessToken))
}
