package rest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/jsondoc"
)

// CreateMethod is how an entity is added.
type CreateMethod int

// The ways to add an entity.
const (
	// Post sends a POST to the collection. The default.
	Post CreateMethod = iota
	// PutNew sends a PUT to the item, with If-None-Match: *. The item's path has
	// the key.
	PutNew
)

// UpdateMethod is how an entity is changed.
type UpdateMethod int

// The ways to change an entity.
const (
	// MergePatch sends a PATCH with what differs, RFC 7396. The default.
	MergePatch UpdateMethod = iota
	// PutChanges sends a PUT with what differs, to a target that leaves alone
	// what is not in it.
	PutChanges
	// PutWhole sends a PUT with all that was read of the entity, changed where
	// it differs. What another writer changed in between is lost, unless the
	// target has ETags or a Version.
	PutWhole
)

// Config declares the API. The zero Config is one whose items are found by
// their key right below the base URL.
//
// In paths, {key} stands for entity.Key.ID and {id} for the target's own id.
// Members of documents are named by their path: "name.givenName".
type Config struct {
	// Item is the path of an entity below the base URL: "users/{id}",
	// "users/sis_user_id:{key}". Default: "{id}" with a Search, else "{key}".
	Item string
	// Collection is the path that a POST goes to. Default: Item up to its last
	// slash.
	Collection string
	// Search finds an entity by its key: "users?sis_user_id={key}". Names and
	// values of the query are written as they are meant, not escaped. It needs
	// Match. Default: the entity is read at Item.
	Search string
	// Match is the member that holds the entity's key, "sis_user_id". What has
	// another value there is not the entity, whatever was searched for. A new
	// entity gets the key there, if the mapping does not name it. Default: what ID
	// names, if entities are added by Post and read at Item.
	Match string
	// ID is the member that holds the target's own id. Default "id".
	ID string
	// List is the member of a search's answer that holds the matches: "items".
	// Default: the answer is an array, or one entity.
	List string
	// Pages is how many pages of a search are read for a match, by their Link
	// headers. Default 10.
	Pages int
	// Summary says that a search's answer does not hold all of an entity: what it
	// finds is read at Item.
	Summary bool
	// Quote escapes a key for Search, where the target has a language of its
	// own: in "users?filter=id eq \"{key}\"". It is asked for wherever {key}
	// stands within quotes.
	Quote func(key string) string
	// Wrap is the member that requests hold the entity in: "user". Unwrap is the
	// same for answers about one entity. Default: there is none.
	Wrap, Unwrap string
	// Body returns what is sent in place of a document, for requests that look
	// other than answers. It may be called concurrently; its errors must hold no
	// value, and are failure.Rejected.
	Body func(w Write) (map[string]any, error)

	// Create, Update say how entities are added and changed.
	Create CreateMethod
	Update UpdateMethod
	// ContentType is that of a PATCH. Default "application/merge-patch+json".
	ContentType string
	// NoDelete says that the target cannot delete, so that a deletion fails. The
	// sink then needs a Removal that keeps or disables.
	NoDelete bool
	// ReadOnly are members that a PutWhole leaves out though they were read.
	ReadOnly []string
	// Version is the member that a change must repeat as it was read: where it is
	// not the current one, the target answers 409 or 412. Default: the target has
	// none, and a 409 is a value that must be unique.
	Version string
	// IdempotencyKey is the name of a header that keeps a target from adding an
	// entity twice: "Idempotency-Key". It is the same for the same document, so
	// that what is removed and soon added again as it was may be answered from the
	// target's memory, and not be there. Default: none is sent.
	IdempotencyKey string
	// Sets are the arrays that are sets, with the member that tells their
	// elements apart, "" for none: {"emails": "value"}. Default: the order of all
	// arrays matters.
	Sets map[string]string

	// Deleted reports that the target keeps a document of an entity that is
	// gone. Default: what can be read is there.
	Deleted func(doc map[string]any) bool
	// Gone decides whether a 404 or 410 proves that the target has no such
	// entity: it returns nil, or why not, without any value. Default: the body is
	// JSON, and none that is known to be a gateway's. With a Search, which answers
	// an empty list, a 404 to the search is a proof only if Gone is set.
	Gone func(Answer) error
	// Judge says what an answer means that this package would judge otherwise:
	// an error of package failure, [sink.ErrExists] and its like, or nil for the
	// usual. Its errors must hold no value.
	Judge func(Answer) error

	// Header is sent with every request, for secrets too: it is never printed. An
	// Accept there is in place of "application/json".
	Header http.Header
	// Timeout ends one request, at the last byte of the answer. Default 30 s.
	Timeout time.Duration
	// MaxBody is the largest answer, in bytes. Default 10 MiB.
	MaxBody int64
	// Probe is a key that no entity has, for [Target.Check]. Default
	// "konnektor-check".
	Probe string
}

// Write is a document that is about to be sent.
type Write struct {
	Key entity.Key
	// Create is false for a change.
	Create bool
	// Doc is the entity, or what of it changes. Body may change it.
	Doc map[string]any
}

// Answer is what the target answered to a request.
type Answer struct {
	// Method is that of the request.
	Method string
	// Search says that the request was to find the entity.
	Search bool
	Status int
	Header http.Header
	// Body is the whole of it, or its beginning if it is too large.
	Body []byte
}

func (c Config) withDefaults() Config {
	if c.Item == "" {
		c.Item = "{key}"
		if c.Search != "" {
			c.Item = "{id}"
		}
	}
	if c.Collection == "" {
		c.Collection = c.Item[:max(strings.LastIndex(c.Item, "/"), 0)]
	}
	c.ID = cmp.Or(c.ID, "id")
	if c.Search == "" && c.Create == Post {
		c.Match = cmp.Or(c.Match, c.ID)
	}
	c.Pages = cmp.Or(c.Pages, 10)
	c.ContentType = cmp.Or(c.ContentType, "application/merge-patch+json")
	c.Timeout = cmp.Or(c.Timeout, 30*time.Second)
	c.MaxBody = cmp.Or(c.MaxBody, 10<<20)
	c.Probe = cmp.Or(c.Probe, "konnektor-check")
	return c
}

func (c Config) validate() error {
	byKey := strings.Contains(c.Item, placeKey)
	switch {
	case c.Search == "" && !byKey:
		return errors.New("Item: needs {key}, or Config a Search")
	case byKey && strings.Contains(c.Item, placeID):
		return errors.New("Item: has both {key} and {id}; one of them says which entity it is")
	case c.Search != "" && !byKey && !strings.Contains(c.Item, placeID):
		return errors.New("Item: needs {id} or {key}")
	case c.Search != "" && !strings.Contains(c.Search, placeKey):
		return errors.New("Search: needs {key}")
	case c.Search != "" && c.Match == "":
		return errors.New("Match: must name the member that holds the key; many APIs ignore a query that they do not know, and answer everybody")
	case c.Search != "" && quotedKey(c.Search) && c.Quote == nil:
		return errors.New("Quote: is needed, as {key} stands within quotes in Search")
	case c.Search == "" && (c.List != "" || c.Summary || c.Quote != nil):
		return errors.New("List, Summary, Quote: go with Search")
	case strings.Contains(c.Collection, placeKey) || strings.Contains(c.Collection, placeID):
		return errors.New("Collection: must not have {key} or {id}")
	case c.Create == PutNew && !byKey:
		return errors.New("Create: PutNew needs {key} in Item")
	case c.Create != Post && c.Create != PutNew:
		return errors.New("Create: must be Post or PutNew")
	case c.Update < MergePatch || c.Update > PutWhole:
		return errors.New("Update: must be MergePatch, PutChanges or PutWhole")
	case c.Pages < 0, c.Timeout < 0, c.MaxBody < 0:
		return errors.New("Pages, Timeout, MaxBody: must not be negative; leave them 0 for the default")
	}
	return c.validateHeader()
}

func (c Config) validateHeader() error {
	for name, values := range c.Header {
		switch textproto.CanonicalMIMEHeaderKey(name) {
		case "Accept-Encoding", "Content-Type", "If-Match", "If-None-Match":
			return fmt.Errorf("Header: %s is set for each request", name)
		}
		for _, v := range values {
			if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				return fmt.Errorf("Header: %s has a control character", name)
			}
		}
	}
	return nil
}

func (c Config) rules() jsondoc.Rules {
	if len(c.Sets) == 0 {
		return jsondoc.Rules{}
	}
	sets := maps.Clone(c.Sets)
	return jsondoc.Rules{Set: func(path []string) (string, bool) {
		by, ok := sets[strings.Join(path, ".")]
		return by, ok
	}}
}

// String describes the declaration without the values of headers.
func (c Config) String() string {
	return fmt.Sprintf("rest.Config{Item: %q, Search: %q, Header: [%s]}",
		c.Item, c.Search, strings.Join(slices.Sorted(maps.Keys(c.Header)), " "))
}

// Format prints what String returns, for every verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue keeps the values of headers out of logs.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }
