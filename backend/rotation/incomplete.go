package rotation

import (
	"errors"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// Incomplete is what Verify returns for a value that the provider cannot be asked about, because a part of it is not known
// yet. The value may be the only copy, so it is kept as one that the provider rejects is.
type Incomplete struct {
	// Detail is a sentence for an operator. It holds no secret.
	Detail string
}

func (e *Incomplete) Error() string { return e.Detail }

// refusal says why a value that was obtained is not published, with what is to be known of it.
func refusal(p *Pending, v provider.Verification) error {
	text := "the provider rejects the new value: " + v.Detail
	if p.Note != "" && p.Source != SourceAPI {
		text += ". " + p.Note
	}
	return errors.New(text)
}
