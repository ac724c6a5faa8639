package scim

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/jsondoc"
	"github.com/konnektor-go/konnektor/sink"
)

// Create adds a resource for key.
func (e *Endpoint[T]) Create(ctx context.Context, key entity.Key, want T) error {
	d, err := e.wanted(want)
	if err != nil {
		return err
	}
	d = bare(d)
	d[e.client.cfg.Key] = e.client.cfg.Value(key)
	d["schemas"] = e.schemas(nil, d)
	a, err := e.client.do(ctx, request{method: http.MethodPost, route: e.client.cfg.Path, path: []string{e.client.cfg.Path}, body: d})
	switch {
	case err != nil:
		return err
	case a.ok():
		return e.settle(ctx, key, a, d)
	case a.status != http.StatusConflict && a.scimType() != "uniqueness":
		err := a.refused()
		e.forget(err)
		return err
	}
	// It is there already, or another has a value that must be unique.
	r, err := e.find(ctx, key)
	switch {
	case err != nil:
		return err
	case r != nil:
		return a.is(sink.ErrExists)
	}
	return a.failed("another resource has a value that must be unique")
}

// settle sees to it that of several who created the same at once one prevails.
// Providers refuse a user name that another has, but need not refuse an external
// id or the name of a group. So who created such a resource looks again. If there
// is an older one, its own goes away.
func (e *Endpoint[T]) settle(ctx context.Context, key entity.Key, a *answer, d jsondoc.Doc) error {
	if text(d, "userName") != "" {
		return nil
	}
	created, err := a.document()
	id := text(created, "id")
	if err != nil || id == "" {
		return nil //nolint:nilerr // it was created, whatever else the provider says of it
	}
	matches, err := e.matches(ctx, key)
	if err != nil {
		return err
	}
	own := newRef(created)
	for _, m := range matches {
		if m.id == id {
			own = m
		}
	}
	for _, m := range matches {
		if m.id == id || !m.older(own) {
			continue
		}
		if _, err := e.about(ctx, key, id, request{method: http.MethodDelete}); err != nil && !errors.Is(err, sink.ErrNotFound) {
			return err
		}
		return a.is(sink.ErrExists)
	}
	return nil
}

// settled returns the resources of key. Of several that others may be about to
// settle, it looks again for a moment.
func (e *Endpoint[T]) settled(ctx context.Context, key entity.Key) ([]*ref, error) {
	for wait := 50 * time.Millisecond; ; wait *= 2 {
		matches, err := e.matches(ctx, key)
		if err != nil || len(matches) < 2 || wait > 200*time.Millisecond || text(matches[0].doc, "userName") != "" {
			return matches, err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done(): // the next look says so
		}
		t.Stop()
	}
}

// older reports whether a resource was created before another. All who compare
// the two come to the same.
func (r *ref) older(than *ref) bool {
	a, b := r.created(), than.created()
	if !a.Equal(b) {
		return a.Before(b)
	}
	return r.id < than.id
}

// created returns when a resource was created, zero if it does not say so.
func (r *ref) created() time.Time {
	_, v := member(r.doc, "meta")
	meta, _ := v.(jsondoc.Doc)
	at, _ := time.Parse(time.RFC3339, text(meta, "created"))
	return at
}
