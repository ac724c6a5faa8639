package source

import (
	"context"
	"time"

	"github.com/konnektor-go/konnektor/entity"
)

// Source reads the current, full state of one entity.
//
// For implementers:
//   - Fetch is called concurrently, also for the same key.
//   - It returns failure.Gone only with proof from the source itself that the
//     entity does not exist. Silence, an empty body, a gateway's answer or a
//     missing right prove nothing.
//   - It classifies its errors with package failure: the source being down,
//     slow, refusing everybody (401, 403, 429) is failure.Unavailable; an
//     answer about this entity that will not get better is failure.Rejected;
//     anything else counts as failure.Failed and is tried again.
//   - With Request.Fresh it reads past every cache, in a read that begins after
//     it was called.
//   - Its errors hold no identifier and no value of the entity.
type Source[S any] interface {
	Fetch(ctx context.Context, req Request) (S, error)
}

// Request asks for one entity.
type Request struct {
	Key entity.Key
	// Fresh asks for the state as it is now, past every cache on the way.
	Fresh bool
	// ChangedAt is when the entity changed, as far as the notification tells: a
	// state that says it is older is not the current one. Zero: not known.
	ChangedAt time.Time
	// Flow is who asks. Flows that share a gateway take turns.
	Flow string
	// TransactionID names the reconcile that needs the state, for the logs of
	// the systems on the way. It holds nothing about the entity.
	TransactionID string
}

// Func is a Source made of a function.
type Func[S any] func(ctx context.Context, req Request) (S, error)

// Fetch calls f.
func (f Func[S]) Fetch(ctx context.Context, req Request) (S, error) { return f(ctx, req) }
