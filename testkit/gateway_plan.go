package testkit

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// maxURI is the longest path with query that reaches an API, in bytes.
const maxURI = 4096

// exchange is a request on its way through the gateway.
type exchange struct {
	*http.Request
	entry *Request // in the log
	query url.Values
	mode  string        // of the cache
	known setting       // as far as the instance that answers knows
	held  time.Duration // by Failure.Hold
	api   bool          // there is an API at its path
}

// arrive logs a request.
func (g *Gateway) arrive(r *http.Request) *exchange {
	escaped := r.URL.EscapedPath()
	rest, api := strings.CutPrefix(escaped, g.cfg.ContextPath)
	api = api && (rest == "" || rest[0] == '/')
	// The gateway writes the query anew. For it a semicolon separates too.
	query, _ := url.ParseQuery(strings.ReplaceAll(r.URL.RawQuery, ";", "&"))
	x := &exchange{Request: r, query: query, mode: cacheMode(r, query)}
	query.Del("api-key")
	query.Del("cache")
	x.entry = &Request{
		Time:          time.Now(),
		Method:        r.Method,
		Path:          escaped,
		Query:         query.Encode(),
		Header:        r.Header.Clone(),
		Fresh:         x.mode != "",
		TransactionID: r.Header.Get(headerTransaction),
	}
	x.entry.Header.Del(headerKey)
	if x.entry.TransactionID == "" {
		x.entry.TransactionID = uuid.NewString()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	x.known = g.knownLocked(len(g.log))
	if x.api = api && !x.known.stopped; x.api {
		// What net/url accepted as a path is well escaped.
		x.entry.Path, _ = canonical(rest)
	}
	g.log = append(g.log, x.entry)
	return x
}

// knownLocked returns the settings as they have reached the instance that
// answers the nth request.
func (g *Gateway) knownLocked(n int) setting {
	delay := g.cfg.Sync
	if n%2 == 0 {
		delay /= 2
	}
	for _, s := range slices.Backward(g.settings[1:]) {
		if !time.Now().Before(s.at.Add(delay)) {
			return s
		}
	}
	return g.settings[0]
}

// serve answers a request, or returns the error of its context.
func (g *Gateway) serve(ctx context.Context, r *http.Request) (answer, error) {
	x := g.arrive(r)
	var a answer
	ids := true
	switch {
	case len(r.URL.RequestURI()) > maxURI:
		a, ids = g.plainError(http.StatusRequestURITooLong, ""), false
	case !x.api:
		a, ids = g.plainError(http.StatusNotFound, "No context-path matches the request URI."), g.version.idsWithoutAPI()
	default:
		var err error
		if a, err = g.throughAPI(ctx, x); err != nil {
			return answer{}, err
		}
	}
	a.header = maps.Clone(a.header)
	if ids && !g.cfg.NoIDs {
		a.header.Set(headerTransaction, x.entry.TransactionID)
		a.header.Set(headerRequest, uuid.NewString())
	}
	a.chunked = g.cfg.Chunked
	g.mu.Lock()
	defer g.mu.Unlock()
	if !a.drop {
		x.entry.Status = a.status
	}
	x.entry.Version, x.entry.Cached = a.version, a.cached
	return a, nil
}

// throughAPI answers a request that found its API: the plan's checks, the
// limits, the cache, the backend, in this order.
func (g *Gateway) throughAPI(ctx context.Context, x *exchange) (answer, error) {
	if !g.opens(x) {
		return g.gatewayError(x, http.StatusUnauthorized, "Unauthorized"), nil
	}
	g.mu.Lock()
	limitHeader, over := g.limits.take(time.Now())
	g.mu.Unlock()
	var a answer
	var err error
	switch {
	case over != "":
		a = g.gatewayError(x, http.StatusTooManyRequests, over)
	case slices.ContainsFunc(g.cfg.Denied, x.denied):
		a = g.gatewayError(x, http.StatusForbidden, "You're not allowed to access this resource")
	case !slices.Contains(g.cfg.Methods, x.Method):
		a = g.gatewayError(x, http.StatusMethodNotAllowed, "Method not allowed while accessing this resource")
	default:
		a, err = g.throughCache(ctx, x, limitHeader)
	}
	if err != nil {
		return answer{}, err
	}
	a.header = maps.Clone(a.header)
	if g.version[0] >= 4 {
		a.header.Set(headerClient, "application")
	}
	prepend(a.header, limitHeader)
	return a, nil
}

// opens reports whether the plan lets a request in.
func (g *Gateway) opens(x *exchange) bool {
	key := x.Header.Get(headerKey)
	if key == "" {
		key = x.URL.Query().Get("api-key")
	}
	return key == x.known.key || key == "" && g.cfg.Keyless
}

// denied reports whether a pattern of the plan's is about the request.
func (x *exchange) denied(pattern string) bool {
	match, err := path.Match(pattern, x.entry.Path)
	return err == nil && match
}

// prepend puts the gateway's headers before the backend's of the same names.
func prepend(into, first http.Header) {
	for name, values := range first {
		into[name] = append(slices.Clone(values), into[name]...)
	}
}
