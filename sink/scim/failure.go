package scim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/httpfail"
	"github.com/konnektor-go/konnektor/internal/jsondoc"
	"github.com/konnektor-go/konnektor/sink"
)

// Error says what came of a request. Its text holds no identifier, no value
// and no secret. Package failure knows what it means: see failure.Of.
type Error struct {
	// Method and Route are the request's: "PATCH", "Users/{id}".
	Method, Route string
	// Status is the status of the answer, 0 if there was none.
	Status int
	// Type is the scimType of the answer (RFC 7644, section 3.12), "" if it has
	// none that is known.
	Type string
	// Reason says the rest.
	Reason string
	// Err is the cause, or nil. Its text may hold anything, so it is not part of
	// this error's text, but for the errors of package sink.
	Err error
}

// Error returns the text: "scim: POST Users: 400 invalidValue: the provider
// refuses a value".
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "scim: %s %s: ", e.Method, e.Route)
	if e.Status != 0 {
		fmt.Fprintf(&b, "%d", e.Status)
		if e.Type != "" {
			b.WriteString(" " + e.Type)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Reason)
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func (r request) failed(reason string, cause error) *Error {
	return &Error{Method: r.method, Route: r.route, Reason: reason, Err: cause}
}

func (a *answer) failed(reason string) *Error {
	e := a.request.failed(reason, nil)
	e.Status, e.Type = a.status, a.scimType()
	return e
}

// is returns the error for an answer that means one of the errors of package
// sink.
func (a *answer) is(target error) error {
	e := a.failed(target.Error())
	e.Err = target
	return e
}

// scimTypes are those of RFC 7644, section 3.12. No others are repeated.
var scimTypes = []string{
	"invalidFilter", "tooMany", "uniqueness", "mutability", "invalidSyntax",
	"invalidPath", "noTarget", "invalidValue", "invalidVers", "sensitive",
}

// scimType returns the detail of an error, "" if there is none that is known.
func (a *answer) scimType() string {
	if a.status < 400 {
		return ""
	}
	d, err := jsondoc.Decode(a.body)
	if err != nil {
		return ""
	}
	name := text(d, "scimType")
	if i := slices.IndexFunc(scimTypes, func(t string) bool { return strings.EqualFold(t, name) }); i >= 0 {
		return scimTypes[i]
	}
	return ""
}

// errorSchema is what SCIM's own errors have: RFC 7644, section 3.12.
const errorSchema = "urn:ietf:params:scim:api:messages:2.0:Error"

// isAbsence reports whether the provider itself says that it has no such
// resource, not something on the way to it.
func (a *answer) isAbsence() bool {
	if a.status != http.StatusNotFound && a.status != http.StatusGone {
		return false
	}
	d, err := jsondoc.Decode(a.body)
	if err != nil {
		return false
	}
	_, v := member(d, "schemas")
	schemas, _ := v.([]any)
	return slices.ContainsFunc(schemas, func(s any) bool {
		name, ok := s.(string)
		return ok && strings.EqualFold(name, errorSchema)
	})
}

// ok reports whether what was asked for was done.
func (a *answer) ok() bool {
	switch a.status {
	case http.StatusAccepted, http.StatusPartialContent, http.StatusMultiStatus:
		return false
	}
	return a.status >= 200 && a.status < 300
}

// everybody reports whether a status concerns all requests.
func everybody(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotAcceptable,
		http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusUnsupportedMediaType,
		http.StatusMisdirectedRequest, http.StatusLocked, http.StatusTooEarly, http.StatusUpgradeRequired,
		http.StatusPreconditionRequired, http.StatusTooManyRequests, http.StatusRequestHeaderFieldsTooLarge:
		return true
	}
	return status < 200 || status >= 500
}

// refused returns the error for an answer that is not what was asked for. The
// package comment has the same as a table.
func (a *answer) refused() error {
	kind := a.scimType()
	switch s := a.status; {
	case s >= 200 && s < 300:
		return a.failed("not done yet, or not in whole")
	case s >= 300 && s < 400:
		return failure.As(failure.Unavailable, a.failed("redirects are not followed: check the base URL"))
	case everybody(s):
		wait := httpfail.RetryAfter(a.header.Get("Retry-After"), time.Now())
		return failure.UnavailableFor(wait, a.failed(reason(s)))
	case s == http.StatusNotFound, s == http.StatusGone:
		return failure.As(failure.Unavailable, a.failed("nothing answers there: check the base URL and Config.Path"))
	case s == http.StatusPreconditionFailed, kind == "noTarget":
		return a.is(sink.ErrConflict)
	case s == http.StatusConflict && kind == "":
		return a.is(sink.ErrConflict)
	case kind == "uniqueness", s == http.StatusConflict:
		return a.failed("another resource has a value that must be unique")
	case kind == "tooMany":
		return a.failed("the provider finds too many")
	case kind == "invalidVers":
		return failure.As(failure.Unavailable, a.failed("the provider speaks another version of SCIM: check the base URL"))
	}
	return failure.As(failure.Rejected, a.failed(reasons[kind]))
}

// reasons explain the scimTypes of what is refused for good.
var reasons = map[string]string{
	"":              "the provider refuses the resource",
	"invalidFilter": "the provider refuses the filter",
	"invalidPath":   "the provider has no such attribute",
	"invalidSyntax": "the provider does not understand the resource",
	"invalidValue":  "the provider refuses a value, or misses one",
	"mutability":    "the provider does not let an attribute be changed",
	"sensitive":     "the provider does not take sensitive values in an address",
}

func reason(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "the credentials are not accepted: check Config.Auth"
	case http.StatusForbidden:
		return "not allowed: the connector may lack a right"
	case http.StatusPreconditionRequired:
		return "the provider wants a version, but gave none"
	case http.StatusTooManyRequests:
		return "over the provider's limit"
	}
	if status >= 500 || status < 200 {
		return "the provider does not serve"
	}
	return strings.ToLower(http.StatusText(status))
}
