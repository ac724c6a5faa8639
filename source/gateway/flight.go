package gateway

import (
	"bytes"
	"context"
	"sync"
	"time"
)

// flights are the fetches under way, so that identical ones are made once.
type flights struct {
	mu   sync.Mutex
	open map[flightKey]*flight
}

type flightKey struct{ suffix, route string }

// flight is a fetch that others may join. It is made by the first caller; if
// that one's context ends, those who joined begin anew.
type flight struct {
	mu   *sync.Mutex // the flights'
	req  Request     // grows with those who join, until it is sent
	sent bool
	done chan struct{} // nil: nobody has joined

	// What came of it, for those who joined.
	resp      *Response
	err       error
	abandoned bool
}

// share makes the fetch, or joins an identical one.
func (c *Client) share(ctx context.Context, suffix string, req Request) (*Response, error) {
	key := flightKey{suffix, req.Route}
	for {
		f, joined := c.flights.join(key, req)
		if !joined {
			return c.lead(ctx, key, req, f)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, c.stopped(ctx, req)
		}
		if !f.abandoned {
			return f.resp.clone(), f.err
		}
	}
}

// lead makes the fetch for all who join it.
func (c *Client) lead(ctx context.Context, key flightKey, req Request, f *flight) (resp *Response, err error) {
	abandoned := true // also by a panic
	defer func() { c.flights.land(key, f, resp, err, abandoned) }()
	resp, err = newCall(c, key.suffix, req, f).run(ctx)
	abandoned = ctx.Err() != nil
	return resp, err
}

// join returns an open flight that serves the request, or else a new one.
func (s *flights) join(key flightKey, req Request) (f *flight, joined bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f = s.open[key]; f != nil && f.admitsLocked(req) {
		if f.done == nil {
			f.done = make(chan struct{})
		}
		return f, true
	}
	f = &flight{mu: &s.mu, req: req}
	if s.open == nil {
		s.open = map[flightKey]*flight{}
	}
	s.open[key] = f
	return f, false
}

// admitsLocked reports whether the flight serves the request too. A fresh state
// is read after it was asked for, so one that has been sent is too old.
func (f *flight) admitsLocked(req Request) bool {
	if f.sent {
		return !req.Fresh && req.ChangedAt.IsZero()
	}
	f.req.Fresh = f.req.Fresh || req.Fresh
	if req.ChangedAt.After(f.req.ChangedAt) && time.Until(req.ChangedAt) <= maxAhead {
		f.req.ChangedAt = req.ChangedAt
	}
	return true
}

// depart is called before the first request is sent. It returns what to send.
func (f *flight) depart() Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = true
	return f.req
}

func (s *flights) land(key flightKey, f *flight, resp *Response, err error, abandoned bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[key] == f {
		delete(s.open, key)
	}
	if f.done != nil {
		// The response belongs to its caller from now on.
		f.resp, f.err, f.abandoned = resp.clone(), err, abandoned
		close(f.done)
	}
}

func (r *Response) clone() *Response {
	if r == nil {
		return nil
	}
	c := *r
	c.Header, c.Body = r.Header.Clone(), bytes.Clone(r.Body)
	return &c
}
