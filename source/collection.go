package source

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// RESTCollection is a [Source] whose state is a whole collection of an entity,
// on one page or several: the employments of a person. Use it as a part of a
// [Composite]. It is complete by the rules of [RESTLister], or an error; but it
// may be empty. Its Path is a template like that of [REST]:
// "persons/{id}/employments".
//
// A RESTCollection may be copied and used concurrently.
type RESTCollection[P any] struct {
	Pages
}

// Validate reports why the RESTCollection cannot work. The error begins with
// the name of the field.
func (c RESTCollection[P]) Validate() error {
	if !strings.Contains(c.Path, "{id}") {
		return errors.New("Path: must hold the placeholder {id}")
	}
	if strings.ContainsAny(expand(c.Path, "", ""), "{}") {
		return errors.New("Path: {id} and {type} are the only placeholders, and braces mean nothing else")
	}
	return c.validate(expand(c.Path, "x", "x"))
}

// Fetch implements [Source]. The collection is never nil without an error.
func (c RESTCollection[P]) Fetch(ctx context.Context, req Request) ([]P, error) {
	if err := c.Validate(); err != nil {
		return nil, failure.As(failure.Unavailable, err)
	}
	path, err := REST[P]{Path: c.Path}.path(req.Key)
	if err != nil {
		return nil, failure.As(failure.Rejected, err)
	}
	greq := gateway.Request{Route: c.Path, Fresh: req.Fresh, Flow: req.Flow, TransactionID: req.TransactionID}
	if greq.TransactionID == "" {
		greq.TransactionID = rand.Text()
	}
	all := []P{}
	at := c.Paging.start(position{path: path, query: c.Query})
	sofar := count{Total: -1}
	for g := newGuard(); ; {
		if err := g.visit(at); err != nil {
			return nil, incomplete(err)
		}
		raw, resp, err := c.read(ctx, greq, at, len(all))
		if err != nil {
			if len(g.visited) > 1 && failure.Of(err) == failure.Gone {
				err = failure.As(failure.Failed, err) // the first page was there
			}
			return nil, err
		}
		if all, err = appendItems(all, raw.items); err != nil {
			return nil, failure.As(failure.Failed, resp.Failed("an item does not decode: "+describe(err), err))
		}
		// Items may be equal, whole pages are not.
		if _, err := g.add(identity(raw.items), 0); err != nil {
			return nil, incomplete(err)
		}
		sofar.Listed = len(all)
		if sofar.Total < 0 {
			sofar.Total = raw.total
		}
		switch {
		case raw.next != nil:
			at = *raw.next
		case sofar.missing() > 0:
			return nil, incomplete(errors.New("items are missing at its end"))
		default:
			return all, nil
		}
	}
}

func appendItems[P any](all []P, items []json.RawMessage) ([]P, error) {
	for _, raw := range items {
		var item P
		if err := decodeJSON(raw, &item); err != nil {
			return nil, err
		}
		all = append(all, item)
	}
	return all, nil
}

// identity returns what tells a page from others.
func identity(items []json.RawMessage) []string {
	if len(items) == 0 {
		return nil
	}
	h := sha256.New()
	for _, raw := range items {
		_, _ = h.Write(raw)
	}
	return []string{string(h.Sum(nil))}
}
