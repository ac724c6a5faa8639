package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Config holds the options of a [Client]. The zero Config works, for an API
// whose plan needs no key.
type Config struct {
	// Key is the API key of the subscription.
	Key Secret
	// Header is sent along with every request, for example what the backend
	// wants for authorization. The headers that the client sets itself, and
	// those that ask for less than the full current state, are refused.
	Header http.Header `json:"-"`
	// UserAgent names the connector in the logs of the systems on the way.
	// Default: "konnektor".
	UserAgent string
	// Transport makes the requests. It must not follow redirects, and its
	// idle connections are closed by [Client.CloseIdleConnections]. Default: a
	// copy of http.DefaultTransport with up to 64 idle connections, kept for
	// 30 s, and without compression, which the gateway drops anyway.
	Transport http.RoundTripper `json:"-"`
	// Timeout ends a whole call: all attempts, until the last byte of the body.
	// Default: 35 s. The gateway gives up after 30 s and says so; a client
	// that gave up at the same time would not hear it.
	Timeout time.Duration
	// Retries is how often a stray 502, 503, 504 or broken connection is
	// retried within one call. Default: 2. Negative: never.
	Retries int
	// MaxBody is the largest body of a state, in bytes. Default: 10 MiB.
	MaxBody int64
	// Gone decides whether a 404 or 410 proves that the source has no such
	// entity. Default: [GoneByIDs].
	Gone GoneProof `json:"-"`
}

func (c Config) withDefaults() Config {
	if c.UserAgent == "" {
		c.UserAgent = "konnektor"
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	if c.Timeout == 0 {
		c.Timeout = 35 * time.Second
	}
	if c.Retries == 0 {
		c.Retries = 2
	}
	if c.MaxBody == 0 {
		c.MaxBody = 10 << 20
	}
	if c.Gone == nil {
		c.Gone = GoneByIDs
	}
	return c
}

func newTransport() *http.Transport {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	if d, ok := http.DefaultTransport.(*http.Transport); ok {
		t = d.Clone()
	}
	// The default of 2 idle connections for a host makes a connector with
	// more workers open a connection, and do a TLS handshake, per fetch.
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 64, 64
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
	case c.Timeout < 0:
		return errors.New("Timeout: must not be negative; 0 means the default")
	case c.MaxBody < 0:
		return errors.New("MaxBody: must not be negative; 0 means the default")
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

// parseBase checks a base URL. It returns the URL without a slash at its end,
// and how many bytes of that come before the path.
func parseBase(baseURL string) (base string, prefix int, err error) {
	u, err := url.Parse(baseURL)
	switch {
	case err != nil: // its text would repeat the URL, and passwords in it
		return "", 0, errors.New("baseURL: is not a URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return "", 0, errors.New("baseURL: must begin with https://")
	case u.Hostname() == "" || u.Opaque != "":
		return "", 0, errors.New("baseURL: has no host")
	case u.User != nil:
		return "", 0, errors.New("baseURL: must not hold a user or password; use Config.Key or Config.Header")
	case strings.ContainsAny(baseURL, "?#"):
		return "", 0, errors.New("baseURL: must not have a query or fragment; use Request.Query")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return "", 0, errors.New("baseURL: must begin with https://; http is for loopback addresses only, as the key would travel in the clear")
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	if strings.HasSuffix(path, "/") {
		return "", 0, errors.New("baseURL: must not end with more than one slash")
	}
	if path != "" {
		if err := checkPath(path[1:]); err != nil {
			return "", 0, fmt.Errorf("baseURL: %w", err)
		}
	}
	origin := u.Scheme + "://" + u.Host
	return origin + path, len(origin), nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
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
