package republish

import (
	"time"

	"github.com/konnektor-go/konnektor/sink"
)

// brake limits the publications of one entity. Its state is in the entry.
//
// Each publication raises a level, which sinks by Limit in each Window. At the
// limit, the next one is held until a Window after the last. One that was held is
// a strike, which doubles the next hold. An entity that is quiet for as long as
// its last hold again is forgiven.
type brake struct {
	limit  int // 0: no brake
	window time.Duration
	most   time.Duration
}

// hold is how long after the last publication the next one may be, at a number
// of strikes.
func (b brake) hold(strikes int) time.Duration {
	d := b.window
	for range strikes {
		if d >= b.most/2 {
			return b.most
		}
		d *= 2
	}
	return min(d, b.most)
}

// settle returns the entry with what time has forgiven.
func (b brake) settle(e Entry, now time.Time) Entry {
	quiet := max(now.Sub(e.Last), 0)
	switch {
	case e.Strikes > 0 && quiet >= 2*b.hold(e.Strikes):
		e.Level, e.Strikes = 0, 0
	case e.Strikes == 0 && !e.Held:
		e.Level = max(0, e.Level-float64(b.limit)*float64(quiet)/float64(b.window))
	}
	return e
}

// next returns when the entry may be published: the zero time for at once.
func (b brake) next(e Entry, now time.Time) time.Time {
	if b.limit <= 0 || b.settle(e, now).Level+1 <= float64(b.limit) {
		return time.Time{}
	}
	at := e.Last.Add(b.hold(e.Strikes))
	if !now.Before(at) || now.Before(e.Last) { // a clock that was set back holds nothing
		return time.Time{}
	}
	return at
}

// published returns the entry after a publication.
func (b brake) published(e Entry, now time.Time) Entry {
	if b.limit <= 0 {
		return Entry{Revision: e.Revision, Time: e.Time, Expires: now}
	}
	held := e.Held
	e = b.settle(e, now)
	e.Level = min(e.Level+1, float64(b.limit))
	if held {
		e.Strikes, e.Level = e.Strikes+1, float64(b.limit)
	}
	e.Last = now.UTC()
	e.Pending, e.Held, e.Op = false, false, sink.Unchanged
	e.Expires = now.Add(2 * b.hold(e.Strikes))
	return e
}
