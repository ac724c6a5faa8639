package testkit

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// connectTimeout is how long the gateway tries to connect to the backend.
const connectTimeout = 5 * time.Second

// backend answers as the system behind the gateway, again if the gateway fails
// over.
func (g *Gateway) backend(ctx context.Context, x *exchange) (answer, error) {
	for left := g.cfg.Failover; ; left-- {
		a, reached, err := g.callBackend(ctx, x)
		if err != nil || reached || left == 0 {
			return a, err
		}
	}
}

// callBackend reads the entity first and takes its time then. It reports
// whether there was an answer of the backend's.
func (g *Gateway) callBackend(ctx context.Context, x *exchange) (a answer, reached bool, err error) {
	g.mu.Lock()
	fail, down := g.fail, g.down
	x.entry.Calls++
	req := *x.entry
	a, found := g.entityLocked(x)
	g.mu.Unlock()
	switch {
	case down == http.StatusGatewayTimeout:
		a, err = g.tooSlow(ctx, x, connectTimeout)
		return a, false, err
	case down != 0:
		return g.emptyError(down), false, nil
	case !found && g.cfg.Backend != nil:
		a = g.handle(ctx, x)
	}
	var f *Failure
	if fail != nil {
		f = fail(req)
	}
	latency := g.cfg.Latency
	if f != nil {
		latency += f.Delay
		a = f.spoil(a, g.version)
		if err := f.wait(ctx, x); err != nil {
			return answer{}, false, err
		}
	}
	patience := g.cfg.BackendTimeout
	if patience < 0 {
		patience = latency
	}
	if latency > patience || g.over(x, latency) {
		a, err = g.tooSlow(ctx, x, min(latency, patience))
		return a, false, err
	}
	return a, true, sleep(ctx, latency)
}

// age is how long a request has been under way.
func (x *exchange) age() time.Duration { return time.Since(x.entry.Time) - x.held }

// over reports whether a request takes too long if it goes on for d.
func (g *Gateway) over(x *exchange, d time.Duration) bool {
	return g.cfg.RequestTimeout >= 0 && x.age()+d > g.cfg.RequestTimeout
}

// tooSlow waits for d and gives up, earlier if the time for the request is over.
func (g *Gateway) tooSlow(ctx context.Context, x *exchange, d time.Duration) (answer, error) {
	if g.over(x, d) {
		d = g.cfg.RequestTimeout - x.age()
		return g.gatewayError(x, http.StatusGatewayTimeout, "Request timeout"), sleep(ctx, d)
	}
	return g.emptyError(http.StatusGatewayTimeout), sleep(ctx, d)
}

// entityLocked answers from the entities, and reports whether there is one.
func (g *Gateway) entityLocked(x *exchange) (answer, bool) {
	a := answer{
		status: http.StatusNotFound,
		header: http.Header{
			"Content-Type": {"application/json"},
			"Date":         {time.Now().UTC().Format(http.TimeFormat)},
		},
		body: []byte(`{"error":"not found"}`),
	}
	e := g.entities[x.entry.Path]
	if e == nil || e.body == nil {
		return a, false
	}
	a.status, a.body, a.version = http.StatusOK, e.body, e.version
	tag := strconv.Quote(strconv.FormatInt(e.version, 10))
	a.header.Set("ETag", tag)
	a.header.Set("Last-Modified", e.changed.UTC().Format(http.TimeFormat))
	if x.Header.Get("If-None-Match") == tag {
		a.status, a.body = http.StatusNotModified, nil
	}
	return a, true
}

// handle lets GatewayConfig.Backend answer.
func (g *Gateway) handle(ctx context.Context, x *exchange) answer {
	r := x.Clone(ctx)
	r.Header.Del(headerKey)
	r.Header.Set(headerTransaction, x.entry.TransactionID)
	path := "/" + x.entry.Path
	plain, _ := url.PathUnescape(path) // it is canonical
	r.URL = &url.URL{Path: plain, RawPath: path, RawQuery: x.query.Encode()}
	r.RequestURI = r.URL.RequestURI()
	w := &recorder{header: http.Header{}}
	g.cfg.Backend.ServeHTTP(w, r)
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return answer{status: w.status, header: w.header, body: w.body.Bytes()}
}

// recorder is a ResponseWriter that keeps what is written.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// wait holds a request up. The time that takes does not count.
func (f *Failure) wait(ctx context.Context, x *exchange) error {
	if f.Hold == nil {
		return nil
	}
	begun := time.Now()
	defer func() { x.held += time.Since(begun) }()
	select {
	case <-f.Hold:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *Failure) spoil(a answer, v version) answer {
	if f.Status != 0 {
		a.status, a.body, a.version = f.Status, []byte(f.Body), 0
		a.header.Del("ETag")
		a.header.Del("Last-Modified")
	}
	for name, values := range f.Header {
		a.header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	a.half = f.Truncate || f.Break
	a.drop = f.Drop || f.Break && v[0] == 3
	return a
}

// sleep waits until d has passed or ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
