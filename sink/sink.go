package sink

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/konnektor-go/konnektor/entity"
)

// Sink makes a target system equal to what is wanted, one entity at a time. T
// is the entity as the target knows it: a row, a directory entry, a resource.
//
// For implementers:
//   - Apply and Remove are idempotent: repeated, they write nothing and return
//     [Unchanged]. The connector may call them again after a crash whose
//     outcome nobody saw.
//   - They are called concurrently, never twice at once for the same key.
//   - They block until the target confirmed the write or ctx ended, and start
//     no write after ctx ended.
//   - They classify errors with package failure: the target being down, slow or
//     refusing everybody is failure.Unavailable; refusing this entity for good
//     is failure.Rejected; anything else counts as failure.Failed.
//   - Their errors hold no value of the entity.
//   - [Ensure] makes a Sink from simpler operations; most targets start there.
type Sink[T any] interface {
	// Apply makes the entity exist in the target as want says.
	Apply(ctx context.Context, key entity.Key, want T) (Change, error)
	// Remove makes the entity absent from the target, or whatever the sink's
	// policy has in place of that. Nothing there is not an error but Unchanged.
	Remove(ctx context.Context, key entity.Key) (Change, error)
}

// Op is what a Sink did.
type Op int

// The operations. The zero Op is Unchanged.
const (
	Unchanged Op = iota
	Created
	Updated
	Removed
	// Disabled is what a Sink does that disables instead of removing.
	Disabled
)

// String returns the operation in lower case.
func (o Op) String() string {
	switch o {
	case Created:
		return "created"
	case Updated:
		return "updated"
	case Removed:
		return "removed"
	case Disabled:
		return "disabled"
	default:
		return "unchanged"
	}
}

// Field is one attribute that an update changed. However it is printed, logged
// or written as JSON, it shows its name only: values are personal data.
type Field struct {
	Name     string
	Old, New any
}

// String returns the field's name.
func (f Field) String() string { return f.Name }

// Format prints the field's name, whatever the verb.
func (f Field) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, f.Name) }

// MarshalText returns the field's name.
func (f Field) MarshalText() ([]byte, error) { return []byte(f.Name), nil }

// Change is the outcome of Apply or Remove.
type Change struct {
	Op Op
	// Fields lists what was updated or disabled, in the order of the target's
	// attributes. It is empty for the other operations.
	Fields []Field
	// Next is when the same call would do more though nothing changed: the day
	// on which what was disabled is to be deleted. The connector calls again
	// then. Zero: never.
	Next time.Time
}

// String returns the operation and the names of the changed fields, without
// any value: "updated(name, email)".
func (c Change) String() string {
	if len(c.Fields) == 0 {
		return c.Op.String()
	}
	names := make([]string, len(c.Fields))
	for i, f := range c.Fields {
		names[i] = f.Name
	}
	return c.Op.String() + "(" + strings.Join(names, ", ") + ")"
}
