package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/konnektor-go/konnektor/failure"
)

// The headers that the gateway reads and sends.
const (
	headerKey           = "X-Gravitee-Api-Key"
	headerCache         = "X-Gravitee-Cache"
	headerTransactionID = "X-Gravitee-Transaction-Id"
	headerRequestID     = "X-Gravitee-Request-Id"
	headerClientID      = "X-Gravitee-Client-Identifier"
)

const (
	// maxURI is the longest path with query that reaches an API, in bytes.
	maxURI = 4096
	// maxErrorBody is how much of an answer is read that is not a state.
	maxErrorBody = 64 << 10
)

// Client fetches from one API of one gateway. Make it with [New].
type Client struct {
	base   string      // without a slash at the end
	prefix int         // bytes of base before its path
	header http.Header // of every request, the key included
	cfg    Config
}

// New returns a Client for the API at baseURL, which ends with its context
// path: "https://gw-institution.intark.uh-it.no/sap/ansatte/v1". The scheme is
// https; http is for loopback addresses only, because the key would travel in
// the clear.
func New(baseURL string, cfg Config) (*Client, error) {
	base, prefix, err := parseBase(baseURL)
	if err != nil {
		return nil, err
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Client{base: base, prefix: prefix, header: cfg.header(), cfg: cfg}, nil
}

// Get fetches one resource. Package documentation says what the errors mean;
// those about an answer, or its absence, hold an [Error].
func (c *Client) Get(ctx context.Context, req Request) (*Response, error) {
	uri, err := c.uri(req)
	if err != nil {
		return nil, failure.As(failure.Rejected, err)
	}
	if req.TransactionID == "" {
		req.TransactionID = rand.Text()
	}
	limited, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()

	var answered error // the last failure that was not the end of the time
	var attempts int
	resp, err := backoff.RetryWithData(func() (*Response, error) {
		attempts++
		r, again, failed := c.once(limited, uri, req)
		if failed != nil && limited.Err() == nil {
			answered = failed
		}
		if failed != nil && !again {
			return nil, backoff.Permanent(failed)
		}
		return r, failed
	}, backoff.WithContext(c.delays(), limited))

	switch {
	case err == nil:
		return resp, nil
	case ctx.Err() != nil:
		return nil, c.stopped(ctx, req)
	case limited.Err() == nil:
	case answered != nil:
		err = answered // says more than that the time was up
	default:
		err = failure.As(failure.Unavailable, c.failed(req,
			fmt.Sprintf("no complete answer within %v (Config.Timeout)", c.cfg.Timeout), limited.Err()))
	}
	var e *Error
	if errors.As(err, &e) {
		e.Attempts = attempts
	}
	return nil, err
}

// CloseIdleConnections closes the connections that are not in use, where
// Config.Transport can do that. The Client remains usable.
func (c *Client) CloseIdleConnections() {
	if t, ok := c.cfg.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// once makes one request. With an error, again says that the failure may be a
// stray one.
func (c *Client) once(ctx context.Context, uri string, req Request) (resp *Response, again bool, err error) {
	// The transport is used without an http.Client: that would follow
	// redirects, and put the URL into its errors.
	hreq, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, http.NoBody)
	if err != nil {
		return nil, false, failure.As(failure.Rejected, errors.New("Path: is not usable in a URL"))
	}
	hreq.Header = c.header.Clone()
	hreq.Header[headerTransactionID] = []string{req.TransactionID}
	if req.Fresh {
		hreq.Header[headerCache] = []string{"REFRESH"}
	}
	hresp, err := c.cfg.Transport.RoundTrip(hreq)
	if err != nil {
		return nil, !isTimeout(err), failure.As(failure.Unavailable, c.failed(req, "no answer: "+describe(err), err))
	}
	defer func() { _ = hresp.Body.Close() }() // nothing is lost: it was read
	resp = &Response{
		Status: hresp.StatusCode, Header: hresp.Header,
		Route: c.route(req), TransactionID: req.TransactionID,
	}
	var whole bool
	resp.Body, whole, err = readBody(hresp.Body, hresp.ContentLength, c.bodyLimit(resp.Status))
	if err != nil {
		return nil, !isTimeout(err), failure.As(failure.Unavailable, c.failed(req, "the answer broke off: "+describe(err), err))
	}
	if !whole && isState(resp.Status) {
		e := resp.Failed(fmt.Sprintf("the body is over %d bytes: raise Config.MaxBody", c.cfg.MaxBody), nil)
		return nil, false, failure.As(failure.Failed, e)
	}
	if err := c.classify(resp); err != nil {
		return nil, isStray(resp.Status) && failure.RetryAfter(err) == 0, err
	}
	return resp, false, nil
}

func (c *Client) bodyLimit(status int) int64 {
	if isState(status) {
		return c.cfg.MaxBody
	}
	return maxErrorBody
}

// readBody reads up to limit bytes, and reports whether that was all. The length
// is the announced one, or -1.
func readBody(r io.Reader, length, limit int64) (body []byte, whole bool, err error) {
	var buf bytes.Buffer
	if n := min(length, limit); n > 0 {
		buf.Grow(int(n) + bytes.MinRead) // ReadFrom wants that much room at the end
	}
	if _, err := buf.ReadFrom(io.LimitReader(r, limit+1)); err != nil {
		return nil, false, err
	}
	if int64(buf.Len()) > limit {
		return buf.Bytes()[:limit], false, nil
	}
	return buf.Bytes(), true, nil
}

// delays returns the waits before retries: about 0.1 s, then 0.3 s. A stray
// failure is over by then, and an outage is for the caller to wait out.
func (c *Client) delays() backoff.BackOff {
	return backoff.WithMaxRetries(backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMultiplier(3),
		backoff.WithMaxElapsedTime(0), // Config.Timeout is the limit
	), uint64(max(c.cfg.Retries, 0)))
}

// stopped returns the error for the end of the caller's context. A deadline is
// Unavailable, as something on the way was too slow; being cancelled says
// nothing about anybody.
func (c *Client) stopped(ctx context.Context, req Request) error {
	err := c.failed(req, ctx.Err().Error(), ctx.Err())
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return failure.As(failure.Unavailable, err)
	}
	return err
}

// failed returns the error for a request that got no answer.
func (c *Client) failed(req Request, reason string, cause error) error {
	return &Error{Route: c.route(req), TransactionID: req.TransactionID, Reason: reason, Err: cause}
}
