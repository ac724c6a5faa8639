package testkit

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// answer is what the gateway sends, whatever the transport.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	half    bool // send only half of body
	drop    bool // lose the connection, after half of body if half is set too
	version int64
	cached  bool
}

// plainError is an error of the gateway in plain text. In all versions of the
// gateway, 4xx apart, its own errors close the connection; 3.x does it always.
func plainError(status int, text string) answer {
	return answer{
		status: status,
		header: http.Header{"Content-Type": {"text/plain"}, "Connection": {"close"}},
		body:   []byte(text),
	}
}

// gatewayError is an error of the gateway in JSON, if the client accepts that.
func gatewayError(r *http.Request, status int, text string) answer {
	a := plainError(status, text)
	accept := strings.Join(r.Header.Values("Accept"), ",")
	if strings.Contains(accept, "application/json") || strings.Contains(accept, "*/*") {
		a.header.Set("Content-Type", "application/json")
		a.body, _ = json.Marshal(struct { // strings and numbers always encode
			Message string `json:"message"`
			Status  int    `json:"http_status_code"`
		}{text, status})
	}
	return a
}

// throughAPI answers a request that found its API: the plan's checks, the cache,
// the backend, in this order.
func (g *Gateway) throughAPI(ctx context.Context, r *http.Request, req *Request) (answer, error) {
	key := r.Header.Get(headerKey)
	if key == "" {
		key = r.URL.Query().Get("api-key")
	}
	g.mu.Lock()
	right := key == g.key
	hit, found := g.cache[req.cacheKey()]
	g.mu.Unlock()
	switch {
	case !right:
		return gatewayError(r, http.StatusUnauthorized, "Unauthorized"), nil
	case r.Method != http.MethodGet:
		return gatewayError(r, http.StatusMethodNotAllowed, "Method not allowed while accessing this resource"), nil
	case found && !req.Fresh && time.Now().Before(hit.until):
		return hit.answer, nil
	}
	a, err := g.backend(ctx, *req)
	if err != nil {
		return answer{}, err
	}
	if g.cfg.CacheTTL > 0 && a.status/100 == 2 && !a.drop && r.Header.Get(headerCache) != "BY_PASS" {
		kept := a
		kept.status, kept.cached = http.StatusOK, true // a hit is always 200
		g.mu.Lock()
		g.cache[req.cacheKey()] = cached{until: time.Now().Add(g.cfg.CacheTTL), answer: kept}
		g.mu.Unlock()
	}
	return a, nil
}

// cacheKey leaves the headers out, as the gateway does.
func (r *Request) cacheKey() string { return r.Path + "?" + r.Query }

// backend answers as the system behind the gateway. It reads the entity first
// and takes its time then.
func (g *Gateway) backend(ctx context.Context, req Request) (answer, error) {
	g.mu.Lock()
	fail, down := g.fail, g.down
	a := g.entityLocked(req.Path)
	g.mu.Unlock()
	if down {
		return answer{status: http.StatusBadGateway, header: http.Header{"Connection": {"close"}}}, nil
	}
	var f *Failure
	if fail != nil {
		f = fail(req)
	}
	latency := g.cfg.Latency
	if f != nil {
		latency += f.Delay
		a = f.spoil(a)
	}
	if err := sleep(ctx, latency); err != nil {
		return answer{}, err
	}
	return a, nil
}

func (g *Gateway) entityLocked(path string) answer {
	a := answer{
		status: http.StatusNotFound,
		header: http.Header{
			"Content-Type": {"application/json"},
			"Date":         {time.Now().UTC().Format(http.TimeFormat)},
		},
		body: []byte(`{"error":"not found"}`),
	}
	if e := g.entities[path]; e != nil && e.body != nil {
		a.status, a.body, a.version = http.StatusOK, e.body, e.version
	}
	return a
}

func (f *Failure) spoil(a answer) answer {
	if f.Status != 0 {
		a.status, a.body, a.version = f.Status, []byte(f.Body), 0
	}
	for name, values := range f.Header {
		a.header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	a.half, a.drop = f.Truncate, f.Drop
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

// ServeHTTP answers through a socket. To lose the connection it panics with
// [http.ErrAbortHandler], which servers know.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, err := g.serve(r.Context(), r)
	if err != nil || a.drop && !a.half {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	body := a.sent()
	_, _ = w.Write(body) // a client that is gone notices itself
	if a.half {
		_ = http.NewResponseController(w).Flush() // so that no Content-Length is set
	}
	if a.drop {
		panic(http.ErrAbortHandler)
	}
}

// RoundTrip answers in memory. It starts no goroutine.
func (g *Gateway) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }() // a RoundTripper's duty; it is not read
	}
	a, err := g.serve(r.Context(), r)
	if err != nil {
		return nil, err
	}
	if a.drop && !a.half {
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	}
	body := a.sent()
	res := &http.Response{
		Status:        strconv.Itoa(a.status) + " " + http.StatusText(a.status),
		StatusCode:    a.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        a.header,
		ContentLength: int64(len(body)),
		Close:         a.header.Get("Connection") == "close",
		Request:       r,
		Body:          io.NopCloser(bytes.NewReader(body)),
	}
	switch {
	case r.Method == http.MethodHead:
		res.Body = http.NoBody
	case a.half:
		res.ContentLength = -1
		res.TransferEncoding = []string{"chunked"}
		if a.drop {
			res.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), brokenReader{}))
		}
	}
	return res, nil
}

// sent is the part of the body that is sent.
func (a answer) sent() []byte {
	if a.half {
		return a.body[:len(a.body)/2]
	}
	return a.body
}

// brokenReader ends a body whose connection was lost.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
