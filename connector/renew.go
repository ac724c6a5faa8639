package connector

import (
	"context"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// renew prolongs the leases of the runs under way. A run whose lease comes near
// its end all the same is cancelled before another can take the entity.
func (l *loop) renew(ctx context.Context) {
	ticker := time.NewTicker(l.cfg.Lease / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if leases := l.held(); len(leases) > 0 {
			l.renewAll(ctx, leases)
			l.warnStuck()
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
	margin := l.cfg.Lease / 6
	limited, cancel := context.WithTimeout(ctx, margin)
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
		lost := err == nil && errs[i] != nil
		if err == nil && !lost {
			r.renewed(asked.Add(l.cfg.Lease))
		}
		if lost || r.left() <= margin {
			r.cancel(errLeaseLost)
		}
	}
}
