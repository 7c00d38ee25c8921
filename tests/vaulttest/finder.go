//go:build unix

package vaulttest

import (
	"encoding/binary"
	"strings"
)

// headLength is how many bytes of a form tell whether to look closer: at most minSecretLength.
const headLength = 8

// sieveBits is the binary logarithm of the sieve's size in bits, a hundred times the number of forms.
const sieveBits = 20

// finder finds thousands of forms in large logs, and replaces them by their names.
type finder struct {
	forms *strings.Replacer
	heads map[uint64]bool
	// sieve has a bit for the hash of every head, so that most positions of a text take no look-up.
	sieve [1 << sieveBits / 64]uint64
}

// newFinder takes pairs of a form, of headLength bytes or more, and its name.
func newFinder(pairs []string) *finder {
	f := &finder{forms: strings.NewReplacer(pairs...), heads: map[uint64]bool{}}
	for i := 0; i < len(pairs); i += 2 {
		head := binary.BigEndian.Uint64([]byte(pairs[i][:headLength]))
		f.heads[head] = true
		f.sieve[hash(head)/64] |= 1 << (hash(head) % 64)
	}
	return f
}

// hash is Fibonacci hashing.
func hash(head uint64) uint64 { return head * 0x9E3779B97F4A7C15 >> (64 - sieveBits) }

// redact returns a text without a form as it is.
func (f *finder) redact(text string) string {
	if f.suspects(text) {
		return f.forms.Replace(text)
	}
	return text
}

// suspects reports whether a form begins somewhere. The race detector would make it many times slower, and has nothing
// to find in it.
//
//go:norace
func (f *finder) suspects(text string) bool {
	var head uint64
	for i := range len(text) {
		head = head<<8 | uint64(text[i])
		if h := hash(head); f.sieve[h/64]&(1<<(h%64)) != 0 && i >= headLength-1 && f.heads[head] {
			return true
		}
	}
	return false
}
