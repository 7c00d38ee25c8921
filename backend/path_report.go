package backend

import (
	"context"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

const reportHelpLong = `
For an app that the provider has refused: it says which value that was, by the version or the fingerprint that came with it, and is told
whether another one is current by now (outdated: read again), or what the provider says of the current one.

    vault write adtokens/report/acme-rw version=3 status=401

Reports of one token share one verification in 10 seconds, however many apps send them. A verification that finds the value rejected warns
everybody who reads it, and replaces it where the token has rotate_on_rejection. Reports count as work of the engine's own for the limits
of the account: once those are used up the outcome is inconclusive, and retry_after says when to report again.

An app needs one line of policy more: path "adtokens/report/acme-rw" { capabilities = ["update"] }
`

// lowestStatus and highestStatus are those of HTTP.
const lowestStatus, highestStatus = http.StatusContinue, 599

// longestFingerprint is in bytes. Those of this release are much shorter.
const longestFingerprint = 128

func (b *backend) pathReport() *framework.Path {
	return &framework.Path{
		Pattern: reportPrefix + namePattern("name") + "$",
		Fields: map[string]*framework.FieldSchema{
			"name":        nameField(),
			"version":     {Type: framework.TypeInt, Description: "The version that was refused. Excludes fingerprint."},
			"fingerprint": {Type: framework.TypeString, Description: "The fingerprint of the value that was refused. Excludes version."},
			"status":      {Type: framework.TypeInt, Description: "The HTTP status that the app got, 100 to 599. It is for the audit log."},
		},
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "refusal"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: writeOperation(b.pathReportWrite, "Report that the provider has refused a value.", "report",
				ok("Whether the value is an old one, or what the provider says of it.", map[string]*framework.FieldSchema{
					"outcome":         {Type: framework.TypeString, Required: true, Description: "outdated (another version is current: read again), or accepted, rejected or inconclusive."},
					"detail":          {Type: framework.TypeString, Required: true, Description: "The outcome in a sentence."},
					"current_version": {Type: framework.TypeInt, Required: true, Description: "Number of the version that is current by now."},
					"checked_at":      {Type: framework.TypeTime, Description: "When the provider was asked; null where it was not."},
					"rotation_state":  {Type: framework.TypeString, Required: true, Description: "What an automatic rotation is doing by now."},
					"retry_after":     {Type: framework.TypeInt, Description: "Seconds until a report has the provider asked again. Only where the account's limits are used up."},
				})),
		},
		HelpSynopsis:    "Report that the provider has refused a value.",
		HelpDescription: strings.TrimSpace(reportHelpLong),
	}
}

func (b *backend) pathReportWrite(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name := d.Get("name").(string)
	report, err := readReport(d)
	if err != nil {
		return nil, err
	}
	answer, err := b.answerReport(ctx, req.Storage, name, report)
	if err != nil {
		return nil, err
	}
	b.metrics.reported(answer.outcome)
	response := &logical.Response{Data: map[string]any{
		"outcome":         answer.outcome,
		"detail":          answer.detail,
		"current_version": answer.token.Number(),
		"checked_at":      timestamp(answer.checkedAt),
		"rotation_state":  string(answer.token.State()),
	}}
	if answer.retryAfter > 0 {
		response.Data["retry_after"] = wholeSeconds(answer.retryAfter)
	}
	if answer.mustRotate {
		response.AddWarning("the provider rejects the current credential; an operator has to rotate the token: " + readRunbook(name) + " tells how")
	}
	return response, nil
}

// readReport reads what an app says of a value.
func readReport(d *framework.FieldData) (r appReport, err error) {
	fingerprint, status := given[string](d, "fingerprint"), given[int](d, "status")
	r.version = given[int](d, "version")
	switch {
	case status != nil && (*status < lowestStatus || *status > highestStatus):
		return r, badInput("status must be an HTTP status, %d to %d", lowestStatus, highestStatus)
	case (r.version == nil) == (fingerprint == nil):
		return r, badInput("give either the version or the fingerprint that came with the value which was refused")
	case r.version != nil && *r.version < 1:
		return r, badInput("version must be the number of a version, 1 or more")
	case fingerprint == nil:
		return r, nil
	}
	r.fingerprint = strings.TrimSpace(*fingerprint)
	switch {
	case r.fingerprint == "":
		return r, badInput("fingerprint must not be empty")
	case len(r.fingerprint) > longestFingerprint || !plainText(r.fingerprint):
		return r, badInput("fingerprint must be what came with the value: one line of at most %d bytes, "+textRule, longestFingerprint)
	}
	return r, nil
}
