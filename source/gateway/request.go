package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/konnektor-go/konnektor/internal/urlpath"
)

// maxURI is the longest path with query that reaches an API, in bytes.
const maxURI = 4096

// Request asks for one resource.
type Request struct {
	// Path is relative to the base URL and already escaped: "persons/a%2Fb". It
	// must not begin with a slash; one at the end is kept, as backends tell
	// "persons" and "persons/" apart.
	Path string
	// Route is what errors show instead of the path, which may identify a
	// person: a template like "persons/{id}". It may be empty.
	Route string
	// Query holds the parameters. The names "cache" and "api-key" belong to the
	// gateway and are refused.
	Query url.Values
	// Fresh asks for the state as it is now: the gateway's cache is bypassed,
	// and overwritten by the answer.
	Fresh bool
	// ChangedAt is when the resource changed, as far as a notification tells.
	// Zero: not known. See [Freshness].
	ChangedAt time.Time
	// Flow names who asks: while calls wait for a limit, all flows get their
	// turn. Empty: the Route is taken for it.
	Flow string
	// TransactionID goes to the gateway and the backend, for their logs. It is
	// up to 128 visible ASCII characters. Empty means a new one.
	TransactionID string

	base string // the base URL that it is sent to, empty: not yet
}

// Validate reports why the request cannot be sent. The error begins with the
// name of the field and never holds its value.
func (r Request) Validate() error {
	if err := urlpath.Check(r.Path); err != nil {
		return fmt.Errorf("Path: %w", err)
	}
	for name := range r.Query {
		// A parameter "cache" is eaten by the gateway, "api-key" ends up in logs.
		if strings.EqualFold(name, "cache") || strings.EqualFold(name, "api-key") {
			return fmt.Errorf("Query: the parameter %s belongs to the gateway: use Request.Fresh or Config.Key", strings.ToLower(name))
		}
	}
	if len(r.TransactionID) > 128 || !isVisible(r.TransactionID) {
		return errors.New("TransactionID: must be at most 128 visible ASCII characters")
	}
	return nil
}

// suffix returns what follows the base URL.
func (c *Client) suffix(req Request) (string, error) {
	if err := req.Validate(); err != nil {
		return "", err
	}
	suffix := "/" + req.Path
	if len(req.Query) > 0 {
		suffix += "?" + req.Query.Encode()
	}
	if n := len(c.bases.path) + len(suffix); n > maxURI {
		return "", fmt.Errorf("Path: with base path and query it is %d bytes, the gateway takes at most %d", n, maxURI)
	}
	return suffix, nil
}

// route returns what errors call the resource.
func (c *Client) route(req Request) string {
	base := req.base
	if base == "" {
		base = c.bases.pick()
	}
	if req.Route == "" {
		return base
	}
	return base + "/" + req.Route
}

// Response is a state, or for [GoneProof] the answer that may prove there is
// none.
type Response struct {
	Status int
	Header http.Header
	// Body is complete for a state. It belongs to the caller.
	Body []byte
	// Route is the base URL with the request's Route.
	Route string
	// TransactionID is the one that was sent.
	TransactionID string
}

// Failed returns an error about the response, for whoever finds that it is not
// what it should be. The reason holds nothing of the response; the cause is
// only for errors.Is and errors.As and may be nil.
func (r *Response) Failed(reason string, cause error) *Error {
	return &Error{Status: r.Status, Route: r.Route, TransactionID: r.TransactionID, Reason: reason, Err: cause}
}
