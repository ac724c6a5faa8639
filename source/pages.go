package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// Pages is a listing of an API in JSON: what [RESTLister] and [RESTCollection]
// read. It must not be changed while it is in use.
type Pages struct {
	// Gateway is the client of the source's API. It is required.
	Gateway *gateway.Client
	// Path is relative to the client's base URL: "persons". It is required.
	Path string
	// Query holds parameters that are sent for the first page, such as the size
	// of pages; and for the others, unless they are reached by links, which
	// bring their own.
	Query url.Values
	// Paging says how to get from a page to the next.
	Paging Paging
	// Items is the field of the body with the list. Empty: the body is the list.
	Items string
	// Total is the field of the body with the number of all items, TotalHeader
	// the header with it, such as X-Total-Count. Set one where the API has it:
	// nothing else tells a listing that was cut short from a short one.
	Total, TotalHeader string
}

// maxEmptyPages is how many pages without items may follow each other.
const maxEmptyPages = 100

func (p Pages) validate(sample string) error {
	switch {
	case p.Gateway == nil:
		return errors.New("Gateway: must be set: make a client with gateway.New")
	case strings.ContainsAny(p.Path, "?#"):
		return errors.New("Path: must not hold a query or fragment: use Query")
	case p.Total != "" && p.TotalHeader != "":
		return errors.New("Total: only one of Total and TotalHeader can be set")
	case p.Total != "" && p.Items == "":
		return errors.New("Total: a body that is the list has no fields: set Items, or TotalHeader")
	case p.Items == "" && p.Paging.inBody():
		return errors.New("Paging: a body that is the list has no fields: set Items")
	}
	if err := p.Paging.validate(); err != nil {
		return err
	}
	return gateway.Request{Path: sample, Query: p.Query}.Validate()
}

// rawPage is one page as it was read.
type rawPage struct {
	items []json.RawMessage
	total int       // -1: not told
	next  *position // nil: this was the last
}

// read fetches one page. The path of req is that of at. counted is how many
// items there were before.
func (p Pages) read(ctx context.Context, req gateway.Request, at position, counted int) (*rawPage, *gateway.Response, error) {
	req.Path, req.Query = at.path, at.query
	page, resp, err := p.readOnce(ctx, req, at, counted)
	if e, useless := uselessAnswer(err); useless {
		req.Fresh, req.TransactionID = true, e.TransactionID
		page, resp, err = p.readOnce(ctx, req, at, counted)
	}
	return page, resp, err
}

func (p Pages) readOnce(ctx context.Context, req gateway.Request, at position, counted int) (*rawPage, *gateway.Response, error) {
	resp, err := p.Gateway.Get(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	failed := func(reason string) error { return failure.As(failure.Failed, resp.Failed(reason, nil)) }
	page := &rawPage{total: -1}
	var body document
	list := json.RawMessage(resp.Body)
	if p.Items != "" {
		if err := decodeJSON(resp.Body, &body); err != nil {
			return nil, nil, failed("the body does not decode: " + describe(err))
		}
		if list, err = body.field(p.Items); err != nil || list == nil {
			return nil, nil, failed(fmt.Sprintf("the body has no field %q: check Pages.Items", p.Items))
		}
	}
	if p.Items == "" || !isEmpty(list) { // null stands for no items, but only in a field
		if err := decodeJSON(list, &page.items); err != nil {
			return nil, nil, failed("the list does not decode: " + describe(err))
		}
	}
	if page.total, err = p.total(resp, body); err != nil {
		return nil, nil, failed(err.Error())
	}
	all := page.total >= 0 && counted+len(page.items) >= page.total
	page.next, err = p.Paging.next(at, p.Gateway.String(), resp.Header, body, len(page.items), all)
	if err != nil {
		return nil, nil, failed(err.Error())
	}
	return page, resp, nil
}

func (p Pages) total(resp *gateway.Response, body document) (int, error) {
	var text, name string
	var err error
	switch {
	case p.Total != "":
		name = "field " + strconv.Quote(p.Total)
		text, err = body.text(p.Total)
	case p.TotalHeader != "":
		name, text = "header "+p.TotalHeader, resp.Header.Get(p.TotalHeader)
	default:
		return -1, nil
	}
	n, bad := strconv.Atoi(text)
	if err != nil || bad != nil || n < 0 {
		return 0, fmt.Errorf("the total, %s, is missing or not a number", name)
	}
	return n, nil
}

// count is how far a listing has come.
type count struct {
	// Next is where the next page is.
	Next string `json:"next"`
	// Listed are the different items up to there, and Skipped those that could
	// not be read.
	Listed  int `json:"listed"`
	Skipped int `json:"skipped,omitempty"`
	// Total is the first one that the source told, -1 for none.
	Total int `json:"total"`
}

// missing returns how many items are missing at the end.
func (c count) missing() int { return max(0, c.Total-c.Listed-c.Skipped) }

// guard notices listings that do not get on.
type guard struct {
	visited map[string]bool
	seen    map[string]bool // items
	empty   int
}

func newGuard() *guard { return &guard{visited: map[string]bool{}, seen: map[string]bool{}} }

// visit reports what is wrong with a page that is about to be read, or nil.
func (g *guard) visit(at position) error {
	if g.visited[at.String()] {
		return errors.New("the next page was read before")
	}
	g.visited[at.String()] = true
	return nil
}

// add takes the identities of a page's items. It returns how many are new, and
// what is wrong with the page, if something is.
func (g *guard) add(ids []string, skipped int) (int, error) {
	known := len(g.seen)
	for _, id := range ids {
		g.seen[id] = true
	}
	added := len(g.seen) - known
	switch {
	case len(ids)+skipped == 0:
		if g.empty++; g.empty > maxEmptyPages {
			return 0, fmt.Errorf("%d pages without items follow each other", g.empty)
		}
		return 0, nil
	case added == 0 && len(ids) > 0:
		return 0, errors.New("a page holds nothing that was not listed before: check Pages.Paging, the source may not know the parameter")
	}
	g.empty = 0
	return added, nil
}
