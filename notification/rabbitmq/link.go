package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// callTimeout bounds a call that the broker has to answer. A cluster in
	// trouble can take more than a minute; another try is better than that.
	callTimeout = 10 * time.Second
	// closeTimeout bounds an orderly end of a connection.
	closeTimeout = 3 * time.Second
	// writeTimeout bounds one write to the socket. The client library holds
	// locks while it writes, and needs them to give a dead connection up.
	writeTimeout = 30 * time.Second
	// tlsAlert is the first byte that a TLS server says to who speaks plainly.
	tlsAlert = 0x15
)

var (
	// errLinkClosed is why a link ended that we closed ourselves.
	errLinkClosed = errors.New("the connection was closed")
	// errNoAnswer is why a link ended whose broker is silent.
	errNoAnswer = errors.New("no answer in time")
	// errSilent is why a link ended whose broker sent no heartbeats.
	errSilent = errors.New("the broker sent no heartbeats, the connection is given up")
)

// link is one connection to the broker with one channel on it. Whatever
// happens to either, a new link follows: delivery tags and confirms start at 1
// on each channel, so nothing of one link may reach another.
type link struct {
	conn *amqp.Connection
	ch   *amqp.Channel
	raw  *wire
	host string
	tls  string // version; empty without
	// ctx ends when the link is lost or closed. Its cause is the reason.
	ctx    context.Context
	end    context.CancelCauseFunc
	guards sync.WaitGroup // goroutines that end with the link

	blocking  chan amqp.Blocking // what the broker says about that
	mu        sync.Mutex
	blocked   string        // why the broker takes no messages now; empty if it does
	unblocked chan struct{} // closed when it does again; nil if it does
	onBlock   func(reason string)
}

// watch follows what the broker says about the connection.
func (l *link) watch() {
	closed := l.ch.NotifyClose(make(chan *amqp.Error, 1))
	l.guards.Go(func() {
		reason := errLinkClosed
		if err := <-closed; err != nil {
			reason = err
			if l.raw.silent.Load() {
				reason = fmt.Errorf("%w: %w", errSilent, err)
			}
		}
		l.end(reason)
	})
	l.guards.Go(func() {
		for b := range l.blocking { // closed with the connection
			l.block(b)
		}
		l.block(amqp.Blocking{}) // nobody waits for this link any more
	})
}

// block notes that the broker takes no messages, or does so again.
func (l *link) block(b amqp.Blocking) {
	reason := ""
	if b.Active {
		reason = b.Reason
		if reason == "" {
			reason = "no reason given"
		}
	}
	l.mu.Lock()
	changed := reason != l.blocked
	l.blocked = reason
	if reason != "" && l.unblocked == nil {
		l.unblocked = make(chan struct{})
	}
	if reason == "" && l.unblocked != nil {
		close(l.unblocked)
		l.unblocked = nil
	}
	onBlock := l.onBlock
	l.mu.Unlock()
	if changed && onBlock != nil {
		onBlock(reason)
	}
}

// gate returns why the broker takes no messages, and what is closed when it
// does again; empty and nil if it does.
func (l *link) gate() (reason string, open <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.blocked, l.unblocked
}

// followBlocks has f called when the broker blocks us (with the reason) and when
// it stops doing so (with an empty one).
func (l *link) followBlocks(f func(reason string)) {
	l.mu.Lock()
	l.onBlock = f
	reason := l.blocked
	l.mu.Unlock()
	if reason != "" {
		f(reason)
	}
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

// wire is a connection on which no write blocks for long, and no read either
// once it is armed. The client library sets deadlines too, but not always: of a
// broker that falls silent right after the handshake it never noticed. So its
// deadlines are ignored.
type wire struct {
	net.Conn
	secured  bool         // the TLS handshake is over
	patience atomic.Int64 // nanoseconds; 0 before it is armed
	silent   atomic.Bool  // a read took longer than that
	sniffed  atomic.Int32 // the first byte that came, plus 1
}

// arm sets how long a read may take, for the one under way as well.
func (w *wire) arm(patience time.Duration) {
	w.patience.Store(int64(patience))
	_ = w.Conn.SetReadDeadline(time.Now().Add(patience)) // fails for a closed one only
}

// first returns the first byte that came, or 0.
func (w *wire) first() byte { return byte(max(w.sniffed.Load()-1, 0)) }

func (w *wire) Read(b []byte) (int, error) {
	if patience := w.patience.Load(); patience > 0 {
		if err := w.Conn.SetReadDeadline(time.Now().Add(time.Duration(patience))); err != nil {
			return 0, err
		}
	}
	n, err := w.Conn.Read(b)
	if n > 0 && w.sniffed.Load() == 0 {
		w.sniffed.Store(int32(b[0]) + 1)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.silent.Store(true)
		_ = w.Close() // a write that blocks holds what the library needs to give up
	}
	return n, err
}

func (w *wire) Write(b []byte) (int, error) {
	if err := w.Conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return w.Conn.Write(b)
}

func (*wire) SetDeadline(time.Time) error      { return nil }
func (*wire) SetReadDeadline(time.Time) error  { return nil }
func (*wire) SetWriteDeadline(time.Time) error { return nil }

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
