package connector

import (
	"context"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// renew prolongs the leases of the runs under way.
func (l *loop) renew(ctx context.Context) {
	every(ctx, l.cfg.Lease/3, func() {
		if leases := l.held(); len(leases) > 0 {
			l.renewAll(ctx, leases)
			l.warnStuck()
		}
	})
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
func (l *loop) expire(ctx context.Context) {
	margin := l.cfg.Lease / 6
	every(ctx, margin/2, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, r := range l.runs {
			if r.left() <= margin {
				r.cancel(errLeaseLost)
			}
		}
	})
}
