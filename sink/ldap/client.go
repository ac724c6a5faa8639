package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
)

// ClientConfig configures a [Client]. The zero ClientConfig works: an anonymous
// user over TLS.
type ClientConfig struct {
	// User is the DN to bind as. Active Directory also takes "user@domain".
	// Default: nobody, or whom External means.
	User string
	// Password returns the password of User. It is called for each new
	// connection, so that a changed password is used from then on. Its errors
	// must hold no secret.
	Password func(context.Context) (string, error) `json:"-"`
	// External binds by SASL EXTERNAL, as whom the server takes the client
	// certificate in TLS for.
	External bool
	// TLS holds what the servers' certificates are checked against, and a client
	// certificate. The server's name, also for SNI, is the URL's if there is
	// none in it. Default: the authorities of the machine.
	TLS *tls.Config `json:"-"`
	// Plaintext allows ldap:// without TLS, which shows passwords and personal
	// data to everybody on the way. Without it ldap:// means StartTLS.
	Plaintext bool
	// Connections is how many connections there are at most. Each serves one
	// operation at a time. Default 8.
	Connections int
	// Timeout is how long a request may take: a write, a search with all its
	// pages. Default 30 s.
	Timeout time.Duration
	// DialTimeout is how long it may take to connect to one host, TLS and bind
	// included. Default 10 s.
	DialTimeout time.Duration
	// IdleTimeout is how long a connection may be idle and still be used again.
	// It must be less than what servers and firewalls allow. Default 1 min.
	IdleTimeout time.Duration
}

func (c ClientConfig) withDefaults() ClientConfig {
	if c.Connections == 0 {
		c.Connections = 8
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = 10 * time.Second
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = time.Minute
	}
	return c
}

func (c ClientConfig) validate() error {
	switch {
	case c.User != "" && c.Password == nil:
		return errors.New("Password: must be set for a User")
	case c.User == "" && c.Password != nil:
		return errors.New("User: must be set for a Password")
	case c.External && c.User != "":
		return errors.New("External: leaves no room for User; set one of the two")
	case c.Plaintext && (c.External || c.TLS != nil):
		return errors.New("Plaintext: leaves no room for TLS and External")
	case c.Connections < 0:
		return errors.New("Connections: must not be negative")
	case c.Timeout < 0:
		return errors.New("Timeout: must not be negative")
	case c.DialTimeout < 0:
		return errors.New("DialTimeout: must not be negative")
	case c.IdleTimeout < 0:
		return errors.New("IdleTimeout: must not be negative")
	}
	return nil
}

// Client is a bounded pool of connections to a directory, which has one or more
// servers with the same entries. It is safe for concurrent use.
type Client struct {
	cfg    ClientConfig
	hosts  []*host
	slots  chan struct{} // one for each connection in use
	schema atomic.Pointer[schema]

	mu     sync.Mutex
	idle   []*conn // the last used at the end
	closed bool
}

// host is one server. Its failed is when it did last not serve, in Unix
// nanoseconds.
type host struct {
	address, name string
	tls           bool
	failed        atomic.Int64
}

// NewClient returns a Client for the servers of a directory, the preferred ones
// first: "ldaps://ldap.example.org", "ldap://ldap.example.org:1389". All must
// take writes. Nothing is asked of them yet, see [Entries.Check]. These hosts,
// and no others, are sent credentials: referrals are not followed.
func NewClient(urls []string, cfg ClientConfig) (*Client, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("ldap: %w", err)
	}
	c := &Client{cfg: cfg.withDefaults()}
	c.slots = make(chan struct{}, c.cfg.Connections)
	for i, u := range urls {
		h, err := newHost(u)
		if err != nil {
			return nil, fmt.Errorf("ldap: urls[%d]: %w", i, err)
		}
		if h.tls && cfg.Plaintext {
			return nil, fmt.Errorf("ldap: Plaintext: urls[%d] is one of ldaps", i)
		}
		c.hosts = append(c.hosts, h)
	}
	if len(c.hosts) == 0 {
		return nil, errors.New("ldap: urls: at least one is needed")
	}
	return c, nil
}

func newHost(raw string) (*host, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("is not a URL")
	}
	port := u.Port()
	switch {
	case u.Scheme != "ldap" && u.Scheme != "ldaps":
		return nil, errors.New("must begin with ldap:// or ldaps://")
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case u.User != nil:
		return nil, errors.New("must hold no user: set User and Password")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("must end after the host or the port")
	case port == "" && u.Scheme == "ldap":
		port = goldap.DefaultLdapPort
	case port == "":
		port = goldap.DefaultLdapsPort
	}
	return &host{address: net.JoinHostPort(u.Hostname(), port), name: u.Hostname(), tls: u.Scheme == "ldaps"}, nil
}

// Close closes the idle connections, and the others as soon as they are not used
// any more. What is asked of a closed Client fails.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true // nothing is put back from now on
	c.mu.Unlock()
	for _, conn := range c.takeAll() {
		conn.goodbye()
	}
}
