package work

import (
	"context"
	"time"

	"github.com/konnektor-go/konnektor/entity"
)

// Store is the connector's whole memory: one row for each entity of each flow,
// with what is to be done and what came of it, never what was fetched.
//
// For implementers; package storetest holds the same rules as a suite:
//   - All methods may be called concurrently. None keeps its arguments.
//   - A method that writes is one transaction: when it returns nil, all of it is
//     as durable as the store is; when it returns an error, none of it is.
//   - It does not retry. Every error means that the store is unavailable.
//   - It reads the clock with time.Now, whole milliseconds suffice.
//   - Times come back as the instants that were given, cut to whole
//     milliseconds at the worst, and in UTC.
type Store interface {
	// Mark makes entities dirty. For each mark, in order:
	//   - A row that is not there is made. The row's Dirty number grows by one
	//     and its Cause becomes the mark's.
	//   - A mark for now makes the row due at the earlier of now and what it was,
	//     raises its priority to the mark's if that is higher, and gives it a
	//     fresh start: no attempts, no deferrals, no failure times, not parked.
	//     The priority of a row that waits for nothing is replaced.
	//   - A mark for the future is added to the row's Later times, so that
	//     neither an earlier run nor another date makes it forgotten; the row
	//     is due at the earlier of it and what it was. Nothing else changes: a
	//     parked row sleeps until that time.
	// It returns the new Dirty number of each mark's row, in the marks' order.
	Mark(ctx context.Context, marks []Mark) ([]int64, error)

	// Lease takes up to n rows of a flow that are due and that nobody holds, for
	// the given time: highest priority first, then those due for longest.
	// A row whose lease has expired is due since the expiry. The row's due time
	// and its Later times up to now are consumed: what stands there afterwards
	// came during the run. A parked row starts afresh. Every lease has a new
	// token.
	Lease(ctx context.Context, flow, owner string, n int, ttl time.Duration) ([]Lease, error)

	// Renew prolongs leases by ttl from now. It returns one error for each
	// lease, in order: nil or ErrLeaseLost.
	Renew(ctx context.Context, leases []Lease, ttl time.Duration) ([]error, error)

	// Finish stores the outcomes of runs and ends their leases. It returns one
	// error for each outcome, in order: nil, or ErrLeaseLost for an outcome
	// whose lease is no longer the row's, which then changes nothing.
	// The row's next due time is the earliest of: marks made during the run,
	// [Outcome.Next], the first of the Later times. See [Outcome] for the rest.
	Finish(ctx context.Context, outcomes []Outcome) ([]error, error)

	// NextDue returns the earliest time at which Lease could give a row of the
	// flow: the due time of a free row, the expiry of a lease. It returns the
	// zero time if there is none.
	NextDue(ctx context.Context, flow string) (time.Time, error)

	// Get returns one row, and false if there is none.
	Get(ctx context.Context, flow string, key entity.Key) (Row, bool, error)

	// Counts returns the number of rows of each flow by state.
	Counts(ctx context.Context) (map[string]map[State]int, error)

	// Reject keeps messages that could not be used and gives each an ID, which it
	// never gives again.
	Reject(ctx context.Context, rejected []Rejected) error

	// ListRejected returns rejected messages, the one that was stored last
	// first, at most limit. With before, the ID of a message, it returns those
	// that were stored before it, also if it was deleted meanwhile: the last of
	// one page leads to the next.
	ListRejected(ctx context.Context, before string, limit int) ([]Rejected, error)

	// GetRejected returns one rejected message, and false if there is none.
	GetRejected(ctx context.Context, id string) (Rejected, bool, error)

	// DeleteRejected deletes rejected messages and returns how many were there.
	DeleteRejected(ctx context.Context, ids []string) (int, error)

	// PruneRejected deletes rejected messages that were received before a time,
	// at most limit, and returns how many there were. One whose Received is zero
	// stays.
	PruneRejected(ctx context.Context, before time.Time, limit int) (int, error)

	// Secret returns the key for hashing entities, 32 random bytes: the same
	// ones for as long as the store's data lives.
	Secret(ctx context.Context) ([]byte, error)

	// Durable reports whether what was stored survives the process. With a
	// store that is not durable, the connector acks a notification only after
	// its entity was reconciled.
	Durable() bool

	// Shared reports whether other processes may mark and lease in the same
	// store. The connector then looks for work on its own now and then.
	Shared() bool
}
