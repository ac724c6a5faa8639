package rabbitmq

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	heartbeat   = 10 * time.Second
	dialTimeout = 3 * time.Second
	// openTimeout bounds all from the first packet to the open channel.
	// RabbitMQ answers a wrong password after 3 s.
	openTimeout = 10 * time.Second
	// callTimeout bounds a call that the broker has to answer. A cluster in
	// trouble can take more than a minute; another try is better than that.
	callTimeout = 10 * time.Second
	// closeTimeout bounds an orderly end of a connection.
	closeTimeout = 3 * time.Second
	// writeTimeout bounds one write to the socket. The client library holds
	// locks while it writes, and needs them to give a dead connection up.
	writeTimeout = 30 * time.Second

	maxName = 200 // bytes; a consumer tag is a little longer and has at most 255
)

var (
	// errLinkClosed is why a link ended that we closed ourselves.
	errLinkClosed = errors.New("the connection was closed")
	// errNoAnswer is why a link ended whose broker is silent.
	errNoAnswer = errors.New("no answer in time")
)

// dialer opens connections to a broker. It never reveals the URL's password.
type dialer struct {
	url     string
	address string // host and port, for errors
	tls     *tls.Config
	name    string
}

// newDialer checks what it is given. name is what operators see, by default
// the program's.
func newDialer(url string, config *tls.Config, name string) (*dialer, error) {
	if url == "" {
		return nil, errors.New("url: empty: give amqps://user:password@host:port/vhost")
	}
	uri, err := amqp.ParseURI(url)
	if err != nil || uri.Port < 1 || uri.Port > 65535 {
		// The reason can quote any part of the URL, and so the password.
		return nil, errors.New("url: not an AMQP address: " +
			"give amqps://user:password@host:port/vhost, with special characters percent-encoded")
	}
	if config != nil && uri.Scheme != "amqps" {
		return nil, errors.New("TLS: set for a URL that starts with amqp, which is not encrypted: start it with amqps")
	}
	if name == "" {
		name = filepath.Base(os.Args[0])
		name = name[:min(len(name), maxName)]
	}
	if len(name) > maxName {
		return nil, fmt.Errorf("Name: %d bytes, at most %d: shorten it", len(name), maxName)
	}
	return &dialer{
		url: url, tls: config, name: strings.ToValidUTF8(name, "?"),
		address: net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port)),
	}, nil
}

// dial opens a connection with one channel, or gives up when ctx ends. The
// link does not depend on ctx afterwards.
func (d *dialer) dial(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, openTimeout, errNoAnswer)
	defer cancel()
	l := &link{}
	l.ctx, l.end = context.WithCancelCause(context.Background())
	if err := d.open(ctx, l); err != nil {
		l.end(err)
		if l.raw != nil {
			_ = l.raw.Close()
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx) // the socket was closed for this
		}
		return nil, fmt.Errorf("rabbitmq: connect to %s: %w", d.address, err)
	}
	closed := l.ch.NotifyClose(make(chan *amqp.Error, 1))
	l.guards.Go(func() {
		reason := errLinkClosed
		if err := <-closed; err != nil {
			reason = err
		}
		l.end(reason)
	})
	return l, nil
}

func (d *dialer) open(ctx context.Context, l *link) error {
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName(d.name)
	stop := func() bool { return true }
	var err error
	l.conn, err = amqp.DialConfig(d.url, amqp.Config{
		Heartbeat:  heartbeat,
		Properties: properties,
		// A copy, because the library writes the host into it, and the next
		// connection would accept that host's certificate from another.
		TLSClientConfig: d.tls.Clone(),
		Dial: func(network, address string) (net.Conn, error) {
			raw, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			l.raw = timedConn{raw}
			stop = context.AfterFunc(ctx, func() { _ = raw.Close() })
			return l.raw, nil
		},
	})
	if err == nil {
		l.ch, err = l.conn.Channel()
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	return err
}

// link is one connection to the broker with one channel on it. Whatever
// happens to either, a new link follows: delivery tags and confirms start at 1
// on each channel, so nothing of one link may reach another.
type link struct {
	conn *amqp.Connection
	ch   *amqp.Channel
	raw  net.Conn
	// ctx ends when the link is lost or closed. Its cause is the reason.
	ctx    context.Context
	end    context.CancelCauseFunc
	guards sync.WaitGroup // goroutines that end with the link
}

// call makes a call that waits for the broker's answer, and ends the link when
// that takes too long or ctx ends.
func (l *link) call(ctx context.Context, what string, f func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, errNoAnswer)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.raw.Close() })
	err := f()
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("rabbitmq: %s: %w", what, err)
	}
	return nil
}

// close ends the link in order, so that all that was sent before takes effect,
// or by force when that takes too long. It returns when its goroutines are gone.
func (l *link) close() {
	timer := time.AfterFunc(closeTimeout, func() { _ = l.raw.Close() })
	defer timer.Stop()
	_ = l.ch.Close() // the broker answers when it has done all that came before
	_ = l.conn.Close()
	_ = l.raw.Close()
	l.end(errLinkClosed)
	l.guards.Wait()
}

// timedConn is a connection on which no write blocks for long.
type timedConn struct{ net.Conn }

func (c timedConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// newDelays returns the pauses between attempts to connect: about half a second
// at first, growing to limit and a half at most, without end.
func newDelays(limit time.Duration) *backoff.ExponentialBackOff {
	delays := backoff.NewExponentialBackOff()
	delays.MaxInterval = limit
	delays.MaxElapsedTime = 0
	delays.Reset()
	return delays
}

// pause waits for d, or returns the reason when ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
