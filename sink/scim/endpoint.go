package scim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/jsondoc"
	"github.com/konnektor-go/konnektor/sink"
)

// Endpoint is a [sink.Target] and a [sink.Observer]: the resources of one type
// at a SCIM provider, one for each entity.
type Endpoint[T any] struct {
	client *client
	fields map[string]string // the names of T's attributes, by those of its fields

	known    atomic.Pointer[provider]        // nil until the provider was asked
	fixed    atomic.Pointer[map[string]bool] // the read-only attributes, nil until needed
	noPatch  atomic.Bool                     // PATCH was refused though it is advertised
	untagged atomic.Bool                     // resources have no entity tags, not even in headers
}

// New returns the Endpoint of a provider whose SCIM 2.0 base URL is given:
// "https://idm.example.no/scim/v2". The scheme is https; http is for loopback
// addresses only. T is [User], [Group], a struct that embeds one, or another
// type whose JSON is a SCIM resource. Nothing is asked of the provider yet, see
// [Endpoint.Check].
func New[T any](baseURL string, cfg Config) (*Endpoint[T], error) {
	base, err := parseBase(baseURL)
	if err != nil {
		return nil, fmt.Errorf("scim: %w", err)
	}
	t := reflect.TypeFor[T]()
	cfg = cfg.withDefaults(t)
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("scim: %w", err)
	}
	fields := map[string]string{}
	if t.Kind() == reflect.Struct {
		nameFields(t, fields)
	}
	return &Endpoint[T]{client: &client{base: base, cfg: cfg}, fields: fields}, nil
}

// nameFields notes what the fields of a struct are called in JSON.
func nameFields(t reflect.Type, names map[string]string) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			nameFields(f.Type, names)
		case f.IsExported() && name != "" && name != "-":
			names[f.Name] = name
		}
	}
}

// ID returns the provider's id of an entity, and false if it has none. It is
// what members of groups and managers are named by.
func (e *Endpoint[T]) ID(ctx context.Context, key entity.Key) (string, bool, error) {
	r, err := e.find(ctx, key)
	if err != nil || r == nil {
		return "", false, err
	}
	return r.id, true, nil
}

// Get reads the resource of key.
func (e *Endpoint[T]) Get(ctx context.Context, key entity.Key) (sink.Found[T], bool, error) {
	r, err := e.find(ctx, key)
	if err != nil || r == nil {
		return sink.Found[T]{}, false, err
	}
	have, err := e.found(r)
	return have, err == nil, err
}

// Observe reads the resource of key and compares it with want. The fields have
// the names of their attributes: "name.givenName".
func (e *Endpoint[T]) Observe(ctx context.Context, key entity.Key, want T) (sink.Found[T], bool, []sink.Field, error) {
	wanted, err := e.wanted(want)
	if err != nil {
		return sink.Found[T]{}, false, nil, err
	}
	r, err := e.find(ctx, key)
	if err != nil || r == nil {
		return sink.Found[T]{}, false, nil, err
	}
	have, err := e.found(r)
	if err != nil {
		return have, false, nil, err
	}
	var fields []sink.Field
	for _, d := range e.compare(r.doc, wanted) {
		fields = append(fields, sink.Field{Name: d.name(), Old: d.Old, New: d.New})
	}
	return have, true, fields, nil
}

// found returns a resource as far as T can hold it.
func (e *Endpoint[T]) found(r *ref) (sink.Found[T], error) {
	have := sink.Found[T]{Ref: r}
	if err := jsondoc.Into(r.doc, &have.Value); err != nil {
		return have, fmt.Errorf("scim: %s: %w", e.client.cfg.Path, err)
	}
	return have, nil
}

// wanted returns the attributes that want names, but for those that are not
// compared: what the provider alone writes, and the key.
func (e *Endpoint[T]) wanted(want T) (jsondoc.Doc, error) {
	d, err := jsondoc.Of(want)
	if err == nil {
		err = checkNames(d, true)
	}
	if err != nil {
		return nil, failure.As(failure.Rejected, fmt.Errorf("scim: %w", err))
	}
	for name := range d {
		switch strings.ToLower(name) {
		case "id", "meta", "schemas", "groups", strings.ToLower(e.client.cfg.Key):
			delete(d, name)
		}
	}
	return d, nil
}

// Update changes the attributes that fields names.
func (e *Endpoint[T]) Update(ctx context.Context, key entity.Key, have sink.Found[T], want T, fields []sink.Field) error {
	r, ok := have.Ref.(*ref)
	if !ok {
		return errors.New("scim: have: has no Ref of Get or Observe")
	}
	wanted, err := e.wanted(want)
	if err != nil {
		return err
	}
	diffs, err := e.named(e.compare(r.doc, wanted), fields)
	if err != nil || len(diffs) == 0 {
		return err
	}
	p, err := e.provider(ctx)
	if err != nil {
		return err
	}
	if !p.etag {
		r = &ref{id: r.id, doc: r.doc}
	}
	if p.patch && !e.noPatch.Load() {
		err = e.patch(ctx, key, r, diffs)
		if !isPatchless(err) || e.client.cfg.Write == Patch {
			e.forget(err)
			return err
		}
		e.noPatch.Store(true)
	}
	err = e.put(ctx, key, r, diffs)
	e.forget(err)
	return err
}

// isPatchless reports whether err says that there is no PATCH.
func isPatchless(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Method == http.MethodPatch &&
		(e.Status == http.StatusNotImplemented || e.Status == http.StatusMethodNotAllowed)
}

// Delete deletes the resource.
func (e *Endpoint[T]) Delete(ctx context.Context, key entity.Key, have sink.Found[T]) error {
	r, ok := have.Ref.(*ref)
	if !ok {
		return errors.New("scim: have: has no Ref of Get or Observe")
	}
	p, err := e.provider(ctx)
	if err != nil {
		return err
	}
	version := r.version
	if !p.etag {
		version = ""
	}
	_, err = e.about(ctx, key, r.id, request{method: http.MethodDelete, match: version})
	return err
}

// about sends a request about one resource, and returns the answer if it is a
// success.
func (e *Endpoint[T]) about(ctx context.Context, key entity.Key, id string, r request) (*answer, error) {
	r.route, r.path = e.client.cfg.Path+"/{id}", []string{e.client.cfg.Path, id}
	a, err := e.client.do(ctx, r)
	switch {
	case err != nil:
		return nil, err
	case a.ok():
		return a, nil
	case a.status != http.StatusNotFound && a.status != http.StatusGone:
		return nil, a.refused()
	case a.isAbsence():
		return nil, a.is(sink.ErrNotFound)
	}
	// Something on the way may have said so: is it really gone?
	now, err := e.find(ctx, key)
	switch {
	case err != nil:
		return nil, err
	case now == nil || now.id != id:
		return nil, a.is(sink.ErrNotFound)
	}
	return nil, a.refused()
}
