package gateway

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
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
	if err := checkPath(r.Path); err != nil {
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

// checkPath reports whether an escaped relative path could be understood, by
// anybody on the way, as something that is not below its base.
func checkPath(path string) error {
	switch {
	case path == "":
		return errors.New("must not be empty")
	case path[0] == '/':
		return errors.New("must be relative to the base URL, without a slash at the beginning")
	}
	for i := range len(path) {
		if !isPathByte(path[i]) {
			return fmt.Errorf("byte %d must be escaped", i)
		}
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if s == "" && i < len(segments)-1 {
			return errors.New("has an empty segment")
		}
		if err := checkSegment(s); err != nil {
			return err
		}
	}
	return nil
}

// isPathByte is for escaped paths: RFC 3986, section 3.3, without ";", which
// some servers cut off together with what follows.
func isPathByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	default:
		return strings.IndexByte("-._~!$&'()*+,=:@%/", c) >= 0
	}
}

// checkSegment refuses what a server might take for a step up. Servers differ
// in when, and how often, they unescape, so every level is looked at.
func checkSegment(s string) error {
	if !strings.ContainsAny(s, "%.") {
		return nil // the usual case, cheap
	}
	for level := 0; ; level++ {
		next, err := url.PathUnescape(s)
		if err != nil && level > 0 { // some servers leave what is none as it is
			next, err = escapes.ReplaceAllStringFunc(s, unescape), nil
		}
		switch {
		case err != nil:
			return errors.New("has a % that is not followed by two hexadecimal digits")
		case level == 0 && !utf8.ValidString(next):
			return errors.New("is not UTF-8 when unescaped")
		case strings.ContainsFunc(next, isControl):
			return errors.New("holds an escaped control character")
		}
		for part := range strings.FieldsFuncSeq(next, isSeparator) {
			if part == "." || part == ".." {
				return errors.New(`must not hold "." or ".." as a segment`)
			}
		}
		if next == s {
			return nil
		}
		s = next
	}
}

var escapes = regexp.MustCompile(`%[0-9a-fA-F]{2}`)

func unescape(escape string) string {
	b, _ := hex.DecodeString(escape[1:]) // it is two hexadecimal digits
	return string(b)
}

func isSeparator(r rune) bool { return r == '/' || r == '\\' || r == ';' }

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
