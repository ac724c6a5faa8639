package scim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/jsondoc"
	"github.com/konnektor-go/konnektor/sink"
)

// ref is a resource as it was read.
type ref struct {
	id      string
	version string // the entity tag, "" if there is none
	doc     jsondoc.Doc
}

// find returns the resource of key, nil if there is none.
func (e *Endpoint[T]) find(ctx context.Context, key entity.Key) (*ref, error) {
	matches, err := e.settled(ctx, key)
	switch {
	case err != nil || len(matches) == 0:
		return nil, err
	case len(matches) > 1:
		r := request{method: http.MethodGet, route: e.client.cfg.Path}
		return nil, r.failed(sink.ErrAmbiguous.Error(), sink.ErrAmbiguous)
	}
	found := matches[0]
	if e.client.cfg.Summary {
		return e.read(ctx, found.id)
	}
	p, err := e.provider(ctx)
	if err != nil || found.version != "" || !p.etag || e.untagged.Load() {
		return found, err
	}
	return e.read(ctx, found.id) // the tag may be in the header only
}

// matches returns the resources of key.
func (e *Endpoint[T]) matches(ctx context.Context, key entity.Key) ([]*ref, error) {
	p, err := e.provider(ctx)
	if err != nil {
		return nil, err
	}
	value := e.client.cfg.Value(key)
	literal, err := quote(value)
	if err != nil {
		return nil, failure.As(failure.Rejected, err)
	}
	listing := listing[T]{endpoint: e, value: value}
	if p.filter && !e.client.cfg.NoFilter {
		listing.filter = e.client.cfg.Key + " eq " + literal
	}
	found, err := listing.find(ctx)
	// Providers differ in what they make of escapes. Not to find what is there
	// would be to make it twice.
	doubt := listing.filter != "" && strings.Contains(literal, `\`)
	if doubt && (err == nil && len(found) == 0 || isFilter(err)) {
		listing.filter = ""
		found, err = listing.find(ctx)
	}
	if isFilter(err) {
		err = failure.As(failure.Unavailable, fmt.Errorf("%w; set Config.NoFilter, or another Config.Key", err))
	}
	e.forget(err)
	return found, err
}

// isFilter reports whether the provider does not understand the filter.
func isFilter(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Type == "invalidFilter"
}

// quote returns a string as a filter holds it, RFC 7644, section 3.4.2.2: as in
// JSON. Quotes and backslashes are written by their numbers, so that nobody who
// looks for the end of the string without minding escapes finds a wrong one.
func quote(s string) (string, error) {
	switch {
	case s == "":
		return "", errors.New("scim: Value: is empty, so that nothing tells the entity from those that have none")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, isControl):
		return "", errors.New("scim: Value: is not UTF-8, or holds control characters")
	}
	return `"` + quoter.Replace(s) + `"`, nil
}

// The two separators end a line for JavaScript, and some lexers with it.
var quoter = strings.NewReplacer(`"`, `\u0022`, `\`, `\u005c`, "\u2028", `\u2028`, "\u2029", `\u2029`)

// read returns the resource of an id, nil if there is none.
func (e *Endpoint[T]) read(ctx context.Context, id string) (*ref, error) {
	a, err := e.client.do(ctx, request{method: http.MethodGet, route: e.client.cfg.Path + "/{id}", path: []string{e.client.cfg.Path, id}})
	switch {
	case err != nil:
		return nil, err
	case a.isAbsence():
		return nil, nil
	case a.status != http.StatusOK:
		return nil, a.refused()
	}
	d, err := a.document()
	if err != nil {
		return nil, err
	}
	r := newRef(d)
	if tag := entityTag(a.header.Get("ETag")); tag != "" {
		r.version = tag
	}
	if r.version == "" {
		e.untagged.Store(true)
	}
	return r, nil
}

func newRef(d jsondoc.Doc) *ref {
	withBooleans(d)
	_, v := member(d, "meta")
	meta, _ := v.(jsondoc.Doc)
	return &ref{id: text(d, "id"), version: entityTag(text(meta, "version")), doc: d}
}

// entityTag returns a version as If-Match takes it, RFC 9110, section 8.8.3, ""
// for what is none. Some providers leave the quotes out of meta.version: whether
// the tag is a weak one, only the header tells then.
func entityTag(version string) string {
	tag := strings.TrimPrefix(version, "W/")
	if len(tag) <= 2 || tag[0] != '"' || tag[len(tag)-1] != '"' {
		return ""
	}
	if strings.ContainsFunc(tag[1:len(tag)-1], func(r rune) bool { return r <= ' ' || r == '"' || r >= 0x7f }) {
		return ""
	}
	return version
}

// listing goes through the resources of an endpoint, page by page.
type listing[T any] struct {
	endpoint *Endpoint[T]
	filter   string // "" for all
	value    string // what the key attribute must have
}

// errIncomplete says that a listing did not have all that it said it had.
var errIncomplete = errors.New("the listing ends before its end: what is missing may be the resource")

// find returns those that have the value. What is deleted while a listing is
// read makes it incomplete, so it is read again.
func (l *listing[T]) find(ctx context.Context) ([]*ref, error) {
	for try := 1; ; try++ {
		matches, err := l.once(ctx)
		if !errors.Is(err, errIncomplete) || try == 4 {
			return matches, err
		}
	}
}

// once reads the listing. Providers may ignore the filter, and return pages that
// are shorter than they were asked for.
func (l *listing[T]) once(ctx context.Context) ([]*ref, error) {
	seen := map[string]bool{}
	var matches []*ref
	strangers := false // the provider ignores the filter
	total := -1        // what the first page says: a later one may have lost what was listed
	for start := 1; ; {
		page, err := l.page(ctx, start)
		if err != nil {
			return nil, err
		}
		if total < 0 {
			total = page.total
		}
		fresh := 0
		for _, r := range page.resources {
			match := l.matches(r.doc)
			strangers = strangers || !match
			if seen[r.id] {
				continue
			}
			seen[r.id] = true
			fresh++
			if match {
				matches = append(matches, r)
			}
		}
		start += len(page.resources)
		done := l.filter != "" && !strangers && len(seen) >= total
		switch {
		case done || len(seen) >= total && !page.open, fresh == 0 && page.open:
			return matches, nil
		case fresh == 0:
			return nil, page.answer.is(errIncomplete)
		}
	}
}

// matches reports whether a resource has the wanted value in its key attribute.
func (l *listing[T]) matches(d jsondoc.Doc) bool {
	return sameKey(l.endpoint.client.cfg.Key, text(d, l.endpoint.client.cfg.Key), l.value)
}

// sameKey compares what a key attribute holds. The case of a user name does not
// matter, RFC 7643, section 4.1.1; that of an external id does, section 3.1.
func sameKey(name, a, b string) bool {
	if strings.EqualFold(name, "userName") {
		return strings.EqualFold(a, b)
	}
	return a == b
}

// page is a part of a listing.
type page struct {
	answer    *answer
	resources []*ref
	total     int
	open      bool // the provider does not say how many there are
}

func (l *listing[T]) page(ctx context.Context, start int) (*page, error) {
	cfg := l.endpoint.client.cfg
	query := url.Values{}
	if l.filter != "" {
		query.Set("filter", l.filter)
	}
	if start > 1 || l.filter == "" {
		query.Set("startIndex", strconv.Itoa(start))
		query.Set("count", strconv.Itoa(cfg.PageSize))
	}
	a, err := l.endpoint.client.do(ctx, request{method: http.MethodGet, route: cfg.Path, path: []string{cfg.Path}, query: query})
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, a.refused()
	}
	return a.page()
}

// page reads a ListResponse: RFC 7644, section 3.4.2.
func (a *answer) page() (*page, error) {
	d, err := a.document()
	if err != nil {
		return nil, err
	}
	_, v := member(d, "totalResults")
	total, ok := integer(v)
	_, v = member(d, "Resources")
	list, isList := v.([]any)
	if !ok && !isList || v != nil && !isList {
		return nil, a.failed("the body is not a ListResponse")
	}
	p := &page{answer: a, total: total, open: !ok}
	for _, v := range list {
		resource, _ := v.(jsondoc.Doc)
		r := newRef(resource)
		if r.id == "" {
			return nil, a.failed("a resource has no id")
		}
		p.resources = append(p.resources, r)
	}
	return p, nil
}

// integer reads a number, which some providers write as a string.
func integer(v any) (int, bool) {
	switch v := v.(type) {
	case string:
		n, err := strconv.Atoi(v)
		return n, err == nil && n >= 0
	case interface{ Int64() (int64, error) }: // json.Number
		n, err := v.Int64()
		return int(n), err == nil && n >= 0
	}
	return 0, false
}
