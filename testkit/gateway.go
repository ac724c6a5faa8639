package testkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// The headers of the gateway.
const (
	headerKey         = "X-Gravitee-Api-Key"
	headerCache       = "X-Gravitee-Cache"
	headerTransaction = "X-Gravitee-Transaction-Id"
	headerRequest     = "X-Gravitee-Request-Id"
)

// GatewayConfig sets up a [Gateway]. The zero GatewayConfig works.
type GatewayConfig struct {
	// ContextPath is where the gateway publishes the API, like "/iga/v1". The
	// default is "/api".
	ContextPath string
	// Key is the API key that opens it. The default is "secret".
	Key string
	// CacheTTL is how long answers are kept in the gateway's cache. The default
	// 0 means that there is no cache.
	CacheTTL time.Duration
	// Latency is how long the backend takes to answer. The default is 0.
	Latency time.Duration
}

func (c GatewayConfig) withDefaults() GatewayConfig {
	if c.ContextPath == "" {
		c.ContextPath = "/api"
	}
	if c.Key == "" {
		c.Key = "secret"
	}
	return c
}

func (c GatewayConfig) validate() error {
	switch {
	case c.ContextPath != "" && (!strings.HasPrefix(c.ContextPath, "/") || strings.HasSuffix(c.ContextPath, "/")):
		return errors.New(`ContextPath: must begin with a slash and not end with one, like "/iga/v1"`)
	case c.CacheTTL < 0:
		return fmt.Errorf("CacheTTL: %v, must be positive, or 0 for no cache", c.CacheTTL)
	case c.Latency < 0:
		return fmt.Errorf("Latency: %v, must not be negative", c.Latency)
	}
	return nil
}

// Request is a request as the gateway saw it.
type Request struct {
	// Time is when it arrived.
	Time   time.Time
	Method string
	// Path is relative to the context path and without a leading slash, as
	// [Gateway.Put] takes it. Where no API is, it is the whole path.
	Path string
	// Query is encoded and sorted by name, without the API key.
	Query string
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
	// Truncate sends half of the body, and a clean end.
	Truncate bool
	// Drop loses the connection instead of answering; together with Truncate,
	// after half of the body.
	Drop bool
}

// Gateway is an API gateway with a source system behind it: entities in JSON by
// their paths. It answers GET only. Use it as an [http.Handler] behind a socket,
// or as an [http.RoundTripper] without one: then the URLs' scheme and host do
// not matter.
type Gateway struct {
	cfg GatewayConfig

	mu       sync.Mutex
	key      string
	stopped  bool
	down     bool
	fail     func(Request) *Failure
	entities map[string]*versioned
	cache    map[string]cached
	log      []*Request
}

type versioned struct {
	version int64
	body    []byte // nil: deleted
}

type cached struct {
	until  time.Time
	answer answer
}

// NewGateway returns a Gateway in front of a source without entities.
func NewGateway(cfg GatewayConfig) (*Gateway, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Gateway{
		cfg:      cfg,
		key:      cfg.Key,
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
	e.body = body
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
// f is called concurrently. It may block, to hold a request up: the state of the
// entity has been read then.
func (g *Gateway) Fail(f func(Request) *Failure) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fail = f
}

// Stop takes the API off the gateway: there is no API at the context path then.
func (g *Gateway) Stop() { g.change(func() { g.stopped = true }) }

// Start puts the API back.
func (g *Gateway) Start() { g.change(func() { g.stopped = false }) }

// SetBackendDown says whether the gateway reaches the backend: if not, the
// answer is 502.
func (g *Gateway) SetBackendDown(down bool) { g.change(func() { g.down = down }) }

// SetKey replaces the API key: the old one opens nothing any more.
func (g *Gateway) SetKey(key string) { g.change(func() { g.key = key }) }

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

// arrive logs a request. The path is nil if there is no API for it.
func (g *Gateway) arrive(r *http.Request) (*Request, bool) {
	path := r.URL.EscapedPath()
	rest, api := strings.CutPrefix(path, g.cfg.ContextPath)
	api = api && (rest == "" || rest[0] == '/')
	query := r.URL.Query()
	query.Del("api-key")
	mode := r.Header.Get(headerCache)
	req := &Request{
		Time:          time.Now(),
		Method:        r.Method,
		Path:          path,
		Query:         query.Encode(),
		Fresh:         mode == "REFRESH" || mode == "BY_PASS",
		TransactionID: r.Header.Get(headerTransaction),
	}
	if req.TransactionID == "" {
		req.TransactionID = uuid.NewString()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	api = api && !g.stopped
	if api {
		// What net/url accepted as a path is well escaped.
		req.Path, _ = canonical(rest)
	}
	g.log = append(g.log, req)
	return req, api
}

// serve answers a request, or returns the error of its context.
func (g *Gateway) serve(ctx context.Context, r *http.Request) (answer, error) {
	req, api := g.arrive(r)
	var a answer
	if api {
		var err error
		if a, err = g.throughAPI(ctx, r, req); err != nil {
			return answer{}, err
		}
		a.header = maps.Clone(a.header)
		a.header.Set(headerTransaction, req.TransactionID)
		a.header.Set(headerRequest, uuid.NewString())
	} else {
		a = plainError(http.StatusNotFound, "No context-path matches the request URI.")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !a.drop {
		req.Status = a.status
	}
	req.Version, req.Cached = a.version, a.cached
	return a, nil
}
