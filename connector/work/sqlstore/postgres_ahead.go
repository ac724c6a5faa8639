package sqlstore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/internal/deadline"
)

// holder is for whom rows are leased.
type holder struct{ flow, owner string }

func holderOf(req work.LeaseRequest) holder { return holder{req.Flow, req.Owner} }

// aheadQueue are the rows that were leased ahead of their runs for one holder, in the
// order in which they are to be given. They are held as well: marks that come
// before their runs cost nothing.
type aheadQueue struct {
	leases []aheadLease
	mixed  bool      // not in order
	asked  time.Time // when rows were leased ahead last
	old    time.Time // when the first may have been kept for too long

	// Of the last request.

	most  int // Ahead
	ttl   time.Duration
	heard time.Time
}

type aheadLease struct {
	*work.Lease

	since time.Time // by our clock
}

const (
	// aheadEvery is how often rows are leased ahead while there are enough: the
	// more of them come at once, the less each costs.
	aheadEvery = 10 * time.Millisecond

	// keepFor is for which part of its lease a row is kept: enough must be left
	// for the run until it renews its lease.
	keepFor = 4

	sqlPostgresGiveBack = `UPDATE {schema}.work AS w SET
	due = least(w.due, o.due), lease_owner = '', lease_until = NULL, renewed = false
FROM (
	SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
		WITH ORDINALITY AS o (flow, type, id, token, due, num) ` + oneByOne + `
) AS o
WHERE w.flow = o.flow AND w.type = o.type AND w.id = o.id AND w.token = o.token AND w.lease_until IS NOT NULL`
)

// hears notes what a request says of rows that are leased ahead of it.
func (h *held) hears(req work.LeaseRequest, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.ahead[holderOf(req)]
	if q == nil {
		if req.Ahead <= 0 {
			return
		}
		q = &aheadQueue{}
		if h.ahead == nil {
			h.ahead = make(map[holder]*aheadQueue)
		}
		h.ahead[holderOf(req)] = q
	}
	q.most, q.ttl, q.heard = req.Ahead, req.TTL, now
}

// room returns how many rows are to be leased ahead now.
func (h *held) room(req work.LeaseRequest, now time.Time) int {
	if req.Ahead <= 0 || req.Order == work.ByAge {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.ahead[holderOf(req)]
	if q == nil || q.ready(req, now) >= req.N && now.Sub(q.asked) < aheadEvery {
		return 0
	}
	q.asked = now
	return req.N + req.Ahead - len(q.leases)
}

// keep keeps leases that were asked for at a time. It returns those for which
// nobody is there any more.
func (h *held) keep(owner string, leases []work.Lease, asked time.Time) (late []work.Lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range leases {
		l := &leases[i]
		id := rowID{l.Flow, l.Key}
		row := h.rows[id]
		if row == nil || row.token != l.Token {
			continue // it has ended
		}
		q := h.ahead[holder{l.Flow, owner}]
		if q == nil {
			h.endLocked(id, row)
			late = append(late, *l)
			continue
		}
		row.ahead = true
		q.add(aheadLease{l, asked})
	}
	for _, q := range h.ahead {
		q.sort()
	}
	return late
}

func (q *aheadQueue) add(l aheadLease) {
	if n := len(q.leases); n == 0 {
		q.old = l.since.Add(q.ttl / keepFor)
	} else if compareRank(q.leases[n-1].Lease, l.Lease) > 0 {
		q.mixed = true
	}
	q.leases = append(q.leases, l)
}

func (q *aheadQueue) sort() {
	if q.mixed {
		slices.SortStableFunc(q.leases, func(a, b aheadLease) int { return compareRank(a.Lease, b.Lease) })
		q.mixed = false
	}
}

func compareRank(a, b *work.Lease) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), a.Due.Compare(b.Due))
}

// ready returns how many rows that are kept can be given, at most as many as
// are wanted.
func (h *held) ready(req work.LeaseRequest, now time.Time) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if q := h.ahead[holderOf(req)]; q != nil {
		return q.ready(req, now)
	}
	return 0
}

func (q *aheadQueue) ready(req work.LeaseRequest, now time.Time) (n int) {
	if req.Order == work.ByAge {
		return 0
	}
	for n < min(req.N, len(q.leases)) && now.Sub(q.leases[n].since) >= req.Waited {
		n++
	}
	return n
}

// give gives rows that are kept to their runs, besides more that were just leased.
func (h *held) give(req work.LeaseRequest, more []work.Lease, now time.Time) []work.Lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.ahead[holderOf(req)]
	if q == nil {
		return more
	}
	req.N -= len(more)
	n := q.ready(req, now)
	leases := make([]work.Lease, 0, n+len(more))
	for _, l := range q.leases[:n] {
		row := h.rows[rowID{l.Flow, l.Key}]
		if row != nil && row.ahead && row.token == l.Token && row.holds(now) {
			leases = append(leases, row.begin(*l.Lease, now))
		}
	}
	q.leases = q.leases[n:]
	live := 0
	for live < len(more) && more[live].Priority >= work.Live {
		live++
	}
	leases = append(leases, more[:live]...)
	slices.SortStableFunc(leases, func(a, b work.Lease) int { return compareRank(&a, &b) })
	return append(leases, more[live:]...)
}

// begin returns the lease as of now: marks that have come belong to the run.
func (r *heldRow) begin(l work.Lease, now time.Time) work.Lease {
	r.ahead = false
	l.Until = time.UnixMilli(now.Add(deadline.Left(now, r.until)).UnixMilli()).UTC()
	if r.marks.n == 0 {
		return l
	}
	r.seen, r.marks = r.owed(), heldMarks{}
	l.Dirty += r.seen.n
	l.Attempts, l.Deferrals, l.FirstFailure = 0, 0, time.Time{}
	l.Priority = max(l.Priority, work.Priority(r.seen.top))
	l.Cause = storedCause(r.seen.cause)
	return l
}

// unkeepOld takes out the rows that were kept for too long.
func (h *held) unkeepOld(req work.LeaseRequest, now time.Time) (leases []work.Lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.ahead[holderOf(req)]
	if q == nil || len(q.leases) == 0 || now.Before(q.old) {
		return nil
	}
	q.old = now.Add(req.TTL / keepFor)
	return h.unkeepLocked(q, func(l aheadLease) bool {
		old := l.since.Add(req.TTL / keepFor)
		if now.Before(old) && old.Before(q.old) {
			q.old = old
		}
		return !now.Before(old)
	})
}

// leave takes out the rows of a holder who goes.
func (h *held) leave(of holder) []work.Lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.ahead[of]
	if q == nil {
		return nil
	}
	delete(h.ahead, of)
	return h.unkeepLocked(q, func(aheadLease) bool { return true })
}

// unkeep takes out rows that were not given yet.
func (h *held) unkeep(wanted func(rowID) bool) (leases []work.Lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, q := range h.ahead {
		leases = append(leases, h.unkeepLocked(q, func(l aheadLease) bool { return wanted(rowID{l.Flow, l.Key}) })...)
	}
	return leases
}

// unkeepRows takes out those of some rows that were not given yet.
func (h *held) unkeepRows(ids []rowID) []work.Lease {
	h.mu.Lock()
	ids = slices.DeleteFunc(ids, func(id rowID) bool {
		row := h.rows[id]
		return row == nil || !row.ahead
	})
	h.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	return h.unkeep(func(id rowID) bool { return slices.Contains(ids, id) })
}

// unkeepLocked takes out rows that were not given yet. They are held no longer:
// from now on their marks are written.
func (h *held) unkeepLocked(q *aheadQueue, wanted func(aheadLease) bool) (leases []work.Lease) {
	q.leases = slices.DeleteFunc(q.leases, func(l aheadLease) bool {
		if !wanted(l) {
			return false
		}
		id := rowID{l.Flow, l.Key}
		if row := h.rows[id]; row != nil && row.token == l.Token {
			h.endLocked(id, row)
			leases = append(leases, *l.Lease)
		}
		return true
	})
	return leases
}

// leaseAhead leases rows and keeps them.
func (p *Postgres) leaseAhead(ctx context.Context, req work.LeaseRequest) error {
	query := req
	query.N, query.Waited = p.held.room(req, time.Now()), 0
	if query.N <= 0 {
		return nil
	}
	leases, asked, err := p.lease(ctx, query, work.Live)
	if err != nil {
		return err
	}
	return p.giveBack(ctx, p.held.keep(req.Owner, leases, asked))
}

// giveBack lets others have rows that were leased, and had no run.
func (p *Postgres) giveBack(ctx context.Context, leases []work.Lease) error {
	if len(leases) == 0 {
		return nil
	}
	slices.SortFunc(leases, func(a, b work.Lease) int { return rowID{a.Flow, a.Key}.compare(rowID{b.Flow, b.Key}) })
	n := len(leases)
	flows, types, ids, tokens, dues := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]*time.Time, n)
	for i, l := range leases {
		flows[i], types[i], ids[i], tokens[i], dues[i] = l.Flow, l.Key.Type, l.Key.ID, l.Token, instant(l.Due)
	}
	_, err := p.change(ctx, "lease", sqlPostgresGiveBack, flows, types, ids, tokens, dues)
	return err
}
