package testkit

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// The headers of the gateway.
const (
	headerKey         = "X-Gravitee-Api-Key"
	headerCache       = "X-Gravitee-Cache"
	headerTransaction = "X-Gravitee-Transaction-Id"
	headerRequest     = "X-Gravitee-Request-Id"
	headerClient      = "X-Gravitee-Client-Identifier"
)

// Request is a request as the gateway saw it.
type Request struct {
	// Time is when it arrived.
	Time   time.Time
	Method string
	// Path is relative to the context path and without a leading slash, as
	// [Gateway.Put] takes it. Where no API is, it is the whole path.
	Path string
	// Query is encoded and sorted by name, without what is the gateway's: the
	// API key and the parameter "cache".
	Query string
	// Header is the request's, without the API key. It must not be changed.
	Header http.Header
	// Fresh says that the request asked to be led past the cache.
	Fresh bool
	// TransactionID is the client's, or else the gateway's.
	TransactionID string

	// What follows is known once the request was answered.

	// Status is that of the answer, 0 if none reached the client.
	Status int
	// Version is that of the entity in the answer: 1 after the first Put. It
	// is 0 if there is none.
	Version int64
	// Cached says that the answer came from the gateway's cache.
	Cached bool
	// Calls is how often the backend was asked for it.
	Calls int
}

// Failure is a wrong answer, see [Gateway.Fail].
type Failure struct {
	// Status replaces the backend's answer by one of this status, with Body
	// and Header. With 0 the answer is the backend's, spoilt as the other
	// fields say.
	Status int
	// Header is added to the answer's header. The content type is
	// application/json unless it says otherwise.
	Header http.Header
	Body   string
	// Delay comes on top of the gateway's latency.
	Delay time.Duration
	// Hold holds the answer up until it is closed, or the client has gone. The
	// gateway's timeouts do not count then. With nil nothing is held up.
	Hold <-chan struct{}
	// Truncate sends half of the body, and a clean end.
	Truncate bool
	// Break makes the backend die in the middle of the body. With version 4 the
	// client sees a body that is truncated; with version 3, a lost connection.
	Break bool
	// Drop loses the connection instead of answering; together with Truncate,
	// after half of the body.
	Drop bool
}

// Gateway is an API gateway with a source system behind it: entities in JSON by
// their paths. Use it as an [http.Handler] behind a socket, or as an
// [http.RoundTripper] without one: then the URLs' scheme and host do not matter.
type Gateway struct {
	cfg     GatewayConfig
	version version

	mu       sync.Mutex
	settings []setting // from the oldest to the newest
	limits   *limits
	down     int // the status for a backend that cannot be reached, 0: it can
	fail     func(Request) *Failure
	entities map[string]*versioned
	cache    map[string]cached
	log      []*Request
}

// setting is what the gateway learns of with a delay, see GatewayConfig.Sync.
type setting struct {
	at      time.Time
	key     string
	stopped bool
}

type versioned struct {
	version int64
	changed time.Time
	body    []byte // nil: deleted
}

// NewGateway returns a Gateway in front of a source without entities.
func NewGateway(cfg GatewayConfig) (*Gateway, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	v, _ := parseVersion(cfg.Version) // validated
	return &Gateway{
		cfg:      cfg,
		version:  v,
		settings: []setting{{key: cfg.Key}},
		limits:   newLimits(cfg),
		entities: map[string]*versioned{},
		cache:    map[string]cached{},
	}, nil
}

// Put makes v, encoded as JSON, the state of the entity at the path, and raises
// the entity's version by one. The path is relative to the context path and
// escaped as in a URL: "persons/1", "persons/a%2Fb".
func (g *Gateway) Put(path string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("v: cannot be encoded as JSON: %w", err)
	}
	return g.set(path, body)
}

// Delete removes the entity at the path. Its next version goes on from the last.
func (g *Gateway) Delete(path string) error { return g.set(path, nil) }

func (g *Gateway) set(path string, body []byte) error {
	path, err := canonical(path)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.entities[path]
	if e == nil {
		e = &versioned{}
		g.entities[path] = e
	}
	e.body, e.changed = body, time.Now()
	if body != nil {
		e.version++
	}
	return nil
}

// Get returns the state of the entity at the path and its version, and false if
// there is none. It is not a request, and not logged.
func (g *Gateway) Get(path string) (json.RawMessage, int64, bool) {
	path, err := canonical(path)
	if err != nil {
		return nil, 0, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.entities[path]
	if e == nil || e.body == nil {
		return nil, 0, false
	}
	return slices.Clone(e.body), e.version, true
}

// canonical brings a path to the one form that all its spellings share: "ø" and
// "%C3%B8" mean the same, "/" and "%2F" do not.
func canonical(path string) (string, error) {
	if path == "/" {
		return path, nil // not the same as nothing
	}
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return "", errors.New(`path: holds a "%" that begins no escape, write it as "%25"`)
		}
		segments[i] = url.PathEscape(plain)
	}
	return strings.Join(segments, "/"), nil
}

// Fail makes f decide which requests fail, and how; nil stops that. Before a
// request reaches the backend, f is called with it, and returns nil if it shall
// not fail. So f is not called for what the gateway answers itself, from its
// cache or with an error. What f makes is cached as the backend's answers are.
//
// f is called concurrently. It may block, to hold a request up whatever the
// client does: the state of the entity has been read then.
func (g *Gateway) Fail(f func(Request) *Failure) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fail = f
}

// Stop takes the API off the gateway: there is no API at the context path then.
func (g *Gateway) Stop() { g.adjust(func(s *setting) { s.stopped = true }) }

// Start puts the API back.
func (g *Gateway) Start() { g.adjust(func(s *setting) { s.stopped = false }) }

// SetKey replaces the API key: the old one opens nothing any more.
func (g *Gateway) SetKey(key string) { g.adjust(func(s *setting) { s.key = key }) }

func (g *Gateway) adjust(f func(*setting)) {
	g.change(func() {
		s := g.settings[len(g.settings)-1]
		s.at = time.Now()
		f(&s)
		g.settings = append(g.settings, s)
	})
}

// SetBackendDown says whether the backend refuses connections: if so, the
// answer is 502.
func (g *Gateway) SetBackendDown(down bool) {
	if down {
		g.SetBackend(http.StatusBadGateway)
	} else {
		g.SetBackend(0)
	}
}

// SetBackend says how the gateway reaches the backend: 0, well; 502, it refuses
// connections; 503, there is no healthy endpoint; 504, connections do not come
// about within 5 s.
func (g *Gateway) SetBackend(status int) { g.change(func() { g.down = status }) }

// SetCounterDown says whether the counters of the limits are out of reach: if
// so, everything passes.
func (g *Gateway) SetCounterDown(down bool) { g.change(func() { g.limits.down = down }) }

func (g *Gateway) change(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

// Log returns all requests in the order in which they arrived, those that are
// still to be answered too.
func (g *Gateway) Log() []Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	log := make([]Request, len(g.log))
	for i, r := range g.log {
		log[i] = *r
	}
	return log
}

// Requests returns how many requests arrived.
func (g *Gateway) Requests() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.log)
}
