package gateway

import (
	"context"
	"crypto/rand"
	"net/http"
	"sync/atomic"

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

// Client fetches from one API. Make it with [New], one for each subscription:
// all that use the subscription's key share its limits.
type Client struct {
	bases   *bases
	header  http.Header // of every request, the key included
	cfg     Config
	flights flights
	limiter *limiter
	// identified says that the gateway names those whom its plans let through.
	identified atomic.Bool
}

// New returns a Client for the API at baseURL, which ends with its context
// path: "https://gw-institution.intark.uh-it.no/sap/ansatte/v1". The scheme is
// https; http is for loopback addresses only, because the key would travel in
// the clear.
func New(baseURL string, cfg Config) (*Client, error) {
	bases, err := newBases(baseURL, cfg.Alternatives)
	if err != nil {
		return nil, err
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if t, ok := cfg.Transport.(*http.Transport); ok {
		if err := cfg.secure(t); err != nil {
			return nil, err
		}
	}
	return &Client{bases: bases, header: cfg.header(), cfg: cfg, limiter: newLimiter(cfg)}, nil
}

// Get fetches one resource. Package documentation says what the errors mean;
// those about an answer, or its absence, hold an [Error].
func (c *Client) Get(ctx context.Context, req Request) (*Response, error) {
	suffix, err := c.suffix(req)
	if err != nil {
		return nil, failure.As(failure.Rejected, err)
	}
	if req.TransactionID == "" {
		req.TransactionID = rand.Text()
	}
	return c.share(ctx, suffix, req)
}

// CloseIdleConnections closes the connections that are not in use, where
// Config.Transport can do that. The Client remains usable.
func (c *Client) CloseIdleConnections() {
	if t, ok := c.cfg.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}
