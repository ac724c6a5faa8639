package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// REST is a [Source] that fetches JSON through the API gateway. Its errors are
// those of package gateway, and:
//   - A key that is not valid, or whose path could leave the API, is
//     failure.Rejected and not sent.
//   - A 200 that does not decode is failure.Failed. Before that it is fetched
//     once more, at once and past the gateway's cache, which may hold a
//     truncated body; so is an answer without a full state, like an empty 200.
//   - A setting that Validate refuses makes every Fetch fail with Validate's
//     error, as failure.Unavailable: it is no entity's fault.
//
// A REST may be copied and used concurrently.
type REST[S any] struct {
	// Gateway is the client of the source's API. It is required.
	Gateway *gateway.Client
	// Path is a template, relative to the client's base URL: "persons/{id}",
	// "{type}/{id}/details". {id} and {type} stand for the parts of the key,
	// escaped, and {id} is required.
	Path string
	// Query holds parameters that are sent with every fetch. It must not be
	// changed while the REST is in use.
	Query url.Values
	// Decode turns a body into a state. Default: encoding/json, which must
	// consume the whole body; null is an error. A Decode that classifies its
	// error with package failure decides what it means: failure.Gone for a
	// body that says "deleted", for example. The text of its errors is not
	// passed on, as decoders tend to quote their input.
	Decode func(body []byte, into *S) error
}

// Validate reports why the REST cannot work. The error begins with the name of
// the field.
func (r REST[S]) Validate() error {
	if r.Gateway == nil {
		return errors.New("Gateway: must be set: make a client with gateway.New")
	}
	if !strings.Contains(r.Path, "{id}") {
		return errors.New("Path: must hold the placeholder {id}")
	}
	if strings.ContainsAny(expand(r.Path, "", ""), "{}") {
		return errors.New("Path: {id} and {type} are the only placeholders, and braces mean nothing else")
	}
	if strings.ContainsAny(r.Path, "?#") {
		return errors.New("Path: must not hold a query or fragment: use Query")
	}
	return gateway.Request{Path: expand(r.Path, "x", "x"), Query: r.Query}.Validate()
}

// Fetch implements [Source].
func (r REST[S]) Fetch(ctx context.Context, req Request) (S, error) {
	var none S
	if err := r.Validate(); err != nil {
		return none, failure.As(failure.Unavailable, err)
	}
	path, err := r.path(req.Key)
	if err != nil {
		return none, failure.As(failure.Rejected, err)
	}
	greq := gateway.Request{
		Path: path, Route: r.Path, Query: r.Query,
		Fresh: req.Fresh, ChangedAt: req.ChangedAt, Flow: req.Flow, TransactionID: req.TransactionID,
	}
	state, err := r.fetch(ctx, greq)
	e, useless := uselessAnswer(err)
	if !useless {
		return state, err
	}
	greq.Fresh, greq.TransactionID = true, e.TransactionID
	return r.fetch(ctx, greq)
}

func (r REST[S]) fetch(ctx context.Context, req gateway.Request) (S, error) {
	var state, none S
	resp, err := r.Gateway.Get(ctx, req)
	if err != nil {
		return none, err
	}
	decode := r.Decode
	if decode == nil {
		decode = decodeJSON[S]
	}
	if err := decode(resp.Body, &state); err != nil {
		failed := resp.Failed("the body does not decode: "+describe(err), err)
		if failure.Of(err) == failure.Unavailable {
			return none, failure.UnavailableFor(failure.RetryAfter(err), failed)
		}
		return none, failure.As(failure.Of(err), failed)
	}
	return state, nil
}

// path returns the escaped path of an entity.
func (r REST[S]) path(key entity.Key) (string, error) {
	if err := key.Validate(); err != nil {
		return "", err
	}
	if key.Type == "" && strings.Contains(r.Path, "{type}") {
		return "", errors.New("Type: must not be empty, the path needs it")
	}
	return expand(r.Path, escape(key.Type), escape(key.ID)), nil
}

// expand fills in the placeholders. The parts are escaped, so they hold no
// placeholder themselves.
func expand(template, typ, id string) string {
	return strings.ReplaceAll(strings.ReplaceAll(template, "{type}", typ), "{id}", id)
}

// escape makes one path segment of s. PathEscape leaves "+", which some servers
// take for a space.
func escape(s string) string {
	return strings.ReplaceAll(url.PathEscape(s), "+", "%2B")
}

// uselessAnswer reports whether err is about an answer that was meant to hold
// the state and did not, so that another look past the cache may help.
func uselessAnswer(err error) (*gateway.Error, bool) {
	var e *gateway.Error
	if failure.Of(err) != failure.Failed || !errors.As(err, &e) {
		return nil, false
	}
	return e, e.Status >= 200 && e.Status < 300 || e.Status == http.StatusNotModified
}

var errNull = errors.New("null")

func decodeJSON[S any](body []byte, into *S) error {
	if string(bytes.TrimSpace(body)) == "null" {
		return errNull // Unmarshal would leave a zero state, and call that fine
	}
	return json.Unmarshal(body, into)
}

// describe says what is wrong with a body without quoting it.
func describe(err error) string {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.Is(err, errNull):
		return "it is null"
	case errors.As(err, &syntax):
		return fmt.Sprintf("it is not JSON, or cut off, at byte %d", syntax.Offset)
	case errors.As(err, &typ):
		kind, _, _ := strings.Cut(typ.Value, " ") // "number 123" holds the value
		return fmt.Sprintf("%s in field %q does not fit a Go %v, at byte %d", kind, typ.Field, typ.Type, typ.Offset)
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}
