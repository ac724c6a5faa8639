package rabbitmq

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
)

// nobody returns an address on which nothing listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// dialOnce connects and hangs up again.
func dialOnce(t *testing.T, d *dialer) string {
	t.Helper()
	l, err := d.dial(t.Context())
	require.NoError(t, err)
	l.close()
	return l.host
}

func TestDialTriesEachHostBeginningAfterTheLast(t *testing.T) {
	a, b, c := newPeer(t, nil), newPeer(t, nil), newPeer(t, nil)
	down := nobody(t)
	d, err := Connection{}.newDialer("amqp://"+a.address()+","+b.address()+","+down+","+c.address(), "")
	require.NoError(t, err)
	require.Equal(t, a.address(), dialOnce(t, d))
	require.Equal(t, b.address(), dialOnce(t, d))
	require.Equal(t, c.address(), dialOnce(t, d), "the third is down")
	require.Equal(t, a.address(), dialOnce(t, d))
	b.stop()
	c.stop()
	require.Equal(t, a.address(), dialOnce(t, d), "all others are down")
	a.stop()
	_, err = d.dial(t.Context())
	for _, address := range []string{a.address(), b.address(), c.address(), down} {
		require.ErrorContains(t, err, "to "+address+": ")
	}
	require.NotContains(t, err.Error(), "\n")
}

func TestHostsAreShuffled(t *testing.T) {
	d, err := Connection{}.newDialer("amqp://a,b,c,d,e,f", "")
	require.NoError(t, err)
	orders := map[string]bool{}
	for range 100 {
		var order []string
		for _, h := range d.fork().hosts {
			order = append(order, h.name)
		}
		require.ElementsMatch(t, []string{"a", "b", "c", "d", "e", "f"}, order)
		orders[strings.Join(order, "")] = true
	}
	require.Greater(t, len(orders), 10)
	require.Equal(t, "a", d.hosts[0].name, "a fork has its own")
}

func TestWhatTheBrokerIsTold(t *testing.T) {
	p := newPeer(t, nil)
	const vhost = "system/test #%æ"
	d, err := Connection{Vhost: vhost, Heartbeat: 7 * time.Second}.newDialer("amqp://user:"+secret+"@"+p.address(), "people-to-ldap")
	require.NoError(t, err)
	dialOnce(t, d)
	d, err = Connection{}.newDialer("amqp://user:"+secret+"@"+p.address()+"/system%2Ftest%20%23%25%C3%A6", "")
	require.NoError(t, err)
	dialOnce(t, d)
	p.stop()

	conns := p.all()
	require.Len(t, conns, 2)
	require.Equal(t, "PLAIN", conns[0].mechanism)
	require.Equal(t, "\x00user\x00"+secret, conns[0].response)
	require.Equal(t, uint16(7), conns[0].heartbeat, "the lower one, ours")
	require.Equal(t, uint16(10), conns[1].heartbeat)
	require.Equal(t, vhost, conns[0].vhost)
	require.Equal(t, vhost, conns[1].vhost)
	machine, err := os.Hostname()
	require.NoError(t, err)
	for _, want := range []string{"connection_name", "people-to-ldap", "konnektor", "version", "pid", machine} {
		require.Contains(t, conns[0].properties, want)
	}
	require.Contains(t, conns[1].properties, filepath.Base(os.Args[0]))
}

func TestConsumerTagsTellProcessesApart(t *testing.T) {
	d, err := Connection{}.newDialer("amqp://a", strings.Repeat("x", maxName))
	require.NoError(t, err)
	first, second := d.tag(), d.tag()
	require.NotEqual(t, first, second)
	require.LessOrEqual(t, len(first), maxShort)
	require.True(t, strings.HasPrefix(first, strings.Repeat("x", maxName)+"@"), first)
}

func TestCredentialsAreAskedForEachConnection(t *testing.T) {
	p := newPeer(t, nil)
	file := filepath.Join(t.TempDir(), "password")
	write := func(password string) { require.NoError(t, os.WriteFile(file, []byte(password), 0o600)) }
	write("first\n")
	fromFile, err := Connection{PasswordFile: file}.newDialer("amqp://user:"+secret+"@"+p.address(), "")
	require.NoError(t, err)
	dialOnce(t, fromFile)
	write(" second\r\n")
	dialOnce(t, fromFile)

	asked := 0
	fromFunction, err := Connection{Credentials: func(context.Context) (string, string, error) {
		asked++
		if asked == 1 {
			return "", "", errors.New("the vault is closed")
		}
		return "other", "third", nil
	}}.newDialer("amqp://user:"+secret+"@"+p.address(), "")
	require.NoError(t, err)
	_, err = fromFunction.dial(t.Context())
	require.ErrorContains(t, err, "credentials: the vault is closed")
	dialOnce(t, fromFunction)

	external, err := parseBroker("amqps://a?auth_mechanism=external")
	require.NoError(t, err)
	require.True(t, external.external)
	p.stop()
	var sent []string
	for _, c := range p.all() {
		sent = append(sent, c.response)
	}
	require.Equal(t, []string{"\x00user\x00first", "\x00user\x00 second", "\x00other\x00third"}, sent)
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	p := newPeer(t, func(p *peer) { p.refuse = "NOT_ALLOWED - vhost x not found" })
	d, err := Connection{Vhost: "x"}.newDialer("amqp://user:"+secret+"@"+p.address(), "")
	require.NoError(t, err)
	_, err = d.dial(t.Context())
	require.ErrorContains(t, err, "vhost x not found")
	require.ErrorContains(t, err, "the virtual host is missing, or the user has no rights in it")
	require.NotContains(t, err.Error(), secret)
}

func TestOtherProtocolsAreRecognised(t *testing.T) {
	tests := []struct{ name, greeting, want string }{
		{"TLS", "\x15\x03\x01\x00\x02\x02\x0a", "the port speaks TLS: start the URL with amqps"},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", "the port speaks HTTP"},
		{"nothing", "", "the port hung up without a word"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			var server sync.WaitGroup
			server.Go(func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write([]byte(tt.greeting))
				_, _ = io.ReadFull(conn, make([]byte, 8)) // or the close would reset it
				_ = conn.Close()
			})
			d, err := Connection{}.newDialer("amqp://"+l.Addr().String(), "")
			require.NoError(t, err)
			_, err = d.dial(t.Context())
			require.ErrorContains(t, err, tt.want)
			require.NoError(t, l.Close())
			server.Wait()
		})
	}
}

// connected returns a link to a peer over a pipe, so that time can be faked.
func connected(t *testing.T, d *dialer, p *peer) *link {
	t.Helper()
	client, server := net.Pipe()
	p.tasks.Go(func() { p.serve(server) })
	l := &link{raw: &wire{Conn: client}, host: "pipe"}
	l.ctx, l.end = context.WithCancelCause(context.Background())
	require.NoError(t, d.open(t.Context(), l, nil, "user", "password"))
	l.watch()
	return l
}

func TestSilenceEndsALinkAfterOneAndAHalfHeartbeats(t *testing.T) {
	for _, heartbeat := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
		t.Run(heartbeat.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, err := Connection{Heartbeat: heartbeat}.newDialer("amqp://a", "")
				require.NoError(t, err)
				p := &peer{} // it says nothing after the handshake
				l := connected(t, d, p)
				began := time.Now()
				<-l.ctx.Done()
				require.Equal(t, heartbeat*3/2, time.Since(began))
				require.ErrorIs(t, context.Cause(l.ctx), errSilent)
				l.close()
				p.tasks.Wait()
			})
		})
	}
}

func TestHeartbeatsKeepALinkAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := Connection{}.newDialer("amqp://a", "")
		require.NoError(t, err)
		p := &peer{}
		l := connected(t, d, p)
		for range 1000 {
			time.Sleep(10 * time.Second)
			p.all()[0].send(8, 0, nil)
		}
		require.NoError(t, l.ctx.Err())
		l.close()
		p.tasks.Wait()
	})
}

func TestTheClientLibraryNeverReconnects(t *testing.T) {
	p := newPeer(t, nil)
	d, err := Connection{}.newDialer("amqp://"+p.address(), "")
	require.NoError(t, err)
	l, err := d.dial(t.Context())
	require.NoError(t, err)
	require.False(t, l.conn.IsRecoveryEnabled(), "it would settle other messages by stale tags")
	require.NoError(t, p.all()[0].Close())
	<-l.ctx.Done()
	require.ErrorIs(t, l.ch.Ack(1, false), amqp.ErrClosed)
	l.close()
	require.Len(t, p.all(), 1)
}
