package rabbitmq

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// peer is the other end of AMQP connections: as much of a broker as a client's
// handshake and publishing need, and it does as it is told.
type peer struct {
	net.Listener
	tls    *tls.Config        // nil for a plain port
	block  string             // why connections are blocked after the handshake
	answer func(n int) answer // to the publishing of that number on its connection; nil confirms all
	refuse string             // text of a refusal of the virtual host

	tasks sync.WaitGroup
	mu    sync.Mutex
	conns []*peerConn
}

type answer int

const (
	ack answer = iota
	nack
	silence
	hangUp
)

// peerConn is one connection to a peer.
type peerConn struct {
	net.Conn
	r *bufio.Reader

	mu         sync.Mutex
	properties string // client properties, in AMQP's form
	mechanism  string
	response   string // user and password
	vhost      string
	heartbeat  uint16 // that the client chose
	published  []publishing
}

type publishing struct{ properties, body string }

// newPeer starts a peer on loopback.
func newPeer(t *testing.T, change func(*peer)) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &peer{Listener: l}
	if change != nil {
		change(p)
	}
	p.tasks.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if p.tls != nil {
				conn = tls.Server(conn, p.tls)
			}
			p.tasks.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(p.stop)
	return p
}

// stop ends the peer and its connections.
func (p *peer) stop() {
	_ = p.Close()
	for _, c := range p.all() {
		_ = c.Close()
	}
	p.tasks.Wait()
}

func (p *peer) address() string { return p.Addr().String() }

// all returns the connections that have begun, in order.
func (p *peer) all() []*peerConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*peerConn(nil), p.conns...)
}

// serve is one connection's life.
func (p *peer) serve(conn net.Conn) {
	defer conn.Close()
	c := &peerConn{Conn: conn, r: bufio.NewReader(conn)}
	p.mu.Lock()
	p.conns = append(p.conns, c)
	p.mu.Unlock()
	if _, err := io.ReadFull(c.r, make([]byte, 8)); err != nil { // "AMQP" 0 0 9 1
		return
	}
	c.send(1, 0, method(10, 10, []byte{0, 9}, long(""), long("PLAIN EXTERNAL"), long("en_US")))
	for {
		kind, channel, payload, err := c.frame()
		if err != nil || !p.handle(c, kind, channel, payload) {
			return
		}
	}
}

// handle answers a frame. It is false when the connection is to end.
func (p *peer) handle(c *peerConn, kind byte, channel uint16, payload []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case kind == 2 && len(c.published) > 0:
		c.published[len(c.published)-1].properties = string(payload)
		return true
	case kind == 3:
		return p.confirm(c, channel, string(payload))
	case kind != 1:
		return true
	}
	id := binary.BigEndian.Uint32(payload)
	args := payload[4:]
	switch id {
	case 10<<16 | 11: // start-ok
		size := binary.BigEndian.Uint32(args)
		c.properties, args = string(args[4:4+size]), args[4+size:]
		c.mechanism, args = string(args[1:1+args[0]]), args[1+args[0]:]
		c.response = string(args[4 : 4+binary.BigEndian.Uint32(args)])
		c.send(1, 0, method(10, 30, []byte{0, 100, 0, 2, 0, 0, 0, 60})) // tune
	case 10<<16 | 31: // tune-ok
		c.heartbeat = binary.BigEndian.Uint16(args[6:])
	case 10<<16 | 40: // open
		c.vhost = string(args[1 : 1+args[0]])
		if p.refuse != "" {
			c.send(1, 0, method(10, 50, []byte{2, 18}, short(p.refuse), []byte{0, 10, 0, 40}))
			return true
		}
		c.send(1, 0, method(10, 41, short("")))
	case 10<<16 | 50: // close
		c.send(1, 0, method(10, 51))
	case 20<<16 | 10: // channel.open
		c.send(1, channel, method(20, 11, long("")))
		if p.block != "" {
			c.send(1, 0, method(10, 60, short(p.block)))
		}
	case 20<<16 | 40: // channel.close
		c.send(1, channel, method(20, 41))
	case 85<<16 | 10: // confirm.select
		c.send(1, channel, method(85, 11))
	case 60<<16 | 40: // basic.publish
		c.published = append(c.published, publishing{})
	}
	return true
}

// confirm answers a publishing.
func (p *peer) confirm(c *peerConn, channel uint16, body string) bool {
	n := len(c.published)
	c.published[n-1].body = body
	tag := binary.BigEndian.AppendUint64(nil, uint64(n))
	what := ack
	if p.answer != nil {
		what = p.answer(n)
	}
	switch what {
	case ack:
		c.send(1, channel, method(60, 80, tag, []byte{0}))
	case nack:
		c.send(1, channel, method(60, 120, tag, []byte{0}))
	case hangUp:
		return false
	default:
	}
	return true
}

// bodies returns what was published on the connection.
func (c *peerConn) bodies() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, p := range c.published {
		all = append(all, p.body)
	}
	return all
}

func (c *peerConn) frame() (kind byte, channel uint16, payload []byte, err error) {
	head := make([]byte, 7)
	if _, err := io.ReadFull(c.r, head); err != nil {
		return 0, 0, nil, err
	}
	payload = make([]byte, binary.BigEndian.Uint32(head[3:])+1)
	_, err = io.ReadFull(c.r, payload)
	return head[0], binary.BigEndian.Uint16(head[1:]), payload[:len(payload)-1], err
}

// send writes a frame. That the client has hung up shows at the next read.
func (c *peerConn) send(kind byte, channel uint16, payload []byte) {
	b := []byte{kind}
	b = binary.BigEndian.AppendUint16(b, channel)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	_, _ = c.Write(append(append(b, payload...), 0xCE))
}

func method(class, id uint16, args ...[]byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, class)
	b = binary.BigEndian.AppendUint16(b, id)
	return append(b, bytes.Join(args, nil)...)
}

func short(s string) []byte { return append([]byte{byte(len(s))}, s...) }

func long(s string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...)
}
