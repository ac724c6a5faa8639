package work

import (
	"errors"
	"log/slog"
	"time"

	"github.com/konnektor-go/konnektor/entity"
)

// ErrLeaseLost says that a lease has expired and was taken by another run, or
// was ended already. What came of the run is refused.
var ErrLeaseLost = errors.New("lease lost")

// ErrRunning says that an entity cannot be forgotten while it is reconciled.
var ErrRunning = errors.New("a run is under way")

// Priority orders rows that are due at the same time.
type Priority int

// The priorities, as design has them: live work first.
const (
	Live  Priority = 0
	Retry Priority = -10
	Bulk  Priority = -100
)

// State says what a row waits for.
type State string

// The states of a row.
const (
	// Idle: done, nothing to do.
	Idle State = "idle"
	// Waiting: to be reconciled at the row's due time, which is to come.
	Waiting State = "waiting"
	// Due: to be reconciled now.
	Due State = "due"
	// Running: leased.
	Running State = "running"
	// Parked: given up until the next mark.
	Parked State = "parked"
)

// Cause is what made an entity dirty.
type Cause struct {
	// Kind is the trigger: "notification", "date" (a notification for a date that
	// was to come), "fan-out", "operator", "lost lease".
	Kind string `json:"kind,omitempty"`
	// EventID is the id of the notification.
	EventID string `json:"event_id,omitempty"`
	// Time is the notification's own time.
	Time time.Time `json:"time,omitzero"`
	// RoutingKey is the key that the notification was published with.
	RoutingKey string `json:"routing_key,omitempty"`
	// Trace is the notification's trace context, as W3C's traceparent.
	Trace string `json:"trace,omitempty"`
	// Hops is how many flows the mark has come through by fan-out.
	Hops int `json:"hops,omitempty"`
}

// Mark makes one entity of a flow dirty.
type Mark struct {
	Flow     string
	Key      entity.Key
	Due      time.Time // zero, or any time not after now: now
	Priority Priority
	Cause    Cause
}

// Result is the kind of an outcome.
type Result string

// The results of a run.
const (
	// Done: target equals source as of this run's fetch.
	Done Result = "done"
	// Failed: an attempt was spent.
	Failed Result = "failed"
	// Deferred: the run found something unavailable; no attempt was spent.
	Deferred Result = "deferred"
	// Released: the run was stopped, or what it needs is unavailable to all;
	// nothing is counted.
	Released Result = "released"
	// GaveUp: an attempt was spent and the row is parked, unless a mark came
	// during the run.
	GaveUp Result = "gave_up"
)

// Outcome is what came of a run. What a result means for the row, besides the
// due time (see [Store]):
//
//	            Attempts   Deferrals   Done             Priority          Next zero means
//	Done        0          0           seen at lease    Live              no further run
//	Failed      +1         0           unchanged        at most Retry     again at once
//	Deferred    unchanged  +1          unchanged        unchanged         again at once
//	Released    unchanged  unchanged   unchanged        unchanged         again at once
//	GaveUp      +1         0           unchanged        at most Retry     parked
//
// Next is not looked at after GaveUp: the row is parked until its next mark or
// Later time. FirstFailure, LastFailure and Group are set by Failed and GaveUp,
// and empty after Done; a mark for now empties them too, and so does the lease of
// a parked row.
//
// If marks for now came during the run, they have the last word: Attempts,
// Deferrals, failure times, Group and Priority stay as the mark left them, and a
// row that would be parked is due.
type Outcome struct {
	Lease  Lease
	Result Result
	// Next is when the row is to be reconciled again: the next date that
	// matters after Done, the time of the retry after Failed, Deferred and
	// Released. The table says what zero means.
	Next time.Time
	// Present says whether we left the entity existing in the target. It is
	// used after Done only.
	Present bool
	// Fingerprint is a keyed hash of what was applied, nil if nothing was. It is
	// used after Done only.
	Fingerprint []byte
	// Summary is one line for the operator without personal data: the
	// change, or the error's text.
	Summary string
	// Group names the cause of a failure: outcomes of one group have failed for
	// the same reason. It is used after Failed and GaveUp only.
	Group string
	// Marks are what the run found to be dirty besides: with them, the outcome
	// of one flow wakes the entities of others.
	Marks []Mark
}

// Order is the order in which rows that are due are leased.
type Order int

const (
	// ByPriority: highest priority first, then those due for longest.
	ByPriority Order = iota
	// ByAge: those due for longest first, whatever their priority. Who leases
	// some rows in this order starves none.
	ByAge
)

// LeaseRequest says which rows to lease.
type LeaseRequest struct {
	Flow  string
	Owner string        // who holds the leases
	N     int           // how many rows at most, a limit
	TTL   time.Duration // how long the leases last, unless renewed
	Order Order
	// Waited is for how long rows must have been due to be leased, 0: they are
	// due. Less than 0 counts as 0. Who waits shares one run among the marks that
	// come meanwhile.
	Waited time.Duration
	// Ahead is how many more rows of at least Live priority a store may lease to
	// Owner and keep for later requests: to lease many at once costs less, and so do
	// the marks of a row that is leased. A row that is kept has no run: marks that
	// come before it is given belong to its run, and after an eighth of TTL a
	// request gives it back, for others to have it. So does one with neither N nor
	// Ahead, with all of them. A store may ignore it.
	Ahead int
}

// Lease is the right to reconcile one row until a time.
type Lease struct {
	Flow  string
	Key   entity.Key
	Token string
	Until time.Time

	// The row as it was when the lease was taken.

	Dirty, Done  int64
	Due          time.Time // since when it could be leased
	Attempts     int
	Deferrals    int
	FirstFailure time.Time // first of the current series of failures, zero if none
	Priority     Priority
	Cause        Cause
}

// Row is what the store knows of one entity of a flow.
type Row struct {
	Flow         string
	Key          entity.Key
	State        State
	Dirty, Done  int64
	Due          time.Time   // earliest time wanted, zero: none
	Later        []time.Time // that marks asked for and no run has begun since, ascending
	Priority     Priority
	Attempts     int // failed runs since the last success or mark
	Deferrals    int // deferred runs since the last success, failure or mark
	FirstFailure time.Time
	LastFailure  time.Time
	Present      bool      // we made it exist in the target
	Applied      time.Time // end of the last run that was Done, zero: none
	Fingerprint  []byte    // of what that run applied, nil: nothing
	Finished     time.Time // end of the last run, zero: none
	LastResult   Result
	Summary      string // of the last run
	Group        string // of the current series of failures, empty: none
	Cause        Cause  // of the last mark
	LeaseOwner   string
	LeaseUntil   time.Time
}

// Query says which rows to list.
type Query struct {
	Flow  string
	State State
	Group string     // only rows of this group; empty: all
	After entity.Key // only rows with keys after this one; zero: all
	Limit int        // how many rows at most
}

// Upcoming is a time at which an entity is to be reconciled.
type Upcoming struct {
	At  time.Time
	Key entity.Key
}

// Stat describes the rows of one flow and state.
type Stat struct {
	Rows int
	// Oldest is the earliest time since when one of the rows is Due or Waiting
	// (its due time; of a lease that has expired, the expiry) or Parked (its
	// LastFailure). It is zero for other states.
	Oldest time.Time
}

// ParkedGroup describes parked rows that failed for the same reason.
type ParkedGroup struct {
	Group string
	Rows  int
	// Summary is that of the row that failed last.
	Summary string
	// First and Last are the earliest and the latest LastFailure.
	First, Last time.Time
}

// Rejected is a message that could not be used. Its strings may hold any bytes,
// and all of it but Reason and Topic personal data.
type Rejected struct {
	ID       string // given by the store
	Received time.Time
	Reason   string // without personal data
	Topic    string // of the input that it came from
	// RoutingKey is the key that the message was published with.
	RoutingKey string
	// UUID and Metadata are those of the Watermill message.
	UUID     string
	Metadata map[string]string
	// Payload is the message as it came, cut to the limit that the connector
	// sets.
	Payload []byte
	// Size is the length of the whole payload, in bytes.
	Size int
}

// Cut reports whether Payload is only the beginning of what came.
func (r Rejected) Cut() bool { return r.Size > len(r.Payload) }

// String returns the ID and the reason; the rest may be personal data.
func (r Rejected) String() string { return r.ID + ": " + r.Reason }

// GoString is String, for %#v.
func (r Rejected) GoString() string { return r.String() }

// LogValue is String, for logs.
func (r Rejected) LogValue() slog.Value { return slog.StringValue(r.String()) }
