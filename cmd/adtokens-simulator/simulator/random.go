package simulator

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"sync"
)

const (
	digits       = "0123456789"
	hexDigits    = digits + "abcdef"
	lowerLetters = "abcdefghijklmnopqrstuvwxyz"
	alphanumeric = digits + lowerLetters + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	base64URL    = alphanumeric + "-_"
)

// randomString returns n characters of alphabet, each equally likely.
func randomString(alphabet string, n int) string {
	// A byte at or above the largest multiple of the alphabet's size would favour the first characters.
	limit := 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	buffer := make([]byte, n)
	for len(out) < n {
		_, _ = rand.Read(buffer) // never fails: crypto/rand ends the program instead
		for _, b := range buffer {
			if int(b) < limit && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

// rsaKeys are generated once per process and shared by its simulators: the n-th key of every simulator is the same one.
var rsaKeys struct {
	sync.Mutex
	made []*rsa.PrivateKey
}

// rsaKey returns the n-th 2048-bit key of this process, from 0.
func rsaKey(n int) (*rsa.PrivateKey, error) {
	rsaKeys.Lock()
	defer rsaKeys.Unlock()
	for len(rsaKeys.made) <= n {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, fmt.Errorf("generating an RSA key: %w", err)
		}
		rsaKeys.made = append(rsaKeys.made, key)
	}
	return rsaKeys.made[n], nil
}
