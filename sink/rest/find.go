package rest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/jsondoc"
	"github.com/konnektor-go/konnektor/internal/weblink"
	"github.com/konnektor-go/konnektor/sink"
)

// find reads the entity of key, and false if there is none.
func (t *Target[T]) find(ctx context.Context, key entity.Key) (*state, bool, error) {
	if t.cfg.Search == "" {
		return t.read(ctx, key, "")
	}
	st, err := t.lookUp(ctx, key)
	switch {
	case err != nil:
		return nil, false, err
	case st == nil:
		return nil, false, nil
	case t.cfg.Summary:
		return t.read(ctx, key, st.id)
	}
	return st, true, nil
}

// read reads the entity at its own path.
func (t *Target[T]) read(ctx context.Context, key entity.Key, id string) (*state, bool, error) {
	c := call{method: http.MethodGet, route: t.item.text}
	if err := t.locate(&c, t.item, key, id); err != nil {
		return nil, false, err
	}
	a, err := t.do(ctx, c)
	if err != nil {
		return nil, false, err
	}
	if err := t.judge(c, a); err != nil {
		if errors.Is(err, sink.ErrNotFound) {
			return nil, false, nil
		}
		return nil, false, err
	}
	v, err := t.decode(c, a)
	if err != nil {
		return nil, false, err
	}
	doc, ok := v.(jsondoc.Doc)
	if ok && t.cfg.Unwrap != "" {
		v, _ = member(doc, t.cfg.Unwrap)
		doc, ok = v.(jsondoc.Doc)
	}
	if !ok {
		return nil, false, failure.As(failure.Failed, t.failed(c, a.Status, "the answer is no object, or not where Unwrap says", nil))
	}
	if t.cfg.Match != "" && !t.matches(doc, key) {
		return nil, false, failure.As(failure.Failed, t.failed(c, a.Status, "the answer is of another entity: it has not the key in member "+t.cfg.Match, nil))
	}
	if t.cfg.Deleted != nil && t.cfg.Deleted(doc) {
		return nil, false, nil
	}
	st := &state{id: id, doc: doc, etag: a.Header.Get("ETag")}
	if t.cfg.Unwrap == "" {
		st.raw = a.Body
	}
	if v, ok := member(doc, t.cfg.ID); id == "" && ok {
		st.id = text(v)
	}
	return st, true, nil
}

// decode reads the body of an answer.
func (t *Target[T]) decode(c call, a Answer) (any, error) {
	v, err := jsondoc.DecodeAny(a.Body)
	if err == nil {
		return v, nil
	}
	if strings.Contains(strings.ToLower(a.Header.Get("Content-Type")), "html") {
		return nil, failure.As(failure.Unavailable, t.failed(c, a.Status, "the answer is a page of HTML, as of a login: check the base URL and the credentials", nil))
	}
	return nil, failure.As(failure.Failed, t.failed(c, a.Status, "the answer is "+err.Error(), nil))
}

// lookUp searches for the entity of key, page by page, up to the first that
// holds it. It returns nil if there is none.
func (t *Target[T]) lookUp(ctx context.Context, key entity.Key) (*state, error) {
	c := call{method: http.MethodGet, route: t.search.text, search: true}
	if err := t.locate(&c, t.search, key, ""); err != nil {
		return nil, err
	}
	for range t.cfg.Pages {
		a, err := t.do(ctx, c)
		if err != nil {
			return nil, err
		}
		if err := t.judge(c, a); err != nil {
			if errors.Is(err, sink.ErrNotFound) {
				return nil, nil
			}
			return nil, err
		}
		docs, err := t.candidates(c, a)
		if err != nil {
			return nil, err
		}
		if st, err := t.pick(c, a, key, docs); st != nil || err != nil {
			return st, err
		}
		if c.url, err = t.nextPage(c, a); err != nil || c.url == "" {
			return nil, err
		}
	}
	return nil, failure.As(failure.Failed, t.failed(c, 0,
		"none of the first pages holds it, and there are more: the search may not be what the target understands, or raise Pages", nil))
}

// candidates returns what a page of a search holds.
func (t *Target[T]) candidates(c call, a Answer) ([]any, error) {
	v, err := t.decode(c, a)
	if err != nil {
		return nil, err
	}
	doc, isDoc := v.(jsondoc.Doc)
	if t.cfg.List != "" {
		var ok bool
		if v, ok = member(doc, t.cfg.List); !ok {
			return nil, failure.As(failure.Unavailable, t.failed(c, a.Status, "the answer has no member "+t.cfg.List+": check List", nil))
		}
		doc, isDoc = v.(jsondoc.Doc)
	}
	list, isList := v.([]any)
	switch {
	case isList:
		return list, nil
	case isDoc:
		return []any{doc}, nil
	case v == nil:
		return nil, nil
	}
	return nil, failure.As(failure.Unavailable, t.failed(c, a.Status, "the answer is neither an array nor an object: check List", nil))
}

// pick returns the one of a page that is the entity of key, or nil.
func (t *Target[T]) pick(c call, a Answer, key entity.Key, docs []any) (*state, error) {
	var st *state
	hasKeys := len(docs) == 0
	for _, d := range docs {
		doc, ok := d.(jsondoc.Doc)
		if !ok {
			return nil, failure.As(failure.Unavailable, t.failed(c, a.Status, "the answer holds what is no object: check List", nil))
		}
		if _, ok := member(doc, t.cfg.Match); ok {
			hasKeys = true
		}
		if !t.matches(doc, key) || t.cfg.Deleted != nil && t.cfg.Deleted(doc) {
			continue
		}
		v, _ := member(doc, t.cfg.ID)
		id := text(v)
		switch {
		case id == "" && strings.Contains(t.item.text, placeID):
			return nil, failure.As(failure.Failed, t.failed(c, a.Status, "the answer has no id in member "+t.cfg.ID, nil))
		case st != nil && (id == "" || id != st.id):
			return nil, t.failed(c, a.Status, "it is ambiguous", sink.ErrAmbiguous)
		}
		st = &state{id: id, doc: doc}
	}
	if !hasKeys {
		// Were it taken for none, the next step would be to make everybody again.
		return nil, failure.As(failure.Unavailable, t.failed(c, a.Status, "nothing in the answer has a member "+t.cfg.Match+": check Match", nil))
	}
	return st, nil
}

func (t *Target[T]) matches(doc jsondoc.Doc, key entity.Key) bool {
	v, ok := member(doc, t.cfg.Match)
	return ok && v != nil && text(v) == key.ID
}

// nextPage returns where the next page is, or "".
func (t *Target[T]) nextPage(c call, a Answer) (string, error) {
	link := weblink.Next(a.Header)
	if link == "" {
		return "", nil
	}
	here, err := url.Parse(c.url)
	if err != nil {
		return "", failure.As(failure.Failed, t.failed(c, a.Status, "the page has no URL", nil))
	}
	next, err := here.Parse(link)
	if err != nil || next.Scheme != t.base.Scheme || !strings.EqualFold(next.Host, t.base.Host) || next.User != nil {
		return "", failure.As(failure.Unavailable, t.failed(c, a.Status, "the link to the next page leads to another host, and is not followed", nil))
	}
	next.Fragment = ""
	return next.String(), nil
}
