package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"time"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/httpfail"
	"github.com/konnektor-go/konnektor/internal/jsondoc"
)

// call is one request.
type call struct {
	method string
	route  string // the declared path
	url    string
	search bool
	body   jsondoc.Doc // nil for none
	typ    string      // of the body, default application/json
	header http.Header // what this request has besides
}

// do makes a request. It returns an error if there was no whole answer.
func (t *Target[T]) do(ctx context.Context, c call) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Timeout)
	defer cancel()
	var body io.Reader = http.NoBody
	if c.body != nil {
		data, err := json.Marshal(c.body)
		if err != nil {
			return Answer{}, failure.As(failure.Rejected, t.failed(c, 0, "the document cannot be encoded as JSON", nil))
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, c.method, c.url, body)
	if err != nil {
		return Answer{}, failure.As(failure.Rejected, t.failed(c, 0, "no request can be made of it", nil))
	}
	t.setHeader(req, c)
	resp, err := t.client.Do(req)
	if err != nil {
		return Answer{}, t.unanswered(c, "no answer: ", err)
	}
	defer resp.Body.Close()
	answer := Answer{Method: c.method, Search: c.search, Status: resp.StatusCode, Header: resp.Header}
	answer.Body, err = io.ReadAll(io.LimitReader(resp.Body, t.cfg.MaxBody+1))
	switch {
	case err != nil:
		return Answer{}, t.unanswered(c, "the answer broke off: ", err)
	case int64(len(answer.Body)) > t.cfg.MaxBody:
		return Answer{}, failure.As(failure.Failed, t.failed(c, answer.Status, "the answer is larger than Config.MaxBody", nil))
	}
	return answer, nil
}

func (t *Target[T]) setHeader(req *http.Request, c call) {
	for name, values := range t.cfg.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	maps.Copy(req.Header, c.header)
	if len(req.Header["Accept"]) == 0 {
		req.Header.Set("Accept", "application/json")
	}
	// Compression changes ETags on some servers, so that they never match again.
	req.Header.Set("Accept-Encoding", "identity")
	if c.body != nil {
		typ := c.typ
		if typ == "" {
			typ = "application/json"
		}
		req.Header.Set("Content-Type", typ)
	}
}

// unanswered is the error of a request without a whole answer.
func (t *Target[T]) unanswered(c call, what string, err error) error {
	return failure.UnavailableFor(failure.RetryAfter(err), t.failed(c, 0, what+httpfail.Describe(err), err))
}

func (t *Target[T]) failed(c call, status int, reason string, cause error) *Error {
	route := t.base.String()
	if c.route != "" {
		route += "/" + c.route
	}
	return &Error{Method: c.method, Route: route, Status: status, Reason: reason, Err: cause}
}

// retryAfter returns how long an answer asks to be left alone.
func retryAfter(a Answer) time.Duration {
	return httpfail.RetryAfter(a.Header.Get("Retry-After"), time.Now())
}
