package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
)

// conn is a connection that is bound.
type conn struct {
	host *host
	ldap *goldap.Conn
	raw  net.Conn // below TLS: closing it frees whoever waits for an answer
	used time.Time
}

// abort closes the connection at once.
func (c *conn) abort() {
	_ = c.raw.Close()
	_ = c.ldap.Close() // waits for its goroutines
}

// goodbye closes the connection as the protocol wants it, if that can be done
// quickly.
func (c *conn) goodbye() {
	_ = c.raw.SetDeadline(time.Now().Add(time.Second))
	_ = c.ldap.Unbind()
	c.abort()
}

// refusedError says that the server does not accept the credentials.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// connect connects to a host, and binds.
func (c *Client) connect(ctx context.Context, h *host) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", h.address)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		<-ctx.Done() // the dialer has its deadline from ctx, and can see it first
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	conn, err := c.secure(ctx, h, raw)
	if err != nil {
		_ = raw.Close()
	} else if err = c.bind(ctx, conn.ldap); err != nil {
		conn.abort()
	}
	if !stop() {
		if err == nil {
			conn.abort()
		}
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// secure sets up TLS, if it is wanted.
func (c *Client) secure(ctx context.Context, h *host, raw net.Conn) (*conn, error) {
	config := c.cfg.TLS.Clone() // nil for nil
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if config.ServerName == "" {
		config.ServerName = h.name
	}
	if h.tls {
		secured := tls.Client(raw, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		conn := &conn{host: h, ldap: goldap.NewConn(secured, true), raw: raw}
		conn.ldap.Start()
		return conn, nil
	}
	conn := &conn{host: h, ldap: goldap.NewConn(raw, false), raw: raw}
	conn.ldap.Start()
	if c.cfg.Plaintext {
		return conn, nil
	}
	if err := conn.ldap.StartTLS(config); err != nil {
		conn.abort()
		return nil, fmt.Errorf("StartTLS: %w", withoutText(err))
	}
	return conn, nil
}

func (c *Client) bind(ctx context.Context, conn *goldap.Conn) error {
	var err error
	switch {
	case c.cfg.External:
		err = conn.ExternalBind()
	case c.cfg.Password == nil:
		return nil
	default:
		password, perr := c.cfg.Password(ctx)
		switch {
		case perr != nil:
			return &refusedError{fmt.Errorf("Password: %w", perr)}
		case password == "":
			// With an empty one many servers bind as nobody, and say that all is
			// well (RFC 4513, section 5.1.2).
			return &refusedError{errors.New("Password: is empty")}
		}
		err = conn.Bind(c.cfg.User, password)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("bind: %w", withoutText(err))
	if isLost(err) || goldap.IsErrorAnyOf(err, goldap.LDAPResultBusy, goldap.LDAPResultUnavailable) {
		return err
	}
	return &refusedError{err}
}
