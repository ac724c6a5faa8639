package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/jsondoc"
	"github.com/konnektor-go/konnektor/sink"
)

// Target is an API with one resource for each entity. It implements
// [sink.Target] and [sink.Observer], and may be used concurrently.
type Target[T any] struct {
	client                   *http.Client
	base                     *url.URL
	cfg                      Config
	item, collection, search template
	rules                    jsondoc.Rules
}

// New returns the Target below a base URL. The client's transport authenticates;
// the client follows no redirects here, whatever it is set to. A nil client is
// http.DefaultTransport. T is encoded as a JSON object: what it names is wanted.
func New[T any](client *http.Client, baseURL string, cfg Config) (*Target[T], error) {
	base, err := parseBase(baseURL)
	if err != nil {
		return nil, fmt.Errorf("rest: baseURL: %w", err)
	}
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("rest: %w", err)
	}
	t := &Target[T]{client: &http.Client{}, base: base, cfg: cfg, rules: cfg.rules()}
	if client != nil {
		*t.client = *client
	}
	// A redirect could lead to another host, and secrets with it.
	t.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, p := range []struct {
		name, text string
		to         *template
	}{{"Item", cfg.Item, &t.item}, {"Collection", cfg.Collection, &t.collection}, {"Search", cfg.Search, &t.search}} {
		if *p.to, err = parseTemplate(p.text); err != nil {
			return nil, fmt.Errorf("rest: %s: %w", p.name, err)
		}
	}
	return t, nil
}

// String returns the base URL.
func (t *Target[T]) String() string { return t.base.String() }

// Format prints what String returns, for every verb.
func (t *Target[T]) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue keeps the values of headers out of logs.
func (t *Target[T]) LogValue() slog.Value { return slog.StringValue(t.String()) }

// state is what is known of an entity from a read.
type state struct {
	id   string
	doc  jsondoc.Doc
	raw  []byte // doc, not decoded; nil if it is part of an answer
	etag string
}

// Get reads the entity of key.
func (t *Target[T]) Get(ctx context.Context, key entity.Key) (sink.Found[T], bool, error) {
	st, found, err := t.find(ctx, key)
	if err != nil || !found {
		return sink.Found[T]{}, false, err
	}
	have, err := t.found(st)
	return have, err == nil, err
}

// Observe reads the entity of key, and compares what want names. The fields are
// members of the document, those of objects within it by their paths.
func (t *Target[T]) Observe(ctx context.Context, key entity.Key, want T) (sink.Found[T], bool, []sink.Field, error) {
	doc, err := t.document(key, want)
	if err != nil {
		return sink.Found[T]{}, false, nil, err
	}
	st, found, err := t.find(ctx, key)
	if err != nil || !found {
		return sink.Found[T]{}, false, nil, err
	}
	have, err := t.found(st)
	if err != nil {
		return sink.Found[T]{}, false, nil, err
	}
	return have, true, t.rules.Diff(st.doc, doc), nil
}

func (t *Target[T]) found(st *state) (sink.Found[T], error) {
	have := sink.Found[T]{Ref: st}
	var err error
	if st.raw != nil {
		err = jsondoc.Unmarshal(st.raw, &have.Value)
		st.raw = nil
	} else {
		err = jsondoc.Into(st.doc, &have.Value)
	}
	if err != nil {
		return sink.Found[T]{}, failure.As(failure.Failed, t.failed(call{method: http.MethodGet, route: t.item.text}, 0, err.Error(), nil))
	}
	return have, nil
}

// document returns what want names. It is an error if it is of another key than
// the one by which it will be looked for.
func (t *Target[T]) document(key entity.Key, want T) (jsondoc.Doc, error) {
	doc, err := jsondoc.Of(want)
	if err != nil {
		return nil, failure.As(failure.Rejected, fmt.Errorf("rest: %w", err))
	}
	if t.cfg.Match == "" {
		return doc, nil
	}
	if v, ok := member(doc, t.cfg.Match); ok && text(v) != key.ID {
		return nil, failure.As(failure.Rejected, fmt.Errorf("rest: Match: the mapping gives member %s another value than the key, so that the entity would not be found again", t.cfg.Match))
	}
	return doc, nil
}

// Create adds the entity of key.
func (t *Target[T]) Create(ctx context.Context, key entity.Key, want T) error {
	doc, err := t.document(key, want)
	if err != nil {
		return err
	}
	if t.cfg.Match != "" {
		if _, ok := member(doc, t.cfg.Match); !ok {
			setMember(doc, t.cfg.Match, key.ID)
		}
	}
	c := call{method: http.MethodPost, route: t.collection.text, header: http.Header{}}
	place := t.collection
	if t.cfg.Create == PutNew {
		c.method, c.route, place = http.MethodPut, t.item.text, t.item
		c.header.Set("If-None-Match", "*")
	}
	if err := t.prepare(&c, Write{Key: key, Create: true, Doc: doc}); err != nil {
		return err
	}
	if t.cfg.IdempotencyKey != "" {
		name, err := idempotencyKey(key, c.body)
		if err != nil {
			return err
		}
		c.header.Set(t.cfg.IdempotencyKey, name)
	}
	return t.write(ctx, c, place, key, "")
}

// idempotencyKey returns a name for the creation of this document.
func idempotencyKey(key entity.Key, doc jsondoc.Doc) (string, error) {
	data, err := json.Marshal([]any{key.Type, key.ID, doc})
	if err != nil {
		return "", failure.As(failure.Rejected, errors.New("rest: the document cannot be encoded as JSON"))
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16]), nil
}

// Update changes what differs.
func (t *Target[T]) Update(ctx context.Context, key entity.Key, have sink.Found[T], want T, _ []sink.Field) error {
	st, ok := have.Ref.(*state)
	if !ok {
		return sink.ErrConflict // not read by this target
	}
	doc, err := t.document(key, want)
	if err != nil {
		return err
	}
	diffs := t.rules.Compare(st.doc, doc)
	if len(diffs) == 0 {
		return nil
	}
	c := call{method: http.MethodPut, route: t.item.text, header: t.ifMatch(st)}
	changes := jsondoc.Patch(diffs)
	switch t.cfg.Update {
	case MergePatch:
		c.method, c.typ = http.MethodPatch, t.cfg.ContentType
	case PutWhole:
		changes = t.rules.Merge(st.doc, doc)
		for _, name := range t.cfg.ReadOnly {
			deleteMember(changes, name)
		}
	case PutChanges:
	}
	if c.method == http.MethodPut && strings.Contains(t.item.text, placeKey) && c.header.Get("If-Match") == "" {
		c.header.Set("If-Match", "*") // what is gone by now is not to be made anew
	}
	if v, ok := member(st.doc, t.cfg.Version); ok && t.cfg.Version != "" {
		setMember(changes, t.cfg.Version, v)
	}
	if err := t.prepare(&c, Write{Key: key, Doc: changes}); err != nil {
		return err
	}
	return t.write(ctx, c, t.item, key, st.id)
}

// Delete deletes the entity.
func (t *Target[T]) Delete(ctx context.Context, key entity.Key, have sink.Found[T]) error {
	if t.cfg.NoDelete {
		return failure.As(failure.Rejected, errors.New("rest: NoDelete: the target cannot delete; set Removal of sink.EnsureConfig"))
	}
	st, ok := have.Ref.(*state)
	if !ok {
		return sink.ErrConflict
	}
	return t.write(ctx, call{method: http.MethodDelete, route: t.item.text, header: t.ifMatch(st)}, t.item, key, st.id)
}

// ifMatch returns the header that makes a write one to the state that was read.
// A weak ETag never matches there, RFC 9110 section 13.1.1.
func (t *Target[T]) ifMatch(st *state) http.Header {
	h := http.Header{}
	if st.etag != "" && !strings.HasPrefix(st.etag, "W/") {
		h.Set("If-Match", st.etag)
	}
	return h
}

// prepare gives a call its body.
func (t *Target[T]) prepare(c *call, w Write) error {
	c.body = w.Doc
	if t.cfg.Body != nil {
		body, err := t.cfg.Body(w)
		if err != nil {
			return failure.As(failure.Rejected, fmt.Errorf("rest: Body: %w", err))
		}
		if body == nil {
			body = jsondoc.Doc{}
		}
		c.body = body
	}
	if t.cfg.Wrap != "" {
		wrapped := jsondoc.Doc{}
		setMember(wrapped, t.cfg.Wrap, c.body)
		c.body = wrapped
	}
	return nil
}

func (t *Target[T]) write(ctx context.Context, c call, place template, key entity.Key, id string) error {
	if err := t.locate(&c, place, key, id); err != nil {
		return err
	}
	a, err := t.do(ctx, c)
	if err != nil {
		return err
	}
	return t.judge(c, a)
}

// locate gives a call its URL.
func (t *Target[T]) locate(c *call, place template, key entity.Key, id string) error {
	path, err := place.fill(key.ID, id, t.cfg.Quote)
	if err != nil {
		return failure.As(failure.Rejected, t.failed(*c, 0, "the id cannot stand in a path: it "+err.Error(), nil))
	}
	c.url = t.base.String()
	if strings.HasPrefix(path, "?") || path == "" {
		c.url += path
	} else {
		c.url += "/" + path
	}
	return nil
}
