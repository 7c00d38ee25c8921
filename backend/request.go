package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/hashicorp/vault/sdk/logical"
)

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
		response, err = read(b, ctx, req.Storage, name, readerOf(req))
		return finishAnswer(req, response, err)
	}
	if err = b.checkInput(ctx, req); err != nil {
		return finishAnswer(req, nil, err)
	}
	// It goes into the history, and is what an identity provider says.
	req.DisplayName = cleanText(req.DisplayName)
	response, err = b.Backend.HandleRequest(ctx, req)
	b.warnOfIgnored(req, response)
	return finishAnswer(req, response, err)
}

// hotReader answers a read of creds/ or access-token/.
type hotReader func(b *backend, ctx context.Context, storage logical.Storage, name string, by Reader) (*logical.Response, error)

// hotRead finds what answers a read that apps send all the time; nil where the framework has to look at the request. Any
// node answers these reads, and they take no fields; yet the framework would ask Vault's process at each request whether
// to forward it, and that costs as much as all the rest of the work.
func hotRead(req *logical.Request) (read hotReader, name string) {
	if req.Operation != logical.ReadOperation || len(req.Data) > 0 {
		return nil, ""
	}
	name, isCreds, ok := hotName(req.Path)
	switch {
	case !ok || !validName().MatchString(name):
		return nil, ""
	case isCreds:
		return (*backend).readCreds, name
	default:
		return (*backend).readAccessToken, name
	}
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

// finishAnswer gives an error its status, and the texts of a response or an error the path of the mount, so that what they say to type can
// be pasted.
func finishAnswer(req *logical.Request, response *logical.Response, err error) (*logical.Response, error) {
	response, err = respond(response, err)
	if req.MountPoint == "" {
		return response, err
	}
	if response != nil {
		for i, warning := range response.Warnings {
			response.Warnings[i] = withMount(warning, req.MountPoint)
		}
		if _, _, isCredential := hotName(req.Path); !isCredential || response.IsError() {
			fillIn(response.Data, req.MountPoint)
		}
	}
	err = mountedError(err, req.MountPoint)
	coded, ok := err.(logical.HTTPCodedError) //nolint:errorlint // respond has it outermost
	if ok && coded.Code() == http.StatusNotFound && req.Operation == logical.ReadOperation {
		return readOfNothing(req, coded)
	}
	return response, err
}

// readOfNothing answers HTTP 404 with its text. Vault's Go client, and with it the vault command, takes a 404 that has nothing but
// errors for "no value found" and drops the text; with a further member in the body it reports the errors. What reads the HTTP
// answer itself sees the errors in their usual place.
func readOfNothing(req *logical.Request, nothing logical.HTTPCodedError) (*logical.Response, error) {
	if req.WrapInfo != nil && req.WrapInfo.TTL > 0 {
		return nil, nothing // an answer would be wrapped, an error is not
	}
	body, err := json.Marshal(map[string]any{"errors": []string{nothing.Error()}, "status": nothing.Code()})
	if err != nil {
		return nil, fmt.Errorf("encoding an error: %w", err)
	}
	return &logical.Response{Data: map[string]any{
		logical.HTTPContentType: "application/json", logical.HTTPStatusCode: nothing.Code(), logical.HTTPRawBody: string(body),
	}}, nil
}

// errNoSnapshots refuses to read from a loaded snapshot of Vault's storage. What this engine answers comes from its cache of the
// storage of today, so it must not look like an answer from the snapshot. Vault does not send such requests to a plugin that does
// not declare paths for them.
var errNoSnapshots = badInput("this engine does not read from snapshots; restore the snapshot to another Vault, and read there")
