// Package backend is a Vault secrets engine for the API tokens of ad platforms: it keeps the current credential of
// each token, verified against the provider and published atomically.
//
// What is stored, below the mount:
//
//	config/<account>                 accountEntry  connection settings and secrets, seal-wrapped
//	token/<name>                     tokenEntry    definition, policy and rotation.Record with the credential, seal-wrapped
//	account-token/<account>/<name>   empty         which tokens use an account; may outlive its token after a crash
//	salt                             string        key of the fingerprints, seal-wrapped
//
// Locks: a request that changes a token holds that token's lock, and takes its account's lock (shared) around the
// final write, so that the account is still the one that the credential was verified with. A request that changes an
// account holds that account's lock and never takes a token's. Reads take neither. A rotation that makes or cleans up keys
// of an owner at a provider holds the lock of that owner beside its token's; whoever ends a value or takes one in holds the
// lock of that value. Neither takes another token's lock.
package backend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/helper/salt"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/googleads"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/impact"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

const (
	configPrefix       = "config/"
	tokenPrefix        = "token/"
	accountTokenPrefix = "account-token/"
)

const backendHelp = `
The adtokens secrets engine keeps the API tokens of ad platforms (Google Ads, impact.com).

Configure an account at config/, define its tokens at tokens/, and let apps read creds/<name>. When a token has been
reset at the provider, hand the new value in at tokens/<name>/rotate: it is verified against the provider, published
in one step, and picked up by every consumer within the token's refresh_ttl. Reading tokens/<name>/rotate tells how
the token is reset.
`

type backend struct {
	*framework.Backend

	providers map[string]provider.Provider
	// tokenTypes are those of all providers by name. No two providers share a type's name: see register.
	tokenTypes map[string]*platformType
	now        func() time.Time

	accounts     *cache.Store[account]
	tokens       *cache.Store[token]
	accountLocks cache.Locks
	tokenLocks   cache.Locks
	// ownerLocks are held by whoever makes or cleans up keys of an owner at a provider, while holding a token's lock.
	ownerLocks cache.Locks
	// valueLocks are held by whoever ends a value, or takes one in, while holding a token's lock.
	valueLocks  cache.Locks
	holderIndex *holderIndex
	precedence  precedence

	saltMu sync.Mutex
	salt   *salt.Salt

	// eventsMissing is done once the log has said that the server takes no events.
	eventsMissing sync.Once

	// Background work goes on until the mount is closed.
	work      context.Context
	stopWork  context.CancelFunc
	workOnce  sync.Once
	storage   logical.Storage
	scheduler *schedule.Scheduler
	// loading is held by whoever brings all tokens into memory.
	loading sync.Mutex

	watchMu  sync.Mutex
	watchers map[string]*watcher

	mountPath mountPath

	access  accessTokens
	metrics *metrics
}

// Factory makes the engine for one mount. It is a logical.Factory, and what it returns is a WarmReader and a HeapReserver too.
func Factory(ctx context.Context, config *logical.BackendConfig) (logical.Backend, error) {
	b := newBackend(time.Now)
	if err := b.setUp(ctx, config); err != nil {
		return nil, fmt.Errorf("setting up the engine: %w", err)
	}
	return b, nil
}

func (b *backend) setUp(ctx context.Context, config *logical.BackendConfig) error {
	err := b.Setup(ctx, config)
	b.scheduler = b.newScheduler()
	return err
}

func newBackend(now func() time.Time) *backend {
	b := &backend{now: now, watchers: map[string]*watcher{}, metrics: newMetrics()}
	b.work, b.stopWork = context.WithCancel(context.Background())
	b.providers, b.tokenTypes = register(googleads.New(), impact.New())
	b.accounts = cache.New(configPrefix, b.now, b.decodeAccount)
	b.accounts.Release = (*account).hangUp
	b.tokens = cache.New(tokenPrefix, b.now, b.decodeToken)
	b.holderIndex = newHolderIndex()
	b.accounts.Touched = func(name string) { b.holderIndex.touch(holding{account: true, name: name}) }
	b.tokens.Touched = func(name string) { b.holderIndex.touch(holding{name: name}) }
	b.Backend = &framework.Backend{
		Help:           strings.TrimSpace(backendHelp),
		BackendType:    logical.TypeLogical,
		RunningVersion: Version,
		PathsSpecial:   &logical.Paths{SealWrapStorage: []string{configPrefix, tokenPrefix, salt.DefaultLocation}},
		Invalidate:     b.invalidate,
		InitializeFunc: func(_ context.Context, req *logical.InitializationRequest) error {
			b.startWork(req.Storage)
			return nil
		},
		Clean: func(context.Context) {
			b.stopWork()
			b.accounts.Clear()
		},
		Paths: []*framework.Path{
			b.pathConfig(),
			b.pathConfigList(),
			b.pathTokens(),
			b.pathTokensList(),
			b.pathRotate(),
			b.pathRetire(),
			b.pathVerify(),
			b.pathHistory(),
			b.pathCreds(),
			b.pathAccessToken(),
			b.pathStatus(),
			b.pathMetrics(),
			b.pathInfo(),
		},
	}
	sayDefaults(b.Paths)
	b.Secrets = []*framework.Secret{b.credentialLease()}
	return b
}

// HandleRequest checks what the sdk would ignore, or quote in an error, before the sdk sees it, and gives every answer its status
// and its texts the path of the mount.
func (b *backend) HandleRequest(ctx context.Context, req *logical.Request) (response *logical.Response, err error) {
	defer b.recoverRequest(req.Path, &response, &err)
	if req.Storage != nil {
		b.startWork(req.Storage)
	}
	b.mountPath.note(req.MountPoint)
	if req.RequiresSnapshotID != "" {
		return finishAnswer(req, nil, errNoSnapshots)
	}
	if read, name := hotRead(req); read != nil {
		response, err = read(b, ctx, req.Storage, name)
		return finishAnswer(req, response, err)
	}
	if err = b.checkInput(ctx, req); err != nil {
		return finishAnswer(req, nil, err)
	}
	// It goes into the history, and is what an identity provider says.
	req.DisplayName = cleanText(req.DisplayName)
	response, err = b.Backend.HandleRequest(ctx, req)
	return finishAnswer(req, response, err)
}

// HandleExistenceCheck looks at the path only. The sdk would also convert the request's data here, and quote what it
// cannot convert; HandleRequest refuses that in a moment.
func (b *backend) HandleExistenceCheck(ctx context.Context, req *logical.Request) (checkFound, exists bool, err error) {
	var none *logical.Response
	defer b.recoverRequest(req.Path, &none, &err)
	pathOnly := *req
	pathOnly.Data = nil
	return b.Backend.HandleExistenceCheck(ctx, &pathOnly)
}

// invalidate drops what another node changed in storage.
func (b *backend) invalidate(_ context.Context, key string) {
	switch {
	case strings.HasPrefix(key, configPrefix):
		b.accounts.Invalidate(strings.TrimPrefix(key, configPrefix))
	case strings.HasPrefix(key, tokenPrefix):
		b.tokens.Invalidate(strings.TrimPrefix(key, tokenPrefix))
	case key == salt.DefaultLocation:
		b.saltMu.Lock()
		defer b.saltMu.Unlock()
		b.salt = nil
	}
}

// fingerprint identifies a credential without giving it away: a keyed hash that means nothing outside this mount.
func (b *backend) fingerprint(ctx context.Context, storage logical.Storage, credential provider.Values) (string, error) {
	b.saltMu.Lock()
	defer b.saltMu.Unlock()
	if b.salt == nil {
		s, err := salt.NewSalt(ctx, storage, &salt.Config{})
		if err != nil {
			return "", cache.StorageError("reading or creating the fingerprints' salt", err)
		}
		b.salt = s
		if s.DidGenerate() {
			b.reportNewSalt(ctx, storage)
		}
	}
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(credential)) {
		fmt.Fprintf(&all, "%s=%d:%s\n", name, len(credential[name]), credential[name])
	}
	return b.salt.GetHMAC(all.String())[:fingerprintLength], nil
}

// reportNewSalt tells whoever compares fingerprints that the salt of the earlier ones has gone missing. Refusing to go on
// without it would stop all rotations for the sake of a label.
func (b *backend) reportNewSalt(ctx context.Context, storage logical.Storage) {
	s, err := b.surveyTokens(ctx, storage)
	if err == nil && slices.ContainsFunc(s.tokens, func(t *token) bool { return t.Current != nil }) {
		b.Logger().Warn("the salt of the fingerprints was missing from storage and was made anew: a value gets another fingerprint than it had before")
	}
}

// fingerprintLength is in hexadecimal digits: 64 bits tell the values of any mount apart and still fit a table.
const fingerprintLength = 16
