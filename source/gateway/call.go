package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/httpfail"
)

// call is one fetch with all of its requests.
type call struct {
	*Client
	flight   *flight
	suffix   string
	req      Request
	began    time.Time
	deadline time.Time // moved by the waits for a turn
	attempts int
}

// result is what came of one request.
type result struct {
	resp  *Response
	err   error
	again again
	late  bool // no complete answer in time
}

// again says when repeating a request may help.
type again int

const (
	never     again = iota
	soon            // after a moment
	elsewhere       // only from another gateway
	later           // when the limit allows
)

func newCall(c *Client, suffix string, req Request, f *flight) *call {
	now := time.Now()
	return &call{Client: c, flight: f, suffix: suffix, req: req, began: now, deadline: now.Add(c.cfg.Timeout)}
}

// run fetches until there is a verdict: a state that is not too old, or one
// failure that is to be believed.
func (c *call) run(ctx context.Context) (*Response, error) {
	var gone bool
	var stale []*Response
	for {
		resp, err := c.fetch(ctx, stale)
		var wait time.Duration
		switch {
		case err == nil && !c.isStale(resp):
			return resp, nil
		case err == nil:
			gone = false
			delays := c.cfg.Freshness.Delays
			if stale = append(stale, resp); len(stale) > len(delays) || !time.Now().Add(delays[len(stale)-1]).Before(c.deadline) {
				return c.staleVerdict(resp)
			}
			wait = delays[len(stale)-1]
		case failure.Of(err) == failure.Gone && !gone && c.cfg.SecondLook > 0:
			gone, wait = true, c.cfg.SecondLook
		default:
			return nil, err
		}
		c.req.Fresh = true
		if err := c.sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// fetch makes one request, and repeats it if its failure may be a stray one.
func (c *call) fetch(ctx context.Context, stale []*Response) (*Response, error) {
	var answered error // the last failure that was not the end of the time
	delays := backoff.BackOff(nil)
	for retry := 0; ; retry++ {
		r := c.try(ctx, stale)
		switch {
		case r.err == nil:
			return r.resp, nil
		case ctx.Err() != nil:
			return nil, c.counted(c.stopped(ctx, c.req))
		case !r.late:
			answered = r.err
		}
		wait, ok := time.Duration(0), retry < c.cfg.Retries && c.mayRepeat(r)
		if ok && r.again == soon {
			if delays == nil {
				delays = newDelays()
			}
			wait = delays.NextBackOff()
			ok = time.Now().Add(wait).Before(c.deadline)
		}
		switch {
		case ok:
			if err := c.sleep(ctx, wait); err != nil {
				return nil, err
			}
		case answered != nil:
			return nil, c.counted(answered) // says more than that the time was up
		default:
			return nil, c.counted(r.err)
		}
	}
}

// mayRepeat reports whether repeating a request may help, and leads the next one
// to another gateway where that is the point.
func (c *call) mayRepeat(r result) bool {
	several := len(c.bases.urls) > 1
	switch r.again {
	case soon:
		// What took as long as a whole try is no stray failure.
		return several || time.Since(c.began) < c.cfg.TryTimeout
	case elsewhere:
		return several && time.Now().Before(c.deadline)
	case later:
		wait := failure.RetryAfter(r.err)
		return wait > 0 && wait <= c.cfg.TryTimeout
	case never:
	}
	return false
}

// newDelays returns the waits before retries: about 0.1 s, then 0.3 s. A stray
// failure is over by then, and an outage is for the caller to wait out.
func newDelays() backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMultiplier(3),
		backoff.WithMaxInterval(3*time.Second),
		backoff.WithMaxElapsedTime(0), // Config.Timeout is the limit
	)
}

// try waits for its turn and makes one request.
func (c *call) try(ctx context.Context, stale []*Response) result {
	waits := time.Now()
	if err := c.limiter.acquire(ctx, c.flow()); err != nil {
		return result{err: c.held(err)}
	}
	defer c.limiter.release()
	c.shift(time.Since(waits))
	if c.attempts == 0 {
		c.req = c.flight.depart()
	}
	c.attempts++
	c.req.base = c.bases.pick()
	end, name, limit := c.deadline, "Timeout", c.cfg.Timeout
	if e := time.Now().Add(c.cfg.TryTimeout); e.Before(end) {
		end, name, limit = e, "TryTimeout", c.cfg.TryTimeout
	}
	limited, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	r := c.once(limited, stale)
	if r.resp == nil && r.again == soon && limited.Err() != nil {
		r.late = true
		r.err = failure.As(failure.Unavailable, c.failed(c.req,
			fmt.Sprintf("no complete answer within %v (Config.%s)", limit, name), limited.Err()))
	}
	if r.late {
		r.again = elsewhere
	}
	if r.again == soon || r.again == elsewhere {
		c.bases.failed(c.req.base)
	}
	return r
}

// once makes one request, and another if the credentials of the first were not
// the current ones.
func (c *call) once(ctx context.Context, stale []*Response) result {
	r, renewed := c.send(ctx, stale)
	if renewed {
		c.attempts++
		r, _ = c.send(ctx, stale)
	}
	return r
}

// shift keeps the waits for a turn out of the time for the call.
func (c *call) shift(d time.Duration) {
	c.began, c.deadline = c.began.Add(d), c.deadline.Add(d)
}

// flow returns who shares the limits.
func (c *call) flow() string {
	if c.req.Flow != "" {
		return c.req.Flow
	}
	return c.req.Route
}

// sleep returns the error for a context, or a call, that ends before d is over.
func (c *call) sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(min(d, time.Until(c.deadline)))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return c.counted(c.stopped(ctx, c.req))
	case <-t.C:
	}
	if time.Now().Before(c.deadline) {
		return nil
	}
	return c.counted(failure.As(failure.Unavailable, c.failed(c.req,
		fmt.Sprintf("no verdict within %v (Config.Timeout)", c.cfg.Timeout), context.DeadlineExceeded)))
}

// held returns the error for a request that the limiter holds back.
func (c *call) held(err error) error {
	return failure.UnavailableFor(failure.RetryAfter(err), c.failed(c.req, err.Error(), err))
}

// counted notes in an error how many requests it took.
func (c *call) counted(err error) error {
	var e *Error
	if errors.As(err, &e) {
		e.Attempts = c.attempts
	}
	return err
}

// send makes one request. It also reports that there are other credentials by
// now than those that were refused.
func (c *call) send(ctx context.Context, stale []*Response) (r result, renewed bool) {
	// The transport is used without an http.Client: that would follow
	// redirects, and put the URL into its errors.
	hreq, err := http.NewRequestWithContext(ctx, http.MethodGet, c.req.base+c.suffix, http.NoBody)
	if err != nil {
		return result{err: failure.As(failure.Rejected, errors.New("Path: is not usable in a URL"))}, false
	}
	hreq.Header = c.header.Clone()
	hreq.Header[headerTransactionID] = []string{c.req.TransactionID}
	if c.req.Fresh {
		hreq.Header[headerCache] = []string{"REFRESH"}
	}
	known := c.setValidator(hreq, stale)
	if err := c.authenticate(hreq); err != nil {
		return result{err: c.unauthenticated(c.req, err)}, false
	}
	sent := time.Now()
	hresp, err := c.cfg.Transport.RoundTrip(hreq)
	if err != nil {
		return c.unanswered("no answer: ", err), false
	}
	defer func() { _ = hresp.Body.Close() }() // nothing is lost: it was read
	resp := &Response{
		Status: hresp.StatusCode, Header: hresp.Header,
		Route: c.route(c.req), TransactionID: c.req.TransactionID,
	}
	var whole bool
	resp.Body, whole, err = readBody(hresp.Body, hresp.ContentLength, c.bodyLimit(resp.Status))
	if err != nil {
		return c.unanswered("the answer broke off: ", err), false
	}
	wait := c.limiter.observe(resp, sent, time.Now())
	if resp.Header.Get(headerClientID) != "" {
		c.identified.Store(true)
	}
	if known != nil && resp.Status == http.StatusNotModified {
		return result{resp: known}, false
	}
	if !whole && isState(resp.Status) {
		e := resp.Failed(fmt.Sprintf("the body is over %d bytes: raise Config.MaxBody", c.cfg.MaxBody), nil)
		return result{resp: resp, err: failure.As(failure.Failed, e)}, false
	}
	if err := c.classify(resp, wait); err != nil {
		renewed = resp.Status == http.StatusUnauthorized && c.renewed(hreq, resp)
		return result{resp: resp, err: err, again: repeats(resp.Status, err)}, renewed
	}
	return result{resp: resp}, false
}

// unanswered is the result of a request without a complete answer.
func (c *call) unanswered(what string, err error) result {
	return result{
		err:   failure.As(failure.Unavailable, c.failed(c.req, what+httpfail.Describe(err), err)),
		late:  httpfail.IsTimeout(err),
		again: soon,
	}
}
