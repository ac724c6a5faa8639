package source

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/konnektor-go/konnektor/internal/weblink"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// Paging is how an API cuts its listings into pages. One style can be set; the
// zero Paging is one page. Names of fields may be paths into objects:
// "_links.next.href".
//
// A link contributes its path and its query. Its host is ignored: a backend does
// not know the gateway's. So may be its path in front of the listing's own, but
// no link leads out of the API.
type Paging struct {
	// LinkHeader is for a header Link with rel="next", RFC 8288. The last page
	// has none.
	LinkHeader bool
	// NextField is a field of the body with the URL of the next page. It is
	// missing, null, false or empty on the last page. So a field that is never
	// there looks like one page: set Pages.Total where the API has it.
	NextField string
	// PageParam is a parameter that counts pages, from 1, or from 0 with
	// PageFromZero. The listing ends with a page without items, or when the
	// total is reached: servers may send fewer items on a page than they are
	// asked for.
	PageParam    string
	PageFromZero bool
	// OffsetParam is a parameter that counts items, from 0. The listing ends as
	// with PageParam.
	OffsetParam string
	// CursorParam is a parameter with the value that CursorField, a field of the
	// body, has on the page before. It is missing, null or empty on the last
	// page.
	CursorParam, CursorField string
}

func (p Paging) validate() error {
	styles := 0
	for _, set := range []bool{p.LinkHeader, p.NextField != "", p.PageParam != "", p.OffsetParam != "", p.CursorParam != ""} {
		if set {
			styles++
		}
	}
	switch {
	case styles > 1:
		return errors.New("Paging: only one style can be set")
	case (p.CursorParam == "") != (p.CursorField == ""):
		return errors.New("Paging: CursorParam and CursorField go together")
	case p.PageFromZero && p.PageParam == "":
		return errors.New("Paging: PageFromZero goes with PageParam")
	default:
		return nil
	}
}

// inBody reports whether the next page is named by a field of the body.
func (p Paging) inBody() bool { return p.NextField != "" || p.CursorField != "" }

// position is where a page is, relative to the base URL.
type position struct {
	path  string
	query url.Values
}

// String returns the path with the query, sorted.
func (p position) String() string { return p.path + "?" + p.query.Encode() }

// with returns the position with another value of a parameter.
func (p position) with(param, value string) *position {
	query := url.Values{}
	maps.Copy(query, p.query)
	query[param] = []string{value}
	return &position{p.path, query}
}

// start returns where a listing begins.
func (p Paging) start(at position) position {
	switch {
	case p.PageParam != "" && p.PageFromZero:
		return *at.with(p.PageParam, "0")
	case p.PageParam != "":
		return *at.with(p.PageParam, "1")
	case p.OffsetParam != "":
		return *at.with(p.OffsetParam, "0")
	default:
		return at
	}
}

// next returns where the page after the one at a position is, or nil if that
// was the last. The page has n items; all says that it reaches the total.
func (p Paging) next(at position, base string, header http.Header, body document, n int, all bool) (*position, error) {
	switch {
	case p.LinkHeader:
		return at.follow(base, weblink.Next(header))
	case p.NextField != "":
		link, err := body.text(p.NextField)
		if err != nil {
			return nil, err
		}
		return at.follow(base, link)
	case p.CursorParam != "":
		cursor, err := body.text(p.CursorField)
		if err != nil || cursor == "" {
			return nil, err
		}
		return at.with(p.CursorParam, cursor), nil
	case n == 0 || all:
		return nil, nil
	case p.PageParam != "":
		return at.plus(p.PageParam, 1)
	case p.OffsetParam != "":
		return at.plus(p.OffsetParam, n)
	default:
		return nil, nil
	}
}

// plus returns the position with a parameter that is larger by n.
func (p position) plus(param string, n int) (*position, error) {
	now, err := strconv.Atoi(p.query.Get(param))
	if err != nil {
		return nil, errors.New("the position is not a number")
	}
	return p.with(param, strconv.Itoa(now+n)), nil
}

// follow returns where a link leads from a position, or nil for no link. The
// errors do not quote it.
func (p position) follow(base, link string) (*position, error) {
	if link == "" {
		return nil, nil
	}
	root, err := url.Parse(base)
	if err != nil {
		return nil, errors.New("the base URL is none")
	}
	ref, err := url.Parse(link)
	if err != nil {
		return nil, errors.New("the link to the next page is not a URL")
	}
	prefix := root.EscapedPath()
	here, err := url.Parse(prefix + "/" + p.path)
	if err != nil {
		return nil, errors.New("the path is not usable in a URL")
	}
	full := here.ResolveReference(ref).EscapedPath()
	below, inside := strings.CutPrefix(full, prefix+"/")
	next := position{path: p.path}
	switch {
	case inside && below == p.path:
	case inside && prefix != "":
		next.path = below
	case strings.HasSuffix(full, "/"+p.path): // the backend's own prefix
	case inside:
		next.path = below
	default:
		return nil, errors.New("the link to the next page leads out of the API")
	}
	if next.query, err = url.ParseQuery(ref.RawQuery); err != nil {
		return nil, errors.New("the link to the next page has a malformed query")
	}
	if err := (gateway.Request{Path: next.path, Query: next.query}).Validate(); err != nil {
		return nil, errors.New("the link to the next page is refused: " + err.Error())
	}
	return &next, nil
}

// document is a JSON object, one level decoded; or nil for another value.
type document map[string]json.RawMessage

// field returns the value at a path into objects, or nil.
func (d document) field(path string) (json.RawMessage, error) {
	name, rest, deeper := strings.Cut(path, ".")
	value := d[name]
	switch {
	case !deeper:
		return value, nil
	case isEmpty(value):
		return nil, nil
	}
	var inner document
	if err := json.Unmarshal(value, &inner); err != nil {
		return nil, errors.New("the body has no such field as " + strconv.Quote(path))
	}
	return inner.field(rest)
}

// text returns the string or number at a path, or "" if it is missing, null or
// false.
func (d document) text(path string) (string, error) {
	raw, err := d.field(path)
	if err != nil || isEmpty(raw) || string(raw) == "false" {
		return "", err
	}
	if raw[0] != '"' {
		if raw[0] == '{' || raw[0] == '[' || string(raw) == "true" {
			return "", errors.New("the body's field " + strconv.Quote(path) + " is neither text nor a number")
		}
		return string(raw), nil
	}
	var s string
	err = json.Unmarshal(raw, &s)
	return s, err
}

func isEmpty(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
