package scim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/httpfail"
	"github.com/konnektor-go/konnektor/internal/jsondoc"
	"github.com/konnektor-go/konnektor/internal/urlpath"
)

// mediaType is SCIM's: RFC 7644, section 3.1.
const mediaType = "application/scim+json"

// client speaks HTTP with one provider.
type client struct {
	base string
	cfg  Config
}

// request is one request to the provider.
type request struct {
	method string
	route  string   // what errors call the path: "Users/{id}"
	path   []string // the segments below the base URL, not escaped
	query  url.Values
	body   any    // sent as JSON if it is not nil
	match  string // the entity tag that the resource must have, or ""
}

// answer is a complete answer.
type answer struct {
	request request
	status  int
	header  http.Header
	body    []byte
}

// do sends a request. Its error says that there is no answer.
func (c *client) do(ctx context.Context, r request) (*answer, error) {
	limited, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req, err := c.build(limited, r)
	if err != nil {
		return nil, err
	}
	if err := c.cfg.Auth(req); err != nil {
		return nil, failure.UnavailableFor(failure.RetryAfter(err), r.failed("no credentials: "+err.Error(), err))
	}
	// The transport is used without an http.Client: that would follow
	// redirects, and put the URL into its errors.
	resp, err := c.cfg.Transport.RoundTrip(req)
	if err != nil {
		return nil, c.unanswered(ctx, limited, r, "no answer: ", err)
	}
	defer func() { _ = resp.Body.Close() }() // nothing is lost: it was read
	var body bytes.Buffer
	if _, err := body.ReadFrom(io.LimitReader(resp.Body, c.cfg.MaxBody+1)); err != nil {
		return nil, c.unanswered(ctx, limited, r, "the answer broke off: ", err)
	}
	if int64(body.Len()) > c.cfg.MaxBody {
		return nil, r.failed(fmt.Sprintf("the answer is over %d bytes: raise Config.MaxBody", c.cfg.MaxBody), nil)
	}
	return &answer{request: r, status: resp.StatusCode, header: resp.Header, body: body.Bytes()}, nil
}

func (c *client) build(ctx context.Context, r request) (*http.Request, error) {
	var target strings.Builder
	target.WriteString(c.base)
	for _, segment := range r.path {
		escaped := url.PathEscape(segment)
		if err := urlpath.Check(escaped); err != nil {
			return nil, r.failed("the provider's id cannot be part of a path: it "+err.Error(), nil)
		}
		target.WriteString("/" + escaped)
	}
	if len(r.query) > 0 {
		target.WriteString("?" + r.query.Encode())
	}
	var body io.Reader = http.NoBody
	if r.body != nil {
		data, err := json.Marshal(r.body)
		if err != nil {
			return nil, failure.As(failure.Rejected, r.failed("the resource has no JSON", err))
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target.String(), body)
	if err != nil {
		return nil, r.failed("the address cannot be used", err)
	}
	req.Header.Set("Accept", mediaType+", application/json;q=0.9")
	// Compression changes entity tags on some servers, so that they never match.
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "konnektor")
	if r.body != nil {
		req.Header.Set("Content-Type", mediaType)
	}
	if r.match != "" {
		req.Header.Set("If-Match", r.match)
	}
	return req, nil
}

// unanswered is the error of a request without a complete answer.
func (c *client) unanswered(ctx, limited context.Context, r request, what string, err error) error {
	reason := what + httpfail.Describe(err)
	switch {
	case ctx.Err() != nil:
		reason, err = what+ctx.Err().Error(), ctx.Err()
	case errors.Is(limited.Err(), context.DeadlineExceeded):
		reason = fmt.Sprintf("no complete answer within %v (Config.Timeout)", c.cfg.Timeout)
	}
	return failure.As(failure.Unavailable, r.failed(reason, err))
}

// get sends a GET and returns the document.
func (c *client) get(ctx context.Context, path string) (jsondoc.Doc, error) {
	a, err := c.do(ctx, request{method: http.MethodGet, route: path, path: []string{path}})
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, a.refused()
	}
	return a.document()
}

// document returns the body of an answer.
func (a *answer) document() (jsondoc.Doc, error) {
	d, err := jsondoc.Decode(a.body)
	if err != nil {
		return nil, a.failed("the body is " + err.Error())
	}
	return d, nil
}
