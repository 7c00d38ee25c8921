// Package simulator plays ad platforms over HTTP, from their public documentation, strictly enough that a client cannot tell
// them from the real thing: a wrong path, method, header or credential gets the provider's own answer.
//
// A Simulator holds one small world: a Google Ads manager account with its developer token, OAuth clients and service
// accounts, impact.com accounts of the three kinds with their tokens, and further platforms, each described by rules in a file
// of platforms/. Four handlers show it:
//
//   - Google: the OAuth token and revocation endpoints, the Google Ads API and the keys of the IAM API
//   - Impact: the impact.com REST API
//   - Platforms: the platforms by rules, each below a path of its name
//   - Control: what a person does in the providers' consoles, fault injection, the ledger; see Client
//
// Every world starts with an OAuth client and a service account named DefaultName, and one impact.com account per kind,
// named after it; the agency's legacy tokens are enabled.
package simulator

import (
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// DefaultName names the OAuth client and the service account that every world starts with.
const DefaultName = "default"

// Options of a Simulator. The zero value works for everything but service account keys, which need GoogleURL.
type Options struct {
	// GoogleURL is where the Google handler is reached: key files name its token endpoint, and assertions must be addressed to it.
	GoogleURL string
	// ImpactRateLimit is the number of requests an impact.com account may make in an hour; 0 means the documented 1,000.
	ImpactRateLimit int
	// Now is the clock, time.Now when nil. Client.AdvanceClock moves the world's time ahead of it.
	Now func() time.Time
	// Logger gets one line per request, without secrets; nil is silent.
	Logger hclog.Logger
}

// Simulator is one world of simulated providers. It is safe for concurrent use.
type Simulator struct {
	options Options
	logger  hclog.Logger

	// mu guards everything below. Handlers hold it while they read or change the world and never while they wait or write.
	mu           sync.Mutex
	clockOffset  time.Duration
	google       googleWorld
	impact       impactWorld
	platforms    map[string]*platform
	accessTokens map[string]*accessToken
	consentCodes map[string]consentCode
	faults       []*Fault
	requests     map[Service]map[string]int
	userAgents   map[Service]map[string]int
	issued       []Secret
	keysMade     int
}

// state is the whole world as the consoles would show it, secrets included.
type state struct {
	Google googleWorld `json:"google"`
	Impact impactWorld `json:"impact"`
	// Platforms has the newest fields of each credential, by platform and name.
	Platforms map[string]map[string]map[string]string `json:"platforms"`
	Faults    []*Fault                                `json:"faults"`
}

// New returns a Simulator with the default world.
func New(options Options) *Simulator {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.ImpactRateLimit == 0 {
		options.ImpactRateLimit = defaultRateLimit
	}
	if options.Logger == nil {
		options.Logger = hclog.NewNullLogger()
	}
	s := &Simulator{
		options:      options,
		logger:       options.Logger,
		accessTokens: map[string]*accessToken{},
		consentCodes: map[string]consentCode{},
		requests:     map[Service]map[string]int{},
		userAgents:   map[Service]map[string]int{},
	}
	s.google = s.newGoogleWorld()
	s.impact = s.newImpactWorld()
	s.platforms = map[string]*platform{}
	s.loadPlatforms()
	return s
}

// now is the world's time. The caller holds mu, or is New.
func (s *Simulator) now() time.Time { return s.options.Now().Add(s.clockOffset) }

// Google answers for oauth2.googleapis.com, googleads.googleapis.com and iam.googleapis.com.
func (s *Simulator) Google() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /token", s.serve(GoogleToken, s.handleToken))
	mux.Handle("GET "+consentPath, s.serve(GoogleToken, s.handleConsentPage))
	mux.Handle("POST "+consentPath, s.serve(GoogleToken, s.handleConsent))
	mux.Handle("POST /v1/token", s.serve(GoogleToken, s.handleTokenExchange))
	mux.Handle("GET /computeMetadata/v1/instance/service-accounts/default/token", s.serve(GoogleToken, s.handleMetadataToken))
	mux.Handle("POST /v1/projects/{project}/serviceAccounts/{account}", s.serve(GoogleIAM, s.handleServiceAccountVerb))
	mux.Handle("POST /revoke", s.serve(GoogleToken, s.handleRevoke))
	mux.Handle("GET /{version}/customers:listAccessibleCustomers", s.serve(GoogleAds, s.handleListAccessibleCustomers))
	const keys = "/v1/projects/{project}/serviceAccounts/{account}/keys"
	mux.Handle("POST "+keys, s.serve(GoogleIAM, s.handleIAM("create", s.createKey)))
	mux.Handle("GET "+keys, s.serve(GoogleIAM, s.handleIAM("list", s.listKeys)))
	mux.Handle("GET "+keys+"/{key}", s.serve(GoogleIAM, s.handleIAM("get", s.getKey)))
	mux.Handle("DELETE "+keys+"/{key}", s.serve(GoogleIAM, s.handleIAM("delete", s.deleteKey)))
	mux.Handle("POST "+keys+"/{key}", s.serve(GoogleIAM, s.handleKeyVerb))
	mux.Handle("/", s.serve(GoogleAds, handleGoogleNotFound))
	return mux
}

// Impact answers for api.impact.com.
func (s *Simulator) Impact() http.Handler {
	mux := http.NewServeMux()
	for kind := range maps.Keys(accountKinds) {
		mux.Handle("/"+accountKinds[kind].basePath+"/{sid}/{resource...}", s.serve(Impact, s.handleImpact(kind)))
	}
	mux.Handle("/", s.serve(Impact, handleImpactNotFound))
	return mux
}
