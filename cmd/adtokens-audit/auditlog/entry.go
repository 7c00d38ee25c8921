// Package auditlog reads the log of a Vault audit device, and keeps account of what it says about one mount of the
// engine: who knows which version of which token, and who rotated it.
//
// Vault writes an entry for each request and one for its response. The response's entry repeats the request, so it is
// the only one that counts.
package auditlog

import (
	"bytes"
	"encoding/json"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Kind is what a request did.
type Kind string

// The kinds of requests that tell who knows a credential, or will. None of them is a failed one, but for KindRotate.
const (
	KindRead        Kind = "read"         // of creds/<name>
	KindAccessToken Kind = "access_token" // read of access-token/<name>
	KindUnwrap      Kind = "unwrap"       // of a response-wrapped read, by sys/wrapping/unwrap or a read of cubbyhole/response
	KindRewrap      Kind = "rewrap"       // another wrapping token for a response-wrapped read
	KindRotate      Kind = "rotate"       // also a refused one: see Rotation.Error
	KindImport      Kind = "import"       // tokens/<name> created with a credential
	KindDelete      Kind = "delete"       // of tokens/<name>
	KindRenew       Kind = "renew"        // of the lease of a read
	KindConsent     Kind = "consent"      // begun, for a value that a rotation gets by its answer
)

// Entry is a request about a token.
type Entry struct {
	Time      time.Time // in UTC
	RequestID string
	Kind      Kind
	Token     TokenID // empty for KindUnwrap, and as a rule for KindRewrap: they do not name it
	By        Identity
	Address   string  // the remote address as Vault saw it
	Version   Version // unknown for response-wrapped reads
	// WrappingToken was handed out instead of the credential.
	WrappingToken WrappingToken
	// Unwraps is the wrapping token that was spent. KindRewrap, and an unwrapping whose answer is wrapped again, have a
	// WrappingToken too.
	Unwraps WrappingToken
	// Ours is set for KindUnwrap if the answer has the fields of this engine.
	Ours bool
	// Untold is set for the read of a cubbyhole: nothing but the wrapping token tells what was unwrapped.
	Untold bool
	// Elsewhere is set for KindRewrap if it tells that what is wrapped is no credential of the mount.
	Elsewhere bool
	// ReadAt is the time of the read that KindUnwrap unwraps. A tally fills it in, like Token and AccessToken.
	ReadAt time.Time
	// AccessToken is set if the answer that was unwrapped is a short-lived access token.
	AccessToken bool
	// Client is set for KindConsent if fields of the credential came with it, such as the secret of a client.
	Client bool
	// Rotation is set for KindRotate and KindImport.
	Rotation *Rotation
}

// WrappingToken names a wrapping token by the HMACs that the log has of it. Either may be empty.
type WrappingToken struct {
	Token string
	// Accessor is its accessor's. It is the same whatever form the token was handed out in.
	Accessor string
}

// TokenID names a token of the mount.
type TokenID struct {
	Namespace string // ends in a slash; empty for the root namespace
	Name      string
}

func (id TokenID) String() string { return id.Namespace + id.Name }

// Identity is somebody as Vault knows them: the entity, or the Vault token of those without one.
type Identity struct {
	EntityID    string
	DisplayName string
	// Accessor is that of the Vault token, as a rule as an HMAC. It is empty for whoever has an entity.
	Accessor string
}

// IsHolder reports whether this is a wrapping token that made a request by itself, so that nobody knows for whom.
func (id Identity) IsHolder() bool { return id == Identity{DisplayName: wrappingTokenHolder} }

// Version tells one credential of a token from another. The zero value is an unknown one.
type Version struct {
	Number int // 0 if the log does not tell
	// ID tells credentials of the same number apart, as there are after a token was deleted and made anew, or after an old
	// snapshot was restored: the fingerprint, if the mount exempts it from the HMAC. Without a number it is the number's HMAC.
	ID string
	// Value is what the log has of the fingerprint: itself, or its HMAC. Credentials with the same one are the same value,
	// whatever their numbers. Others need not be different: HMACs are an audit device's own, and a refresh changes the fingerprint.
	Value string
	// Published is what the log has of the time of its publication, which no refresh changes.
	Published string
}

// known reports whether the log tells anything of the number.
func (v Version) known() bool { return v.Number > 0 || v.ID != "" }

// unnumbered is how many digits of a hidden number's HMAC are shown.
const unnumbered = 8

func (v Version) String() string {
	switch hash := strings.TrimPrefix(v.ID, hmacPrefix); {
	case v.Number > 0:
		return strconv.Itoa(v.Number)
	case hash != "":
		return "#" + hash[:min(unnumbered, len(hash))]
	default:
		return "?"
	}
}

// Rotation is how a version came to be, or why it did not. Texts may be HMACs: see Hidden.
type Rotation struct {
	Previous           int    // number of the version before, 0 if there was none or the log does not tell
	HandedIn           bool   // whoever made the request knows the value
	Consent            bool   // it came of a consent, and nobody knows it but those who gave fields of the client
	Reason             string // as given; not kept of a failed one, which may have been refused for a secret in it
	Verification       string // accepted, inconclusive or skipped
	PreviousCredential string // what became of it
	State              string // what was still to do
	Error              string // why it failed; empty if it did not
}

const hmacPrefix = "hmac-sha256:"

// Hidden reports whether Vault wrote an HMAC in place of a text.
func Hidden(text string) bool { return strings.HasPrefix(text, hmacPrefix) }

// Verdict says what a line is.
type Verdict int

// The verdicts.
const (
	Other   Verdict = iota // an entry about something else
	Found                  // an entry to count
	Foreign                // a line of Vault's own log
	Broken                 // no audit entry that can be read, but perhaps a part of one
	Cut                    // an audit entry without its end
)

const (
	unwrapPath    = "sys/wrapping/unwrap"
	rewrapPath    = "sys/wrapping/rewrap"
	cubbyholePath = "cubbyhole/response"
	// wrappingTokenHolder is the display name of whoever unwrapped a credential without a Vault token of their own.
	wrappingTokenHolder = "holder of a wrapping token"
)

// Renewals have two paths.
var renewPaths = []string{"sys/leases/renew", "sys/renew"}

// The ends of paths behind a slash.
var (
	unwrapEnd    = []byte("wrapping/unwrap")
	rewrapEnd    = []byte("wrapping/rewrap")
	cubbyholeEnd = []byte(`response"`)
	credsStart   = []byte("creds/")
	slash        = []byte("/")
)

// Parser reads the entries of one mount.
type Parser struct {
	mount string
	// segment is the last one of the mount's path, as it is in every line about the mount.
	segment []byte
	// names are collected from all entries, if it is not nil.
	names *names
	// elsewhere are other mounts of the engine.
	elsewhere *mounts
}

// NewParser returns a parser for the mount at a path, such as adtokens/ or, in a namespace, team/adtokens/. A path
// without its namespace stands for the mounts at that path in all namespaces.
func NewParser(mount string) *Parser {
	mount = strings.Trim(mount, "/")
	segment := path.Base(mount)
	if quoted, err := json.Marshal(segment); err != nil || string(quoted) != `"`+segment+`"` || !isASCII(segment) {
		segment = "" // JSON has several ways to write it
	}
	return &Parser{mount: mount + "/", segment: []byte(segment), elsewhere: &mounts{seen: map[string]bool{}}}
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// mayConcern reports whether a line can be about the mount, or unwrap something. It is many times faster than decoding:
// slashes are rare in audit logs, and most lines are about other mounts.
func (p *Parser) mayConcern(text []byte) bool {
	line := text
	for {
		before, after, found := bytes.Cut(text, slash)
		if !found {
			return false
		}
		if bytes.HasSuffix(before, p.segment) || len(after) > 0 && p.endsWell(line, after) {
			return true
		}
		text = after
	}
}

// endsWell looks at what comes after a slash.
func (p *Parser) endsWell(line, after []byte) bool {
	switch after[0] {
	case 'w':
		return bytes.HasPrefix(after, unwrapEnd) || bytes.HasPrefix(after, rewrapEnd)
	case 'r':
		return bytes.HasPrefix(after, cubbyholeEnd)
	case 'c':
		if bytes.HasPrefix(after, credsStart) {
			p.elsewhere.look(line)
		}
	}
	return false
}

// Mount returns the path of the mount, with a slash at the end.
func (p *Parser) Mount() string { return p.mount }

// record is what is decoded of an entry. Texts of other types than Vault writes are empty.
type record struct {
	isResponse bool
	time       time.Time
	error      string
	auth       struct{ accessor, clientToken, displayName, entityID string }
	request    struct {
		id, namespace, operation, path, remoteAddress string

		data []byte // an object of JSON, as it is in the line
	}
	response struct {
		wrappingToken, wrappingAccessor, creationPath, leaseID string

		// Of the data:
		cubbyhole, error, fingerprint, lastVaultRotation, previousCredential, previousVersion, rotationState, verification, version string
	}
}

// decode returns false if the line is no audit entry.
func (r *record) decode(line []byte) bool {
	var kind, at string
	whole := true
	// inner goes on with a field's own fields. Vault leaves out what is not there; other writers have a null.
	inner := func(value []byte, do func(key, value []byte)) {
		whole = whole && (string(value) == "null" || eachField(value, do))
	}
	whole = eachField(line, func(key, value []byte) {
		switch string(key) {
		case "type":
			kind = asText(value)
		case "time":
			at = asText(value)
		case "error":
			r.error = asText(value)
		case "auth":
			inner(value, r.decodeAuth)
		case "request":
			inner(value, r.decodeRequest)
		case "response":
			inner(value, r.decodeResponse)
		}
	}) && whole
	t, err := time.Parse(time.RFC3339, at)
	r.time, r.isResponse = t.UTC(), kind == "response"
	return whole && err == nil && kind != ""
}

func (r *record) decodeAuth(key, value []byte) {
	switch string(key) {
	case "accessor":
		r.auth.accessor = asText(value)
	case "client_token":
		r.auth.clientToken = asText(value)
	case "display_name":
		r.auth.displayName = asText(value)
	case "entity_id":
		r.auth.entityID = asText(value)
	}
}

func (r *record) decodeRequest(key, value []byte) {
	switch string(key) {
	case "data":
		r.request.data = value
	case "id":
		r.request.id = asText(value)
	case "namespace":
		eachField(value, func(key, value []byte) {
			if string(key) == "path" {
				r.request.namespace = asText(value)
			}
		})
	case "operation":
		r.request.operation = asText(value)
	case "path":
		r.request.path = asText(value)
	case "remote_address":
		r.request.remoteAddress = asText(value)
	}
}

func (r *record) decodeResponse(key, value []byte) {
	switch string(key) {
	case "data":
		eachField(value, r.decodeData)
	case "secret":
		eachField(value, func(key, value []byte) {
			if string(key) == "lease_id" {
				r.response.leaseID = asText(value)
			}
		})
	case "wrap_info":
		eachField(value, r.decodeWrapping)
	}
}

func (r *record) decodeWrapping(key, value []byte) {
	switch string(key) {
	case "accessor":
		r.response.wrappingAccessor = asText(value)
	case "creation_path":
		r.response.creationPath = asText(value)
	case "token":
		r.response.wrappingToken = asText(value)
	}
}

func (r *record) decodeData(key, value []byte) {
	d := &r.response
	switch string(key) {
	case "error":
		d.error = asText(value)
	case "fingerprint":
		d.fingerprint = asText(value)
	case "last_vault_rotation":
		d.lastVaultRotation = asText(value)
	case "previous_credential":
		d.previousCredential = asText(value)
	case "previous_version":
		d.previousVersion = asText(value)
	case "response":
		d.cubbyhole = asText(value)
	case "rotation_state":
		d.rotationState = asText(value)
	case "verification":
		d.verification = asText(value)
	case "version":
		d.version = asText(value)
	}
}

// number returns 0 for what is none.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

// Parse reads a line. It keeps no part of it.
func (p *Parser) Parse(line []byte) (Entry, Verdict) {
	text, verdict := sift(line)
	if verdict == Found || verdict == Other {
		p.names.look(text)
	}
	switch {
	case verdict != Found:
		return Entry{}, verdict
	case !p.mayConcern(text):
		return Entry{}, Other
	}
	var r record
	if !r.decodeLast(text) {
		return Entry{}, Broken
	}
	e := Entry{
		Time: r.time, RequestID: r.request.id, Address: r.request.remoteAddress, By: r.identity(), Version: r.version(),
	}
	if !r.isResponse || !p.interpret(&r, &e) {
		return Entry{}, Other
	}
	return e, Found
}

// decodeLast decodes a line, also one that begins with what a killed server had written of an entry.
func (r *record) decodeLast(text []byte) bool {
	if r.decode(text) {
		return true
	}
	if text = afterTorn(text); text == nil {
		return false
	}
	*r = record{}
	return r.decode(text)
}

func (r *record) identity() Identity {
	id := Identity{EntityID: r.auth.entityID, DisplayName: r.auth.displayName}
	if id.EntityID == "" {
		id.Accessor = r.auth.accessor
	}
	return id
}

func (r *record) version() Version {
	v := Version{Number: number(r.response.version), Value: r.response.fingerprint, Published: r.response.lastVaultRotation}
	switch {
	case v.Number == 0:
		v.ID = r.response.version
	case !Hidden(r.response.fingerprint):
		v.ID = r.response.fingerprint
	}
	return v
}

// interpret says what the request did. It returns false for one that says nothing about who knows a credential.
func (p *Parser) interpret(r *record, e *Entry) bool {
	namespace, name, ok := p.below(r, r.request.path)
	if !ok {
		return r.unwraps(p, e) || r.renews(p, e)
	}
	resource, name, _ := strings.Cut(name, "/")
	name, part, inner := strings.Cut(name, "/")
	if name == "" || inner && (resource != "tokens" || part != "rotate" && part != "consent") {
		return false
	}
	e.Token = TokenID{Namespace: namespace, Name: name}
	switch {
	case part == "rotate":
		return r.rotates(e)
	case r.failure() != "":
		return false
	case part == "consent":
		return r.consents(e)
	case resource == "tokens":
		return r.imports(e) || r.deletes(e)
	case resource == "creds":
		e.Kind = KindRead
		return r.reads(e)
	case resource == "access-token":
		e.Kind = KindAccessToken
		return r.reads(e)
	}
	return false
}

func (r *record) writes() bool {
	return r.request.operation == "update" || r.request.operation == "create"
}

func (r *record) rotates(e *Entry) bool {
	e.Kind, e.Rotation = KindRotate, r.rotation()
	return r.writes()
}

func (r *record) consents(e *Entry) bool {
	e.Kind, e.Version = KindConsent, Version{}
	eachField(r.request.data, func(key, _ []byte) { e.Client = e.Client || string(key) != "redirect_uri" })
	return r.writes()
}

func (r *record) imports(e *Entry) bool {
	if !r.writes() || !e.Version.known() { // a change of policy has no answer
		return false
	}
	e.Kind, e.Rotation = KindImport, r.rotation()
	e.Rotation.HandedIn = true
	return true
}

func (r *record) deletes(e *Entry) bool {
	e.Kind = KindDelete
	return r.request.operation == "delete"
}

func (r *record) reads(e *Entry) bool {
	e.WrappingToken = r.handsOut()
	return r.request.operation == "read" && (e.Version.known() || e.WrappingToken.Token != "")
}

// handsOut returns the wrapping token of the answer.
func (r *record) handsOut() WrappingToken {
	return WrappingToken{Token: r.response.wrappingToken, Accessor: r.response.wrappingAccessor}
}

// below returns the namespace and what follows the mount in a path that the entry has. Vault writes paths without their namespace.
func (p *Parser) below(r *record, path string) (namespace, rest string, ok bool) {
	namespace = r.request.namespace
	if rest, ok = strings.CutPrefix(path, p.mount); ok {
		return namespace, rest, true
	}
	rest, ok = strings.CutPrefix(namespace+path, p.mount)
	return namespace, rest, ok
}

// unwraps recognises whoever spends a wrapping token: by sys/wrapping/unwrap, by a read of its cubbyhole, or for another
// wrapping token. The path does not tell what was wrapped. The fields of an answer that is unwrapped do, as a rule.
func (r *record) unwraps(p *Parser, e *Entry) bool {
	if r.failure() != "" {
		return false
	}
	e.Kind = KindUnwrap
	switch {
	case r.request.path == unwrapPath:
		e.Ours = r.response.lastVaultRotation != "" && r.response.fingerprint != ""
	case r.request.path == rewrapPath && r.response.wrappingToken != "":
		e.Kind = KindRewrap
	case r.request.path == cubbyholePath && r.request.operation == "read" && (r.response.cubbyhole != "" || r.response.wrappingToken != ""):
		e.Untold = true
	default:
		return false
	}
	// This is the system's mount, which hides the number: the read that is unwrapped tells when the credential was current.
	e.Version, e.WrappingToken = Version{}, r.handsOut()
	if e.Kind == KindRewrap {
		e.Token, e.AccessToken = p.created(r)
		e.Elsewhere = e.Token == (TokenID{}) && r.response.creationPath != "" && !Hidden(r.response.creationPath)
	}
	r.spends(e)
	return true
}

// spends fills in the wrapping token that was spent.
func (r *record) spends(e *Entry) {
	if r.request.path != cubbyholePath {
		eachField(r.request.data, func(key, value []byte) {
			if string(key) == "token" {
				e.Unwraps.Token = asText(value)
			}
		})
	}
	if e.Unwraps.Token == "" {
		// The wrapping token itself made the request, and nobody knows for whom. Its accessor is another one each time.
		e.By, e.Unwraps = Identity{DisplayName: wrappingTokenHolder}, WrappingToken{Token: r.auth.clientToken, Accessor: r.auth.accessor}
	}
}

// created returns the token of the mount whose read was wrapped at first, which the answer to a rewrapping tells.
func (p *Parser) created(r *record) (id TokenID, accessToken bool) {
	namespace, rest, ok := p.below(r, r.response.creationPath)
	resource, name, _ := strings.Cut(rest, "/")
	if !ok || name == "" || strings.Contains(name, "/") || resource != "creds" && resource != "access-token" {
		return TokenID{}, false
	}
	return TokenID{Namespace: namespace, Name: name}, resource == "access-token"
}

// renews recognises the renewal of a read's lease, by the lease's name.
func (r *record) renews(p *Parser, e *Entry) bool {
	if !slices.Contains(renewPaths, r.request.path) || r.failure() != "" {
		return false
	}
	namespace, rest, ok := p.below(r, r.response.leaseID)
	rest, creds := strings.CutPrefix(rest, "creds/")
	name, _, lease := strings.Cut(rest, "/")
	if !ok || !creds || !lease || name == "" {
		return false
	}
	e.Kind, e.Token, e.Version = KindRenew, TokenID{Namespace: namespace, Name: name}, Version{}
	return true
}

// failure is why the request failed; empty if it did not.
func (r *record) failure() string {
	switch {
	case r.error != "":
		text := strings.Join(strings.Fields(r.error), " ")
		return strings.TrimPrefix(text, "1 error occurred: * ")
	case Hidden(r.response.error):
		return "refused"
	default:
		return r.response.error
	}
}

// ownInputs are the inputs of a rotation that are no part of a credential. What else there is, a person has handed in.
var ownInputs = map[string]bool{
	"reason": true, "cas": true, "verify": true, "retire_previous": true, "revoke_previous": true, "accept_other_identity": true,
}

// consentInputs are the answer to a consent. Its code is good for one value, which the engine gets for it and nobody sees.
var consentInputs = map[string]bool{"redirect_url": true, "code": true, "state": true}

func (r *record) rotation() *Rotation {
	d := &r.response
	rotation := &Rotation{
		Previous: number(d.previousVersion), Verification: d.verification, PreviousCredential: d.previousCredential,
		State: d.rotationState, Error: r.failure(),
	}
	eachField(r.request.data, func(key, value []byte) {
		if string(key) == "reason" && rotation.Error == "" {
			rotation.Reason = asText(value)
		}
		rotation.Consent = rotation.Consent || consentInputs[string(key)]
		rotation.HandedIn = rotation.HandedIn || !ownInputs[string(key)] && !consentInputs[string(key)]
	})
	return rotation
}
