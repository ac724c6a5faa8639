package rabbitmq

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
)

// securePeer is a peer with a certificate for names, and what clients told it.
type securePeer struct {
	*peer

	mu    sync.Mutex
	names []string // that clients asked for (SNI)
	users []string // subjects of clients' certificates
}

func newSecurePeer(t *testing.T, ca *server.Authority, clients tls.ClientAuthType, names ...string) *securePeer {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(ca.Sign(t, names...))
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(ca.File)
	require.NoError(t, err)
	require.True(t, pool.AppendCertsFromPEM(pem))
	s := &securePeer{}
	s.peer = newPeer(t, func(p *peer) {
		p.tls = &tls.Config{
			Certificates: []tls.Certificate{pair}, ClientAuth: clients, ClientCAs: pool,
			VerifyConnection: func(state tls.ConnectionState) error {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.names = append(s.names, state.ServerName)
				for _, c := range state.PeerCertificates {
					s.users = append(s.users, c.Subject.CommonName)
				}
				return nil
			},
		}
	})
	return s
}

// url returns the peer's address by a name, which must lead to loopback.
func (s *securePeer) url(t *testing.T, scheme, name string) string {
	t.Helper()
	return scheme + "://user:" + secret + "@" + name + ":" + s.address()[len("127.0.0.1:"):] + "/"
}

func TestTLSErrorsSayWhatToDo(t *testing.T) {
	ca, other := server.NewAuthority(t), server.NewAuthority(t)
	plain := newPeer(t, nil)
	secure := newSecurePeer(t, ca, tls.NoClientCert, "localhost")
	mutual := newSecurePeer(t, ca, tls.RequireAndVerifyClientCert, "localhost")
	tests := []struct {
		name string
		url  string
		c    Connection
		want []string
	}{
		{
			"amqps to a plain port", "amqps://" + plain.address(), Connection{},
			[]string{"the port does not speak TLS", "5671"},
		},
		{
			"amqp to a TLS port", secure.url(t, "amqp", "localhost"), Connection{},
			[]string{"if it is one for TLS, start the URL with amqps"},
		},
		{
			"an unknown authority", secure.url(t, "amqps", "localhost"), Connection{},
			[]string{"unknown authority", "set Connection.CAFile"},
		},
		{
			"another authority", secure.url(t, "amqps", "localhost"), Connection{CAFile: other.File},
			[]string{"unknown authority", "set Connection.CAFile"},
		},
		{
			"a wrong name", secure.url(t, "amqps", "localhost"), Connection{CAFile: ca.File, ServerName: "mq.example.no"},
			[]string{"is valid for localhost, not mq.example.no", "set Connection.ServerName"},
		},
		{
			"an address without a name", secure.url(t, "amqps", "127.0.0.1"), Connection{CAFile: ca.File},
			[]string{"127.0.0.1", "set Connection.ServerName"},
		},
		{
			"no client certificate", mutual.url(t, "amqps", "localhost"), Connection{CAFile: ca.File},
			[]string{"it may want a certificate, set Connection.CertFile and KeyFile"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := tt.c.newDialer(tt.url, "")
			require.NoError(t, err)
			_, err = d.dial(t.Context())
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), secret)
		})
	}
}

func TestServerNamesAreTold(t *testing.T) {
	ca := server.NewAuthority(t)
	p := newSecurePeer(t, ca, tls.NoClientCert, "localhost", "mq.example.no")
	shared := &tls.Config{MinVersion: tls.VersionTLS13}
	for _, c := range []Connection{
		{CAFile: ca.File},
		{CAFile: ca.File, ServerName: "mq.example.no"},
		{CAFile: ca.File, TLS: shared},
	} {
		d, err := c.newDialer(p.url(t, "amqps", "localhost"), "")
		require.NoError(t, err)
		dialOnce(t, d)
	}
	d, err := Connection{}.newDialer(p.url(t, "amqps", "localhost")+"?server_name_indication=mq.example.no&cacertfile="+ca.File, "")
	require.NoError(t, err)
	dialOnce(t, d)
	p.stop()
	require.Equal(t, []string{"localhost", "mq.example.no", "localhost", "mq.example.no"}, p.names)
	require.Empty(t, shared.ServerName, "each connection has a copy, or the next host could show this one's certificate")
	require.Nil(t, shared.RootCAs)
}

func TestTheCopyOfOneHostDoesNotServeAnother(t *testing.T) {
	ca := server.NewAuthority(t)
	first, second := newSecurePeer(t, ca, tls.NoClientCert, "localhost"), newSecurePeer(t, ca, tls.NoClientCert, "localhost")
	d, err := Connection{CAFile: ca.File}.newDialer(first.url(t, "amqps", "localhost")+","+second.url(t, "amqps", "127.0.0.1"), "")
	require.NoError(t, err)
	dialOnce(t, d)
	first.stop()
	_, err = d.dial(t.Context())
	require.ErrorContains(t, err, "127.0.0.1", "its certificate is for localhost")
}

func TestCertificatesAreReadForEachConnection(t *testing.T) {
	ca := server.NewAuthority(t)
	p := newSecurePeer(t, ca, tls.RequireAndVerifyClientCert, "localhost")
	cert, key := ca.Sign(t, "first")
	d, err := Connection{CAFile: ca.File, CertFile: cert, KeyFile: key}.newDialer(p.url(t, "amqps", "localhost"), "")
	require.NoError(t, err)
	dialOnce(t, d)

	newCert, newKey := ca.Sign(t, "second")
	overwrite(t, cert, newCert)
	_, err = d.dial(t.Context())
	require.ErrorContains(t, err, "Connection.CertFile: ", "half of the renewal")
	overwrite(t, key, newKey)
	dialOnce(t, d)
	p.stop()
	require.Equal(t, []string{"first", "second"}, p.users)
}

func overwrite(t *testing.T, name, with string) {
	t.Helper()
	from, err := os.Open(with)
	require.NoError(t, err)
	defer from.Close()
	to, err := os.Create(name)
	require.NoError(t, err)
	_, err = io.Copy(to, from)
	require.NoError(t, err)
	require.NoError(t, to.Close())
}
