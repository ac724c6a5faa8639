package gateway

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/httpfail"
)

// noAPI is the gateway's text for a context path that it does not know.
const noAPI = "No context-path matches the request URI."

// isState reports whether a status says that the body is the entity's full
// state.
func isState(status int) bool {
	return status == http.StatusOK || status == http.StatusCreated || status == http.StatusNonAuthoritativeInfo
}

// repeats says when a request may be repeated that failed with a status. The
// gateway answers 502, 503 and 504 now and then, when a pooled connection to the
// backend was stale or a gateway restarts.
func repeats(status int, err error) again {
	switch status {
	case http.StatusTooManyRequests:
		return later
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if failure.RetryAfter(err) == 0 {
			return soon
		}
	}
	return never
}

// classify returns nil for a state, or what else the answer means. For a 429,
// wait is how long the limit holds, or 0.
func (c *Client) classify(r *Response, wait time.Duration) error {
	switch s := r.Status; {
	case isState(s):
		if len(bytes.TrimSpace(r.Body)) == 0 {
			return failure.As(failure.Failed, r.Failed("the body is empty", nil))
		}
		return nil
	case s < 300:
		return failure.As(failure.Failed, r.Failed("not a full state", nil))
	case s == http.StatusNotModified:
		return failure.As(failure.Failed, r.Failed("no state, though none was given to compare with", nil))
	case s < 400:
		return failure.As(failure.Unavailable, r.Failed("redirects are not followed: check the base URL and the path", nil))
	case s == http.StatusNotFound, s == http.StatusGone:
		return c.absent(r)
	}
	reason, everybody := meaning(r)
	if known := knownMessage(r.Body); known != "" {
		reason += ": " + known
	}
	if !everybody {
		return failure.As(failure.Failed, r.Failed(reason, nil))
	}
	if r.Status != http.StatusTooManyRequests {
		wait = httpfail.RetryAfter(r.Header.Get("Retry-After"), time.Now())
	}
	return failure.UnavailableFor(wait, r.Failed(reason, nil))
}

// absent decides what a 404 or 410 means.
func (c *Client) absent(r *Response) error {
	// Wherever the text stands, and whatever the ids say: old gateways send
	// them here too, and a gateway behind the gateway says the same.
	if bytes.Contains(r.Body, []byte(noAPI)) {
		return failure.As(failure.Unavailable, r.Failed("the gateway knows no such API: "+noAPI, nil))
	}
	// The plan comes before the source, and the gateway names those whom it lets
	// through in all answers or in none.
	if c.identified.Load() && r.Header.Get(headerClientID) == "" {
		return failure.As(failure.Unavailable, r.Failed("the plan's refusal as it seems: no "+headerClientID, nil))
	}
	if err := c.cfg.Gone(r); err != nil {
		return failure.As(failure.Unavailable, r.Failed("no proof that it is the source's: "+err.Error(), err))
	}
	return failure.As(failure.Gone, r.Failed("the source has no such entity", nil))
}

// meaning explains a status of 400 or more, and says whether it concerns
// everybody or this entity alone.
func meaning(r *Response) (reason string, everybody bool) {
	switch r.Status {
	case http.StatusUnauthorized:
		// The gateway sets the header after it accepted a key.
		if r.Header.Get(headerClientID) != "" {
			return "the source does not accept the credentials", true
		}
		return "the key is not accepted: check Config.Key and the subscription", true
	case http.StatusForbidden:
		return "not allowed: the plan may lack a rule for this path", true
	case http.StatusMethodNotAllowed:
		return "GET is not allowed: the plan may lack a rule for it", true
	case http.StatusTooManyRequests:
		return "over the limit", true
	case http.StatusBadGateway:
		return "the gateway cannot reach the source", true
	case http.StatusServiceUnavailable:
		return "no source to ask", true
	case http.StatusGatewayTimeout:
		return "the source is too slow for the gateway", true
	case http.StatusNotAcceptable, http.StatusProxyAuthRequired, http.StatusRequestTimeout,
		http.StatusMisdirectedRequest, http.StatusTooEarly, http.StatusUpgradeRequired,
		http.StatusRequestHeaderFieldsTooLarge:
		return strings.ToLower(http.StatusText(r.Status)), true
	}
	if r.Status >= 500 {
		return "the source or the gateway fails", true
	}
	return "refused for this entity", false
}

// knownMessage returns the fixed text of the gateway that a body holds, if any.
// Everything else in a body may be about a person.
func knownMessage(body []byte) string {
	for _, m := range []string{
		"You're not allowed to access this resource",
		"Method not allowed while accessing this resource",
		"Rate limit exceeded!",
		"Quota exceeded!",
		"Spike limit exceeded!",
		"Request timeout",
	} {
		if bytes.Contains(body, []byte(m)) {
			return m
		}
	}
	return ""
}
