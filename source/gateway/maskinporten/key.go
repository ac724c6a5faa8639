package maskinporten

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const minBits = 2048

// key is a private key with what names it.
type key struct {
	private *rsa.PrivateKey
	id      string   // of a JWK
	chain   []string // certificates, as x5c has them, the key's own first
}

// parseKey reads a JWK or PEM. The causes of its errors are left out, as they
// may quote what was read.
func parseKey(text string) (key, error) {
	read := parsePEM
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		read = parseJWK
	}
	k, certificates, err := read(text)
	if err != nil {
		return key{}, err
	}
	if k.private.N.BitLen() < minBits {
		return key{}, errors.New("has fewer than 2048 bits")
	}
	if err := k.private.Validate(); err != nil {
		return key{}, errors.New("is not a usable RSA key")
	}
	for i, c := range certificates {
		if i == 0 && !k.private.PublicKey.Equal(c.PublicKey) {
			return key{}, errors.New("is not the key of the first certificate")
		}
		k.chain = append(k.chain, base64.StdEncoding.EncodeToString(c.Raw))
	}
	return k, nil
}

func parseJWK(text string) (key, []*x509.Certificate, error) {
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON([]byte(text)); err != nil {
		return key{}, nil, errors.New("is not a valid JWK")
	}
	private, ok := jwk.Key.(*rsa.PrivateKey)
	if !ok {
		return key{}, nil, errors.New("must be a private RSA key")
	}
	return key{private: private, id: jwk.KeyID}, jwk.Certificates, nil
}

func parsePEM(text string) (key, []*x509.Certificate, error) {
	var (
		k            key
		certificates []*x509.Certificate
	)
	rest := []byte(text)
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return key{}, nil, errors.New("holds a certificate that cannot be read")
			}
			certificates = append(certificates, c)
		case "ENCRYPTED PRIVATE KEY":
			return key{}, nil, errors.New("is encrypted: decrypt it")
		case "PRIVATE KEY", "RSA PRIVATE KEY":
			if k.private != nil {
				return key{}, nil, errors.New("holds more than one private key")
			}
			private, err := parsePrivate(block)
			if err != nil {
				return key{}, nil, err
			}
			k.private = private
		}
	}
	if k.private == nil {
		return key{}, nil, errors.New("holds no private key: give it in PEM or as a JWK")
	}
	return k, certificates, nil
}

func parsePrivate(block *pem.Block) (*rsa.PrivateKey, error) {
	if block.Headers["DEK-Info"] != "" {
		return nil, errors.New("is encrypted: decrypt it")
	}
	if private, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return private, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("holds a private key that cannot be read")
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("must be an RSA key")
	}
	return private, nil
}
