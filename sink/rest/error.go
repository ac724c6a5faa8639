package rest

import (
	"fmt"
	"strings"
)

// Error says what came of a request. Its text holds no identifier, no value and
// no secret. Package failure knows what it means.
type Error struct {
	Method string
	// Route is the base URL with the declared path: "https://x/api/users/{id}".
	Route string
	// Status is the status of the answer, 0 if there was none.
	Status int
	// Reason is what it means, in words.
	Reason string
	// Members are those of the document that the answer names, sorted: what a
	// refusal is about.
	Members []string
	// Err is the cause, or nil. Its text may hold anything, so it is not part of
	// this error's text.
	Err error
}

// Error returns the text: "rest: PATCH https://x/api/users/{id}: 422: refused
// for this entity: email".
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "rest: %s %s: ", e.Method, e.Route)
	if e.Status != 0 {
		fmt.Fprintf(&b, "%d: ", e.Status)
	}
	b.WriteString(e.Reason)
	if len(e.Members) > 0 {
		b.WriteString(": " + strings.Join(e.Members, ", "))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
