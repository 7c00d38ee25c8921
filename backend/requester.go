package backend

import (
	"cmp"

	"github.com/hashicorp/vault/sdk/logical"
)

// requester is who sent a request. The zero value is nobody that Vault knows.
type requester struct {
	// entityID is that of Vault's identity store; empty for a root token and the like.
	entityID string
	// displayName is the name that the auth method gave.
	displayName string
	// tokenAccessor is that of the Vault token that came with the request.
	tokenAccessor string
	// requestID is what Vault calls the request in its audit logs. Vault sends a request again, by the same ID, where the plugin has
	// ended before its answer.
	requestID string
}

// requesterOf reads who sent a request. It is for path files, which hand the answer down.
func requesterOf(req *logical.Request) requester {
	return requester{entityID: req.EntityID, displayName: req.DisplayName, tokenAccessor: req.ClientTokenAccessor, requestID: req.ID}
}

// readerOf reads who sent a read. It is for path files and for reads that come past them.
func readerOf(req *logical.Request) Reader {
	by := Reader{EntityID: req.EntityID, DisplayName: req.DisplayName, Accessor: req.ClientTokenAccessor}
	if req.Connection != nil {
		by.Address = req.Connection.RemoteAddr
	}
	return by
}

// client tells one requester from another, as far as Vault can.
func (r requester) client() string {
	return cmp.Or(r.entityID, r.tokenAccessor, r.displayName)
}
