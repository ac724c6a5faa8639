package work

import (
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/konnektor-go/konnektor/entity"
)

// memoryRow is a Row, packed: there may be millions. State is derived.
type memoryRow struct {
	*memoryBusy // atRest if nothing is to be done, not changed then

	flow *memoryFlow
	key  entity.Key

	dirty, done                    int64
	due, applied, finished, caused millis
	priority                       Priority
	result, summary, kind, routing text
	detail                         string // event ID, trace and fingerprint
	events, traces                 uint32 // how long they are
	hops                           int32
	present, parked                bool
}

// memoryBusy is what a row has besides while it waits, runs or has failed.
type memoryBusy struct {
	leased              int64 // dirty as the run saw it
	until, first, last  millis
	later               []millis
	attempts, deferrals int
	group, owner        text
	token               string
	queue               *queue // that the row is in, nil: it waits for nothing
	place               int32  // in the queue
	renewed             bool   // a mark for now came during the run
}

// atRest is shared by all rows with which nothing is to be done.
var atRest = new(memoryBusy)

// wake lets what a row has while it is busy be changed.
func (r *memoryRow) wake() {
	if r.memoryBusy == atRest {
		r.memoryBusy = new(memoryBusy)
	}
}

// settle gives back what a row has while it is busy, if it has nothing.
func (r *memoryRow) settle() {
	if r.queue == nil && r.token == "" && len(r.later) == 0 && r.attempts == 0 && r.deferrals == 0 && r.last == 0 {
		r.memoryBusy = atRest
	}
}

// millis is a time as whole milliseconds since the zero time, 0 for none.
type millis int64

// zeroMillis is the zero time in milliseconds since 1970.
const zeroMillis = -62135596800000

func millisOf(t time.Time) millis { return millis(t.UnixMilli() - zeroMillis) }

func (m millis) time() time.Time { return time.UnixMilli(int64(m) + zeroMillis).UTC() }

// earliest returns the earlier of two times, of which 0 means none.
func earliest(a, b millis) millis {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// text is a string that many rows have, kept once for all of them.
type text struct{ handle unique.Handle[string] }

func textOf(s string) text {
	if s == "" {
		return text{}
	}
	return text{unique.Make(s)}
}

func (t text) value() string {
	if t == (text{}) {
		return ""
	}
	return t.handle.Value()
}

// newMemoryRow clones what it keeps: it may be part of a whole message.
func newMemoryRow(f *memoryFlow, mk Mark) *memoryRow {
	key := entity.Key{Type: textOf(mk.Key.Type).value(), ID: strings.Clone(mk.Key.ID)}
	return &memoryRow{memoryBusy: atRest, flow: f, key: key, priority: mk.Priority}
}

func (r *memoryRow) setCause(c Cause) {
	r.kind, r.routing = textOf(c.Kind), textOf(c.RoutingKey)
	r.caused, r.hops = millisOf(c.Time), int32(c.Hops)
	r.setDetail(c.EventID, c.Trace, r.fingerprint())
}

func (r *memoryRow) setDetail(eventID, trace, fingerprint string) {
	var detail strings.Builder // copies: they may be parts of a whole message
	detail.Grow(len(eventID) + len(trace) + len(fingerprint))
	for _, text := range [...]string{eventID, trace, fingerprint} {
		detail.WriteString(text)
	}
	r.detail = detail.String()
	r.events, r.traces = uint32(len(eventID)), uint32(len(trace))
}

func (r *memoryRow) eventID() string { return r.detail[:r.events] }

func (r *memoryRow) trace() string { return r.detail[r.events:][:r.traces] }

func (r *memoryRow) fingerprint() string { return r.detail[r.events+r.traces:] }

func (r *memoryRow) cause() Cause {
	return Cause{
		Kind: r.kind.value(), EventID: r.eventID(), Time: r.caused.time(), RoutingKey: r.routing.value(),
		Trace: r.trace(), Hops: int(r.hops),
	}
}

func (r *memoryRow) mark(mk Mark, now millis) {
	r.wake()
	r.dirty++
	r.setCause(mk.Cause)
	if due := millisOf(mk.Due); due > now {
		if i, found := slices.BinarySearch(r.later, due); !found {
			r.later = slices.Insert(r.later, i, due)
		}
		r.due = earliest(r.due, due)
		return
	}
	if s := r.state(now); s == Due || s == Running || r.owes() {
		r.priority = max(r.priority, mk.Priority)
	} else {
		r.priority = mk.Priority
	}
	r.due = earliest(r.due, now)
	r.startAfresh()
	r.renewed = r.token != ""
}

// owes reports whether the last run did not do what it was to do.
func (r *memoryRow) owes() bool {
	result := Result(r.result.value())
	return result != "" && result != Done
}

func (r *memoryRow) startAfresh() {
	r.attempts, r.deferrals = 0, 0
	r.first, r.last, r.group = 0, 0, text{}
	r.parked = false
}

// free returns since when the row can be leased, 0 if never.
func (r *memoryRow) free() millis {
	if r.token != "" {
		return r.until
	}
	return r.due
}

func (r *memoryRow) state(now millis) State {
	switch free := r.free(); {
	case r.token != "" && free > now:
		return Running
	case r.parked:
		return Parked
	case free > now:
		return Waiting
	case free != 0:
		return Due
	default:
		return Idle
	}
}

func (r *memoryRow) lease(owner, token string, now, until millis) Lease {
	free := r.free()
	if r.parked {
		r.startAfresh()
	}
	if n, _ := slices.BinarySearch(r.later, now+1); n > 0 {
		r.priority = max(r.priority, Retry)
		if r.later = slices.Delete(r.later, 0, n); len(r.later) == 0 {
			r.later = nil
		}
	}
	r.due = 0
	r.renewed = false
	r.token, r.leased = token, r.dirty
	r.owner, r.until = textOf(owner), until
	return Lease{
		Flow: r.flow.name, Key: r.key, Token: token, Until: until.time(), Dirty: r.dirty, Done: r.done, Due: free.time(),
		Attempts: r.attempts, Deferrals: r.deferrals, FirstFailure: r.first.time(), Priority: r.priority, Cause: r.cause(),
	}
}

func (r *memoryRow) finish(o Outcome, now millis) {
	next := millisOf(o.Next)
	switch o.Result {
	case Done:
		r.done, r.present, r.applied = r.leased, o.Present, now
		r.setDetail(r.eventID(), r.trace(), string(o.Fingerprint))
	case GaveUp:
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
	r.finished, r.result, r.summary = now, textOf(string(o.Result)), textOf(o.Summary)
	r.token, r.owner, r.until, r.renewed = "", text{}, 0, false
}

func (r *memoryRow) count(o Outcome, now millis) {
	switch o.Result {
	case Done:
		r.startAfresh()
		r.priority = Live
	case Deferred:
		r.deferrals++
	case Released:
	default:
		r.attempts++
		r.deferrals = 0
		r.priority = min(r.priority, Retry)
		r.first, r.last = earliest(r.first, now), now
		r.group = textOf(o.Group)
		r.parked = o.Result == GaveUp
	}
}

// row returns the row as Get gives it.
func (r *memoryRow) row(now millis) Row {
	row := Row{
		Flow: r.flow.name, Key: r.key, State: r.state(now), Dirty: r.dirty, Done: r.done,
		Due: r.due.time(), Priority: r.priority, Attempts: r.attempts, Deferrals: r.deferrals,
		FirstFailure: r.first.time(), LastFailure: r.last.time(), Present: r.present, Applied: r.applied.time(),
		Finished: r.finished.time(), LastResult: Result(r.result.value()), Summary: r.summary.value(),
		Group: r.group.value(), Cause: r.cause(), LeaseOwner: r.owner.value(), LeaseUntil: r.until.time(),
	}
	for _, at := range r.later {
		row.Later = append(row.Later, at.time())
	}
	if p := r.fingerprint(); p != "" {
		row.Fingerprint = []byte(p)
	}
	return row
}
