package simulator_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2/google"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iam/v1"
	"google.golang.org/api/option"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

const cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

// robot is the default service account as Google's own client library uses it.
type robot struct {
	world
	first json.RawMessage // key file
	keys  *iam.ProjectsServiceAccountsKeysService
	name  string // resource name of the account
}

// newRobot runs on the real clock, because the library does; AdvanceClock moves the world ahead of it.
func newRobot(t *testing.T) robot {
	t.Helper()
	w := startWorld(t, simulator.ServerOptions{})
	file := must(w.console.ServiceAccountKey(t.Context(), simulator.DefaultName))(t)
	config, err := google.JWTConfigFromJSON(file, cloudPlatform)
	check(t, err)
	service, err := iam.NewService(t.Context(), option.WithEndpoint(w.GoogleURL), option.WithHTTPClient(config.Client(context.WithoutCancel(t.Context()))))
	check(t, err)
	return robot{w, file, service.Projects.ServiceAccounts.Keys, "projects/-/serviceAccounts/" + decodeKey(t, file).ClientEmail}
}

func (r robot) create(t *testing.T) (*iam.ServiceAccountKey, json.RawMessage) {
	t.Helper()
	key, err := r.keys.Create(r.name, &iam.CreateServiceAccountKeyRequest{}).Context(t.Context()).Do()
	check(t, err)
	file, err := base64.StdEncoding.DecodeString(key.PrivateKeyData)
	check(t, err)
	return key, file
}

// list returns the ids of the user-managed keys.
func (r robot) list(t *testing.T) []string {
	t.Helper()
	answer, err := r.keys.List(r.name).KeyTypes("USER_MANAGED").Context(t.Context()).Do()
	check(t, err)
	var ids []string
	for _, key := range answer.Keys {
		ids = append(ids, keyID(key))
	}
	return ids
}

func keyID(key *iam.ServiceAccountKey) string {
	return key.Name[strings.LastIndex(key.Name, "/")+1:]
}

func (r robot) delete(t *testing.T, id string) {
	t.Helper()
	_, err := r.keys.Delete(r.name + "/keys/" + id).Context(t.Context()).Do()
	check(t, err)
}

func (r robot) configure(t *testing.T, settings simulator.IAMSettings) {
	t.Helper()
	check(t, r.console.ConfigureIAM(t.Context(), settings))
}

func (r robot) advance(t *testing.T, d time.Duration) {
	t.Helper()
	check(t, r.console.AdvanceClock(t.Context(), d))
}

// accepts reports whether an assertion of the key is accepted; anything but invalid_grant is an error.
func (r robot) accepts(t *testing.T, file json.RawMessage) bool {
	t.Helper()
	answer := r.grantAssertion(t, goodAssertion(t, decodeKey(t, file)).sign(t))
	if answer.status != http.StatusOK && answer.object(t)["error"] != "invalid_grant" {
		t.Fatalf("got status %d", answer.status)
	}
	return answer.status == http.StatusOK
}

// refusal returns the parts of an IAM error.
func refusal(t *testing.T, err error) (status int, name, body string) {
	t.Helper()
	var failure *googleapi.Error
	if !errors.As(err, &failure) {
		t.Fatalf("got %v", err)
	}
	var answer struct {
		Error struct {
			Status string `json:"status"`
		} `json:"error"`
	}
	check(t, json.Unmarshal([]byte(failure.Body), &answer))
	return failure.Code, answer.Error.Status, failure.Body
}

func TestServiceAccountRotatesItsOwnKey(t *testing.T) {
	t.Parallel()
	r := newRobot(t)
	first := decodeKey(t, r.first)
	_, file := r.create(t)
	second := decodeKey(t, file)
	if second.ClientEmail != first.ClientEmail || second.TokenURI != first.TokenURI || second.PrivateKey == first.PrivateKey {
		t.Error("the new key file is not one of the same account with another key")
	}
	if !r.accepts(t, file) || !r.accepts(t, r.first) {
		t.Error("both keys must be accepted")
	}

	r.delete(t, first.PrivateKeyID)
	if r.accepts(t, r.first) {
		t.Error("the deleted key is accepted")
	}
	if ids := r.list(t); !slices.Equal(ids, []string{second.PrivateKeyID}) {
		t.Errorf("the keys are %q", ids)
	}
	ledger := must(r.console.Ledger(t.Context()))(t)
	if ledger.IsLive(first.PrivateKeyID) || !ledger.IsLive(second.PrivateKeyID) {
		t.Error("the ledger does not know which key is live")
	}
}

func TestCreatedKeyHasGooglesForm(t *testing.T) {
	t.Parallel()
	r := newRobot(t)
	got, file := r.create(t)
	if made, err := time.Parse(time.RFC3339, got.ValidAfterTime); err != nil || time.Since(made) > time.Minute {
		t.Errorf("validAfterTime is %q", got.ValidAfterTime)
	}
	key := decodeKey(t, file)
	want := &iam.ServiceAccountKey{
		Name:            "projects/adtokens-simulator/serviceAccounts/" + key.ClientEmail + "/keys/" + key.PrivateKeyID,
		KeyAlgorithm:    "KEY_ALG_RSA_2048",
		KeyOrigin:       "GOOGLE_PROVIDED",
		KeyType:         "USER_MANAGED",
		PrivateKeyType:  "TYPE_GOOGLE_CREDENTIALS_FILE",
		ValidBeforeTime: "9999-12-31T23:59:59Z",
	}
	got.PrivateKeyData, got.ValidAfterTime, got.ServerResponse = "", "", want.ServerResponse
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestKeyReadsNeverShowPrivateKeys(t *testing.T) {
	t.Parallel()
	r := newRobot(t)
	id := decodeKey(t, r.first).PrivateKeyID
	key, err := r.keys.Get(r.name + "/keys/" + id).Context(t.Context()).Do()
	check(t, err)
	if keyID(key) != id || key.PrivateKeyData != "" || key.PrivateKeyType != "" {
		t.Errorf("got %s with private data %t", key.Name, key.PrivateKeyData != "")
	}
	all, err := r.keys.List(r.name).Context(t.Context()).Do()
	check(t, err)
	if len(all.Keys) != 2 || all.Keys[0].KeyType != "SYSTEM_MANAGED" {
		t.Errorf("without a filter there are %d keys, want Google's own and ours", len(all.Keys))
	}
	for _, key := range all.Keys {
		if key.PrivateKeyData != "" {
			t.Error("a list shows a private key")
		}
	}
}

func TestDisabledKeys(t *testing.T) {
	t.Parallel()
	r := newRobot(t)
	_, file := r.create(t)
	name := r.name + "/keys/" + decodeKey(t, file).PrivateKeyID
	_, err := r.keys.Disable(name, &iam.DisableServiceAccountKeyRequest{}).Context(t.Context()).Do()
	check(t, err)
	if r.accepts(t, file) {
		t.Error("the disabled key is accepted")
	}
	key, err := r.keys.Get(name).Context(t.Context()).Do()
	check(t, err)
	if !key.Disabled {
		t.Error("the key is not shown as disabled")
	}
	_, err = r.keys.Enable(name, &iam.EnableServiceAccountKeyRequest{}).Context(t.Context()).Do()
	check(t, err)
	if !r.accepts(t, file) {
		t.Error("the enabled key is refused")
	}
}

func TestKeyChangesTakeEffectLater(t *testing.T) {
	t.Parallel()
	r := newRobot(t)
	r.configure(t, simulator.IAMSettings{KeyPropagation: time.Minute, KeyDeletionDelay: 30 * time.Second, KeyListLag: 40 * time.Second})
	_, file := r.create(t)
	id := decodeKey(t, file).PrivateKeyID
	if r.accepts(t, file) || slices.Contains(r.list(t), id) {
		t.Error("a fresh key is accepted or listed at once")
	}
	if must(r.console.Ledger(t.Context()))(t).IsLive(id) {
		t.Error("the ledger calls a fresh key live before it works")
	}
	r.advance(t, 40*time.Second)
	if r.accepts(t, file) || !slices.Contains(r.list(t), id) {
		t.Error("after 40 s the key must be listed and not yet accepted")
	}
	r.advance(t, 20*time.Second)
	if !r.accepts(t, file) {
		t.Error("after a minute the key is refused")
	}

	r.delete(t, id)
	if !r.accepts(t, file) || !slices.Contains(r.list(t), id) {
		t.Error("a key is gone as soon as it is deleted")
	}
	r.advance(t, 30*time.Second)
	if r.accepts(t, file) || !slices.Contains(r.list(t), id) {
		t.Error("30 s after its deletion the key must be listed and not accepted")
	}
	r.advance(t, 10*time.Second)
	if slices.Contains(r.list(t), id) {
		t.Error("40 s after its deletion the key is listed")
	}
}

func TestKeyLimit(t *testing.T) {
	t.Parallel()
	tests := map[simulator.KeyLimitError]struct {
		status int
		name   string
	}{
		simulator.KeyLimitResourceExhausted:  {429, "RESOURCE_EXHAUSTED"},
		simulator.KeyLimitFailedPrecondition: {400, "FAILED_PRECONDITION"},
	}
	for way, test := range tests {
		t.Run(string(way), func(t *testing.T) {
			t.Parallel()
			r := newRobot(t)
			r.configure(t, simulator.IAMSettings{KeyLimitError: way})
			for range 9 {
				must(r.console.CreateServiceAccountKey(t.Context(), simulator.DefaultName))(t)
			}
			_, err := r.keys.Create(r.name, &iam.CreateServiceAccountKeyRequest{}).Context(t.Context()).Do()
			if status, name, _ := refusal(t, err); status != test.status || name != test.name {
				t.Errorf("the 11th key got %d %s, want %d %s", status, name, test.status, test.name)
			}
			if _, err := r.console.CreateServiceAccountKey(t.Context(), simulator.DefaultName); err == nil {
				t.Error("the console makes an 11th key")
			}
			r.delete(t, decodeKey(t, r.first).PrivateKeyID)
			must(r.console.CreateServiceAccountKey(t.Context(), simulator.DefaultName))(t)
		})
	}
}

func TestIAMRefusals(t *testing.T) {
	t.Parallel()
	create := func(r robot, ctx context.Context) error {
		_, err := r.keys.Create(r.name, &iam.CreateServiceAccountKeyRequest{}).Context(ctx).Do()
		return err
	}
	tests := map[string]struct {
		prepare func(*testing.T, robot)
		do      func(robot, context.Context) error
		status  int
		name    string
		mention string
	}{
		"organisation policy": {func(t *testing.T, r robot) {
			t.Helper()
			r.configure(t, simulator.IAMSettings{KeyCreation: simulator.KeyCreationForbidden})
		}, create, 400, "FAILED_PRECONDITION", "constraints/iam.disableServiceAccountKeyCreation"},
		"no permission": {func(t *testing.T, r robot) {
			t.Helper()
			check(t, r.console.SetKeyAdministration(t.Context(), simulator.DefaultName, simulator.KeyAdministrationDenied))
		}, create, 403, "PERMISSION_DENIED", "iam.serviceAccountKeys.create"},
		"PKCS12 key": {nil, func(r robot, ctx context.Context) error {
			_, err := r.keys.Create(r.name, &iam.CreateServiceAccountKeyRequest{PrivateKeyType: "TYPE_PKCS12_FILE"}).Context(ctx).Do()
			return err
		}, 400, "INVALID_ARGUMENT", "private_key_type"},
		"unknown key type": {nil, func(r robot, ctx context.Context) error {
			_, err := r.keys.List(r.name).KeyTypes("OURS").Context(ctx).Do()
			return err
		}, 400, "INVALID_ARGUMENT", "key_types"},
		"unknown account": {nil, func(r robot, ctx context.Context) error {
			_, err := r.keys.List("projects/-/serviceAccounts/nobody@example.com").Context(ctx).Do()
			return err
		}, 404, "NOT_FOUND", "Unknown service account"},
		"another project": {nil, func(r robot, ctx context.Context) error {
			_, err := r.keys.List(strings.Replace(r.name, "/-/", "/elsewhere/", 1)).Context(ctx).Do()
			return err
		}, 404, "NOT_FOUND", "Unknown service account"},
		"unknown key, get": {nil, func(r robot, ctx context.Context) error {
			_, err := r.keys.Get(r.name + "/keys/0000").Context(ctx).Do()
			return err
		}, 404, "NOT_FOUND", "0000"},
		"unknown key, delete": {nil, func(r robot, ctx context.Context) error {
			_, err := r.keys.Delete(r.name + "/keys/0000").Context(ctx).Do()
			return err
		}, 404, "NOT_FOUND", "0000"},
		"unknown key, disable": {nil, func(r robot, ctx context.Context) error {
			_, err := r.keys.Disable(r.name+"/keys/0000", &iam.DisableServiceAccountKeyRequest{}).Context(ctx).Do()
			return err
		}, 404, "NOT_FOUND", "0000"},
		"deleted behind our back": {func(t *testing.T, r robot) {
			t.Helper()
			_, file := r.create(t)
			id := decodeKey(t, file).PrivateKeyID
			check(t, r.console.DeleteServiceAccountKey(t.Context(), simulator.KeyName{ServiceAccount: simulator.DefaultName, ID: id}))
		}, func(r robot, ctx context.Context) error {
			keys, err := r.console.ServiceAccountKeys(ctx, simulator.DefaultName)
			if err != nil {
				return err
			}
			_, err = r.keys.Delete(r.name + "/keys/" + keys[1].ID).Context(ctx).Do()
			return err
		}, 404, "NOT_FOUND", "does not exist"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRobot(t)
			if test.prepare != nil {
				test.prepare(t, r)
			}
			status, name, body := refusal(t, test.do(r, t.Context()))
			if status != test.status || name != test.name || !strings.Contains(body, test.mention) {
				t.Errorf("got %d %s, want %d %s that mentions %s", status, name, test.status, test.name, test.mention)
			}
		})
	}
}

func TestIAMNeedsTheCloudScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, header := range map[string]map[string]string{
		"no token":   nil,
		"ads scope":  {"Authorization": w.authorized(t)["Authorization"]},
		"wrong text": {"Authorization": "Bearer x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := send(t, request{method: "GET", url: w.GoogleURL + "/v1/projects/-/serviceAccounts/x/keys", header: header})
			if want := map[bool]int{true: 403, false: 401}[name == "ads scope"]; answer.status != want {
				t.Errorf("got status %d, want %d", answer.status, want)
			}
		})
	}
}

func TestAnotherAccountMayManageTheKeys(t *testing.T) {
	t.Parallel()
	r := newRobot(t)
	other := decodeKey(t, must(r.console.CreateServiceAccount(t.Context(), "other"))(t))
	r.name = "projects/-/serviceAccounts/" + other.ClientEmail
	if ids := r.list(t); !slices.Equal(ids, []string{other.PrivateKeyID}) {
		t.Errorf("the keys are %q", ids)
	}
}

func TestConnectionDroppedAfterTheKeyWasMade(t *testing.T) {
	t.Parallel()
	r := newRobot(t)
	r.list(t) // gets the access token, so that only the creation meets the fault
	check(t, r.console.InjectFault(t.Context(), simulator.Fault{
		Service: simulator.GoogleIAM, Kind: simulator.FaultDropAfter, Method: http.MethodPost, Times: 1,
	}))
	if ids := r.list(t); len(ids) != 1 {
		t.Errorf("a read meets the fault of another method: %q", ids)
	}
	_, err := r.keys.Create(r.name, &iam.CreateServiceAccountKeyRequest{}).Context(t.Context()).Do()
	if !errors.Is(err, io.EOF) {
		t.Fatalf("got %v", err)
	}
	if ids := r.list(t); len(ids) != 2 {
		t.Errorf("the keys are %q: the lost one must exist", ids)
	}
}
