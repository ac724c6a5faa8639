package sink

import (
	"context"
	"errors"

	"github.com/konnektor-go/konnektor/entity"
)

// Errors by which a [Target] tells [Ensure] that the target is not what it was
// when it was read. Ensure reads again and decides anew.
var (
	// ErrExists is returned by Create when the entity is there already.
	ErrExists = errors.New("exists already in the target")
	// ErrNotFound is returned by Update and Delete when there is nothing.
	ErrNotFound = errors.New("not found in the target")
	// ErrConflict is returned by Update and Delete when somebody else changed
	// the entity since it was read.
	ErrConflict = errors.New("changed in the target by somebody else")
)

// Target is a system with plain operations on one kind of entity, for
// [Ensure].
//
// For implementers: as for [Sink], but nothing has to be idempotent, and
// nothing has to be retried or compared.
type Target[T any] interface {
	// Get returns the entity as it is now, and false if there is none.
	Get(ctx context.Context, key entity.Key) (T, bool, error)
	// Create adds the entity. It returns ErrExists if it is there already.
	Create(ctx context.Context, key entity.Key, want T) error
	// Update changes the given fields of the entity, which was read as have,
	// to what want says. It returns ErrNotFound if there is none any more, and
	// ErrConflict if the target can tell that it is not as have any more.
	Update(ctx context.Context, key entity.Key, have, want T, fields []Field) error
	// Delete removes the entity. It returns ErrNotFound if there is none.
	Delete(ctx context.Context, key entity.Key) error
}

// Observer is an optional interface of a [Target] that compares better than
// [Diff] can: it knows which values the target holds to be the same, or has the
// target itself compare.
//
// For implementers: Observe is Get and a comparison in one. It returns the
// entity as it is now, false if there is none, and the fields in which it is
// not as want says, none if it is. The rules of Target hold.
type Observer[T any] interface {
	Observe(ctx context.Context, key entity.Key, want T) (have T, found bool, fields []Field, err error)
}
