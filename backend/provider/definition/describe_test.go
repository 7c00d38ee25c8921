package definition_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/catalogue"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

func describe(t *testing.T, name string) definition.Description {
	t.Helper()
	document, _ := catalogue.Document(name)
	d, err := definition.Load(document)
	if err != nil {
		t.Fatal(err)
	}
	return d.Describe()
}

func TestDescribe_Account(t *testing.T) {
	t.Parallel()
	got := describe(t, "awin")
	want := []definition.FieldDescription{
		{Name: "base_url", Description: "Address of the Awin API.", Default: "https://api.awin.com", Endpoint: true},
	}
	if got.Name != "awin" || got.Title != "Awin API" || !got.Verified || len(got.Notes) != 3 || len(got.Sources) != 1 ||
		got.Burst != 5 || got.Every != 12*time.Second || !reflect.DeepEqual(got.Account, want) {
		t.Errorf("got %+v", got)
	}
	if describe(t, "tune").Verified {
		t.Error("tune is described as verified")
	}
	kind := describe(t, "impact").Account[1]
	if kind.Name != "account_type" || !kind.Required || !kind.Endpoint || !reflect.DeepEqual(kind.Choices, []string{"agency", "brand", "partner"}) {
		t.Errorf("got the setting %+v", kind)
	}
}

func TestDescribe_Types(t *testing.T) {
	t.Parallel()
	const month = 30 * 24 * time.Hour
	for name, tt := range map[string]struct {
		platform string
		want     definition.TypeDescription
	}{
		"rotates, again and again": {"outbrain", definition.TypeDescription{
			Name: "api_token", ResetSemantics: "overlapping", Lifetime: month, Verify: "GET {+account.base_url}/marketers",
			Rotates: true, RepeatsLost: true, Connection: []string{"base_url"}, Subject: []string{"username"},
		}},
		"rotates once": {"tune", definition.TypeDescription{
			Name: "network_api_key", ResetSemantics: "immediate", Verify: "GET {+account.base_url}", Role: "Admin of the network",
			Rotates: true, Connection: []string{"base_url", "network_id"}, Subject: []string{"network_id"},
		}},
		"rolls": {"pinterest_ads", definition.TypeDescription{
			Name: "oauth_client", ResetSemantics: "immediate", Verify: "GET {+account.base_url}/v5/user_account", Grant: "refresh_token",
			RefreshAnswer: "always", PreviousDies: true, KeepAlive: month, Connection: []string{"base_url"}, Subject: []string{"client_id"},
		}},
		"grant alone": {"amazon_ads", definition.TypeDescription{
			Name: "oauth_client", ResetSemantics: "immediate", Lifetime: 365 * 24 * time.Hour, Grant: "refresh_token", RefreshAnswer: "never",
			Connection: []string{"profile_id"}, Subject: []string{"client_id", "profile_id"},
		}},
		"control": {"cj", definition.TypeDescription{
			Name: "personal_access_token", ResetSemantics: "overlapping", Verify: "POST {+account.base_url}/query", Control: "access_token",
			Connection: []string{"base_url"}, Role: "The superuser of the CJ account",
		}},
	} {
		got := describe(t, tt.platform).Type(tt.want.Name)
		if got == nil || got.Title == "" || got.Description == "" || got.Previous == "" || len(got.Steps) == 0 || len(got.Fields) == 0 {
			t.Fatalf("%s: got %+v", name, got)
		}
		got.Title, got.Description, got.Previous, got.Steps, got.RunbookNotes, got.Fields, got.Options = "", "", "", nil, nil, nil, nil
		if !reflect.DeepEqual(*got, tt.want) {
			t.Errorf("%s: got %+v, want %+v", name, *got, tt.want)
		}
	}
	if describe(t, "impact").Type("none") != nil {
		t.Error("there is a type of a name that no type has")
	}
}

func TestDescribe_FieldsAndTexts(t *testing.T) {
	t.Parallel()
	pinterest := describe(t, "pinterest_ads").Type("oauth_client").Fields
	if names := []string{pinterest[0].Name, pinterest[1].Name, pinterest[2].Name}; !reflect.DeepEqual(names, []string{"client_id", "client_secret", "refresh_token"}) {
		t.Errorf("got the fields %q", names)
	}
	if pinterest[0].Secret || !pinterest[1].Secret || pinterest[0].Form != "the app id alone" {
		t.Errorf("got the fields %+v", pinterest)
	}
	if option := describe(t, "tune").Type("network_api_key").Options[0]; option.Name != "probe_target" || !option.Required {
		t.Errorf("got the option %+v", option)
	}
	impact := describe(t, "impact").Type("legacy_read_only")
	if impact.Steps[0].When == "" || impact.Steps[0].Text == "" || impact.RunbookNotes[4].When != "" || impact.RunbookNotes[4].Text == "" {
		t.Errorf("got the steps %+v and notes %+v", impact.Steps, impact.RunbookNotes)
	}
}
