package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/konnektor-go/konnektor/failure"
)

// Authenticator adds credentials to requests: a key for the gateway, a token
// for the backend. Package auth has the usual ones.
//
// For implementers:
//   - Both methods are called concurrently.
//   - They set headers of the request and touch nothing else of it. A header
//     that another Authenticator, [Config].Key or [Config].Header has set is
//     not theirs to change.
//   - The texts of errors become part of other errors and of logs: they hold
//     no secret.
type Authenticator interface {
	// Authenticate sets the credentials. It is called for every request that is
	// sent, may wait until the context of the request ends, and may not send
	// the request's credentials anywhere else. Whatever its error, the call
	// fails as failure.Unavailable, with the error's failure.RetryAfter.
	Authenticate(req *http.Request) error
	// Renew is told that a request that it authenticated was refused by 401.
	// It reports whether Authenticate would now set other credentials: the
	// request is then sent once more. It does not wait for anything.
	Renew(sent *http.Request, refused *Response) bool
}

// credentials are the headers of which a request has one at most.
var credentials = [...]string{headerKey, "Authorization"}

// authenticate lets all the authenticators set their credentials.
func (c *Client) authenticate(req *http.Request) error {
	for i, a := range c.cfg.Auth {
		var before [len(credentials)]string
		for j, name := range credentials {
			before[j] = req.Header.Get(name)
		}
		if err := a.Authenticate(req); err != nil {
			return err
		}
		for j, name := range credentials {
			if before[j] != "" && req.Header.Get(name) != before[j] {
				return fmt.Errorf("Auth[%d]: changes %s, which was set before: keep one of the two", i, name)
			}
		}
	}
	return nil
}

// renewed reports whether a request that was refused by 401 is worth sending
// once more, with other credentials.
func (c *Client) renewed(sent *http.Request, refused *Response) bool {
	var again bool
	for _, a := range c.cfg.Auth {
		again = a.Renew(sent, refused) || again // all of them hear of it
	}
	return again
}

// unauthenticated returns the error for a request that was not sent. An
// authenticator knows nothing of entities, so it concerns everybody.
func (c *Client) unauthenticated(req Request, err error) error {
	return failure.UnavailableFor(failure.RetryAfter(err), c.failed(req, "no credentials: "+err.Error(), err))
}

func validateAuth(auth []Authenticator) error {
	if slices.Contains(auth, nil) {
		return errors.New("Auth: holds a nil")
	}
	return nil
}
