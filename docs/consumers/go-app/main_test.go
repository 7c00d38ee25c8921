package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/vault/api"
)

func TestOneLookForANewCredentialServesEveryGoroutine(t *testing.T) {
	t.Parallel()
	const goroutines = 20
	var version, reads, reports, refused atomic.Int64
	version.Store(1)
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "value-2" {
			refused.Add(1)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(provider.Close)
	vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			reports.Add(1)
			if r.URL.Path != "/v1/adtokens/report/acme-rw" {
				t.Errorf("the app writes to %s", r.URL.Path)
			}
			fmt.Fprint(w, `{"data":{"outcome":"rejected"}}`)
			return
		}
		if reads.Add(1) == 3 { // the first one is before the reset is noticed, and the second too early
			version.Store(2)
		}
		fmt.Fprintf(w, `{"data":{"account_url":%q,"account_sid":"sid","auth_token":"value-%[2]d","version":%[2]d,"fingerprint":"f%[2]d","ttl":3600}}`,
			provider.URL, version.Load())
	}))
	t.Cleanup(vault.Close)
	client, err := api.NewClient(&api.Config{Address: vault.URL})
	if err != nil {
		t.Fatal(err)
	}
	app := &app{credentials: newCredentials(client, "adtokens/creds/acme-rw"), http: provider.Client()}

	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			response, used, err := app.get(t.Context(), "/CompanyInformation")
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK || used.version != "2" {
				t.Errorf("got %s with version %s", response.Status, used.version)
			}
		})
	}
	all.Wait()
	if reads.Load() != 3 {
		t.Errorf("Vault was read %d times", reads.Load())
	}
	if reports.Load() != 1 {
		t.Errorf("one refused value was reported %d times", reports.Load())
	}
	if refused.Load() > goroutines {
		t.Errorf("%d goroutines were refused %d times", goroutines, refused.Load())
	}
}
