package sink

import (
	"context"

	"github.com/konnektor-go/konnektor/entity"
)

// Forgetter is an optional interface of a [Sink] that keeps something about
// entities beside the target, such as what it owes to others.
//
// For implementers: Forget deletes that of one entity. Nothing there is not an
// error. A Sink around another one calls [Forget] for that.
type Forgetter interface {
	Forget(ctx context.Context, key entity.Key) error
}

// Forget has s forget what it keeps about an entity, if it keeps anything. The
// target stays as it is.
func Forget[T any](ctx context.Context, s Sink[T], key entity.Key) error {
	if f, ok := s.(Forgetter); ok {
		return f.Forget(ctx, key)
	}
	return nil
}
