package backend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/ryanuber/go-glob"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

const (
	// anyCharacters is what * is in the names of a selection.
	anyCharacters = "*"
	// maxPatterns bounds the names with a *: each is compared with each token's name, which whole names are not.
	maxPatterns = 100
	// maxTold keeps what is told of a selection on one screen.
	maxTold = 20
)

// nameList is a list of a selection with what it has found. Nil fits everything.
type nameList struct {
	whole map[string]bool
	// patterns are those with a *.
	patterns []string
	found    map[string]bool
}

func newNameList(names []string) *nameList {
	if len(names) == 0 {
		return nil
	}
	l := &nameList{whole: map[string]bool{}, found: map[string]bool{}}
	for _, name := range names {
		if strings.Contains(name, anyCharacters) {
			l.patterns = append(l.patterns, name)
		} else {
			l.whole[name] = true
		}
	}
	return l
}

func (l *nameList) fits(name string) bool {
	if l == nil {
		return true
	}
	fits := l.whole[name]
	if fits {
		l.found[name] = true
	}
	for _, pattern := range l.patterns {
		if glob.Glob(pattern, name) {
			l.found[pattern], fits = true, true
		}
	}
	return fits
}

// missing are those that have found nothing, in order.
func (l *nameList) missing() []string {
	if l == nil {
		return nil
	}
	all := append(slices.Collect(maps.Keys(l.whole)), l.patterns...)
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(name string) bool { return l.found[name] })
}

// check refuses a selection that is none, or whose parts cannot be names.
func (s *campaignSelection) check() error {
	patterns := 0
	for _, name := range s.Tokens {
		if strings.Contains(name, anyCharacters) {
			patterns++
		}
	}
	lists := map[string][]string{"tokens": s.Tokens, "accounts": s.Accounts, "providers": s.Providers, "types": s.Types}
	for _, field := range slices.Sorted(maps.Keys(lists)) {
		for _, name := range lists[field] {
			plain, ofPatterns := name, ""
			if field == "tokens" {
				plain, ofPatterns = strings.ReplaceAll(name, anyCharacters, ""), ", in which * stands for any characters"
			}
			if len(name) > maxNameLength || strings.Trim(plain, nameCharacters) != "" || name == "" {
				return badInput("%s must be names, separated by commas%s; nothing was begun", field, ofPatterns)
			}
		}
	}
	switch {
	case patterns > maxPatterns:
		return badInput("tokens may have %d names with a * at most, and any number of whole ones; nothing was begun", maxPatterns)
	case len(s.Tokens)+len(s.Accounts)+len(s.Providers)+len(s.Types) == 0 && s.ReadBy == "":
		return badInput("say which tokens are to be reset, with tokens, accounts, providers, types or read_by; " +
			"tokens='*' stands for all of them. Nothing was begun")
	}
	return nil
}

// nameCharacters are those of names of accounts, tokens, providers and types.
const nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."

// selected is what a selection has found.
type selected struct {
	// tokens are in the order of their names.
	tokens []*token
	// notes tell of what is not in it, and why.
	notes []string
}

// selectTokens finds the tokens that fit.
func (b *backend) selectTokens(ctx context.Context, storage logical.Storage, s *campaignSelection) (*selected, error) {
	names, err := b.tokens.List(ctx, storage)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	lists := map[string]*nameList{
		"tokens": newNameList(s.Tokens), "accounts": newNameList(s.Accounts), "providers": newNameList(s.Providers), "types": newNameList(s.Types),
	}
	found := &selected{}
	var unreadable, nothingToReset []string
	for _, name := range names {
		if !lists["tokens"].fits(name) {
			continue
		}
		t, err := b.tokens.Get(ctx, storage, name)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			unreadable = append(unreadable, name)
			continue
		case t == nil:
			continue
		}
		// Each of them is asked, so that what is told of one does not depend on the others.
		account, provides, kind := lists["accounts"].fits(t.Account), lists["providers"].fits(t.Provider), lists["types"].fits(t.Type)
		if !account || !provides || !kind {
			continue
		}
		if t.kind.ResetSemantics == provider.None {
			nothingToReset = append(nothingToReset, name)
			continue
		}
		found.tokens = append(found.tokens, t)
	}
	fit := len(found.tokens)
	if found.tokens, err = b.keepReadBy(ctx, storage, s.ReadBy, found.tokens); err != nil {
		return nil, err
	}
	if fit > 0 && len(found.tokens) == 0 {
		found.notes = append(found.notes, "read_by is no reader of the others: it takes a whole entity ID or display name, such as userpass-jane, as "+
			"`vault read <mount>/tokens/<name>/readers` shows them")
	}
	found.tell("these tokens cannot be read at this moment and are not in the campaign, although they may belong to it", unreadable)
	found.tell("these tokens have nothing to reset and are not in the campaign", nothingToReset)
	return found, b.tellMissing(ctx, storage, lists, found)
}

// tell notes what names have in common.
func (f *selected) tell(what string, names []string) {
	if len(names) == 0 {
		return
	}
	more := ""
	if surplus := len(names) - maxTold; surplus > 0 {
		names, more = names[:maxTold], fmt.Sprintf(" and %d more", surplus)
	}
	f.notes = append(f.notes, what+": "+strings.Join(names, ", ")+more)
}

// tellMissing notes which parts of the lists have found nothing.
func (b *backend) tellMissing(ctx context.Context, storage logical.Storage, lists map[string]*nameList, f *selected) error {
	f.tell("there are no tokens with these names", lists["tokens"].missing())
	know := map[string]func(name string) (bool, error){
		"accounts": func(name string) (bool, error) {
			a, err := b.accounts.Get(ctx, storage, name)
			return a != nil || err != nil && ctx.Err() == nil, ctx.Err() // one that cannot be read exists
		},
		"providers": func(name string) (bool, error) {
			p, err := b.platform(ctx, storage, name)
			return p != nil, err
		},
		"types": func(name string) (bool, error) { return b.knowsType(ctx, storage, name) },
	}
	nouns := map[string]string{"accounts": "account", "providers": "provider", "types": "type"}
	for _, field := range []string{"accounts", "providers", "types"} {
		var unknown, unused []string
		for _, name := range lists[field].missing() {
			known, err := know[field](name)
			switch {
			case err != nil:
				return err
			case known:
				unused = append(unused, name)
			default:
				unknown = append(unknown, name)
			}
		}
		f.tell(fmt.Sprintf("these %s do not exist", field), unknown)
		f.tell(fmt.Sprintf("no token of the selection is of %s", nouns[field]), unused)
	}
	return nil
}

// knowsType says whether some provider has tokens of that type.
func (b *backend) knowsType(ctx context.Context, storage logical.Storage, name string) (bool, error) {
	names, err := b.platformNames(ctx, storage)
	for _, platform := range names {
		p, err := b.platform(ctx, storage, platform)
		if err == nil && p != nil && p.Type(name) != nil {
			return true, nil
		}
	}
	return false, err
}
