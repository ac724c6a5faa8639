package entity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"hash"
	"sync"
)

// Hasher turns keys into short names for logs, metrics and operators. The same
// key gives the same name as long as the secret is the same; without the secret
// a name can neither be reversed nor be guessed by trying all IDs.
//
// The zero Hasher works, with an empty secret: use it in tests only.
type Hasher struct {
	secret []byte
	macs   *sync.Pool // of hash.Hash with that secret, nil in the zero Hasher
}

// NewHasher returns a Hasher. A secret of 32 random bytes is recommended.
func NewHasher(secret []byte) Hasher {
	return Hasher{secret, &sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}}
}

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Hash returns the name of k: 16 characters of a-z and 2-7, 80 bits of
// HMAC-SHA-256.
func (h Hasher) Hash(k Key) string {
	return lowerBase32.EncodeToString(h.Sum([]byte(k.Type), []byte{0}, []byte(k.ID))[:10])
}

// Sum returns the HMAC-SHA-256 of the parts, one after the other.
func (h Hasher) Sum(parts ...[]byte) []byte {
	if h.macs == nil {
		h = NewHasher(h.secret)
	}
	mac := h.macs.Get().(hash.Hash) //nolint:forcetypeassert // nothing else is in it
	defer h.macs.Put(mac)
	mac.Reset()
	for _, p := range parts {
		mac.Write(p)
	}
	return mac.Sum(nil)
}
