package connector

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/batch"
	"github.com/konnektor-go/konnektor/source"
)

// errLeaseLost is the cause by which a run ends whose lease may expire.
var errLeaseLost = errors.New("the lease may have expired")

// loop takes the due entities of one flow from the work store and reconciles
// them, each by one run at a time.
type loop struct {
	flow     *flow
	store    work.Store
	outcomes *batch.Group[work.Outcome, error]
	settled  func(work.Lease, time.Time, work.Result) // a run's outcome is stored
	owner    string
	ttl      time.Duration
	hasher   entity.Hasher
	log      *slog.Logger
	breaker  *breaker
	wake     chan struct{} // holds one: something may have become due or free

	mu   sync.Mutex
	runs map[string]*run // by lease token
}

// run is one reconcile under way.
type run struct {
	lease  work.Lease
	begun  time.Time
	probe  bool
	cancel context.CancelCauseFunc
	until  atomic.Pointer[time.Time] // the lease's end as renewed, by our clock
}

func (r *run) renewed(until time.Time) { r.until.Store(&until) }

// left returns how long the lease lasts. Of the two clocks the stricter one
// counts: one stands still while the machine sleeps, the other can be set.
func (r *run) left() time.Duration {
	now, until := time.Now(), *r.until.Load()
	return min(until.Sub(now), until.Round(0).Sub(now.Round(0)))
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
	var runs, renewing sync.WaitGroup
	renewCtx, stopRenewing := context.WithCancel(runCtx)
	renewing.Go(func() { l.renew(renewCtx) })
	defer renewing.Wait()
	defer stopRenewing()
	defer runs.Wait()

	storeDelays := newBackOff(100*time.Millisecond, 5*time.Second)
	for ctx.Err() == nil {
		again, err := l.startDue(ctx, runCtx, &runs)
		if err == nil {
			storeDelays.Reset()
		} else if ctx.Err() == nil {
			again = time.Now().Add(storeDelays.NextBackOff())
			l.log.Warn("work store unavailable", "error", err)
		}
		l.wait(ctx, again)
	}
}

// pollShared is how often a loop looks into a store in which others mark too:
// nobody signals what they do.
const pollShared = 2 * time.Second

// wait returns when there may be something to do: at a time, unless it is zero,
// on a signal, or when ctx ends.
func (l *loop) wait(ctx context.Context, until time.Time) {
	if poll := time.Now().Add(pollShared); l.store.Shared() && (until.IsZero() || poll.Before(until)) {
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

// startDue starts as many runs as are allowed and due. It returns when to look
// again, zero if a signal will tell.
func (l *loop) startDue(ctx, runCtx context.Context, runs *sync.WaitGroup) (time.Time, error) {
	l.mu.Lock()
	free := l.flow.workers - len(l.runs)
	l.mu.Unlock()
	if free <= 0 {
		return time.Time{}, nil
	}
	allowed, again := l.breaker.permit(free)
	if allowed == 0 {
		return again, nil
	}
	asked := time.Now()
	leases, err := l.store.Lease(ctx, l.flow.name, l.owner, allowed, l.ttl)
	if err != nil {
		return time.Time{}, err
	}
	for _, lease := range leases {
		r := &run{lease: lease, begun: asked, probe: l.breaker.started()}
		r.renewed(asked.Add(l.ttl))
		var reconcileCtx context.Context
		reconcileCtx, r.cancel = context.WithCancelCause(runCtx)
		l.mu.Lock()
		l.runs[lease.Token] = r
		l.mu.Unlock()
		runs.Go(func() { l.run(reconcileCtx, r) })
	}
	if len(leases) == allowed {
		return time.Time{}, nil // the end of a run will tell
	}
	return l.store.NextDue(ctx, l.flow.name)
}

// run reconciles one entity and stores the outcome.
func (l *loop) run(ctx context.Context, r *run) {
	rep, err := report{}, errNoAnswer
	tx := uuid.NewString()
	defer func() { // also when user code ends the goroutine
		l.finish(ctx, r, tx, rep, err)
		r.cancel(nil)
		l.mu.Lock()
		delete(l.runs, r.lease.Token)
		l.mu.Unlock()
		l.signal()
	}()
	rep, err = l.flow.reconcile(leaseContext{ctx, r}, source.Request{
		Key:           r.lease.Key,
		Fresh:         r.lease.Priority > work.Bulk,
		TransactionID: tx,
	})
}

// finish judges a run and stores its outcome.
func (l *loop) finish(ctx context.Context, r *run, tx string, rep report, err error) {
	if errors.Is(context.Cause(ctx), errLeaseLost) {
		l.breaker.abandoned(r.probe)
		l.log.Warn("lease lost, outcome dropped", "entity", l.hasher.Hash(r.lease.Key), "transaction", tx)
		return
	}
	outcome := l.judge(ctx, r, rep, err)
	l.report(r, tx, rep, err, outcome)
	refused, err := l.outcomes.Do(outcome) // also when the run was stopped
	switch {
	case err != nil:
		l.log.Error("outcome not stored; the entity will be reconciled again", "entity", l.hasher.Hash(r.lease.Key), "error", err)
	case refused != nil:
		l.log.Warn("outcome refused by the work store", "entity", l.hasher.Hash(r.lease.Key), "transaction", tx, "error", refused)
	default:
		l.settled(r.lease, r.begun, outcome.Result)
	}
}

// renew prolongs the leases of the runs under way. A run whose lease comes near
// its end all the same is cancelled before another can take the entity.
func (l *loop) renew(ctx context.Context) {
	ticker := time.NewTicker(l.ttl / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if leases := l.held(); len(leases) > 0 {
			l.renewAll(ctx, leases)
		}
	}
}

func (l *loop) held() []work.Lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	leases := make([]work.Lease, 0, len(l.runs))
	for _, r := range l.runs {
		leases = append(leases, r.lease)
	}
	return leases
}

func (l *loop) renewAll(ctx context.Context, leases []work.Lease) {
	margin := l.ttl / 6
	limited, cancel := context.WithTimeout(ctx, margin)
	defer cancel()
	asked := time.Now()
	errs, err := l.store.Renew(limited, leases, l.ttl)
	if err != nil {
		l.log.Warn("leases not renewed", "error", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, lease := range leases {
		r := l.runs[lease.Token]
		if r == nil {
			continue // ended meanwhile
		}
		lost := err == nil && errs[i] != nil
		if err == nil && !lost {
			r.renewed(asked.Add(l.ttl))
		}
		if lost || r.left() <= margin {
			r.cancel(errLeaseLost)
		}
	}
}
