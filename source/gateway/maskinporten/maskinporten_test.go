package maskinporten_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/source/gateway/auth"
	"github.com/konnektor-go/konnektor/source/gateway/maskinporten"
)

// Keys are slow to make.
var (
	testKey  = sync.OnceValue(func() *rsa.PrivateKey { return newKey(2048) })
	otherKey = sync.OnceValue(func() *rsa.PrivateKey { return newKey(2048) })
)

func newKey(bits int) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return k
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(t *testing.T, k any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	return block("PRIVATE KEY", der)
}

func certificate(t *testing.T, k *rsa.PrivateKey) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test University"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	require.NoError(t, err)
	c, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return c
}

func jwk(t *testing.T, k any, id string, chain ...*x509.Certificate) string {
	t.Helper()
	text, err := jose.JSONWebKey{Key: k, KeyID: id, Certificates: chain, Algorithm: "RS256"}.MarshalJSON()
	require.NoError(t, err)
	return string(text)
}

// service is Maskinporten. It keeps what it was sent, and verifies nothing.
type service struct{ forms []url.Values }

func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	s.forms = append(s.forms, r.PostForm)
	rec := httptest.NewRecorder()
	rec.Header().Set("Content-Type", "application/json")
	_, _ = rec.WriteString(`{"access_token":"token","token_type":"Bearer","expires_in":120}`)
	return rec.Result(), nil
}

// part decodes the header (0) or the claims (1) of the assertion sent i-th.
func (s *service) part(t *testing.T, i, part int) map[string]any {
	t.Helper()
	parts := strings.Split(s.forms[i].Get("assertion"), ".")
	require.Len(t, parts, 3)
	text, err := base64.RawURLEncoding.DecodeString(parts[part])
	require.NoError(t, err)
	var m map[string]any
	require.NoError(t, json.Unmarshal(text, &m))
	return m
}

func config(s *service, key string) maskinporten.Config {
	return maskinporten.Config{
		ClientID: "client", Key: auth.Value(gateway.Secret(key)), KeyID: "kid-1", Scopes: []string{"iga:read", "iga:list"},
		Transport: s,
	}
}

func authenticate(t *testing.T, a gateway.Authenticator) (string, error) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://gw.example.no/", http.NoBody)
	err := a.Authenticate(req)
	return req.Header.Get("Authorization"), err
}

func TestAssertion(t *testing.T) {
	key := pkcs8(t, testKey())
	synctest.Test(t, func(t *testing.T) {
		s := &service{}
		cfg := config(s, key)
		cfg.Resource = []string{"https://iga.example.no"}
		a, err := maskinporten.New(cfg)
		require.NoError(t, err)
		for range 2 {
			sent, err := authenticate(t, a)
			require.NoError(t, err)
			require.Equal(t, "Bearer token", sent)
			now := float64(time.Now().Unix())
			claims := s.part(t, len(s.forms)-1, 1)
			require.NotEmpty(t, claims["jti"])
			delete(claims, "jti")
			require.Equal(t, map[string]any{
				"aud": "https://maskinporten.no/", "iss": "client", "iat": now, "exp": now + 60,
				"scope": "iga:read iga:list", "resource": []any{"https://iga.example.no"},
			}, claims)
			require.Equal(t, map[string]any{"alg": "RS256", "kid": "kid-1", "typ": "JWT"}, s.part(t, len(s.forms)-1, 0))
			time.Sleep(100 * time.Second)
		}
		require.Len(t, s.forms, 2)
		for _, form := range s.forms {
			require.Len(t, form, 2, "grant_type and assertion, nothing else")
			require.Equal(t, "urn:ietf:params:oauth:grant-type:jwt-bearer", form.Get("grant_type"))
			signed, err := jose.ParseSignedCompact(form.Get("assertion"), []jose.SignatureAlgorithm{jose.RS256})
			require.NoError(t, err)
			_, err = signed.Verify(testKey().Public())
			require.NoError(t, err)
		}
		require.NotEqual(t, s.part(t, 0, 1)["jti"], s.part(t, 1, 1)["jti"])
	})
}

func TestHeaderNamesTheKey(t *testing.T) {
	leaf := certificate(t, testKey())
	root := certificate(t, otherKey())
	bundle := pkcs8(t, testKey()) + block("CERTIFICATE", leaf.Raw) + block("CERTIFICATE", root.Raw)
	chain := []any{base64.StdEncoding.EncodeToString(leaf.Raw), base64.StdEncoding.EncodeToString(root.Raw)}
	tests := []struct {
		name, key, id string
		want          map[string]any
	}{
		{name: "PKCS #8", key: pkcs8(t, testKey()), id: "a", want: map[string]any{"kid": "a"}},
		{name: "PKCS #1", key: block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(testKey())), id: "a", want: map[string]any{"kid": "a"}},
		{name: "JWK", key: jwk(t, testKey(), "b"), want: map[string]any{"kid": "b"}},
		{name: "JWK with another id", key: jwk(t, testKey(), "b"), id: "a", want: map[string]any{"kid": "a"}},
		{name: "certificates", key: bundle, want: map[string]any{"x5c": chain}},
		{name: "as OpenSSL writes it", key: "Bag Attributes\n    friendlyName: x\n" + bundle, want: map[string]any{"x5c": chain}},
		{name: "certificates and id", key: bundle, id: "a", want: map[string]any{"x5c": chain, "kid": "a"}},
		{name: "JWK with certificates", key: jwk(t, testKey(), "", leaf, root), want: map[string]any{"x5c": chain}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &service{}
			cfg := config(s, tt.key)
			cfg.KeyID = tt.id
			a, err := maskinporten.New(cfg)
			require.NoError(t, err)
			_, err = authenticate(t, a)
			require.NoError(t, err)
			tt.want["alg"], tt.want["typ"] = "RS256", "JWT"
			require.Equal(t, tt.want, s.part(t, 0, 0))
		})
	}
}

func TestConfig(t *testing.T) {
	good := pkcs8(t, testKey())
	elliptic256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	key := func(text string) func(*maskinporten.Config) {
		return func(c *maskinporten.Config) { c.Key = auth.Value(gateway.Secret(text)) }
	}
	tests := []struct {
		name   string
		change func(*maskinporten.Config)
		text   string
	}{
		{name: "URL", change: func(c *maskinporten.Config) { c.TokenURL = "http://maskinporten.no/token" }, text: "TokenURL: must begin with https://"},
		{name: "client", change: func(c *maskinporten.Config) { c.ClientID = "" }, text: "ClientID: must be set"},
		{name: "no key", change: func(c *maskinporten.Config) { c.Key = nil }, text: "Key: must be set"},
		{name: "no scope", change: func(c *maskinporten.Config) { c.Scopes = nil }, text: "Scopes: must hold those of the API"},
		{name: "scopes in one", change: func(c *maskinporten.Config) { c.Scopes = []string{"a b"} }, text: "Scopes: each must be one word"},
		{name: "no id", change: func(c *maskinporten.Config) { c.KeyID = "" }, text: "KeyID: must be set, as Key holds neither"},
		{name: "missing", change: func(c *maskinporten.Config) { c.Key = auth.File("/nowhere/key") }, text: "Key: open /nowhere/key"},
		{name: "not a key", change: key("s3cret"), text: "Key: holds no private key"},
		{name: "half a key", change: key(block("PRIVATE KEY", []byte("s3cret"))), text: "Key: holds a private key that cannot be read"},
		{name: "two keys", change: key(good + good), text: "Key: holds more than one private key"},
		{name: "encrypted", change: key(block("ENCRYPTED PRIVATE KEY", []byte("s3cret"))), text: "Key: is encrypted"},
		{name: "old encryption", change: key("-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"), text: "Key: is encrypted"},
		{name: "elliptic", change: key(pkcs8(t, elliptic256)), text: "Key: must be an RSA key"},
		{name: "short", change: key(pkcs8(t, newKey(1024))), text: "Key: has fewer than 2048 bits"},
		{name: "no JWK", change: key(`{"kty":"RSA","d":"s3cret"}`), text: "Key: is not a valid JWK"},
		{name: "public JWK", change: key(jwk(t, testKey().Public(), "b")), text: "Key: must be a private RSA key"},
		{name: "another's certificate", change: key(good + block("CERTIFICATE", certificate(t, otherKey()).Raw)), text: "Key: is not the key of the first certificate"},
		{name: "no certificate", change: key(good + block("CERTIFICATE", []byte("s3cret"))), text: "Key: holds a certificate that cannot be read"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(&service{}, good)
			tt.change(&cfg)
			_, err := maskinporten.New(cfg)
			require.ErrorContains(t, err, tt.text)
			require.NotContains(t, err.Error(), "s3cret")
			require.NotContains(t, err.Error(), base64.StdEncoding.EncodeToString([]byte("s3cret")))
		})
	}
}

func TestBrokenKeyIsNobodysError(t *testing.T) {
	text := gateway.Secret(pkcs8(t, testKey()))
	cfg := config(&service{}, "")
	cfg.Key = func() (gateway.Secret, error) { return text, nil }
	a, err := maskinporten.New(cfg)
	require.NoError(t, err)
	text = text[:len(text)/2] // is being written
	_, err = authenticate(t, a)
	require.Equal(t, failure.Unavailable, failure.Of(err))
	require.ErrorContains(t, err, "Key: holds no private key")
}

func TestNothingShows(t *testing.T) {
	text := pkcs8(t, testKey())
	s := &service{}
	cfg := config(s, text)
	a, err := maskinporten.New(cfg)
	require.NoError(t, err)
	_, err = authenticate(t, a)
	require.NoError(t, err)
	var out bytes.Buffer
	for _, v := range []any{cfg, &cfg, a, []any{cfg, a}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
	}
	for _, hidden := range []string{strings.Split(text, "\n")[1], s.forms[0].Get("assertion"), "Bearer token"} {
		require.NotContains(t, out.String(), hidden)
		require.NotContains(t, out.String(), fmt.Sprintf("%x", hidden))
	}
}
