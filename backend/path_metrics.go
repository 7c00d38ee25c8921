package backend

import (
	"context"
	"net/http"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

const metricsHelpLong = `OpenMetrics text for Prometheus and others, as a raw response with its content type: scrape
/v1/<mount>/metrics with a token that may read this path, or look with "vault read -format=raw <mount>/metrics".

Counters and latencies are those of this plugin process since it started; what tokens look like is read at each scrape.
The first 1,000 tokens in the order of their names have series of their own.`

func (b *backend) pathMetrics() *framework.Path {
	return &framework.Path{
		Pattern:      "metrics$",
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "metrics"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: &framework.PathOperation{
				Callback: b.pathMetricsRead, Summary: "Read the metrics as OpenMetrics text.",
				DisplayAttrs: &framework.DisplayAttributes{OperationVerb: "read"},
				Responses:    map[int][]framework.Response{http.StatusOK: {{Description: "OpenMetrics text.", MediaType: string(openMetricsFormat)}}},
			},
		},
		HelpSynopsis:    "Read the metrics as OpenMetrics text.",
		HelpDescription: metricsHelpLong,
	}
}

func (b *backend) pathMetricsRead(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	s, err := b.surveyTokens(ctx, req.Storage)
	if err != nil {
		return nil, err
	}
	queues, err := b.notificationStates(ctx, req.Storage)
	b.logNotification("", "reading the notifications failed", err)
	campaigns, _, err := b.surveyCampaigns(ctx, req.Storage) // the status names those that cannot be read
	if err != nil {
		return nil, err
	}
	jobs, limits := b.scheduler.Size()
	text, err := b.metrics.text(&snapshot{
		now: b.now(), tokens: s.tokens, unreadable: len(s.unreadable), unknown: s.unknown, campaigns: campaigns,
		cached: map[string]int{
			"accounts": b.accounts.Cached(), "tokens": b.tokens.Cached(), "access_tokens": b.access.cached(),
			"planned_work": jobs, "rate_limits": limits, "readers": b.readers.Rows(),
		},
		queues:    queues,
		forgotten: b.readers.Forgotten(), readers: b.countReaders,
	})
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{
		logical.HTTPStatusCode:  http.StatusOK,
		logical.HTTPContentType: string(openMetricsFormat),
		logical.HTTPRawBody:     text,
	}}, nil
}
