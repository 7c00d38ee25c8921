// Command go-app shows how an app outlives the reset of its token. It uses the credential for the ttl that Vault names,
// and when the provider answers 401 before that, it reports so to Vault, waits for it to have another one and repeats the
// request. The type credentials has all of it; the rest calls impact.com at an interval and logs how that went.
//
// Its policy has two lines: read on adtokens/creds/acme-rw, and update on adtokens/report/acme-rw. Without the second one the
// app works too, and waits until somebody else notices.
//
//	VAULT_ADDR=https://vault.acme.example:8200 VAULT_TOKEN=… go run ./docs/consumers/go-app -path adtokens/creds/acme-rw
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/vault/api"
)

func main() {
	path := flag.String("path", "adtokens/creds/acme-rw", "`path` of the credential in Vault")
	interval := flag.Duration("interval", time.Minute, "`time` between two requests")
	patience := flag.Duration("patience", time.Minute, "longest `time` to wait for a credential that the provider takes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	vault, err := api.NewClient(nil) // VAULT_ADDR, VAULT_TOKEN and the like
	if err != nil {
		log.Fatalf("Vault's client: %v", err)
	}
	app := &app{credentials: newCredentials(vault, *path), http: &http.Client{Timeout: 30 * time.Second}}
	for ctx.Err() == nil {
		app.tick(ctx, *patience)
		select {
		case <-time.After(*interval):
		case <-ctx.Done():
		}
	}
}

// app is where the app's own work would be.
type app struct {
	credentials *credentials
	http        *http.Client
}

func (a *app) tick(ctx context.Context, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	response, used, err := a.get(ctx, "/CompanyInformation")
	if err != nil {
		log.Printf("failed: %v", err)
		return
	}
	defer response.Body.Close()
	log.Printf("version %s: %s", used.version, response.Status)
}

// get requests a resource of impact.com. A 401 means that the credential was replaced: the request is repeated with the
// next one, until ctx ends.
func (a *app) get(ctx context.Context, resource string) (*http.Response, credential, error) {
	c, err := a.credentials.current(ctx)
	for err == nil {
		var response *http.Response
		if response, err = a.send(ctx, c, resource); err != nil {
			break
		}
		if response.StatusCode != http.StatusUnauthorized {
			return response, c, nil
		}
		_ = response.Body.Close() // nothing more is wanted of it
		log.Printf("version %s is refused; waiting for another one", c.version)
		c, err = a.credentials.after(ctx, c)
	}
	return nil, c, err
}

func (a *app) send(ctx context.Context, c credential, resource string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.accountURL+resource, nil)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	request.SetBasicAuth(c.accountSID, c.authToken)
	request.Header.Set("Accept", "application/json") // impact.com's default is XML
	return a.http.Do(request)
}

// credential is what the app needs of creds/<name>. The fingerprint tells values apart; versions do not, because Vault
// counts anew from an older one when a backup is restored.
type credential struct {
	accountURL, accountSID, authToken string
	version, fingerprint              string
}

// credentials keeps the current credential for any number of goroutines.
type credentials struct {
	vault *api.Client
	path  string
	// lock has room for whoever may use the fields below. A mutex would not obey a context.
	lock    chan struct{}
	kept    credential
	expires time.Time
}

func newCredentials(vault *api.Client, path string) *credentials {
	return &credentials{vault: vault, path: path, lock: make(chan struct{}, 1)}
}

// current returns the credential, read from Vault if the ttl of the last reading is over.
func (c *credentials) current(ctx context.Context) (credential, error) {
	if err := c.acquire(ctx); err != nil {
		return credential{}, err
	}
	defer c.release()
	if time.Now().Before(c.expires) {
		return c.kept, nil
	}
	return c.kept, c.read(ctx)
}

// The pauses between two looks for a new credential.
const (
	firstPause = 250 * time.Millisecond
	maxPause   = 5 * time.Second
)

// after returns a credential other than the one that the provider refused. Nobody sends the refused one again while it
// waits: after a reset the new value may come from a person, who may take a while.
func (c *credentials) after(ctx context.Context, refused credential) (credential, error) {
	if err := c.acquire(ctx); err != nil {
		return credential{}, err
	}
	defer c.release()
	if c.kept.fingerprint == refused.fingerprint {
		c.report(ctx, refused)
	}
	for pause := firstPause; c.kept.fingerprint == refused.fingerprint; pause = min(2*pause, maxPause) {
		if err := c.read(ctx); err != nil {
			return credential{}, err
		}
		if c.kept.fingerprint != refused.fingerprint {
			break
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return credential{}, fmt.Errorf("the provider refuses version %s, and Vault has no other: %w", refused.version, ctx.Err())
		}
	}
	return c.kept, nil
}

// report tells Vault that the provider has refused the credential. Vault asks the provider then, and may replace the credential at
// once: see rotate_on_rejection. A report that fails changes nothing for the app.
func (c *credentials) report(ctx context.Context, refused credential) {
	mount, name, found := strings.Cut(c.path, "/creds/")
	if !found {
		return
	}
	answer, err := c.vault.Logical().WriteWithContext(ctx, mount+"/report/"+name, map[string]any{
		"fingerprint": refused.fingerprint, "status": http.StatusUnauthorized,
	})
	switch {
	case err != nil:
		log.Printf("version %s could not be reported: %v", refused.version, err)
	case answer != nil:
		log.Printf("version %s was reported: %v", refused.version, answer.Data["outcome"])
	}
}

// read reads the credential from Vault, and keeps what it has if that fails.
func (c *credentials) read(ctx context.Context) error {
	secret, err := c.vault.Logical().ReadWithContext(ctx, c.path)
	if err != nil {
		return fmt.Errorf("reading the credential: %w", err)
	}
	if secret == nil {
		return errors.New("reading the credential: Vault has nothing at " + c.path)
	}
	text := func(field string) string { return fmt.Sprint(secret.Data[field]) }
	ttl, err := time.ParseDuration(text("ttl") + "s")
	if err != nil {
		return fmt.Errorf("reading the credential: %w", err)
	}
	c.kept = credential{
		accountURL: text("account_url"), accountSID: text("account_sid"), authToken: text("auth_token"),
		version: text("version"), fingerprint: text("fingerprint"),
	}
	c.expires = time.Now().Add(ttl)
	return nil
}

func (c *credentials) acquire(ctx context.Context) error {
	select {
	case c.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *credentials) release() { <-c.lock }
