package connector

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/konnektor-go/konnektor/connector/work"
)

// loop takes the due entities of one flow from the work store and reconciles
// them, each by one run at a time.
type loop struct {
	*session

	flow  *flow
	owner string
	log   *slog.Logger
	meter *flowMeter
	rate  *rate.Limiter // nil: no limit
	wake  chan struct{} // holds one: something may have become due or free
	begin chan *run     // for the next goroutine that has nothing to do
	saved int           // what is due to the oldest, in shares of a worker
	asked time.Time     // when rows were leased last
	more  bool          // there were as many as wanted
	rest  time.Time     // during a tide, before when there is nothing to lease
	ahead bool          // rows may have been leased ahead of their runs

	source, sink *breaker

	mu     sync.Mutex
	runs   map[string]*run // by lease token
	usual  time.Duration   // what a run takes, about
	active int             // runs that reconcile; the others wait for their outcome's commit
	// goroutines is how many do runs or wait for one: at least as many as there
	// are active runs.
	goroutines int

	renewal, expiry *watch // of the leases

	workers  sync.WaitGroup // the goroutines
	ending   sync.WaitGroup // runs, until their outcome is stored
	watching sync.WaitGroup // the watches
}

func (s *session) newLoop(f *flow, owner string) *loop {
	l := &loop{
		session: s,
		flow:    f,
		owner:   owner,
		log:     s.log.With("flow", f.name),
		meter:   s.meter.forFlow(f.name),
		wake:    make(chan struct{}, 1),
		begin:   make(chan *run, f.workers),
		source:  newBreaker(),
		sink:    newBreaker(),
		runs:    make(map[string]*run),
	}
	if f.rate > 0 {
		l.rate = rate.NewLimiter(rate.Limit(f.rate), max(1, int(f.rate)))
	}
	return l
}

func (l *loop) signal() {
	select {
	case l.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// loop starts runs until ctx ends and returns when the last has ended. The runs
// themselves live until runCtx ends.
func (l *loop) loop(ctx, runCtx context.Context) {
	watchCtx, stopWatching := context.WithCancel(runCtx)
	l.renewal = &watch{loop: l, ctx: watchCtx, period: l.cfg.Lease / 3, look: l.renew}
	l.expiry = &watch{loop: l, ctx: watchCtx, period: l.cfg.Lease / 12, look: l.expire}
	defer l.watching.Wait()
	defer stopWatching()
	defer l.ending.Wait()
	defer l.workers.Wait()
	defer close(l.begin)

	storeDelays := newBackOff(100*time.Millisecond, 5*time.Second)
	for ctx.Err() == nil {
		again, err := l.startDue(ctx, runCtx)
		if err == nil {
			storeDelays.Reset()
		} else if ctx.Err() == nil {
			again = time.Now().Add(storeDelays.NextBackOff())
			l.log.Warn("work store unavailable", "error", err)
		}
		l.wait(ctx, again)
	}
	l.giveBack(runCtx)
}

// giveBack gives back what was leased ahead of its run, so that others need not
// wait for the end of the leases.
func (l *loop) giveBack(runCtx context.Context) {
	if !l.ahead {
		return
	}
	l.ahead = false
	ctx, cancel := context.WithTimeout(context.WithoutCancel(runCtx), l.cfg.Lease/6)
	defer cancel()
	if _, err := l.cfg.Store.Lease(ctx, work.LeaseRequest{Flow: l.flow.name, Owner: l.owner}); err != nil {
		l.log.Warn("entities leased ahead are not given back", "error", err)
	}
}

// pollShared is how often a loop looks into a store in which others mark too:
// nobody signals what they do.
const pollShared = 2 * time.Second

// wait returns when there may be something to do: at a time, unless it is zero,
// on a signal, or when ctx ends.
func (l *loop) wait(ctx context.Context, until time.Time) {
	if poll := time.Now().Add(pollShared); l.cfg.Store.Shared() && (until.IsZero() || poll.Before(until)) {
		until = poll
	}
	var timer <-chan time.Time
	if !until.IsZero() {
		// A store that keeps whole milliseconds can name a time just before
		// the one at which it gives the row.
		timer = time.After(max(time.Until(until), time.Millisecond))
	}
	select {
	case <-ctx.Done():
	case <-l.wake:
	case <-timer:
	}
}

const (
	// Of every eighth request one free worker in eight, at least one, is for rows
	// by their age rather than their priority: enough that bulk work moves however
	// much live work comes, and little enough that live work is not held up. That is
	// saved until it is an eighth of all workers, or of one request all.
	byAgeEvery = 8
	byAgeShare = 8
	// shareOfLease is which part of the workers must be free before rows are
	// leased for them while there are many, so that they share a call; shareWait is
	// for how long they wait for each other.
	shareOfLease = 8
	shareWait    = time.Millisecond
	// maxUncommitted is how many runs more than workers may wait for the commit
	// of their outcomes, so that a slow commit holds up nobody.
	maxUncommitted = maxBatch
)

// permit returns how many runs may start now. If it is none, it returns when to
// ask again; the zero time means after a run has ended.
func (l *loop) permit() (allowed int, again time.Time) {
	l.mu.Lock()
	allowed = min(l.flow.workers-l.active, l.flow.workers+maxUncommitted-len(l.runs))
	l.mu.Unlock()
	for _, b := range []*breaker{l.source, l.sink} {
		if allowed <= 0 {
			return 0, again
		}
		allowed, again = b.permit(allowed)
	}
	if l.rate == nil || allowed <= 0 {
		return allowed, again
	}
	tokens := l.rate.Tokens()
	if tokens < 1 {
		missing := (1 - tokens) / float64(l.rate.Limit())
		return 0, time.Now().Add(time.Duration(missing * float64(time.Second)))
	}
	return min(allowed, int(tokens)), time.Time{}
}

// startDue starts as many runs as are allowed and due. It returns when to look
// again, zero if a signal will tell.
func (l *loop) startDue(ctx, runCtx context.Context) (time.Time, error) {
	allowed, again := l.permit()
	if allowed <= 0 {
		if time.Since(l.asked) > l.cfg.Lease/aheadOfLease {
			l.giveBack(runCtx)
		}
		return again, nil
	}
	if l.more && allowed < l.flow.workers/shareOfLease && time.Since(l.asked) < shareWait {
		return l.asked.Add(shareWait), nil
	}
	req := work.LeaseRequest{Flow: l.flow.name, Owner: l.owner, N: allowed, TTL: l.cfg.Lease}
	tideEnds := l.tideEnds()
	switch {
	case !tideEnds.IsZero():
		if time.Now().Before(l.rest) {
			return l.rest, nil
		}
		req.Waited, req.Ahead = l.flow.gather, l.runsWithin(l.cfg.Lease/aheadOfLease)
	case l.more:
		req.Ahead = l.runsWithin(shareAhead)
	}
	l.ahead = l.ahead || req.Ahead > 0
	started, err := l.startBoth(ctx, runCtx, req)
	switch {
	case err != nil:
		return time.Time{}, err
	case started == allowed:
		if l.rate != nil {
			l.signal() // for when there are tokens again
		}
		return time.Time{}, nil // the end of a run will tell
	case req.Waited > 0:
		l.rest = earliest(tideEnds, time.Now().Add(tideWindow))
		return l.rest, nil
	}
	return l.cfg.Store.NextDue(ctx, l.flow.name)
}

// startBoth starts what a request gives: most of it by priority, and then the share
// of the oldest, for which the store may have to look far.
func (l *loop) startBoth(ctx, runCtx context.Context, req work.LeaseRequest) (started int, err error) {
	l.asked = time.Now()
	most := max(1, l.flow.workers/byAgeShare)
	oldest := min(req.N, most)
	l.saved = min(l.saved+max(1, req.N/byAgeShare), byAgeEvery*most)
	if l.saved < byAgeEvery*oldest {
		oldest = 0
	}
	if req.N -= oldest; req.N > 0 {
		started, err = l.startSome(ctx, runCtx, req)
		if l.more = started == req.N; !l.more { // nor is there anything old
			return started, err
		}
	}
	if oldest == 0 {
		return started, nil
	}
	req.N, req.Order = oldest, work.ByAge
	more, err := l.startSome(ctx, runCtx, req)
	if err == nil {
		l.saved -= byAgeEvery * oldest
	}
	return started + more, err
}

// startSome starts what a request gives.
func (l *loop) startSome(ctx, runCtx context.Context, req work.LeaseRequest) (started int, err error) {
	asked := time.Now()
	leases, err := l.cfg.Store.Lease(ctx, req)
	if err != nil {
		return 0, err
	}
	if l.rate != nil {
		l.rate.AllowN(asked, len(leases))
	}
	for _, lease := range leases {
		l.start(runCtx, lease, asked)
	}
	return len(leases), nil
}

// tideEnds returns until when entities wait for further notifications, the zero
// time if they do not.
func (l *loop) tideEnds() time.Time {
	if l.flow.gather == 0 || l.waiters != nil {
		return time.Time{}
	}
	return l.tide.ends()
}

// start has a worker do a run.
func (l *loop) start(runCtx context.Context, lease work.Lease, asked time.Time) {
	r := l.newRun(runCtx, lease, asked)
	l.ending.Add(1)
	l.mu.Lock()
	l.runs[lease.Token] = r
	l.renewal.startLocked()
	l.expiry.startLocked()
	l.active++
	more := l.goroutines < l.active
	if more {
		l.goroutines++
	}
	l.mu.Unlock()
	l.begin <- r // has room for all workers'
	if more {
		l.workers.Go(l.work)
	}
}

// keepIdle is how long goroutines are kept that have nothing to do.
const keepIdle = time.Second

// work does runs: a goroutine that has grown its stack once is worth keeping for
// a while.
func (l *loop) work() {
	ended := false
	defer func() {
		if !ended { // user code has ended the goroutine
			l.workers.Go(l.work)
		}
	}()
	idle := time.NewTimer(keepIdle)
	defer idle.Stop()
	for {
		select {
		case r, open := <-l.begin:
			if !open {
				ended = true
				return
			}
			r.do()
		case <-idle.C:
			if ended = l.dismiss(); ended {
				return
			}
		}
		idle.Reset(keepIdle)
	}
}

// dismiss reports whether a goroutine that has nothing to do may end: not if a
// run has been begun that may be for it.
func (l *loop) dismiss() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.goroutines <= l.active {
		return false
	}
	l.goroutines--
	return true
}
