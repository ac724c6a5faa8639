package ldap

import (
	"context"
	"errors"
	"fmt"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/konnektor-go/konnektor/failure"
)

// errClosed says that the client is not to be used any more.
var errClosed = errors.New("the client is closed")

// read runs f, which only reads, on a connection. If one that was idle turns out
// to be lost, then so may be the others, and f runs once more on a new one.
func (c *Client) read(ctx context.Context, op string, f func(*goldap.Conn) error) error {
	reused, err := c.do(ctx, f)
	if reused && isLost(err) && !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		for _, conn := range c.takeAll() {
			conn.abort()
		}
		_, err = c.do(ctx, f)
	}
	return c.classified(op, err)
}

// write runs f, which may write, on a connection. It is never run twice: what
// became of a write whose answer was lost, the next read shows.
func (c *Client) write(ctx context.Context, op string, f func(*goldap.Conn) error) error {
	_, err := c.do(ctx, f)
	return c.classified(op, err)
}

// do runs f on a connection, and reports whether that one had been used before.
// It returns when f has, or soon after ctx has ended or the time is up: then the
// connection is closed, which frees f.
func (c *Client) do(ctx context.Context, f func(*goldap.Conn) error) (reused bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, transportError{err}
	}
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return false, transportError{ctx.Err()}
	}
	defer func() { <-c.slots }()
	conn, err := c.take()
	if err != nil {
		return false, err
	}
	reused = conn != nil
	if conn == nil {
		if conn, err = c.dial(ctx); err != nil {
			return false, err
		}
	}
	ok, err := conn.run(ctx, c.cfg.Timeout, f)
	if goldap.IsErrorAnyOf(err, goldap.LDAPResultUnavailable, goldap.LDAPResultBusy) {
		conn.host.failed.Store(time.Now().UnixNano()) // the others first
	}
	if ok && !poisons(err) {
		c.put(conn)
	} else {
		conn.abort()
	}
	return reused, err
}

// takeAll takes all idle connections.
func (c *Client) takeAll() []*conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	idle := c.idle
	c.idle = nil
	return idle
}

// take returns the connection that was used last, nil if there is none that can
// be used.
func (c *Client) take() (*conn, error) {
	c.mu.Lock()
	closed := c.closed
	var good *conn
	var stale []*conn
	for good == nil && len(c.idle) > 0 {
		last := c.idle[len(c.idle)-1]
		c.idle = c.idle[:len(c.idle)-1]
		if last.ldap.IsClosing() || time.Since(last.used) >= c.cfg.IdleTimeout {
			stale = append(stale, last)
		} else {
			good = last
		}
	}
	c.mu.Unlock()
	for _, conn := range stale {
		conn.abort()
	}
	if closed {
		return nil, failure.As(failure.Unavailable, errClosed)
	}
	return good, nil
}

func (c *Client) put(conn *conn) {
	conn.used = time.Now()
	c.mu.Lock()
	keep := !c.closed
	if keep {
		c.idle = append(c.idle, conn)
	}
	c.mu.Unlock()
	if !keep {
		conn.goodbye()
	}
}

// run runs f within the time, and reports whether the connection may be used
// again.
func (c *conn) run(ctx context.Context, timeout time.Duration, f func(*goldap.Conn) error) (ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() })
	err = f(c.ldap)
	if stop() {
		return true, err
	}
	if err != nil { // and not just too late to be stopped
		err = transportError{context.Cause(ctx)}
	}
	return false, err
}

// transportError says that there was no answer. Its text is about the way to the
// server, or the time it took, and holds no values.
type transportError struct{ err error }

func (e transportError) Error() string { return e.err.Error() }
func (e transportError) Unwrap() error { return e.err }

// isLost reports whether err says that there was no answer.
func isLost(err error) bool {
	var server *goldap.Error
	return err != nil && !errors.As(err, &server) && failure.Of(err) == failure.Failed ||
		goldap.IsErrorWithCode(err, goldap.ErrorNetwork)
}

// poisons reports whether a connection is not to be used after err.
func poisons(err error) bool {
	return err != nil && (isLost(err) || goldap.IsErrorAnyOf(err, goldap.LDAPResultUnavailable, goldap.LDAPResultBusy,
		goldap.LDAPResultOperationsError, goldap.LDAPResultProtocolError, goldap.LDAPResultStrongAuthRequired,
		goldap.ErrorUnexpectedMessage, goldap.ErrorUnexpectedResponse))
}

// dial connects to the first host that serves. Those that did not lately are
// tried last.
func (c *Client) dial(ctx context.Context) (*conn, error) {
	const wary = 30 * time.Second
	var good, bad []*host
	for _, h := range c.hosts {
		if time.Since(time.Unix(0, h.failed.Load())) < wary {
			bad = append(bad, h)
		} else {
			good = append(good, h)
		}
	}
	var failures []error
	for _, h := range append(good, bad...) {
		conn, err := c.connect(ctx, h)
		if err == nil {
			h.failed.Store(0)
			return conn, nil
		}
		failures = append(failures, fmt.Errorf("host %s: %w", h.address, err))
		if ctx.Err() != nil {
			break
		}
		h.failed.Store(time.Now().UnixNano())
		if refused := (*refusedError)(nil); errors.As(err, &refused) {
			break // the next host would say the same, and a few such answers may lock the account
		}
	}
	return nil, failure.As(failure.Unavailable, errors.Join(failures...))
}
