package backend

import (
	"maps"
	"slices"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// readFields takes those of the given fields that are own, in canonical form; nil where there are none. Fields are read from what came
// with the request, because a path does not declare those of every token type and provider.
func readFields(given map[string]any, own []provider.Field) (provider.Values, error) {
	var values provider.Values
	for _, f := range own {
		raw, has := given[f.Name]
		if !has {
			continue
		}
		text, err := textOf(f.Name, raw)
		if f.Flag {
			text, err = flagOf(f.Name, raw)
		}
		if err != nil {
			return nil, err
		}
		value, err := f.Canonical(text)
		if err != nil {
			return nil, badInput("%s", err)
		}
		if values == nil {
			values = provider.Values{}
		}
		values[f.Name] = value
	}
	return values, nil
}

// foreignField names a given field that is one of all and none of own; empty where there is none.
func foreignField(given map[string]any, own, all []provider.Field) string {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		_, isOwn := provider.Lookup(own, name)
		if _, isField := provider.Lookup(all, name); isField && !isOwn {
			return name
		}
	}
	return ""
}

func fieldNames(fields []provider.Field) string {
	return strings.Join(provider.Names(fields), ", ")
}
