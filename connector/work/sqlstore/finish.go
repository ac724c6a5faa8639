package sqlstore

import (
	"context"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// The statements that store an outcome, see [work.Outcome] for the table. If a
// mark for now came during the run (renewed), it has left attempts, deferrals
// and failure times at zero, and they stay so.
const (
	sqlFinish = `UPDATE konnektor_work SET
	due = (SELECT min(t) FROM (
		SELECT konnektor_work.due AS t
		UNION ALL SELECT CAST($6 AS BIGINT)
		UNION ALL SELECT min(at) FROM konnektor_later WHERE konnektor_later.rid = konnektor_work.rid
	) AS wanted),
	finished = $5, last_result = $7, summary = $8,
	token = NULL, lease_owner = '', lease_until = NULL, renewed = 0,
	`
	sqlHeld = `
WHERE flow = $1 AND type = $2 AND id = $3 AND token = $4`

	sqlFinishDone = sqlFinish + `done = leased, present = $9,
	attempts = 0, deferrals = 0, first_failure = NULL, last_failure = NULL,
	priority = CASE renewed WHEN 1 THEN priority ELSE 0 END` + sqlHeld

	sqlFinishDeferred = sqlFinish + `deferrals = deferrals + $9 * (1 - renewed)` + sqlHeld

	sqlFinishFailed = sqlFinish + `attempts = attempts + 1 - renewed, deferrals = 0,
	first_failure = CASE renewed WHEN 1 THEN NULL ELSE coalesce(first_failure, $5) END,
	last_failure = CASE renewed WHEN 1 THEN NULL ELSE $5 END,
	priority = CASE WHEN renewed = 1 OR priority < -10 THEN priority ELSE -10 END,
	parked = CASE renewed WHEN 1 THEN 0 ELSE $9 END` + sqlHeld
)

// Finish implements [work.Store].
func (s *Store) Finish(ctx context.Context, outcomes []work.Outcome) ([]error, error) {
	errs := make([]error, len(outcomes))
	err := s.transact(ctx, "finish", func(ss session) error {
		now := time.Now()
		done, deferred, failed := ss.stmt(sqlFinishDone), ss.stmt(sqlFinishDeferred), ss.stmt(sqlFinishFailed)
		for i, o := range outcomes {
			next := o.Next
			if next.IsZero() {
				next = now
			}
			stmt, flag := failed, []any{0} // parked, present, or counted
			switch o.Result {
			case work.Done:
				stmt, next, flag = done, o.Next, []any{flagOf(o.Present)}
			case work.Deferred:
				stmt, flag = deferred, []any{1}
			case work.Released:
				stmt, flag = deferred, []any{0}
			case work.Failed:
			case work.GaveUp:
				next, flag = time.Time{}, []any{1}
			}
			args := append([]any{o.Lease.Flow, o.Lease.Key.Type, o.Lease.Key.ID, o.Lease.Token,
				stamp(now), stamp(next), string(o.Result), o.Summary}, flag...)
			var err error
			if errs[i], err = held(stmt.ExecContext(ss.ctx, args...)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return errs, nil
}

func flagOf(b bool) int {
	if b {
		return 1
	}
	return 0
}
