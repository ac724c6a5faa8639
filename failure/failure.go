// Package failure says what an error means for the work that met it. Sources
// and sinks classify their errors with it, the connector acts on the class.
//
//	class        meaning                                  what the connector does
//	Failed       this entity, now; the default            retries with growing delays, then parks it
//	Rejected     this entity, until something changes     parks it at once
//	Unavailable  the system, whatever the entity          waits; no attempt is spent
//	Gone         the source proves that there is none     removes it from the target
//
// An error that nobody classified counts as Failed. The outermost
// classification wins, so whoever knows more can overrule.
package failure

import (
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Class is the meaning of an error.
type Class int

// The classes. The zero Class is Failed.
const (
	Failed Class = iota
	Rejected
	Unavailable
	Gone
)

// String returns the class in lower case.
func (c Class) String() string {
	switch c {
	case Rejected:
		return "rejected"
	case Unavailable:
		return "unavailable"
	case Gone:
		return "gone"
	default:
		return "failed"
	}
}

type classified struct {
	class Class
	after time.Duration
	err   error
}

func (e *classified) Error() string { return e.err.Error() }
func (e *classified) Unwrap() error { return e.err }

// As marks err as being of class c. It returns nil for a nil err.
func As(c Class, err error) error {
	if err == nil {
		return nil
	}
	return &classified{class: c, err: err}
}

// UnavailableFor marks err as Unavailable and says that trying again is useless
// before the given time has passed, as a Retry-After header does.
func UnavailableFor(after time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &classified{class: Unavailable, after: after, err: err}
}

// Of returns the class of err. An error marked by [backoff.Permanent] is
// Rejected.
func Of(err error) Class {
	for err != nil {
		switch e := err.(type) { //nolint:errorlint // walks the chain itself, outermost first
		case *classified:
			return e.class
		case *backoff.PermanentError:
			return Rejected
		case interface{ Unwrap() []error }:
			return ofJoined(e.Unwrap())
		}
		err = errors.Unwrap(err)
	}
	return Failed
}

// ofJoined returns the class of the first of several joined errors that is not
// simply Failed.
func ofJoined(errs []error) Class {
	for _, err := range errs {
		if c := Of(err); c != Failed {
			return c
		}
	}
	return Failed
}

// RetryAfter returns how long the system asked to be left alone, or 0.
func RetryAfter(err error) time.Duration {
	var e *classified
	if !errors.As(err, &e) {
		return 0
	}
	if e.after > 0 {
		return e.after
	}
	return RetryAfter(e.err)
}
