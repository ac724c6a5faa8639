package rest

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/jsondoc"
	"github.com/konnektor-go/konnektor/sink"
)

// judge returns nil for an answer that says that the request was done, and else
// what it means.
func (t *Target[T]) judge(c call, a Answer) error {
	if t.cfg.Judge != nil {
		if err := t.cfg.Judge(a); err != nil {
			class := failure.Of(err)
			e := t.failed(c, a.Status, err.Error(), err)
			e.Members = named(a.Body, c.body)
			return failure.As(class, e)
		}
	}
	switch s := a.Status; {
	case s == http.StatusAccepted, s == http.StatusPartialContent, s == http.StatusMultiStatus:
		return failure.As(failure.Failed, t.failed(c, s, "not done yet, or not in whole", nil))
	case s < 300:
		return nil
	case s < 400:
		return failure.As(failure.Unavailable, t.failed(c, s, "redirects are not followed: check the base URL and the path", nil))
	case s == http.StatusNotFound, s == http.StatusGone:
		return t.absent(c, a)
	case s == http.StatusConflict && t.creates(c):
		return t.failed(c, s, "it is there already", sink.ErrExists)
	case s == http.StatusConflict && t.cfg.Version != "" && c.method != http.MethodGet:
		return t.failed(c, s, "somebody else changed it", sink.ErrConflict)
	case s == http.StatusConflict:
		e := t.failed(c, s, "it clashes with another entity, or with its own state", nil)
		e.Members = named(a.Body, c.body)
		return failure.As(failure.Failed, e)
	case s == http.StatusPreconditionFailed && t.creates(c):
		return t.failed(c, s, "it is there already", sink.ErrExists)
	case s == http.StatusPreconditionFailed && c.method != http.MethodGet:
		return t.failed(c, s, "somebody else changed it", sink.ErrConflict)
	}
	return t.refused(c, a)
}

// refused is about what has no meaning of its own for Ensure.
func (t *Target[T]) refused(c call, a Answer) error {
	reason, everybody := meaning(a.Status)
	if everybody {
		return failure.UnavailableFor(retryAfter(a), t.failed(c, a.Status, reason, nil))
	}
	e := t.failed(c, a.Status, reason, nil)
	e.Members = named(a.Body, c.body)
	return failure.As(failure.Rejected, e)
}

// creates reports whether the request adds an entity.
func (t *Target[T]) creates(c call) bool {
	return c.method == http.MethodPost || c.header.Get("If-None-Match") != ""
}

// meaning explains a status of 400 or more, and says whether it concerns
// everybody or this entity alone.
func meaning(status int) (reason string, everybody bool) {
	switch status {
	case http.StatusUnauthorized:
		return "the credentials are not accepted", true
	case http.StatusForbidden:
		return "not allowed: a right may be missing", true
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return "the method is not allowed: check Create, Update and NoDelete", true
	case http.StatusUnsupportedMediaType:
		return "the media type is not supported: check ContentType", true
	case http.StatusPreconditionRequired:
		return "a precondition is wanted, but the target gave no strong ETag", true
	case http.StatusTooManyRequests:
		return "over the limit", true
	case http.StatusNotAcceptable, http.StatusProxyAuthRequired, http.StatusRequestTimeout,
		http.StatusMisdirectedRequest, http.StatusLocked, http.StatusTooEarly, http.StatusUpgradeRequired,
		http.StatusRequestHeaderFieldsTooLarge:
		return strings.ToLower(http.StatusText(status)), true
	}
	if status >= 500 {
		return "the target or something before it fails", true
	}
	return "refused for this entity", false
}

// absent decides what a 404 or 410 means.
func (t *Target[T]) absent(c call, a Answer) error {
	switch {
	case t.creates(c):
		return failure.As(failure.Unavailable, t.failed(c, a.Status, "there is no such API: check the base URL and the path", nil))
	case c.search && t.cfg.Gone == nil:
		return failure.As(failure.Unavailable, t.failed(c, a.Status, "no answer to a search: check Search, or set Gone if it means that none matches", nil))
	}
	gone := t.cfg.Gone
	if gone == nil {
		gone = goneByJSON
	}
	if err := gone(a); err != nil {
		return failure.As(failure.Unavailable, t.failed(c, a.Status, "no proof that the target has none: "+err.Error(), err))
	}
	return t.failed(c, a.Status, "there is none", sink.ErrNotFound)
}

// gatewayTexts are what gateways say in JSON of paths that they do not know.
var gatewayTexts = [...]string{
	"no Route matched with those values",      // Kong
	"No context-path matches the request URI", // Gravitee
	`"Resource not found"`,                    // Azure API Management
	"Requested route not found",               // APISIX and others
	"404 Route Not Found",                     // APISIX
	"default backend - 404", "page not found", // ingresses, in whatever form
	"The requested URL was not found on this server", // web servers and frameworks
}

// goneByJSON accepts a JSON object that no gateway is known to send.
func goneByJSON(a Answer) error {
	if _, err := jsondoc.Decode(a.Body); err != nil {
		return errors.New("its body is not a JSON object")
	}
	for _, text := range gatewayTexts {
		if bytes.Contains(a.Body, []byte(text)) {
			return fmt.Errorf("a gateway says %q", strings.Trim(text, `"`))
		}
	}
	return nil
}

// named returns the members of a document that an answer names, wherever they
// stand in it: the names are ours, nothing else of the answer is repeated.
func named(body []byte, doc jsondoc.Doc) []string {
	answer, err := jsondoc.DecodeAny(body)
	if err != nil || doc == nil {
		return nil
	}
	ours := map[string]bool{}
	memberNames(doc, func(name string) { ours[name] = true })
	found := map[string]bool{}
	words(answer, func(word string) {
		if ours[word] {
			found[word] = true
		}
	})
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func memberNames(v any, yield func(string)) {
	switch v := v.(type) {
	case jsondoc.Doc:
		for name, m := range v {
			yield(name)
			memberNames(m, yield)
		}
	case []any:
		for _, e := range v {
			memberNames(e, yield)
		}
	}
}

// words yields the names of members, and the strings that are one word.
func words(v any, yield func(string)) {
	switch v := v.(type) {
	case jsondoc.Doc:
		for name, m := range v {
			yield(name)
			words(m, yield)
		}
	case []any:
		for _, e := range v {
			words(e, yield)
		}
	case string:
		yield(v)
	}
}
