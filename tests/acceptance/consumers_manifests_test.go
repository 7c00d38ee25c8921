//go:build unix

package acceptance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"go.yaml.in/yaml/v3"
)

// The types below are what the examples use of the operators' own, under the same names. A field that is not here is a
// slip in an example, or has to be looked up and added.

// kubernetesObject is any object.
type kubernetesObject[Spec any] struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name, Namespace string }
	Spec       Spec
}

// vaultAuthSpec and vaultDynamicSecretSpec are those of Vault Secrets Operator, secrets.hashicorp.com/v1beta1:
// https://developer.hashicorp.com/vault/docs/deploy/kubernetes/vso/api-reference
type vaultAuthSpec struct {
	Method, Mount string
	Kubernetes    struct {
		Role           string
		ServiceAccount string `yaml:"serviceAccount"`
	}
}

type vaultDynamicSecretSpec struct {
	VaultAuthRef     string `yaml:"vaultAuthRef"`
	Mount, Path      string
	AllowStaticCreds bool `yaml:"allowStaticCreds"`
	Destination      struct {
		Name           string
		Create         bool
		Transformation struct {
			ExcludeRaw bool `yaml:"excludeRaw"`
			Includes   []string
		}
	}
	RolloutRestartTargets []struct{ Kind, Name string } `yaml:"rolloutRestartTargets"`
}

// generatorSpec is that of External Secrets Operator's VaultDynamicSecret, generators.external-secrets.io/v1alpha1, and
// externalSecretSpec that of external-secrets.io/v1: https://external-secrets.io/latest/api/spec/
type generatorSpec struct {
	Path, Method string
	ResultType   string `yaml:"resultType"`
	Provider     struct {
		Server string
		Auth   struct {
			Kubernetes struct {
				MountPath         string `yaml:"mountPath"`
				Role              string
				ServiceAccountRef struct{ Name string } `yaml:"serviceAccountRef"`
			}
		}
	}
}

type externalSecretSpec struct {
	RefreshInterval time.Duration `yaml:"refreshInterval"`
	Target          struct {
		Name     string
		Template struct{ Data map[string]string }
	}
	DataFrom []struct {
		SourceRef struct {
			GeneratorRef struct {
				APIVersion string `yaml:"apiVersion"`
				Kind, Name string
			} `yaml:"generatorRef"`
		} `yaml:"sourceRef"`
	} `yaml:"dataFrom"`
}

// readManifests reads the documents of an example into the objects, one for one.
func readManifests(t *testing.T, example string, objects ...any) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(readDoc(t, "docs/consumers/"+example)))
	decoder.KnownFields(true)
	for _, object := range objects {
		succeeded(t, decoder.Decode(object))
	}
	if err := decoder.Decode(new(any)); !errors.Is(err, io.EOF) {
		t.Errorf("%s has more objects than are tested: %v", example, err)
	}
}

// sharedCredential is what consumers of acme-rw get. Numbers are json.Number, as in any consumer that is written in Go.
func sharedCredential(t *testing.T) fields {
	t.Helper()
	w := newWorld(t)
	w.importShared(t, 60)
	secret := done(w.Read(t.Context(), "creds/acme-rw"))(t)
	if secret.LeaseID != "" || secret.Renewable {
		t.Errorf("the credential has the lease %q", secret.LeaseID)
	}
	return secret.Data
}

// gives fails the test unless the credential has the field, with a value.
func gives(t *testing.T, credential fields, field string) {
	t.Helper()
	if value, _ := credential[field].(string); value == "" {
		t.Errorf("creds/acme-rw has no %s", field)
	}
}

func TestVaultSecretsOperatorGetsWhatItWants(t *testing.T) {
	t.Parallel()
	var (
		auth   kubernetesObject[vaultAuthSpec]
		secret kubernetesObject[vaultDynamicSecretSpec]
	)
	readManifests(t, "vault-secrets-operator.yaml", &auth, &secret)
	for got, want := range map[string]string{
		auth.APIVersion + " " + auth.Kind:     "secrets.hashicorp.com/v1beta1 VaultAuth",
		secret.APIVersion + " " + secret.Kind: "secrets.hashicorp.com/v1beta1 VaultDynamicSecret",
		secret.Spec.VaultAuthRef:              auth.Metadata.Name,
		secret.Metadata.Namespace:             auth.Metadata.Namespace,
		secret.Spec.Mount:                     "adtokens",
		secret.Spec.Path:                      "creds/acme-rw",
	} {
		if got != want {
			t.Errorf("the example has %q instead of %q", got, want)
		}
	}
	if !secret.Spec.AllowStaticCreds || !secret.Spec.Destination.Create || secret.Spec.Destination.Name == "" {
		t.Errorf("the operator would not keep a Secret up to date: %+v", secret.Spec)
	}

	credential := sharedCredential(t)
	for _, include := range secret.Spec.Destination.Transformation.Includes {
		pattern := regexp.MustCompile(include)
		matches := slices.DeleteFunc(slices.Collect(maps.Keys(credential)), func(field string) bool { return !pattern.MatchString(field) })
		if len(matches) != 1 {
			t.Errorf("%s is for the fields %v", include, matches)
		}
	}
	// As vaultStaticCredsMetaDataFromData and isStaticCreds of its controller want it.
	rotated, _ := credential["last_vault_rotation"].(string)
	_, err := time.Parse(time.RFC3339Nano, rotated)
	succeeded(t, err)
	for _, field := range []string{"ttl", "rotation_period"} {
		number, _ := credential[field].(json.Number)
		if value, err := number.Int64(); err != nil || value < 1 {
			t.Errorf("%s is %v", field, credential[field])
		}
	}
	if schedule, there := credential["rotation_schedule"]; there {
		t.Errorf("there is a rotation_schedule, with which the operator waits for the schedule: %v", schedule)
	}
}

func TestExternalSecretsOperatorGetsWhatItWants(t *testing.T) {
	t.Parallel()
	var (
		generator kubernetesObject[generatorSpec]
		secret    kubernetesObject[externalSecretSpec]
	)
	readManifests(t, "external-secrets-operator.yaml", &generator, &secret)
	if len(secret.Spec.DataFrom) != 1 {
		t.Fatalf("the ExternalSecret has %d sources", len(secret.Spec.DataFrom))
	}
	source := secret.Spec.DataFrom[0].SourceRef.GeneratorRef
	for got, want := range map[string]string{
		generator.APIVersion:                  "generators.external-secrets.io/v1alpha1",
		secret.APIVersion + " " + secret.Kind: "external-secrets.io/v1 ExternalSecret",
		source.APIVersion:                     generator.APIVersion,
		source.Kind + " " + source.Name:       generator.Kind + " " + generator.Metadata.Name,
		secret.Metadata.Namespace:             generator.Metadata.Namespace,
		generator.Spec.Path:                   "adtokens/creds/acme-rw",
		generator.Spec.Method:                 http.MethodGet,
		generator.Spec.ResultType:             "Data",
	} {
		if got != want {
			t.Errorf("the example has %q instead of %q", got, want)
		}
	}
	credential := sharedCredential(t)
	if refresh := secret.Spec.RefreshInterval; fmt.Sprint(credential["ttl"]) != fmt.Sprint(refresh.Seconds()) {
		t.Errorf("the operator reads every %s, and the ttl is %v", refresh, credential["ttl"])
	}
	for key, template := range secret.Spec.Target.Template.Data {
		field := regexp.MustCompile(`^\{\{ \.([a-z_]+) \}\}$`).FindStringSubmatch(template)
		if field == nil {
			t.Fatalf("%s has the template %s", key, template)
		}
		gives(t, credential, field[1])
	}
}

func TestGitHubActionsGetsWhatItAsksFor(t *testing.T) {
	t.Parallel()
	var workflow struct {
		Name        string
		On          struct{ Schedule []struct{ Cron string } }
		Permissions map[string]string
		Jobs        map[string]struct {
			RunsOn string `yaml:"runs-on"`
			Steps  []struct {
				Uses, Run string
				With      struct{ URL, Method, Role, Secrets string } // some of the inputs of hashicorp/vault-action
			}
		}
	}
	readManifests(t, "github-actions.yaml", &workflow)
	if workflow.Permissions["id-token"] != "write" {
		t.Error("the job gets no OIDC token to log in with")
	}
	credential, asked := sharedCredential(t), 0
	for _, step := range workflow.Jobs["report"].Steps {
		if !strings.HasPrefix(step.Uses, "hashicorp/vault-action@v") {
			continue
		}
		if step.With.URL == "" || step.With.Method != "jwt" || step.With.Role == "" {
			t.Errorf("the action cannot log in: %+v", step.With)
		}
		for request := range strings.SplitSeq(step.With.Secrets, ";") {
			parts := regexp.MustCompile(`^adtokens/creds/acme-rw ([a-z_]+) \| [A-Z_]+$`).FindStringSubmatch(strings.TrimSpace(request))
			if parts == nil {
				t.Fatalf("the action asks for %q", request)
			}
			gives(t, credential, parts[1])
			asked++
		}
	}
	if asked == 0 {
		t.Error("the workflow reads no secret")
	}
}

// comment is what the comment at an example's top says, without the marks.
func comment(t *testing.T, example string) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(readDoc(t, "docs/consumers/"+example)) {
		text, ok := strings.CutPrefix(line, "#")
		if !ok {
			break
		}
		lines = append(lines, strings.TrimSpace(text))
	}
	return strings.Join(lines, "\n")
}

var (
	policyLine    = regexp.MustCompile(`(?m)^path "[^"]+" \{ capabilities = \[[^]]+\] \}$`)
	roleParameter = regexp.MustCompile(`\b(token_[a-z_]+)=(\S+)`)
)

// TestVaultSecretsOperator_PolicyIsEnoughWithoutTheDefaultPolicy does what the operator does, version 1.4.1 of it, with the policy of
// the example and nothing else: it renews its token right after the login, and only then reads the credential.
func TestVaultSecretsOperator_PolicyIsEnoughWithoutTheDefaultPolicy(t *testing.T) {
	t.Parallel()
	policy := policyLine.FindAllString(comment(t, "vault-secrets-operator.yaml"), -1)
	if len(policy) != 2 {
		t.Fatalf("the example's policy has the lines %q", policy)
	}
	for _, page := range []string{"docs/consumers.md", "docs/operations.md"} {
		if !strings.Contains(readDoc(t, page), policy[1]) {
			t.Errorf("%s does not have the line %s", page, policy[1])
		}
	}
	w := newWorld(t)
	w.importShared(t, 60)
	operator := w.loginWithout(t, "vso", strings.Join(policy, "\n"))
	_, err := operator.Auth().Token().RenewSelfWithContext(t.Context(), 0)
	succeeded(t, err)
	done(operator.Logical().ReadWithContext(t.Context(), w.Path+"/creds/acme-rw"))(t)
	_, err = operator.Auth().Token().LookupSelfWithContext(t.Context())
	refused(t, err, http.StatusForbidden, "permission denied")

	_, err = w.loginWithout(t, "one-line", policy[0]).Auth().Token().RenewSelfWithContext(t.Context(), 0)
	refused(t, err, http.StatusForbidden, "permission denied") // what the second line is for
}

// loginWithout returns a client whose renewable token has one policy, that for the mount adtokens in the examples, and not the
// default policy.
func (w *world) loginWithout(t *testing.T, name, policy string) *api.Client {
	t.Helper()
	name = w.Path + "-" + name
	policy = strings.ReplaceAll(policy, `"adtokens/`, `"`+w.Path+"/")
	succeeded(t, w.Server.Client.Sys().PutPolicyWithContext(t.Context(), name, policy))
	token := done(w.Server.Client.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{
		Policies: []string{name}, NoDefaultPolicy: true, TTL: "1h",
	}))(t)
	client := done(w.Server.Client.Clone())(t)
	client.SetToken(token.Auth.ClientToken)
	return client
}

// TestExternalSecretsOperator_RoleLeavesNoTokensBehind logs in by the example's role, as the operator does at each refresh.
func TestExternalSecretsOperator_RoleLeavesNoTokensBehind(t *testing.T) {
	t.Parallel()
	text, role := comment(t, "external-secrets-operator.yaml"), fields{}
	for _, found := range roleParameter.FindAllStringSubmatch(text, -1) {
		role[found[1]] = found[2]
	}
	policy := policyLine.FindAllString(text, -1)
	if len(policy) != 1 || role["token_policies"] == nil {
		t.Fatalf("the example has the policy %q and the role %v", policy, role)
	}
	w := newWorld(t)
	w.importShared(t, 60)
	name, auth := w.Path+"-eso", w.Path+"-eso"
	succeeded(t, w.Server.Client.Sys().PutPolicyWithContext(t.Context(), name, strings.ReplaceAll(policy[0], `"adtokens/`, `"`+w.Path+"/")))
	role["token_policies"] = name
	// An AppRole takes the place of the role for Kubernetes: what is said of tokens is the same for every auth method.
	succeeded(t, w.Server.Client.Sys().EnableAuthWithOptionsWithContext(t.Context(), auth, &api.EnableAuthOptions{Type: "approle"}))
	logical, path := w.Server.Client.Logical(), "auth/"+auth+"/role/acme-report"
	done(logical.WriteWithContext(t.Context(), path, with(role, "bind_secret_id", true)))(t)
	id := done(logical.ReadWithContext(t.Context(), path+"/role-id"))(t)
	secret := done(logical.WriteWithContext(t.Context(), path+"/secret-id", nil))(t)
	login := done(logical.WriteWithContext(t.Context(), "auth/"+auth+"/login", fields{"role_id": id.Data["role_id"], "secret_id": secret.Data["secret_id"]}))(t)
	if login.Auth.Accessor != "" { // which tokens have that Vault stores
		t.Errorf("each refresh would leave a token behind: %+v", role)
	}
	if life := login.Auth.LeaseDuration; life < 60 || life > 600 {
		t.Errorf("the operator's token lives for %d seconds", life)
	}
	if len(login.Auth.TokenPolicies) != 1 {
		t.Errorf("the operator's token has the policies %v", login.Auth.TokenPolicies)
	}
	client := done(w.Server.Client.Clone())(t)
	client.SetToken(login.Auth.ClientToken)
	done(client.Logical().ReadWithContext(t.Context(), w.Path+"/creds/acme-rw"))(t)
}

// TestVaultSecretsOperator_CommentsSayWhatMakesItUnhealthy keeps the two traps in the manifest, where people copy from.
func TestVaultSecretsOperator_CommentsSayWhatMakesItUnhealthy(t *testing.T) {
	t.Parallel()
	manifest := strings.ReplaceAll(readDoc(t, "docs/consumers/vault-secrets-operator.yaml"), "\n# ", " ")
	mentions(t, "the manifest", manifest, "refresh_ttl of at least 3s", "lease_ttl", "token_no_default_policy=true")
}
