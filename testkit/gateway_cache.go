package testkit

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// The modes of the gateway's cache.
const (
	bypass  = "BY_PASS"
	refresh = "REFRESH"
)

type cached struct {
	until  time.Time
	answer answer
}

// cacheMode returns how a request wants to be led past the cache, or "".
func cacheMode(r *http.Request, query url.Values) string {
	for _, mode := range []string{r.Header.Get(headerCache), query.Get("cache")} {
		if mode == bypass || mode == refresh {
			return mode
		}
	}
	return ""
}

// cacheKey leaves method and headers out, as the gateway does.
func (r *Request) cacheKey() string { return r.Path + "?" + r.Query }

// throughCache answers from the cache, or else from the backend.
func (g *Gateway) throughCache(ctx context.Context, x *exchange, limitHeader http.Header) (answer, error) {
	if g.cfg.CacheTTL == 0 {
		return g.backend(ctx, x)
	}
	look := x.mode == "" || x.mode == refresh && g.cfg.NoRefresh
	g.mu.Lock()
	hit, found := g.cache[x.entry.cacheKey()]
	g.mu.Unlock()
	if look && found && time.Now().Before(hit.until) {
		return hit.answer, nil
	}
	a, err := g.backend(ctx, x)
	if err != nil || a.status/100 != 2 || a.drop || x.mode == bypass {
		return a, err
	}
	kept := a
	kept.status, kept.cached = http.StatusOK, true // a hit is always 200
	kept.header = a.header.Clone()
	switch {
	case x.Method == http.MethodHead && g.version[0] >= 4:
		return a, nil
	case x.Method == http.MethodHead:
		kept.body = nil // and a GET will get that
	}
	if g.version[0] >= 4 {
		prepend(kept.header, limitHeader)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cache[x.entry.cacheKey()] = cached{until: time.Now().Add(g.cfg.CacheTTL), answer: kept}
	return a, nil
}
