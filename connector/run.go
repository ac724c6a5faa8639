package connector

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/internal/deadline"
	"github.com/konnektor-go/konnektor/source"
)

// errLeaseLost is the cause by which a run ends whose lease may expire.
var errLeaseLost = errors.New("the lease may have expired")

// run is one reconcile under way.
type run struct {
	*loop

	lease  work.Lease
	begun  time.Time
	tx     string
	ctx    context.Context //nolint:containedctx // it is handed to the goroutine that does the run
	cancel context.CancelCauseFunc
	until  atomic.Pointer[time.Time] // the lease's end as renewed, by our clock
	stage  atomic.Pointer[stageStatus]
	warned bool // that it is stuck, guarded by the loop's mu

	sourceProbe, sinkProbe bool

	// The rest belongs to whoever does the run, and then to who stores its outcome.
	stages  [5]stageStatus // that it was in; stage points to the last one
	entered int
	span    trace.Span
	rep     report
	err     error
	outcome work.Outcome
}

// newRun makes a run of a lease that was asked for at a time.
func (l *loop) newRun(ctx context.Context, lease work.Lease, asked time.Time) *run {
	r := &run{
		loop: l, lease: lease, begun: asked, tx: uuid.NewString(),
		sourceProbe: l.source.started(), sinkProbe: l.sink.started(),
	}
	r.renewed(asked.Add(min(l.cfg.Lease, lease.Until.Sub(asked)))) // it may be older than that
	r.enter(fetching, asked)
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	return r
}

func (r *run) renewed(until time.Time) { r.until.Store(&until) }

// left returns how long the lease lasts.
func (r *run) left() time.Duration { return deadline.Left(time.Now(), *r.until.Load()) }

// enter notes that the run is in a stage since a time.
func (r *run) enter(stage string, since time.Time) {
	status := &r.stages[r.entered]
	r.entered++
	*status = stageStatus{stage, since}
	r.stage.Store(status)
}

// do reconciles the entity and has the outcome stored.
func (r *run) do() {
	r.rep, r.err = report{stage: fetching}, errNoAnswer
	r.observe()
	defer func() { // also when user code ends the goroutine
		now := time.Now()
		r.enter(committing, now)
		// The breakers know of the run before another takes its place.
		counts := r.judged()
		r.mu.Lock()
		r.tookLocked(now.Sub(r.begun))
		r.active--
		r.mu.Unlock()
		r.signal() // a worker is free
		if counts {
			r.commit()
		} else {
			r.markAgain()
		}
	}()
	r.rep, r.err = r.flow.reconcile(leaseContext{r.ctx, r}, r, source.Request{
		Key:           r.lease.Key,
		Fresh:         r.lease.Priority > work.Bulk,
		ChangedAt:     changedAt(r.lease.Cause),
		Flow:          r.flow.name,
		TransactionID: r.tx,
	})
}

// over ends the run, of which an outcome is stored, or none.
func (r *run) over(stored work.Result) {
	r.observed(stored)
	r.cancel(nil)
	r.mu.Lock()
	delete(r.runs, r.lease.Token)
	r.mu.Unlock()
	r.signal() // the entity is free
	r.ending.Done()
}

// changedAt returns when the entity itself changed, as far as the cause tells.
func changedAt(cause work.Cause) time.Time {
	if cause.Kind != causeNotification && cause.Kind != causeDate {
		return time.Time{}
	}
	return cause.Time
}

// judged finds what came of the run, and returns false if that counts for nothing.
func (r *run) judged() bool {
	if errors.Is(context.Cause(r.ctx), errLeaseLost) {
		r.abandoned()
		r.log.Warn("lease lost, outcome dropped", "entity", r.hasher.Hash(r.lease.Key), "transaction", r.tx)
		return false
	}
	r.outcome = r.judge()
	r.report()
	return true
}
