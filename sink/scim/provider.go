package scim

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/konnektor-go/konnektor/internal/jsondoc"
)

// provider is what the provider says of itself: RFC 7643, section 5.
type provider struct {
	patch  bool
	filter bool
	etag   bool
}

// provider returns what the provider can do. It is asked once, and again after
// what it said turned out to be wrong. Callers that come at once all ask, which
// does no harm.
func (e *Endpoint[T]) provider(ctx context.Context) (provider, error) {
	if e.client.cfg.Write != Advertised {
		return provider{patch: e.client.cfg.Write == Patch, filter: true, etag: true}, nil
	}
	if p := e.known.Load(); p != nil {
		return *p, nil
	}
	p := provider{filter: true, etag: true} // where there is none to ask
	d, err := e.client.get(ctx, "ServiceProviderConfig")
	switch {
	case err == nil:
		p = provider{
			patch:  supports(d, "patch", false),
			filter: supports(d, "filter", true),
			etag:   supports(d, "etag", true),
		}
	case !isMissing(err):
		return p, err
	}
	e.known.Store(&p)
	return p, nil
}

// supports reads one of the provider's features. Each stands for itself: that
// another is missing or odd says nothing.
func supports(d jsondoc.Doc, feature string, otherwise bool) bool {
	_, v := member(d, feature)
	f, ok := v.(jsondoc.Doc)
	if !ok {
		return otherwise
	}
	_, v = member(f, "supported")
	if b, ok := truth(v); ok {
		return b
	}
	return otherwise
}

// truth reads a boolean, which some providers write as a string.
func truth(v any) (value, ok bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case string:
		return strings.EqualFold(v, "true"), strings.EqualFold(v, "true") || strings.EqualFold(v, "false")
	}
	return false, false
}

// isMissing reports whether an endpoint that need not be there is not.
func isMissing(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Status == http.StatusNotFound || e.Status == http.StatusNotImplemented)
}

// forget makes the next call ask anew what the provider can do, if err may come
// from what was known of it.
func (e *Endpoint[T]) forget(err error) {
	var answered *Error
	if !errors.As(err, &answered) {
		return
	}
	switch answered.Status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusUnsupportedMediaType, http.StatusNotImplemented:
		e.known.Store(nil)
		e.fixed.Store(nil)
		e.noPatch.Store(false)
	}
}

// readOnly returns the names of the attributes that only the provider writes, in
// lower case.
func (e *Endpoint[T]) readOnly(ctx context.Context) (map[string]bool, error) {
	if names := e.fixed.Load(); names != nil {
		return *names, nil
	}
	names := map[string]bool{"meta": true, "groups": true}
	d, err := e.client.get(ctx, "Schemas")
	switch {
	case err == nil:
		_, v := member(d, "Resources")
		addReadOnly(names, v)
	case !isMissing(err):
		return nil, err
	}
	e.fixed.Store(&names)
	return names, nil
}

// addReadOnly adds the read-only attributes of schemas: RFC 7643, section 7.
// Those of extensions have the extension's name before theirs.
func addReadOnly(names map[string]bool, schemas any) {
	list, _ := schemas.([]any)
	for _, s := range list {
		schema, _ := s.(jsondoc.Doc)
		prefix := ""
		if id := text(schema, "id"); strings.Contains(strings.ToLower(id), ":extension:") {
			prefix = id + ":"
		}
		_, v := member(schema, "attributes")
		attributes, _ := v.([]any)
		for _, a := range attributes {
			attribute, _ := a.(jsondoc.Doc)
			if name := text(attribute, "name"); name != "" && strings.EqualFold(text(attribute, "mutability"), "readOnly") {
				names[strings.ToLower(prefix+name)] = true
			}
		}
	}
	delete(names, "id") // it says which resource it is: RFC 7644, section 3.5.1, shows it
}
