package sink

import (
	"context"

	"github.com/konnektor-go/konnektor/entity"
)

// Discard is a Sink without a target: it does nothing and always returns
// Unchanged. It is for flows whose mapping only says which entities of other
// flows a change concerns.
type Discard[T any] struct{}

// Apply implements [Sink].
func (Discard[T]) Apply(context.Context, entity.Key, T) (Change, error) { return Change{}, nil }

// Remove implements [Sink].
func (Discard[T]) Remove(context.Context, entity.Key) (Change, error) { return Change{}, nil }

// DryRun implements [DryRunner].
func (d Discard[T]) DryRun() Sink[T] { return d }
