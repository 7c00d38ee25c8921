package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/vault/api"
)

// How long Vault may take. A write may wait for a platform: the engine's own longest wait is below it.
const (
	readTimeout  = 20 * time.Second
	writeTimeout = 100 * time.Second
)

// maxAnswer is in bytes. 5,000 tokens take about two million.
const maxAnswer = 64 << 20

// vaultServer is Vault as nobody: it makes users, and has no token.
type vaultServer struct {
	client *api.Client
	// lookups bounds a read, as VAULT_CLIENT_TIMEOUT may want it shorter.
	lookups time.Duration
}

func newVaultServer(o options) (*vaultServer, error) {
	config := api.DefaultConfig()
	if config.Error != nil {
		return nil, fmt.Errorf("reading Vault's environment variables: %w", config.Error)
	}
	if err := config.ConfigureTLS(&o.tls); err != nil { // adds what was given to what the environment says
		return nil, fmt.Errorf("preparing TLS with Vault: %w", err)
	}
	if os.Getenv(api.EnvVaultMaxRetries) == "" {
		config.MaxRetries = 0 // a person sees at once that Vault is sealed, and no reset is sent twice
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("preparing Vault's client: %w", err)
	}
	if o.vaultAddr != "" {
		if err := client.SetAddress(o.vaultAddr); err != nil {
			return nil, fmt.Errorf("-vault-addr: %w", err)
		}
	}
	if o.namespace != "" {
		client.SetNamespace(o.namespace)
	}
	client.ClearToken() // VAULT_TOKEN is somebody's, and not for everybody who opens a page
	return &vaultServer{client: client, lookups: min(config.Timeout, readTimeout)}, nil
}

func (v *vaultServer) address() string { return v.client.Address() }

// as is whoever holds the token; nobody where that is empty. What users have in common is the pool of connections.
func (v *vaultServer) as(token string) (*user, error) {
	client, err := v.client.CloneWithHeaders()
	if err != nil {
		return nil, fmt.Errorf("preparing Vault's client: %w", err)
	}
	client.ClearToken()
	client.SetWrappingLookupFunc(func(string, string) string { return "" }) // whatever VAULT_WRAP_TTL says
	if token != "" {
		client.SetToken(token)
	}
	return &user{client: client, lookups: v.lookups}, nil
}

// user makes requests to Vault with one token.
type user struct {
	client  *api.Client
	lookups time.Duration
}

// reply is Vault's answer to any request.
type reply struct {
	Data     any      `json:"data"`
	Auth     *grant   `json:"auth"`
	Warnings []string `json:"warnings"`
}

// grant is what a login gives.
type grant struct {
	ClientToken   string `json:"client_token"`
	LeaseDuration int    `json:"lease_duration"`
	MFA           any    `json:"mfa_requirement"`
}

// read reads a path into a value. The query may be nil.
func (u *user) read(ctx context.Context, path string, query map[string][]string, into any) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, u.lookups)
	defer cancel()
	return decode(into, func() (*api.Response, error) {
		return u.client.Logical().ReadRawWithDataWithContext(ctx, path, query)
	})
}

// list reads the names below a path, with what is told of each.
func (u *user) list(ctx context.Context, path string, into any) (reply, error) {
	return u.read(ctx, path, map[string][]string{"list": {"true"}}, into)
}

// write writes to a path.
func (u *user) write(ctx context.Context, path string, data map[string]any, into any) (reply, error) {
	body, err := json.Marshal(data)
	if err != nil {
		return reply{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return decode(into, func() (*api.Response, error) { return u.client.Logical().WriteRawWithContext(ctx, path, body) })
}

func decode(into any, request func() (*api.Response, error)) (reply, error) {
	response, err := request()
	if response != nil {
		defer response.Body.Close()
	}
	if err != nil {
		return reply{}, failureOf(err)
	}
	answer := reply{Data: into}
	if response.StatusCode == http.StatusNoContent {
		return answer, nil
	}
	var body bytes.Buffer
	body.Grow(int(min(max(response.ContentLength, 0), maxAnswer)) + bytes.MinRead)
	if _, err := body.ReadFrom(io.LimitReader(response.Body, maxAnswer)); err != nil {
		return reply{}, &failure{kind: late}
	}
	if err := json.Unmarshal(body.Bytes(), &answer); err != nil { // the error may quote what it could not read
		return reply{}, &failure{kind: broken, said: []string{"Vault's answer cannot be read."}}
	}
	return answer, nil
}
