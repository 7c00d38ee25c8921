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
	outbrain := describe(t, "outbrain").Type("api_token")
	if !outbrain.Rotates || !outbrain.RepeatsLost || outbrain.Revokes || outbrain.Lifetime != 30*24*time.Hour || outbrain.Grant != "" ||
		outbrain.Verify != "GET {+account.base_url}/marketers" || outbrain.ResetSemantics != "overlapping" {
		t.Errorf("got %+v", outbrain)
	}
	pinterest := describe(t, "pinterest_ads").Type("oauth_client")
	if pinterest.Grant != "refresh_token" || pinterest.RefreshAnswer != "always" || !pinterest.PreviousDies || pinterest.KeepAlive != 30*24*time.Hour ||
		!pinterest.Fields[1].Secret || pinterest.Fields[0].Form != "the app id alone" {
		t.Errorf("got %+v", pinterest)
	}
	amazon := describe(t, "amazon_ads").Type("oauth_client")
	if amazon.Verify != "" || amazon.RefreshAnswer != "never" || amazon.PreviousDies || len(amazon.Subject) != 2 || len(amazon.Connection) != 1 {
		t.Errorf("got %+v", amazon)
	}
	microsoft := describe(t, "microsoft_ads").Type("oauth_client")
	if microsoft.Control != "developer_token" || microsoft.PreviousDies || microsoft.ConsoleURL == "" || microsoft.Role == "" {
		t.Errorf("got %+v", microsoft)
	}
	tune := describe(t, "tune").Type("network_api_key")
	if !tune.Rotates || tune.RepeatsLost || !tune.Options[0].Required {
		t.Errorf("got %+v", tune)
	}
	impact := describe(t, "impact").Type("legacy_read_only")
	if impact.Steps[0].When == "" || impact.RunbookNotes[4].When != "" || impact.RunbookNotes[4].Text == "" || impact.Previous == "" {
		t.Errorf("got %+v", impact)
	}
	if describe(t, "impact").Type("none") != nil {
		t.Error("there is a type of a name that no type has")
	}
}
