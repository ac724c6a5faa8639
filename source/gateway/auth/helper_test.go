package auth_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/source/gateway/auth"
)

const (
	secret   = "s3cret-of-the-client"
	base     = "https://gw.example.no/iga/v1"
	tokenURL = "https://login.example.no/token"
)

var person = gateway.Request{Path: "persons/1", Route: "persons/{id}"}

// transport answers requests in memory, so that it works in a synctest bubble.
type transport func(http.ResponseWriter, *http.Request)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	t(rec, r)
	if err := r.Context().Err(); err != nil { // meanwhile
		return nil, err
	}
	return rec.Result(), nil
}

// backend is a gateway with a source behind it. It accepts the credentials in
// accept, and notes which were sent.
type backend struct {
	header string // default: Authorization
	accept func(credentials string) bool
	refuse string // WWW-Authenticate of a refusal

	mu   sync.Mutex
	sent []string
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := b.header
	if name == "" {
		name = "Authorization"
	}
	b.mu.Lock()
	b.sent = append(b.sent, r.Header.Get(name))
	b.mu.Unlock()
	if b.accept != nil && !b.accept(r.Header.Get(name)) {
		if b.refuse != "" {
			w.Header().Set("WWW-Authenticate", b.refuse)
		}
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_, _ = io.WriteString(w, `{}`)
}

func newClient(t *testing.T, b *backend, a ...gateway.Authenticator) *gateway.Client {
	t.Helper()
	c, err := gateway.New(base, gateway.Config{Auth: a, Transport: transport(b.ServeHTTP), Retries: -1})
	require.NoError(t, err)
	return c
}

// fileWith makes a file with a text.
func fileWith(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// endpoint is a token endpoint that answers with numbered tokens, or with what
// answer writes.
type endpoint struct {
	life   string // expires_in
	delay  time.Duration
	answer func(http.ResponseWriter, *http.Request) bool // reports whether it wrote

	mu    sync.Mutex
	count int
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	e.count++
	token := "token-" + strings.Repeat("x", e.count)
	answer, delay := e.answer, e.delay
	e.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return
	}
	if answer != nil && answer(w, r) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"access_token":"`+token+`","token_type":"Bearer","expires_in":`+e.life+`}`)
}

func (e *endpoint) set(answer func(http.ResponseWriter, *http.Request) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

func (e *endpoint) fetches() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.count
}

func status(code int, header ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		return true
	}
}

func clientCredentials(t *testing.T, e *endpoint) gateway.Authenticator {
	t.Helper()
	a, err := auth.ClientCredentials(auth.ClientCredentialsConfig{
		TokenURL: tokenURL, ClientID: "connector", ClientSecret: auth.Value(secret), Transport: transport(e.ServeHTTP),
	})
	require.NoError(t, err)
	return a
}
