package connector

import (
	"context"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// watch looks at the leases from time to time while there are runs. A connector
// that has nothing to do sleeps.
type watch struct {
	*loop

	ctx    context.Context //nolint:containedctx // of the loop
	period time.Duration
	look   func(context.Context)

	going bool // guarded by the loop's mu
}

func (w *watch) startLocked() {
	if w.going {
		return
	}
	w.going = true
	w.watching.Go(w.run)
}

func (w *watch) run() {
	ticker := time.NewTicker(w.period)
	defer ticker.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-ticker.C:
		}
		if w.over() {
			return
		}
		w.look(w.ctx)
	}
}

// over ends the watch if there are no runs.
func (w *watch) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.going = len(w.runs) > 0
	return !w.going
}

// renew prolongs the leases of the runs under way.
func (l *loop) renew(ctx context.Context) {
	if leases := l.held(); len(leases) > 0 {
		l.renewAll(ctx, leases)
		l.warnStuck()
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
	limited, cancel := context.WithTimeout(ctx, l.cfg.Lease/6)
	defer cancel()
	asked := time.Now()
	errs, err := l.cfg.Store.Renew(limited, leases, l.cfg.Lease)
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
		switch {
		case err != nil: // expire sees to it
		case errs[i] != nil:
			r.cancel(errLeaseLost)
		default:
			r.renewed(asked.Add(l.cfg.Lease))
		}
	}
}

// expire cancels the runs whose lease comes near its end, before another can take
// the entity, also while the work store does not answer.
func (l *loop) expire(context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.runs {
		if r.left() <= l.cfg.Lease/6 {
			r.cancel(errLeaseLost)
		}
	}
}
