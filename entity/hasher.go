package entity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
)

// Hasher turns keys into short names for logs, metrics and operators. The same
// key gives the same name as long as the secret is the same; without the secret
// a name can neither be reversed nor be guessed by trying all IDs.
//
// The zero Hasher works, with an empty secret: use it in tests only.
type Hasher struct{ secret []byte }

// NewHasher returns a Hasher. A secret of 32 random bytes is recommended.
func NewHasher(secret []byte) Hasher { return Hasher{secret: secret} }

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Hash returns the name of k: 16 characters of a-z and 2-7, 80 bits of
// HMAC-SHA-256.
func (h Hasher) Hash(k Key) string {
	return lowerBase32.EncodeToString(h.Sum([]byte(k.Type), []byte{0}, []byte(k.ID))[:10])
}

// Sum returns the HMAC-SHA-256 of the parts, one after the other.
func (h Hasher) Sum(parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, h.secret)
	for _, p := range parts {
		mac.Write(p)
	}
	return mac.Sum(nil)
}
