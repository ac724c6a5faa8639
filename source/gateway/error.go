package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/konnektor-go/konnektor/failure"
)

// Error says what came of a request. Its text holds no identifier, no value
// and no secret. Package failure knows what it means: see failure.Of.
type Error struct {
	// Status is the status of the answer, 0 if there was none.
	Status int
	// Route is the base URL, with the request's Route if it had one.
	Route string
	// TransactionID is the one that was sent.
	TransactionID string
	// Reason is the text without status, route and ids: the same for all
	// errors of one kind, so that they can be counted by it.
	Reason string
	// Attempts is how many requests the call made.
	Attempts int
	// Err is the cause, or nil. Its text may hold anything, so it is not part
	// of this error's text.
	Err error
}

// Error returns the text: "GET https://gw/iga/persons/{id}: 502: the gateway
// cannot reach the source, 3 attempts (transaction 5f0c)".
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s: ", e.Route)
	if e.Status != 0 {
		fmt.Fprintf(&b, "%d: ", e.Status)
	}
	b.WriteString(e.Reason)
	if e.Attempts > 1 {
		fmt.Fprintf(&b, ", %d attempts", e.Attempts)
	}
	fmt.Fprintf(&b, " (transaction %s)", e.TransactionID)
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// stopped returns the error for the end of the caller's context. A deadline is
// Unavailable, as something on the way was too slow; being cancelled says
// nothing about anybody.
func (c *Client) stopped(ctx context.Context, req Request) error {
	err := c.failed(req, ctx.Err().Error(), ctx.Err())
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return failure.As(failure.Unavailable, err)
	}
	return err
}

// failed returns the error for a request that got no answer.
func (c *Client) failed(req Request, reason string, cause error) error {
	return &Error{Route: c.route(req), TransactionID: req.TransactionID, Reason: reason, Err: cause}
}
