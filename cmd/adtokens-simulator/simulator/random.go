package simulator

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"
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

// publicExponent is that of all RSA keys.
const publicExponent = 65537

// rsaKeys are made once per process and shared by its simulators: the n-th key of every simulator is the same one. To find a prime takes a
// twentieth of a second, so each pair of them is a key. No two keys are the same, and none of them has to withstand anybody.
var rsaKeys struct {
	sync.Mutex
	primes []*big.Int
	made   []*rsa.PrivateKey
}

// rsaKey returns the n-th 2048-bit key of this process, from 0.
func rsaKey(n int) (*rsa.PrivateKey, error) {
	rsaKeys.Lock()
	defer rsaKeys.Unlock()
	for len(rsaKeys.made) <= n {
		newest, err := newPrime()
		if err != nil {
			return nil, fmt.Errorf("making an RSA key: %w", err)
		}
		for _, p := range rsaKeys.primes {
			rsaKeys.made = append(rsaKeys.made, keyOf(p, newest))
		}
		rsaKeys.primes = append(rsaKeys.primes, newest)
	}
	return rsaKeys.made[n], nil
}

// newPrime is one of 1024 bits that goes with the exponent. Two of them make 2048 bits.
func newPrime() (*big.Int, error) {
	for {
		p, err := rand.Prime(rand.Reader, 1024)
		if err != nil {
			return nil, err
		}
		if new(big.Int).Mod(new(big.Int).Sub(p, big.NewInt(1)), big.NewInt(publicExponent)).Sign() != 0 {
			return p, nil
		}
	}
}

func keyOf(p, q *big.Int) *rsa.PrivateKey {
	one := big.NewInt(1)
	totient := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: publicExponent},
		D:         new(big.Int).ModInverse(big.NewInt(publicExponent), totient), Primes: []*big.Int{p, q},
	}
	key.Precompute()
	return key
}
