// Package backend is a Vault secrets engine for the API tokens of ad platforms: it keeps the current credential of
// each token, verified against the provider and published atomically.
//
// What is stored, below the mount:
//
//	config/<account>                 accountEntry  connection settings and secrets, seal-wrapped
//	token/<name>                     tokenEntry    definition, policy and rotation.Record with the credential, seal-wrapped
//	account-token/<account>/<name>   empty         which tokens use an account; may outlive its token after a crash
//	provider/<name>                  definitionEntry  an operator's definition of an ad platform
//	notification/<name>              notificationEntry  where what happens is told, with its secret, seal-wrapped
//	notification-queue/<id>/<key>    message       what a receiver has not taken yet
//	notification-state/<id>          droppedState  what no receiver got
//	campaign/<name>                  campaignEntry  a campaign, without its items
//	campaign-item/<id>/<number>      campaignItems  100 items of the campaign with this ID; may outlive it after a crash
//	readers/<name>                   readers.Entry  who reads a token, and which version; may outlive its token after a crash
//	salt                             string        key of the fingerprints, seal-wrapped
//
// Locks: a request that changes a token holds that token's lock, and takes its account's lock (shared) around the
// final write, so that the account is still the one that the credential was verified with. A request that changes an
// account holds that account's lock and never takes a token's. Reads take neither. A rotation that makes or cleans up keys
// of an owner at a provider holds the lock of that owner beside its token's; whoever ends a value or takes one in holds the
// lock of that value. Neither takes another token's lock. Whoever changes a campaign holds that campaign's lock, and no token's.
package backend

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/helper/salt"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/googleads"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/readers"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

const (
	configPrefix       = "config/"
	tokenPrefix        = "token/"
	accountTokenPrefix = "account-token/"
	definitionPrefix   = "provider/"
	campaignPrefix     = "campaign/"
	campaignItemPrefix = "campaign-item/"
	readersPrefix      = "readers/"
)

const backendHelp = `
The adtokens secrets engine keeps the API tokens of ad platforms. The platforms that it knows are listed at providers/, where others
can be defined.

Configure an account at config/, define its tokens at tokens/, and let apps read creds/<name>. When a token has been
reset at the provider, hand the new value in at tokens/<name>/rotate: it is verified against the provider, published
in one step, and picked up by every consumer within the token's refresh_ttl. Reading tokens/<name>/rotate tells how
the token is reset.
`

type backend struct {
	*framework.Backend

	// builtIn are the platforms that come with the engine, and definitions those of operators.
	builtIn     map[string]*platform
	definitions *cache.Store[platform]
	now         func() time.Time

	accounts     *cache.Store[account]
	tokens       *cache.Store[token]
	accountLocks cache.Locks
	tokenLocks   cache.Locks
	// definitionLocks are held by whoever changes a definition, and shared by whoever begins to use one.
	definitionLocks cache.Locks
	// ownerLocks are held by whoever makes or cleans up keys of an owner at a provider, while holding a token's lock.
	ownerLocks cache.Locks
	// valueLocks are held by whoever ends a value, or takes one in, while holding a token's lock.
	valueLocks  cache.Locks
	holderIndex *holderIndex
	precedence  precedence
	unstored    unstored

	// campaigns are those under way. campaignLocks are held by whoever changes one.
	campaigns       *campaigns
	campaignEntries *cache.Store[campaignEntry]
	campaignLocks   cache.Locks

	saltMu sync.Mutex
	salt   *salt.Salt

	// eventsMissing is done once the log has said that the server takes no events.
	eventsMissing sync.Once

	notifications *cache.Store[notification]
	// notificationLocks are held by whoever changes a notification. They take no other lock.
	notificationLocks cache.Locks
	outbox            outbox
	// outboxByHand has a test send what waits, instead of the background.
	outboxByHand bool

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
	reports sharedReports
	readers *readers.Book
	// started is when the mount was set up: see adoption.
	started time.Time
	unsaved unsaved
	metrics *metrics
}

// Factory makes the engine for one mount. It is a logical.Factory, and what it returns is a WarmReader too.
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
	b := &backend{now: now, watchers: map[string]*watcher{}, metrics: newMetrics(), readers: readers.NewBook(cleanText), started: now()}
	b.work, b.stopWork = context.WithCancel(context.Background())
	b.builtIn = builtIn(takenNames(), googleads.New())
	b.definitions = cache.New(definitionPrefix, b.now, b.decodeDefinition)
	b.accounts = cache.New(configPrefix, b.now, b.decodeAccount)
	b.accounts.Release = (*account).hangUp
	b.tokens = cache.New(tokenPrefix, b.now, b.decodeToken)
	b.notifications = cache.New(notificationPrefix, b.now, b.decodeNotification)
	b.notifications.Release = (*notification).hangUp
	b.holderIndex = newHolderIndex()
	b.campaigns = newCampaigns()
	b.campaigns.wake = b.wakeCampaign
	b.campaignEntries = cache.New(campaignPrefix, b.now, b.decodeCampaign)
	b.accounts.Touched = func(name string) {
		b.holderIndex.touch(holding{account: true, name: name})
		b.campaigns.touchAccount(name)
	}
	b.tokens.Touched = func(name string) {
		b.holderIndex.touch(holding{name: name})
		b.campaigns.touch(name)
	}
	b.Backend = &framework.Backend{
		Help:           strings.TrimSpace(backendHelp),
		BackendType:    logical.TypeLogical,
		RunningVersion: Version,
		PathsSpecial:   &logical.Paths{SealWrapStorage: []string{configPrefix, tokenPrefix, notificationPrefix, salt.DefaultLocation}},
		Invalidate:     b.invalidate,
		InitializeFunc: func(_ context.Context, req *logical.InitializationRequest) error {
			b.startWork(req.Storage)
			return nil
		},
		Clean: func(context.Context) {
			b.stopWork()
			b.unstored.wait(unstoredPatience)
			b.accounts.Clear()
			b.notifications.Clear()
		},
		Paths: b.paths(),
	}
	sayDefaults(b.Paths)
	b.Secrets = []*framework.Secret{b.credentialLease()}
	return b
}

// paths are those of the engine, in the order of its help.
func (b *backend) paths() []*framework.Path {
	return []*framework.Path{
		b.pathProviders(),
		b.pathProvidersList(),
		b.pathConfig(),
		b.pathConfigList(),
		b.pathTokens(),
		b.pathTokensList(),
		b.pathRotate(),
		b.pathConsent(),
		b.pathRetire(),
		b.pathReaders(),
		b.pathVerify(),
		b.pathHistory(),
		b.pathCreds(),
		b.pathAccessToken(),
		b.pathNotifications(),
		b.pathNotificationsList(),
		b.pathNotificationsTry(),
		b.pathCampaigns(),
		b.pathCampaignsList(),
		b.pathReport(),
		b.pathStatus(),
		b.pathMetrics(),
		b.pathInfo(),
	}
}

// invalidate drops what another node changed in storage.
func (b *backend) invalidate(_ context.Context, key string) {
	switch {
	case strings.HasPrefix(key, configPrefix):
		b.accounts.Invalidate(strings.TrimPrefix(key, configPrefix))
	case strings.HasPrefix(key, definitionPrefix):
		name := strings.TrimPrefix(key, definitionPrefix)
		b.definitions.Invalidate(name)
		b.forgetPlatform(name)
	case strings.HasPrefix(key, tokenPrefix):
		b.tokens.Invalidate(strings.TrimPrefix(key, tokenPrefix))
	case strings.HasPrefix(key, notificationPrefix):
		b.notifications.Invalidate(strings.TrimPrefix(key, notificationPrefix))
	case strings.HasPrefix(key, campaignPrefix), strings.HasPrefix(key, campaignItemPrefix):
		b.forgetCampaign(key)
	case strings.HasPrefix(key, readersPrefix):
		if known := b.readers.Peek(strings.TrimPrefix(key, readersPrefix)); known != nil {
			known.Unmerge()
		}
	case key == salt.DefaultLocation:
		b.saltMu.Lock()
		defer b.saltMu.Unlock()
		b.salt = nil
	}
}
