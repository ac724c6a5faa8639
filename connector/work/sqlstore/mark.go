package sqlstore

import (
	"context"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

const (
	sqlMark = `INSERT INTO konnektor_work
	(flow, type, id, dirty, due, priority,
		cause_kind, cause_event_id, cause_time, cause_routing_key, cause_trace, cause_hops)
VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (flow, type, id) DO UPDATE SET
	dirty = konnektor_work.dirty + 1,
	due = CASE WHEN konnektor_work.due < excluded.due THEN konnektor_work.due ELSE excluded.due END,
	cause_kind = excluded.cause_kind,
	cause_event_id = excluded.cause_event_id,
	cause_time = excluded.cause_time,
	cause_routing_key = excluded.cause_routing_key,
	cause_trace = excluded.cause_trace,
	cause_hops = excluded.cause_hops`

	// excluded.due is now.
	sqlMarkNow = sqlMark + `,
	priority = CASE
		WHEN konnektor_work.priority > excluded.priority AND (konnektor_work.token IS NOT NULL
			OR konnektor_work.due <= excluded.due OR konnektor_work.last_result NOT IN ('', 'done'))
		THEN konnektor_work.priority ELSE excluded.priority END,
	attempts = 0, deferrals = 0, first_failure = NULL, last_failure = NULL, failure_group = '', parked = 0,
	renewed = CASE WHEN konnektor_work.token IS NULL THEN 0 ELSE 1 END
RETURNING rid, dirty`

	sqlMarkLater = sqlMark + ` RETURNING rid, dirty`

	sqlAddLater = `INSERT INTO konnektor_later (rid, at, flow) VALUES ($1, $2, $3) ON CONFLICT (rid, at) DO NOTHING`
)

// Mark implements [work.Store].
func (s *SQLite) Mark(ctx context.Context, marks []work.Mark) ([]int64, error) {
	var seqs []int64
	err := s.transact(ctx, "mark", func(ss session) (err error) {
		seqs, err = ss.mark(marks, stamp(time.Now()))
		return err
	})
	if err != nil {
		return nil, err
	}
	return seqs, nil
}

func (ss session) mark(marks []work.Mark, now stamp) ([]int64, error) {
	seqs := make([]int64, len(marks))
	markNow, markLater, addLater := ss.stmt(sqlMarkNow), ss.stmt(sqlMarkLater), ss.stmt(sqlAddLater)
	for i, m := range marks {
		due, stmt := stamp(m.Due), markLater
		later := due.millis() > now.millis()
		if !later {
			due, stmt = now, markNow
		}
		var rid int64
		err := stmt.QueryRowContext(ss.ctx, m.Flow, m.Key.Type, m.Key.ID, due, int(m.Priority),
			m.Cause.Kind, m.Cause.EventID, stamp(m.Cause.Time), m.Cause.RoutingKey, m.Cause.Trace, m.Cause.Hops,
		).Scan(&rid, &seqs[i])
		if err != nil {
			return nil, err
		}
		if later {
			if _, err := addLater.ExecContext(ss.ctx, rid, due, m.Flow); err != nil {
				return nil, err
			}
		}
	}
	return seqs, nil
}
