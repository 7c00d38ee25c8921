//go:build unix

package matrix

import (
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// lineup has a subject for each row. All go through the same, but for those with which something is wrong.
type lineup[R, S any] struct {
	rows     []R
	subjects []S
	problems []error
}

func lineUp[R, S any](rows []R, subject func(R) (S, error)) *lineup[R, S] {
	l := &lineup[R, S]{rows: rows, subjects: make([]S, len(rows)), problems: make([]error, len(rows))}
	each(rows, func(i int, r R) { l.subjects[i], l.problems[i] = subject(r) })
	return l
}

// phase does the same with all subjects that are well.
func (l *lineup[R, S]) phase(do func(R, S) error) {
	each(l.rows, func(i int, r R) {
		if l.problems[i] == nil {
			l.problems[i] = do(r, l.subjects[i])
		}
	})
}

// problem is what is wrong with a subject, in one line without secrets; empty where nothing is.
func (l *lineup[R, S]) problem(t *testing.T, i int) string {
	t.Helper()
	if l.problems[i] == nil {
		return ""
	}
	return vaulttest.Redact(t, strings.ReplaceAll(l.problems[i].Error(), "\n", "; "))
}
