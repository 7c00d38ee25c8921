package catalogue_test

import (
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/catalogue"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/providertest"
)

// samples are values for fields, of which most take few. No text of a definition has a part of a secret one in it.
var samples = map[bool][]string{
	false: {"17", "find", "resource", "https://platform.example.com"},
	true:  {"9f2c7b51d04e8a63", "EAA9f2c7b51d04e8a63", "9f2c7b51.d04e8a63.77c1e90b"},
}

// sample gives a value that the field takes.
func sample(t *testing.T, f provider.Field) string {
	t.Helper()
	if f.Default != "" {
		return f.Default
	}
	candidates := samples[f.Secret]
	if _, err := f.Canonical("-"); err != nil { // one of some values, which the error lists
		if _, choices, ok := strings.Cut(err.Error(), "must be one of "); ok {
			candidates = strings.Split(choices, ", ")
		}
	}
	for _, value := range candidates {
		if canonical, err := f.Canonical(value); err == nil {
			return canonical
		}
	}
	t.Fatalf("there is no sample for %s", f.Name)
	return ""
}

func samplesOf(t *testing.T, fields []provider.Field) provider.Values {
	t.Helper()
	values := provider.Values{}
	for _, f := range fields {
		values[f.Name] = sample(t, f)
	}
	return values
}

// byStatus are the platforms that refuse by the status of the answer, whatever else it has.
var byStatus = map[string][]int{
	"adjust": {401}, "appsflyer": {401}, "awin": {401}, "cj": {401}, "everflow": {401}, "outbrain": {401}, "partnerize": {401},
	"the_trade_desk": {401}, "tune": {401},
}

// granted are the answers of grants that are not those of RFC 6749.
var granted = map[string]string{"the_trade_desk": `{"Token": "a-short-token"}`}

func TestDefinitions_AreProviders(t *testing.T) {
	t.Parallel()
	for _, name := range catalogue.Names() {
		platform := load(t, name).Provider()
		for _, kind := range platform.Types {
			t.Run(name+"/"+kind.Name, func(t *testing.T) {
				t.Parallel()
				providertest.Run(t, providertest.Case{
					Provider: platform, Type: kind.Name, Settings: samplesOf(t, platform.AccountFields),
					Token:    provider.Token{Options: samplesOf(t, kind.Options), Credential: samplesOf(t, kind.Fields)},
					ByStatus: byStatus[name], Granted: granted[name],
				})
			})
		}
	}
}
