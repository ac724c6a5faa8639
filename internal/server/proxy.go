package server

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Proxy stands between a client and a server, so that connections can be lost or
// fall silent. Its methods may be called concurrently.
type Proxy struct {
	listener    net.Listener
	url, target string
	tasks       sync.WaitGroup

	mu    sync.Mutex
	mute  bool
	conns []net.Conn
}

// NewProxy returns a proxy for the server with the given URL. It ends with the
// test.
func NewProxy(t testing.TB, to string) *Proxy {
	t.Helper()
	address, err := url.Parse(to)
	require.NoError(t, err)
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	p := &Proxy{listener: listener, target: address.Host}
	address.Host = listener.Addr().String()
	p.url = address.String()
	p.tasks.Go(p.serve)
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		p.Cut()
		p.tasks.Wait()
	})
	return p
}

// URL is the server's, with the proxy's address.
func (p *Proxy) URL() string { return p.url }

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.DialTimeout("tcp", p.target, 3*time.Second)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.tasks.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
		p.tasks.Go(func() { _, _ = io.Copy(answers{p, client}, server); _ = client.Close() })
	}
}

// answers drops what the server says while the proxy is silent.
type answers struct {
	p      *Proxy
	client net.Conn
}

// Write implements io.Writer.
func (a answers) Write(b []byte) (int, error) {
	a.p.mu.Lock()
	mute := a.p.mute
	a.p.mu.Unlock()
	if mute {
		return len(b), nil
	}
	return a.client.Write(b)
}

// Silence begins or ends that clients get nothing from the server, on new and on
// existing connections.
func (p *Proxy) Silence(mute bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = mute
}

// Cut ends all connections without a word.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.conns = nil
}
