package sink

import (
	"context"
	"errors"

	"github.com/konnektor-go/konnektor/entity"
)

// Errors by which a [Target] tells [Ensure] what it met.
var (
	// ErrExists is returned by Create when the entity is there already. Ensure
	// reads again and decides anew.
	ErrExists = errors.New("exists already in the target")
	// ErrNotFound is returned by Update and Delete when there is nothing. Ensure
	// reads again and decides anew.
	ErrNotFound = errors.New("not found in the target")
	// ErrConflict is returned by Update and Delete when somebody else changed
	// the entity since it was read. Ensure reads again and decides anew.
	ErrConflict = errors.New("changed in the target by somebody else")
	// ErrAmbiguous is returned by Get and Observe when the target has several
	// entities of the key. Nothing is written: which of them is meant, only
	// people can say. It is a failure of that entity.
	ErrAmbiguous = errors.New("several match in the target")
)

// Found is an entity as a target holds it.
type Found[T any] struct {
	// Value is the entity, as far as T can hold it.
	Value T
	// Ref is what the target needs to write to just this state of it: its own
	// id, its version. It is opaque to all others, and may be nil.
	Ref any
}

// Target is a system with plain operations on one kind of entity, for
// [Ensure].
//
// For implementers: as for [Sink], but nothing has to be idempotent, and
// nothing has to be retried or compared. Besides:
//   - What identifies an entity in the target is derived from its key, by
//     whatever the target lets one look up: its name, an external id. So a
//     create whose answer was lost is found by the next Get.
//   - A target that can refuse to write to a state other than the one that was
//     read does so, with ErrConflict.
type Target[T any] interface {
	// Get returns the entity as it is now, and false if there is none.
	// It returns ErrAmbiguous if there are several.
	Get(ctx context.Context, key entity.Key) (Found[T], bool, error)
	// Create adds the entity. It returns ErrExists if it is there already.
	Create(ctx context.Context, key entity.Key, want T) error
	// Update changes the given fields of the entity, which was read as have,
	// to what want says. It returns ErrNotFound if there is none any more, and
	// ErrConflict if the target can tell that it is not as have any more.
	Update(ctx context.Context, key entity.Key, have Found[T], want T, fields []Field) error
	// Delete removes the entity, which was read as have. It returns ErrNotFound
	// if there is none, and ErrConflict as Update does.
	Delete(ctx context.Context, key entity.Key, have Found[T]) error
}

// Observer is an optional interface of a [Target] that compares better than
// [Diff] can: it knows which values the target holds to be the same, or has the
// target itself compare.
//
// For implementers: Observe is Get and a comparison in one. It returns the
// entity as it is now, false if there is none, and the fields in which it is
// not as want says, none if it is. The rules of Target hold.
type Observer[T any] interface {
	Observe(ctx context.Context, key entity.Key, want T) (have Found[T], found bool, fields []Field, err error)
}
