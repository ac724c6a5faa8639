package source

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"net/url"
	"strings"
	"time"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// RESTLister is a [Lister] over an API in JSON. A listing is complete if
//   - the paging came to its end,
//   - no page came twice, nor one with nothing new,
//   - there were at least as many different items as the total on the first
//     page, where the API has a total; what was listed before a resumption is
//     known by its number only, so what comes twice across one counts twice,
//   - all items could be read, and there were some.
//
// A RESTLister may be copied and used concurrently.
type RESTLister[S any] struct {
	Pages
	// Item reads one item of the list. It is required; [States] and [Keys] make
	// it. An item that it refuses is skipped, but a page of which it refuses all
	// is an error. Item may be called concurrently.
	Item func(raw json.RawMessage) (Item[S], error)
	// Since is the parameter for ListRequest.ModifiedSince. Empty: the API has
	// none. SinceLayout is how the time is written, in UTC. Default: RFC 3339.
	Since, SinceLayout string
}

// States reads items that are whole states, whose keys the function tells.
func States[S any](key func(S) entity.Key) func(json.RawMessage) (Item[S], error) {
	return func(raw json.RawMessage) (Item[S], error) {
		var state S
		if err := decodeJSON(raw, &state); err != nil {
			return Item[S]{}, err
		}
		return Item[S]{Key: key(state), State: &state}, nil
	}
}

// Keys reads items that name entities of one type: by a field, which may be a
// path into objects, or without a field by being their id.
func Keys[S any](typ, field string) func(json.RawMessage) (Item[S], error) {
	return func(raw json.RawMessage) (Item[S], error) {
		item := document{"": raw}
		if field != "" {
			item = nil
			if err := decodeJSON(raw, &item); err != nil {
				return Item[S]{}, err
			}
		}
		id, err := item.text(field)
		return Item[S]{Key: entity.Key{Type: typ, ID: id}}, err
	}
}

// Validate reports why the RESTLister cannot work. The error begins with the
// name of the field.
func (l RESTLister[S]) Validate() error {
	if l.Item == nil {
		return errors.New("Item: must be set: use States or Keys")
	}
	return l.validate(l.Path)
}

// List implements [Lister].
func (l RESTLister[S]) List(ctx context.Context, req ListRequest) iter.Seq2[Page[S], error] {
	return func(yield func(Page[S], error) bool) {
		if err := l.list(ctx, req, func(p Page[S]) bool { return yield(p, nil) }); err != nil {
			if failure.Of(err) == failure.Gone { // a listing that is not there is no entity that is gone
				err = failure.As(failure.Unavailable, err)
			}
			yield(Page[S]{}, err)
		}
	}
}

func (l RESTLister[S]) list(ctx context.Context, req ListRequest, yield func(Page[S]) bool) error {
	if err := l.Validate(); err != nil {
		return failure.As(failure.Unavailable, err)
	}
	at, sofar, err := l.begin(req)
	if err != nil {
		return failure.As(failure.Rejected, err)
	}
	greq := gateway.Request{Route: l.Path, Fresh: true, TransactionID: req.TransactionID}
	if greq.TransactionID == "" {
		greq.TransactionID = rand.Text()
	}
	g := newGuard()
	for {
		if err := g.visit(at); err != nil {
			return incomplete(err)
		}
		raw, resp, err := l.read(ctx, greq, at, sofar.Listed+sofar.Skipped)
		if err != nil {
			return err
		}
		page, err := l.page(raw, g, &sofar)
		if err != nil {
			return failure.As(failure.Failed, resp.Failed(err.Error(), err))
		}
		if raw.next != nil {
			sofar.Next, at = raw.next.String(), *raw.next
			page.Resume = l.token(req, sofar)
		} else {
			page.Complete = sofar.missing() == 0 && sofar.Skipped == 0 && sofar.Listed > 0 && req.ModifiedSince.IsZero()
		}
		if !yield(page) {
			return nil
		}
		switch {
		case raw.next != nil:
		case sofar.missing() > 0:
			return incomplete(fmt.Errorf("%d of %d items are missing at its end", sofar.missing(), sofar.Total))
		default:
			return nil
		}
	}
}

// page reads the items of a page, and counts them.
func (l RESTLister[S]) page(raw *rawPage, g *guard, sofar *count) (Page[S], error) {
	page := Page[S]{Items: make([]Item[S], 0, len(raw.items)), Total: raw.total}
	ids := make([]string, 0, len(raw.items))
	var bad error
	for _, r := range raw.items {
		item, err := l.Item(r)
		if err == nil {
			err = item.Key.Validate()
		}
		if err != nil {
			bad = err
			continue
		}
		page.Items = append(page.Items, item)
		ids = append(ids, item.Key.Type+"\x00"+item.Key.ID)
	}
	skipped := len(raw.items) - len(ids)
	if skipped > 0 && len(ids) == 0 {
		return Page[S]{}, errors.New("none of the items can be read: " + describe(bad))
	}
	added, err := g.add(ids, skipped)
	if err != nil {
		return Page[S]{}, fmt.Errorf("%w: %w", ErrIncomplete, err)
	}
	sofar.Listed += added
	sofar.Skipped += skipped
	if sofar.Total < 0 {
		sofar.Total = raw.total
	}
	page.Listed, page.Skipped = sofar.Listed, sofar.Skipped
	return page, nil
}

func incomplete(err error) error {
	return failure.As(failure.Failed, fmt.Errorf("%w: %w", ErrIncomplete, err))
}

// begin returns where a listing begins or goes on, and what came before.
func (l RESTLister[S]) begin(req ListRequest) (position, count, error) {
	at := position{path: l.Path, query: l.Query}
	switch {
	case req.ModifiedSince.IsZero():
	case l.Since == "":
		return at, count{}, errors.New("ModifiedSince: the API does not have it: leave it out, or set Since")
	default:
		layout := l.SinceLayout
		if layout == "" {
			layout = time.RFC3339
		}
		at = *at.with(l.Since, req.ModifiedSince.UTC().Format(layout))
	}
	if req.Resume == "" {
		return l.Paging.start(at), count{Total: -1}, nil
	}
	errResume := errors.New("Resume: is not of this listing: begin anew")
	mark, encoded, _ := strings.Cut(req.Resume, ".")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	var sofar count
	if err != nil || mark != l.mark(req) || json.Unmarshal(text, &sofar) != nil {
		return at, count{}, errResume
	}
	path, query, _ := strings.Cut(sofar.Next, "?")
	if at.query, err = url.ParseQuery(query); err != nil {
		return at, count{}, errResume
	}
	at.path = path
	if (gateway.Request{Path: at.path, Query: at.query}).Validate() != nil {
		return at, count{}, errResume
	}
	return at, sofar, nil
}

// token returns what resumes the listing.
func (l RESTLister[S]) token(req ListRequest, sofar count) string {
	text, _ := json.Marshal(sofar) // strings and numbers always encode
	return l.mark(req) + "." + base64.RawURLEncoding.EncodeToString(text)
}

// mark tells listings apart.
func (l RESTLister[S]) mark(req ListRequest) string {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s %s %+v %d", l.Path, l.Query.Encode(), l.Paging, req.ModifiedSince.UnixMilli())
	return fmt.Sprintf("%x", h.Sum64())
}
