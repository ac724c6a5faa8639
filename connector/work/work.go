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
//   - It does not retry. Every error but ErrRunning means that the store is
//     unavailable.
//   - It reads the clock with time.Now, whole milliseconds suffice.
//   - Times come back as the instants that were given, cut to whole
//     milliseconds at the worst, and in UTC.
//   - Flows, keys and owners are valid UTF-8 without control characters, see
//     [entity.Key.Validate]. All other strings may hold any bytes. Of those in
//     [Cause], [Outcome.Summary] and [Outcome.Group], NUL and what is not valid
//     UTF-8 may come back as U+FFFD.
//   - A negative limit counts as 0.
type Store interface {
	// Mark makes entities dirty. For each mark, in order:
	//   - A row that is not there is made. The row's Dirty number grows by one
	//     and its Cause becomes the mark's.
	//   - A mark for now makes the row due at the earlier of now and what it was,
	//     and gives it a fresh start: no attempts, no deferrals, no failure times,
	//     not parked. It raises the priority to its own if the row is due or
	//     running, or if its last run was not Done, so that it waits for a retry or
	//     is parked: what a live mark asked for is owed until a run was Done, and
	//     bulk work must not make a cached read of it. Otherwise, also if the row
	//     waits for a date, it replaces the priority: a row that bulk work wakes
	//     early is bulk work.
	//   - A mark for the future is added to the row's Later times, so that
	//     neither an earlier run nor another date makes it forgotten; the row
	//     is due at the earlier of it and what it was. Nothing else changes: a
	//     parked row sleeps until that time.
	// It returns the new Dirty number of each mark's row, in the marks' order.
	// Of a row that is durable work already, a store may keep marks for now to
	// itself until it stores the row for another reason: of one that it has stored
	// as due by now, without failures and with no lower priority, or, if it is
	// shared, of one whose lease it has given out and counts on. If the process
	// dies, the row is due again, and only its Dirty number and Cause are older. Its
	// own readers see the marks. The numbers that it returns for them leave out what
	// others have marked since the lease was given.
	Mark(ctx context.Context, marks []Mark) ([]int64, error)

	// Lease takes up to N rows of a flow that are due, and have been for as long
	// as the request says, and that nobody holds, in the request's order. A row whose lease has expired is due since the expiry.
	// The row's due time and its Later times up to now are consumed: what stands
	// there afterwards came during the run. If a Later time was among them, the
	// row's priority is Retry from then on if it was lower: a date that somebody
	// asked for is not bulk work. A parked row starts afresh. Every lease has a new
	// token.
	Lease(ctx context.Context, req LeaseRequest) ([]Lease, error)

	// Renew prolongs leases by ttl from now. It returns one error for each
	// lease, in order: nil or ErrLeaseLost.
	Renew(ctx context.Context, leases []Lease, ttl time.Duration) ([]error, error)

	// Finish stores the outcomes of runs and ends their leases, in order. It
	// returns one error for each outcome, in order: nil, or ErrLeaseLost for an
	// outcome whose lease is no longer the row's, which then changes nothing.
	// The row's next due time is the earliest of: marks made during the run,
	// [Outcome.Next], the first of the Later times. See [Outcome] for the rest.
	// Then the outcome's Marks are made, as by Mark: with it or not at all.
	Finish(ctx context.Context, outcomes []Outcome) ([]error, error)

	// NextDue returns the earliest time at which Lease could give a row of the
	// flow: the due time of a free row, the expiry of a lease. It returns the
	// zero time if there is none.
	NextDue(ctx context.Context, flow string) (time.Time, error)

	// Get returns one row, and false if there is none.
	Get(ctx context.Context, flow string, key entity.Key) (Row, bool, error)

	// List returns rows of a flow in one state, in the order of their keys (Type,
	// then ID, as bytes): the last of one page leads to the next.
	List(ctx context.Context, q Query) ([]Row, error)

	// Upcoming returns the times to come that a flow's rows wait for: their Later
	// times and the due times of rows that are Waiting, each time of a row once,
	// in the order of times, then keys. It returns those after the given one, at
	// most limit: the last of one page leads to the next, and the zero Upcoming to
	// the first.
	Upcoming(ctx context.Context, flow string, after Upcoming, limit int) ([]Upcoming, error)

	// Stats returns for each flow and state how many rows there are. States
	// without rows are missing.
	Stats(ctx context.Context) (map[string]map[State]Stat, error)

	// ParkedGroups returns for each group of a flow's parked rows how many there
	// are, the largest group first, then by the group's name.
	ParkedGroups(ctx context.Context, flow string) ([]ParkedGroup, error)

	// PruneIdle deletes rows of entities that are gone: idle, not Present, and
	// Finished before a time, at most limit. It returns how many there were.
	PruneIdle(ctx context.Context, before time.Time, limit int) (int, error)

	// PruneParked deletes parked rows whose LastFailure is before a time and that
	// have no Later times, at most limit, and returns how many there were.
	PruneParked(ctx context.Context, before time.Time, limit int) (int, error)

	// Forget deletes an entity's rows in all flows, with all that is known of it,
	// and returns how many there were. While one of them is running it deletes
	// none and returns ErrRunning.
	Forget(ctx context.Context, key entity.Key) (int, error)

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
