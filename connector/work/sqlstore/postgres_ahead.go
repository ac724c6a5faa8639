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

// aheadQueue are the rows that were leased ahead of their runs for one holder, in
// the order in which they are to be given. They are held as well: marks that
// come before their runs cost nothing.
type aheadQueue struct {
	leases []aheadLease // also of rows that have left the queue meanwhile
	rows   int          // that have not
	mixed  bool         // the leases are not in order
	behind bool         // there may be more live rows in the database, which come first
	asked  time.Time    // when rows were leased ahead last
	old    time.Time    // when the first may have been kept for too long
	rest   time.Time    // before when none are leased ahead: it had some for too long

	// Of the last request.

	most  int // Ahead
	ttl   time.Duration
	heard time.Time
}

// aheadLease is a lease that was taken at a time, of a row that has been due since
// another, by our clock.
type aheadLease struct {
	*work.Lease

	taken, since time.Time
}

const (
	// aheadEvery is how often rows are leased ahead while there are enough, and
	// aheadByAge how often by those who ask for the oldest rows, since they wait for
	// the database anyway. aheadAtOnce is how many are leased in one statement: the
	// more of them come at once, the less each costs, but it must not take long.
	aheadEvery  = 100 * time.Millisecond
	aheadByAge  = 10 * time.Millisecond
	aheadAtOnce = 1000

	// keepFor is for which part of its lease a row is kept. What is left must
	// be enough for a run to try twice to renew it.
	keepFor = 8
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
		q = &aheadQueue{behind: true}
		if h.ahead == nil {
			h.ahead = make(map[holder]*aheadQueue)
		}
		h.ahead[holderOf(req)] = q
	}
	q.most, q.ttl, q.heard = req.Ahead, req.TTL, now
}

// room returns how many more rows may be leased ahead.
func (q *aheadQueue) room(now time.Time) int {
	if now.Before(q.rest) {
		return 0
	}
	return max(0, q.most-q.rows)
}

// wants returns how many rows are to be leased ahead now, none if there are enough
// for a while.
func (h *held) wants(req work.LeaseRequest, now time.Time) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.ahead[holderOf(req)]
	if q == nil || q.room(now) == 0 {
		return 0
	}
	every := aheadEvery
	if req.Order == work.ByAge {
		every = aheadByAge
	}
	if now.Sub(q.asked) < every && h.readyLocked(q, req, now) >= req.N {
		return 0
	}
	q.asked = now
	return min(q.room(now)+max(0, req.N), aheadAtOnce)
}

// follow notes whether there may be more live rows in the database.
func (h *held) follow(req work.LeaseRequest, more bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if q := h.ahead[holderOf(req)]; q != nil {
		q.behind = more
	}
}

// keep notes leases that were asked for at a time, to be given later. By the
// database's clock it was then now. It returns those for whom nobody is there
// any more.
func (h *held) keep(owner string, leases []work.Lease, asked, now time.Time, ttl time.Duration) (late []work.Lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.givenLocked(leases, asked, ttl)
	for i := range leases {
		l := &leases[i]
		id := rowID{l.Flow, l.Key}
		row := h.rows[id]
		q := h.ahead[holder{l.Flow, owner}]
		if q == nil {
			h.endLocked(id, row)
			late = append(late, *l)
			continue
		}
		row.ahead, row.due = q, l.Due
		q.add(aheadLease{l, asked, asked.Add(l.Due.Sub(now))})
	}
	for _, q := range h.ahead {
		if q.mixed {
			slices.SortStableFunc(q.leases, func(a, b aheadLease) int { return compareRank(a.Lease, b.Lease) })
			q.mixed = false
		}
	}
	return late
}

func (q *aheadQueue) add(l aheadLease) {
	if old := l.taken.Add(q.ttl / keepFor); q.rows == 0 || old.Before(q.old) {
		q.old = old
	}
	if n := len(q.leases); n > 0 && compareRank(q.leases[n-1].Lease, l.Lease) > 0 {
		q.mixed = true
	}
	q.leases = append(q.leases, l)
	q.rows++
}

func compareRank(a, b *work.Lease) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), a.Due.Compare(b.Due))
}

// aheadLocked returns the row of a lease in a queue, nil if it has left the queue.
func (h *held) aheadLocked(q *aheadQueue, l aheadLease) *heldRow {
	if row := h.rows[rowID{l.Flow, l.Key}]; row != nil && row.ahead == q && row.token == l.Token {
		return row
	}
	return nil
}

// dequeue takes a row out of its queue.
func (r *heldRow) dequeue() {
	if r.ahead == nil {
		return
	}
	if r.ahead.rows--; r.ahead.rows == 0 {
		r.ahead.leases = nil
	}
	r.ahead = nil
}

// keeps reports whether rows of a flow are kept.
func (h *held) keeps(flow string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for of, q := range h.ahead {
		if of.flow == flow && q.rows > 0 {
			return true
		}
	}
	return false
}

// count counts rows that are kept as due.
func (h *held) count(stats map[string]map[work.State]work.Stat) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for of, q := range h.ahead {
		running, due := stats[of.flow][work.Running], stats[of.flow][work.Due]
		kept := min(q.rows, running.Rows) // it may have changed since the database counted
		if kept == 0 {
			continue
		}
		first := slices.IndexFunc(q.leases, func(l aheadLease) bool { return h.aheadLocked(q, l) != nil })
		if since := q.leases[first].Due; due.Rows == 0 || since.Before(due.Oldest) {
			due.Oldest = since
		}
		running.Rows -= kept
		due.Rows += kept
		stats[of.flow][work.Due] = due
		if stats[of.flow][work.Running] = running; running.Rows == 0 {
			delete(stats[of.flow], work.Running)
		}
	}
}

// ready returns how many rows that are kept can be given, at most as many as
// are wanted.
func (h *held) ready(req work.LeaseRequest, now time.Time) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if q := h.ahead[holderOf(req)]; q != nil {
		return h.readyLocked(q, req, now)
	}
	return 0
}

func (h *held) readyLocked(q *aheadQueue, req work.LeaseRequest, now time.Time) (n int) {
	for _, l := range q.leases {
		if n >= req.N || now.Sub(l.since) < req.Waited {
			break
		}
		if h.aheadLocked(q, l) != nil {
			n++
		}
	}
	return n
}

// give gives rows that are kept to their runs, besides more that were just leased.
// It takes out those for which it is too late.
func (h *held) give(req work.LeaseRequest, more []work.Lease, now time.Time) (leases, late []work.Lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.ahead[holderOf(req)]
	if q == nil || q.rows == 0 {
		return more, nil
	}
	for len(leases)+len(more) < req.N && len(q.leases) > 0 && now.Sub(q.leases[0].since) >= req.Waited {
		l := q.leases[0]
		q.leases = q.leases[1:]
		row := h.aheadLocked(q, l)
		if row == nil {
			continue
		}
		if deadline.Left(now, row.until) <= q.ttl/2 {
			late = append(late, h.unkeepLocked(rowID{l.Flow, l.Key}, row))
			continue
		}
		row.dequeue()
		leases = append(leases, row.begin(*l.Lease, now, q.ttl))
	}
	if req.Order == work.ByAge {
		leases = append(leases, more...)
		slices.SortStableFunc(leases, func(a, b work.Lease) int { return a.Due.Compare(b.Due) })
		return leases, late
	}
	live := 0
	for live < len(more) && more[live].Priority >= work.Live {
		live++
	}
	leases = append(leases, more[:live]...)
	slices.SortStableFunc(leases, func(a, b work.Lease) int { return compareRank(&a, &b) })
	return append(leases, more[live:]...), late
}

// begin returns the lease as of now: marks that have come belong to the run.
func (r *heldRow) begin(l work.Lease, now time.Time, ttl time.Duration) work.Lease {
	if until := now.Add(deadline.Left(now, r.until) + ttl/leaseMargin); until.Before(l.Until) {
		l.Until = time.UnixMilli(until.UnixMilli()).UTC()
	}
	r.written = false
	if r.owed().n == 0 {
		return l
	}
	r.seen, r.marks = r.owed(), heldMarks{}
	l.Dirty += r.seen.n
	l.Attempts, l.Deferrals, l.FirstFailure = 0, 0, time.Time{}
	l.Priority = max(l.Priority, work.Priority(r.seen.top))
	l.Cause = storedCause(r.seen.cause)
	return l
}

// unkeepOld takes out rows if some were kept for too long, and with them those that
// soon will have been.
func (h *held) unkeepOld(req work.LeaseRequest, now time.Time) (leases []work.Lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.ahead[holderOf(req)]
	if q == nil || q.rows == 0 || now.Before(q.old) {
		return nil
	}
	keep := req.TTL / keepFor
	oldest := now
	for _, l := range q.leases {
		if l.taken.Before(oldest) && h.aheadLocked(q, l) != nil {
			oldest = l.taken
		}
	}
	if q.old = oldest.Add(keep); now.Before(q.old) {
		return nil
	}
	q.old = now.Add(keep / 2)
	for _, l := range q.leases {
		if row := h.aheadLocked(q, l); row != nil && now.Sub(l.taken) >= keep/2 {
			leases = append(leases, h.unkeepLocked(rowID{l.Flow, l.Key}, row))
		}
	}
	q.rest = now.Add(keep) // others shall have them
	return leases
}

// leave takes out the rows of a holder who goes.
func (h *held) leave(of holder) (leases []work.Lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if q := h.ahead[of]; q != nil {
		leases = h.unkeepAllLocked(func(_ rowID, row *heldRow) bool { return row.ahead == q })
		delete(h.ahead, of)
	}
	return leases
}

// unkeep takes out those rows that were not given yet.
func (h *held) unkeep(wanted func(rowID) bool) []work.Lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.unkeepAllLocked(func(id rowID, _ *heldRow) bool { return wanted(id) })
}

func (h *held) unkeepAllLocked(wanted func(rowID, *heldRow) bool) (leases []work.Lease) {
	for id, row := range h.rows {
		if row.ahead != nil && wanted(id, row) {
			leases = append(leases, h.unkeepLocked(id, row))
		}
	}
	return leases
}

// unkeepRows takes out those of some rows that were not given yet.
func (h *held) unkeepRows(ids []rowID) (leases []work.Lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		if row := h.rows[id]; row != nil && row.ahead != nil {
			leases = append(leases, h.unkeepLocked(id, row))
		}
	}
	return leases
}

// unkeepLocked takes out a row that was not given yet. It is held no longer: from
// now on its marks are written.
func (h *held) unkeepLocked(id rowID, row *heldRow) work.Lease {
	l := work.Lease{Flow: id.flow, Key: id.key, Token: row.token, Due: row.due}
	h.endLocked(id, row)
	return l
}

// leaseAhead leases rows and keeps them.
func (p *Postgres) leaseAhead(ctx context.Context, req work.LeaseRequest) error {
	query := req
	query.Order, query.Waited = work.ByPriority, 0
	if query.N = p.held.wants(req, time.Now()); query.N == 0 {
		return nil
	}
	leases, asked, now, err := p.lease(ctx, query, work.Live)
	if err != nil {
		return err
	}
	p.held.follow(req, len(leases) == query.N)
	return p.giveBack(ctx, p.held.keep(req.Owner, leases, asked, now, req.TTL))
}
