//go:build !failpoints

package backend

import (
	"context"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// Fail points are for tests, in a build of their own: see failpoint.go. Here they are nothing.
const (
	pointValueTried    = ""
	pointOldValueTried = ""
	pointEventSent     = ""
	pointRefreshAsked  = ""
	pointTokenShared   = ""
	pointCodeSent      = ""
)

func reachPoint(*token, string) {}

func (b *backend) beforeWrite(context.Context, logical.Storage, *token) error { return nil }

func stopBetweenSteps(*rotation.Machine, *token) {}
