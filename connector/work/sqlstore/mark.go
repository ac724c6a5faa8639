package sqlstore

import (
	"context"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// Mark implements [work.Store].
func (s *SQLite) Mark(ctx context.Context, marks []work.Mark) ([]int64, error) {
	var seqs []int64
	err := s.hold(ctx, "mark", func(ss *session) (err error) {
		if err := ss.load(idsOf(marks)); err != nil {
			return err
		}
		seqs = ss.mark(marks, millisOf(time.Now()))
		return ss.keep()
	})
	if err != nil {
		return nil, err
	}
	return seqs, nil
}

func idsOf(marks []work.Mark) []rowID {
	ids := make([]rowID, len(marks))
	for i, m := range marks {
		ids[i] = rowID{m.Flow, m.Key}
	}
	return ids
}

// mark makes marks of rows that are in memory as far as they exist.
func (ss *session) mark(marks []work.Mark, now millis) []int64 {
	seqs := make([]int64, len(marks))
	for i, m := range marks {
		r := ss.hot.rows[rowID{m.Flow, m.Key}]
		if r == nil {
			r = newHotRow(m)
			ss.hot.add(r)
		}
		ss.change(r, func() { r.mark(m, now) })
		seqs[i] = r.dirty
	}
	return seqs
}

// keep makes durable what the session has changed.
func (ss *session) keep() error {
	if err := ss.journal(); err != nil {
		return err
	}
	now := millisOf(time.Now())
	for i := range ss.before {
		if r := ss.before[i].row; r.rests(now) {
			ss.hot.resting.add(r)
		}
	}
	return ss.tidy()
}
