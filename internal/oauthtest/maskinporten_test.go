package oauthtest_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/source/gateway/auth"
	"github.com/konnektor-go/konnektor/source/gateway/maskinporten"
	"github.com/stretchr/testify/require"
)

// Keys are slow to make.
var (
	firstKey  = sync.OnceValue(newKey)
	secondKey = sync.OnceValue(newKey)
)

func newKey() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}

func pemOf(t *testing.T, k *rsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func jwkOf(t *testing.T, k *rsa.PrivateKey, id string) string {
	t.Helper()
	text, err := jose.JSONWebKey{Key: k, KeyID: id}.MarshalJSON()
	require.NoError(t, err)
	return string(text)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

var person = gateway.Request{Path: "persons/1", Route: "persons/{id}"}

// world is an authority, a backend, and a client of both.
type world struct {
	authority *authority
	backend   *backend
	client    *gateway.Client
	keyFile   string
}

func newWorld(t *testing.T, change func(*maskinporten.Config)) *world {
	t.Helper()
	w := &world{authority: newAuthority(), keyFile: filepath.Join(t.TempDir(), "key")}
	w.authority.keys["kid-1"] = &firstKey().PublicKey
	w.backend = &backend{authority: w.authority}
	write(t, w.keyFile, pemOf(t, firstKey()))
	cfg := maskinporten.Config{
		TokenURL: tokenURL, ClientID: clientID, Key: auth.File(w.keyFile), KeyID: "kid-1",
		Scopes: []string{"iga:read"}, Transport: w.authority,
	}
	if change != nil {
		change(&cfg)
	}
	token, err := maskinporten.New(cfg)
	require.NoError(t, err)
	key, err := auth.APIKey(auth.Value("the-key"))
	require.NoError(t, err)
	w.client, err = gateway.New("https://gw.example.no/iga", gateway.Config{
		Auth: []gateway.Authenticator{key, token}, Transport: w.backend, Retries: -1,
	})
	require.NoError(t, err)
	return w
}

func (w *world) get(t *testing.T) error {
	t.Helper()
	resp, err := w.client.Get(t.Context(), person)
	if err == nil {
		require.JSONEq(t, `{"name":"Kari"}`, string(resp.Body))
	}
	return err
}

func TestMaskinporten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for range 600 { // ten minutes
			require.NoError(t, w.get(t))
			time.Sleep(time.Second)
		}
		require.Equal(t, 7, w.authority.asked, "at first, and each 90 s")
		require.Equal(t, 600, w.backend.calls, "no token was refused")
		require.NotContains(t, w.backend.keys, "")
	})
}

func TestAssertionsThatAreRefused(t *testing.T) {
	tests := []struct {
		name  string
		setup func(t *testing.T, w *world)
		cfg   func(*maskinporten.Config)
		text  string
	}{
		{
			name:  "wrong key",
			setup: func(t *testing.T, w *world) { write(t, w.keyFile, pemOf(t, secondKey())) },
			text:  "400 invalid_grant: check the key, the audience and the clock (it says: invalid signature",
		},
		{
			name: "unknown kid",
			cfg:  func(c *maskinporten.Config) { c.KeyID = "kid-2" },
			text: "no key with this kid",
		},
		{
			name: "wrong audience",
			cfg:  func(c *maskinporten.Config) { c.Audience = "https://test.maskinporten.test/" },
			text: "400 invalid_grant: check the key, the audience and the clock (it says: audience is not valid",
		},
		{
			name:  "expired",
			setup: func(_ *testing.T, w *world) { w.authority.ahead = time.Minute },
			text:  "(it says: token has expired); its clock differs from this one by 1m0s",
		},
		{
			name:  "from the future",
			setup: func(_ *testing.T, w *world) { w.authority.ahead = -time.Minute },
			text:  "; its clock differs from this one by -1m0s",
		},
		{
			name:  "late",
			setup: func(_ *testing.T, w *world) { w.authority.ahead = 11 * time.Second },
			text:  "(it says: iat is too far from the clock); its clock differs from this one by 11s",
		},
		{
			name: "wrong client",
			cfg:  func(c *maskinporten.Config) { c.ClientID = "integration-2" },
			text: "400 invalid_client: check the client's id, and its secret or key (it says: no such client)",
		},
		{
			name: "wrong scope",
			cfg:  func(c *maskinporten.Config) { c.Scopes = []string{"iga:write"} },
			text: "400 invalid_scope: check the scopes, and that the client was given them",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			firstKey()
			secondKey()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tt.cfg)
				if tt.setup != nil {
					tt.setup(t, w)
				}
				err := w.get(t)
				require.Equal(t, failure.Unavailable, failure.Of(err), "nobody's error")
				require.Positive(t, failure.RetryAfter(err))
				require.ErrorContains(t, err, tt.text)
				require.NotContains(t, err.Error(), "eyJ")
				require.Zero(t, w.backend.calls, "nothing is sent without a token")
			})
		})
	}
}

// recorder keeps the last body, and sends it again in place of the next ones if
// it is told to, as whoever had overheard it.
type recorder struct {
	next   http.RoundTripper
	body   string
	replay bool
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	if !r.replay {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		r.body = string(body)
	}
	again := req.Clone(req.Context())
	again.Body = io.NopCloser(strings.NewReader(r.body))
	return r.next.RoundTrip(again)
}

func TestReplayedAssertion(t *testing.T) {
	firstKey()
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		w := newWorld(t, func(c *maskinporten.Config) {
			r.next, c.Transport = c.Transport, &r
			c.Scopes = []string{"iga:write"} // refused, so that it is asked again
		})
		w.authority.scopes = []string{"iga:list"}
		err := w.get(t)
		require.ErrorContains(t, err, "400 invalid_scope")

		r.replay, w.authority.scopes = true, []string{"iga:write"}
		time.Sleep(failure.RetryAfter(err))
		err = w.get(t)
		require.Equal(t, failure.Unavailable, failure.Of(err))
		require.ErrorContains(t, err, "400 invalid_grant: check the key, the audience and the clock (it says: the assertion was used before)")

		r.replay = false
		time.Sleep(failure.RetryAfter(err))
		require.NoError(t, w.get(t), "each try has an assertion of its own")
	})
}

func TestKeyRotation(t *testing.T) {
	firstKey()
	secondKey()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "key.jwk")
		write(t, path, jwkOf(t, firstKey(), "kid-1"))
		w := newWorld(t, func(c *maskinporten.Config) { c.Key, c.KeyID = auth.File(path), "" })
		require.NoError(t, w.get(t))

		w.authority.keys = map[string]*rsa.PublicKey{"kid-2": &secondKey().PublicKey}
		time.Sleep(100 * time.Second)
		require.NoError(t, w.get(t), "the token is still good")
		require.Equal(t, 2, w.authority.asked, "though there is no other")
		time.Sleep(time.Minute)
		err := w.get(t)
		require.Equal(t, failure.Unavailable, failure.Of(err))
		require.ErrorContains(t, err, "no key with this kid")

		write(t, path, jwkOf(t, secondKey(), "kid-2"))
		time.Sleep(failure.RetryAfter(err))
		require.NoError(t, w.get(t))
	})
}

func TestBusinessCertificate(t *testing.T) {
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Test University"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, secondKey().Public(), secondKey())
	require.NoError(t, err)
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, firstKey().Public(), secondKey())
	require.NoError(t, err)
	text := pemOf(t, firstKey())
	for _, der := range [][]byte{leafDER, rootDER} {
		text += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	bundle := func(c *maskinporten.Config) {
		c.Key, c.KeyID = auth.Value(gateway.Secret(text)), ""
	}

	w := newWorld(t, bundle)
	require.ErrorContains(t, w.get(t), "invalid_grant", "an authority that nobody trusts")
	w = newWorld(t, bundle)
	trusted, err := x509.ParseCertificate(rootDER)
	require.NoError(t, err)
	w.authority.roots.AddCert(trusted)
	require.NoError(t, w.get(t))
}

func TestTokenThatWasRevoked(t *testing.T) {
	firstKey()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		require.NoError(t, w.get(t))
		time.Sleep(time.Minute)
		w.authority.mu.Lock()
		clear(w.authority.live)
		w.authority.mu.Unlock()
		require.NoError(t, together(t, w.client))
		require.Equal(t, 2, w.authority.asked)
	})
}

// TestOverSockets is the flow with TLS and real connections.
func TestOverSockets(t *testing.T) {
	a := newAuthority()
	a.keys["kid-1"] = &firstKey().PublicKey
	login, iga := serve(t, a), serve(t, &backend{authority: a})

	token, err := maskinporten.New(maskinporten.Config{
		TokenURL: login.URL + "/token", Audience: issuer, ClientID: clientID, Key: auth.Value(gateway.Secret(jwkOf(t, firstKey(), "kid-1"))),
		Scopes: []string{"iga:read", "iga:list"}, Transport: login.Client().Transport,
	})
	require.NoError(t, err)
	c, err := gateway.New(iga.URL, gateway.Config{Auth: []gateway.Authenticator{token}, Transport: iga.Client().Transport})
	require.NoError(t, err)
	require.NoError(t, together(t, c))
	require.Equal(t, 1, a.asked)
}

func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // connections that turned out not to be needed
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// together makes 100 different fetches at once.
func together(t *testing.T, c *gateway.Client) error {
	t.Helper()
	errs := make([]error, 100)
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() { _, errs[i] = c.Get(t.Context(), gateway.Request{Path: fmt.Sprintf("persons/%d", i)}) })
	}
	group.Wait()
	return errors.Join(errs...)
}
