package sqlstore

import (
	"slices"
	"strings"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// millis is a time as whole milliseconds since the zero time, 0 for none.
type millis int64

// zeroMillis is the zero time in milliseconds since 1970.
const zeroMillis = -62135596800000

func millisOf(t time.Time) millis { return millis(t.UnixMilli() - zeroMillis) }

func (m millis) time() time.Time { return time.UnixMilli(int64(m) + zeroMillis).UTC() }

// column returns the time as the database keeps it.
func (m millis) column() any {
	if m == 0 {
		return nil
	}
	return int64(m) + zeroMillis
}

// earliest returns the earlier of two times, of which 0 means none.
func earliest(a, b millis) millis {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// hotRow is a row in memory, which is newer than the database's if it has
// changed. See [hot].
type hotRow struct {
	id  rowID
	rid int64 // 0: the table has not got it, or it was not looked for

	rowState

	made    bool  // the table has not got it
	changed bool  // since it was read or written
	dated   bool  // later has changed
	touched bool  // by the session under way
	owed    bool  // to the journal, by the session under way
	listed  bool  // among those that rest
	seq     int64 // of the journal's last entry with it, 0: none since it was read
	kept    promise
	queue   *hotQueue
	place   int // in the queue
}

// rowState is what a row holds. Its slice is not changed in place.
type rowState struct {
	dirty, done, leased                        int64 // leased: dirty as the run saw it
	due, until, first, last, applied, finished millis
	later                                      []millis
	priority                                   work.Priority
	attempts, deferrals                        int
	result                                     work.Result
	summary, group, owner, token, fingerprint  string
	cause                                      work.Cause // without the time
	caused                                     millis
	present, parked, renewed                   bool
}

// promise is what the file has of a row that is to be run, in the table or in the
// journal's last entry with it: since when, and with which priority. It is zero if
// the file has nothing of the kind, or has the row with failures.
type promise struct {
	due      millis
	priority work.Priority
}

// promise returns what the file has of the row once this state is stored.
func (r *rowState) promise() promise {
	if !r.fresh() {
		return promise{}
	}
	return promise{r.due, r.priority}
}

// fresh reports whether nothing is known of failures.
func (r *rowState) fresh() bool {
	return !r.parked && r.attempts == 0 && r.deferrals == 0 && r.first == 0 && r.last == 0 && r.group == ""
}

// covers reports whether a mark need not be stored: it is for now, and if the
// process dies the row is due all the same, since as early and with no lower
// priority. Whoever runs it then begins its fetch after the mark came. A lease
// changes nothing about that, for it dies with the process.
func (p promise) covers(m work.Mark, now millis) bool {
	return p.due != 0 && p.due <= now && m.Priority <= p.priority && millisOf(m.Due) <= now
}

// newHotRow clones what it keeps: it may be part of a whole message.
func newHotRow(m work.Mark) *hotRow {
	id := rowID{m.Flow, m.Key}
	id.key.ID = strings.Clone(id.key.ID)
	return &hotRow{id: id, made: true, rowState: rowState{priority: m.Priority}}
}

// free returns since when the row can be leased, 0 if never.
func (r *hotRow) free() millis {
	if r.token != "" {
		return r.until
	}
	return r.due
}

func (r *hotRow) state(now millis) work.State {
	switch free := r.free(); {
	case r.token != "" && free > now:
		return work.Running
	case r.parked:
		return work.Parked
	case free > now:
		return work.Waiting
	case free != 0:
		return work.Due
	default:
		return work.Idle
	}
}

// since returns since when the row has been in a state, as [work.Stat] has it.
func (r *hotRow) since(s work.State) millis {
	switch s {
	case work.Due, work.Waiting:
		return r.free()
	case work.Parked:
		return r.last
	default:
		return 0
	}
}

// rests reports whether nothing is to be done for the row soon.
func (r *hotRow) rests(now millis) bool {
	free := r.free()
	return r.token == "" && (free == 0 || free > now+millis(time.Minute/time.Millisecond))
}

func (r *hotRow) mark(m work.Mark, now millis) {
	r.changed, r.owed = true, r.owed || !r.kept.covers(m, now)
	r.dirty++
	r.cause = work.Cause{
		Kind: m.Cause.Kind, EventID: strings.Clone(m.Cause.EventID), RoutingKey: strings.Clone(m.Cause.RoutingKey),
		Trace: strings.Clone(m.Cause.Trace), Hops: m.Cause.Hops,
	}
	r.caused = millisOf(m.Cause.Time)
	if due := millisOf(m.Due); due > now {
		if i, found := slices.BinarySearch(r.later, due); !found {
			r.later = slices.Insert(slices.Clone(r.later), i, due)
			r.dated = true
		}
		r.due = earliest(r.due, due)
		return
	}
	owes := r.result != "" && r.result != work.Done
	if r.token != "" || r.due != 0 && r.due <= now || owes {
		r.priority = max(r.priority, m.Priority)
	} else {
		r.priority = m.Priority
	}
	r.due = earliest(r.due, now)
	r.startAfresh()
	r.renewed = r.token != ""
}

func (r *hotRow) startAfresh() {
	r.attempts, r.deferrals = 0, 0
	r.first, r.last, r.group = 0, 0, ""
	r.parked = false
}

func (r *hotRow) lease(owner, token string, now, until millis) work.Lease {
	r.changed = true
	free := r.free()
	if r.parked {
		r.startAfresh()
	}
	if n, _ := slices.BinarySearch(r.later, now+1); n > 0 {
		r.later, r.dated = slices.Clone(r.later[n:]), true
		r.priority = max(r.priority, work.Retry)
	}
	r.due, r.renewed = 0, false
	r.token, r.owner, r.until, r.leased = token, owner, until, r.dirty
	cause := r.cause
	cause.Time = r.caused.time()
	return work.Lease{
		Flow: r.id.flow, Key: r.id.key, Token: token, Until: until.time(), Dirty: r.dirty, Done: r.done, Due: free.time(),
		Attempts: r.attempts, Deferrals: r.deferrals, FirstFailure: r.first.time(), Priority: r.priority, Cause: cause,
	}
}

func (r *hotRow) finish(o work.Outcome, now millis) {
	r.changed, r.owed = true, true
	next := millisOf(o.Next)
	switch o.Result {
	case work.Done:
		r.done, r.present, r.applied, r.fingerprint = r.leased, o.Present, now, string(o.Fingerprint)
	case work.GaveUp:
		next = 0
	default:
		if next == 0 {
			next = now
		}
	}
	if len(r.later) > 0 {
		next = earliest(next, r.later[0])
	}
	r.due = earliest(r.due, next)
	if !r.renewed {
		r.count(o, now)
	}
	r.finished, r.result, r.summary = now, o.Result, o.Summary
	r.token, r.owner, r.until, r.renewed = "", "", 0, false
}

// count counts what a run came to that no mark for now has overtaken.
func (r *hotRow) count(o work.Outcome, now millis) {
	switch o.Result {
	case work.Done:
		r.startAfresh()
		r.priority = work.Live
	case work.Deferred:
		r.deferrals++
	case work.Released:
	default:
		r.attempts++
		r.deferrals = 0
		r.priority = min(r.priority, work.Retry)
		r.first, r.last = earliest(r.first, now), now
		r.group = o.Group
		r.parked = o.Result == work.GaveUp
	}
}
