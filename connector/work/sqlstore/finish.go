package sqlstore

import (
	"context"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// Finish implements [work.Store].
func (s *SQLite) Finish(ctx context.Context, outcomes []work.Outcome) ([]error, error) {
	errs := make([]error, len(outcomes))
	err := s.hold(ctx, "finish", func(ss *session) error {
		ids := make([]rowID, 0, len(outcomes))
		for _, o := range outcomes {
			ids = append(ids, rowID{o.Lease.Flow, o.Lease.Key})
			ids = append(ids, idsOf(o.Marks)...)
		}
		if err := ss.load(ids); err != nil {
			return err
		}
		now := millisOf(time.Now())
		for i, o := range outcomes {
			r := ss.held(o.Lease)
			if r == nil {
				errs[i] = work.ErrLeaseLost
				continue
			}
			ss.change(r, func() { r.finish(o, now) })
			ss.mark(o.Marks, now)
		}
		return ss.keep()
	})
	if err != nil {
		return nil, err
	}
	return errs, nil
}

func flagOf(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
