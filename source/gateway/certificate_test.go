package gateway_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// serveTLS starts a gateway that wants a client certificate, and answers with
// the name in it.
func serveTLS(t *testing.T, authority *server.Authority, version uint16) *httptest.Server {
	t.Helper()
	cert, certKey := authority.Sign(t, "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(cert, certKey)
	require.NoError(t, err)
	clients := x509.NewCertPool()
	text, err := os.ReadFile(authority.File)
	require.NoError(t, err)
	require.True(t, clients.AppendCertsFromPEM(text))

	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert, MaxVersion: version}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func replace(t *testing.T, file, by string) {
	t.Helper()
	text, err := os.ReadFile(by)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o600))
}

func TestClientCertificateIsReadAgain(t *testing.T) {
	authority := server.NewAuthority(t)
	s := serveTLS(t, authority, tls.VersionTLS13)
	cert, certKey := authority.Sign(t, "first")
	c := newClient(t, s.URL, gateway.Config{CertFile: cert, CertKeyFile: certKey, CAFile: authority.File, Retries: -1})
	name := func() string {
		c.CloseIdleConnections() // open connections keep their certificate
		resp, err := c.Get(t.Context(), person)
		require.NoError(t, err)
		return string(resp.Body)
	}
	require.Equal(t, "first", name())

	newCert, newKey := authority.Sign(t, "second")
	replace(t, cert, newCert)
	require.Equal(t, "first", name(), "a certificate without its key is not used")
	replace(t, certKey, newKey)
	require.Equal(t, "second", name())

	require.NoError(t, os.Remove(certKey))
	require.Equal(t, "second", name(), "the last pair is kept")
}

func TestWithoutCertificate(t *testing.T) {
	authority := server.NewAuthority(t)
	// With TLS 1.3 a client learns too late that its certificate is missing.
	s := serveTLS(t, authority, tls.VersionTLS12)
	tests := []struct {
		name string
		cfg  gateway.Config
		text string
	}{
		{name: "no client certificate", cfg: gateway.Config{CAFile: authority.File}, text: "remote error: tls: "},
		{name: "unknown authority", text: "certificate signed by unknown authority"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Retries = -1
			_, err := newClient(t, s.URL, tt.cfg).Get(t.Context(), person)
			require.Equal(t, failure.Unavailable, failure.Of(err))
			require.ErrorContains(t, err, tt.text)
		})
	}
}

func TestCertificateConfig(t *testing.T) {
	authority := server.NewAuthority(t)
	cert, certKey := authority.Sign(t, "a")
	_, otherKey := authority.Sign(t, "b")
	missing := filepath.Join(t.TempDir(), "missing.pem")
	tests := []struct {
		name string
		cfg  gateway.Config
		text string
	}{
		{name: "no key", cfg: gateway.Config{CertFile: cert}, text: "CertKeyFile: must be set together with CertFile"},
		{name: "no certificate", cfg: gateway.Config{CertKeyFile: certKey}, text: "CertFile: must be set together with CertKeyFile"},
		{name: "missing", cfg: gateway.Config{CertFile: missing, CertKeyFile: certKey}, text: "CertFile: open " + missing},
		{name: "another's key", cfg: gateway.Config{CertFile: cert, CertKeyFile: otherKey}, text: "CertFile: tls: private key does not match"},
		{name: "missing authority", cfg: gateway.Config{CAFile: missing}, text: "CAFile: open " + missing},
		{name: "no authority", cfg: gateway.Config{CAFile: certKey}, text: "CAFile: no certificate in it"},
		{name: "own transport", cfg: gateway.Config{CAFile: authority.File, Transport: http.DefaultTransport}, text: "Transport: brings its own certificates"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := gateway.New(base, tt.cfg)
			require.ErrorContains(t, err, tt.text)
		})
	}
}
