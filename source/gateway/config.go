package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Config holds the options of a [Client]. The zero Config works, for an API
// whose plan needs no key.
type Config struct {
	// Alternatives are further base URLs of the same API, at other gateways. A
	// request that fails for want of an answer, or by a 502, 503 or 504, is
	// repeated at the next one, which is then used until it fails too. The
	// credentials go to all of them.
	Alternatives []string
	// Key is the API key of the subscription. For one that is read from a file,
	// again whenever it changes, leave it empty and use Auth.
	Key Secret
	// Auth holds what else authenticates the requests: package auth has keys,
	// passwords and tokens. They are used in their order.
	Auth []Authenticator `json:"-"`
	// CertFile and CertKeyFile hold a client certificate, with the chain to its
	// authority, and its private key, in PEM. They are read for each new
	// connection; those that are open keep theirs.
	CertFile, CertKeyFile string
	// CAFile holds the authorities, in PEM, one of which must have signed the
	// gateway's certificate. It is read by [New]. Default: those of the system.
	CAFile string
	// Header is sent along with every request, for example what the backend
	// wants for authorization. The headers that the client sets itself, and
	// those that ask for less than the full current state, are refused.
	Header http.Header `json:"-"`
	// UserAgent names the connector in the logs of the systems on the way.
	// Default: "konnektor".
	UserAgent string
	// Transport makes the requests. It must not follow redirects, and its
	// idle connections are closed by [Client.CloseIdleConnections]. Default: a
	// copy of http.DefaultTransport that keeps MaxInFlight idle connections for
	// 30 s, connects within 10 s, and does without compression, which the
	// gateway drops anyway. A proxy is taken from the environment.
	Transport http.RoundTripper `json:"-"`
	// TryTimeout ends one request, at the last byte of the body. It is also the
	// longest time that a call waits for a limit of the gateway's. Default: 35 s.
	// The gateway gives up after 30 s and says so; a client that gave up at the
	// same time would not hear it.
	TryTimeout time.Duration
	// Timeout ends a whole call, with all of its requests and the waits between
	// them, but without waits for MaxRate and MaxInFlight. Default: 2 min.
	Timeout time.Duration
	// Retries is how often a stray 502, 503, 504 or broken connection, or a 429
	// whose end is near, is retried. Default: 2. Negative: never.
	Retries int
	// MaxBody is the largest body of a state, in bytes. Default: 10 MiB.
	MaxBody int64
	// MaxRate is how many requests are sent per second, evenly spread. Default:
	// as many as the gateway allows.
	MaxRate float64
	// MaxInFlight is how many requests are under way at once. Default: 64.
	MaxInFlight int
	// Gone decides whether a 404 or 410 proves that the source has no such
	// entity. Default: [GoneByIDs].
	Gone GoneProof `json:"-"`
	// SecondLook is the time after which such a proof must be repeated, by a
	// fetch past the cache, before it is believed. It is for sources that forget
	// what they have, for a moment: while they are deployed, or when a replica
	// is behind. Default: one look is enough.
	SecondLook time.Duration
	// Freshness says how to tell that a state is older than a notification.
	// Default: it is not looked at.
	Freshness Freshness `json:"-"`
}

const defaultTimeout = 2 * time.Minute

func (c Config) withDefaults() Config {
	if c.UserAgent == "" {
		c.UserAgent = "konnektor"
	}
	if c.TryTimeout == 0 {
		c.TryTimeout = 35 * time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Retries == 0 {
		c.Retries = 2
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = 64
	}
	if c.Transport == nil {
		c.Transport = newTransport(c.MaxInFlight)
	}
	if c.MaxBody == 0 {
		c.MaxBody = 10 << 20
	}
	if c.Gone == nil {
		c.Gone = GoneByIDs
	}
	if c.Freshness.Delays == nil {
		c.Freshness.Delays = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}
	}
	return c
}

func newTransport(conns int) *http.Transport {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	if d, ok := http.DefaultTransport.(*http.Transport); ok {
		t = d.Clone()
	}
	// The default of 2 idle connections for a host makes a connector with
	// more workers open a connection, and do a TLS handshake, per fetch.
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, conns
	t.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	// Shorter than what is usual in front of a gateway: whoever keeps a
	// connection longer than the other side gets stray resets.
	t.IdleConnTimeout = 30 * time.Second
	t.DisableCompression = true
	return t
}

func (c Config) validate() error {
	switch {
	case !isVisible(string(c.Key)):
		return errors.New("Key: holds a space, a line break or another character that no key has: trim it")
	case strings.ContainsFunc(c.UserAgent, isControl):
		return errors.New("UserAgent: must not hold control characters")
	}
	if err := c.validateNumbers(); err != nil {
		return err
	}
	if c.Transport != nil && (c.CertFile != "" || c.CertKeyFile != "" || c.CAFile != "") {
		return errors.New("Transport: brings its own certificates: leave CertFile, CertKeyFile and CAFile empty")
	}
	if err := validateAuth(c.Auth); err != nil {
		return err
	}
	for name, values := range c.Header {
		if name == "" || strings.ContainsFunc(name, notToken) {
			return errors.New("Header: a name is empty or holds a character that names of headers cannot have")
		}
		if fix := reservedHeader(http.CanonicalHeaderKey(name)); fix != "" {
			return fmt.Errorf("Header: %s must not be set: %s", name, fix)
		}
		for _, v := range values {
			if strings.ContainsFunc(v, isControl) {
				return fmt.Errorf("Header: the value of %s must not hold control characters", name)
			}
		}
	}
	return nil
}

func (c Config) validateNumbers() error {
	switch timeout := cmp.Or(c.Timeout, defaultTimeout); {
	case c.TryTimeout < 0:
		return errors.New("TryTimeout: must not be negative; 0 means the default")
	case c.Timeout < 0:
		return errors.New("Timeout: must not be negative; 0 means the default")
	case c.MaxBody < 0:
		return errors.New("MaxBody: must not be negative; 0 means the default")
	case !(c.MaxRate == 0 || c.MaxRate >= 1e-3 && c.MaxRate <= 1e6):
		return errors.New("MaxRate: must be 0 for none, or from 0.001 to 1000000 requests per second")
	case c.MaxInFlight < 0:
		return errors.New("MaxInFlight: must not be negative; 0 means the default")
	case c.SecondLook < 0 || c.SecondLook >= timeout:
		return errors.New("SecondLook: must not be negative, and be shorter than Timeout")
	default:
		return c.Freshness.validate(timeout)
	}
}

// reservedHeader says why a header cannot be set by Config.Header, or "".
func reservedHeader(name string) string {
	switch name {
	case headerKey:
		return "use Config.Key"
	case headerTransactionID:
		return "use Request.TransactionID"
	case headerCache:
		return "use Request.Fresh"
	case "User-Agent":
		return "use Config.UserAgent"
	case "Accept":
		return "it is always application/json"
	case "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since":
		return "a fetch wants the full state"
	case "Host", "Connection", "Content-Length", "Transfer-Encoding", "Expect":
		return "it belongs to the transport"
	default:
		return ""
	}
}

// header returns the headers that all requests share.
func (c Config) header() http.Header {
	h := make(http.Header, len(c.Header)+5)
	for name, values := range c.Header {
		for _, v := range values {
			h.Add(name, v)
		}
	}
	// Without it the gateway's own errors come as plain text.
	h.Set("Accept", "application/json")
	h.Set("User-Agent", c.UserAgent)
	if c.Key != "" {
		h.Set(headerKey, string(c.Key))
	}
	return h
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }

// isVisible reports whether s holds nothing but visible ASCII characters.
func isVisible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// notToken is for names of headers: RFC 9110, section 5.6.2.
func notToken(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	default:
		return !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	}
}
