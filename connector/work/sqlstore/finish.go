package sqlstore

import (
	"context"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// The statements that store an outcome, see [work.Outcome] for the table. If a
// mark for now came during the run (renewed), it has left attempts, deferrals,
// failure times and the group empty, and they stay so.
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

	sqlFinishDone = sqlFinish + `done = leased, present = $9, applied = $5, fingerprint = $10,
	attempts = 0, deferrals = 0, first_failure = NULL, last_failure = NULL, failure_group = '',
	priority = CASE renewed WHEN 1 THEN priority ELSE 0 END` + sqlHeld

	sqlFinishDeferred = sqlFinish + `deferrals = deferrals + $9 * (1 - renewed)` + sqlHeld

	sqlFinishFailed = sqlFinish + `attempts = attempts + 1 - renewed, deferrals = 0,
	first_failure = CASE renewed WHEN 1 THEN NULL ELSE coalesce(first_failure, $5) END,
	last_failure = CASE renewed WHEN 1 THEN NULL ELSE $5 END,
	failure_group = CASE renewed WHEN 1 THEN '' ELSE $10 END,
	priority = CASE WHEN renewed = 1 OR priority < -10 THEN priority ELSE -10 END,
	parked = CASE renewed WHEN 1 THEN 0 ELSE $9 END` + sqlHeld
)

// Finish implements [work.Store].
func (s *SQLite) Finish(ctx context.Context, outcomes []work.Outcome) ([]error, error) {
	errs := make([]error, len(outcomes))
	err := s.transact(ctx, "finish", func(ss session) error {
		now := stamp(time.Now())
		for i, o := range outcomes {
			var err error
			if errs[i], err = ss.finish(o, now); err != nil {
				return err
			}
			if errs[i] != nil || len(o.Marks) == 0 {
				continue
			}
			if _, err := ss.mark(o.Marks, now); err != nil {
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

// finish stores one outcome without its marks.
func (ss session) finish(o work.Outcome, now stamp) (lost, _ error) {
	next := stamp(o.Next)
	if o.Next.IsZero() {
		next = now
	}
	var query string
	var flags []any
	switch o.Result {
	case work.Done:
		query, next, flags = sqlFinishDone, stamp(o.Next), []any{flagOf(o.Present), orNull(o.Fingerprint)}
	case work.Deferred:
		query, flags = sqlFinishDeferred, []any{1}
	case work.Released:
		query, flags = sqlFinishDeferred, []any{0}
	case work.GaveUp:
		query, next, flags = sqlFinishFailed, stamp{}, []any{1, o.Group}
	default:
		query, flags = sqlFinishFailed, []any{0, o.Group}
	}
	args := append([]any{
		o.Lease.Flow, o.Lease.Key.Type, o.Lease.Key.ID, o.Lease.Token, now, next, string(o.Result), o.Summary,
	}, flags...)
	return held(ss.stmt(query).ExecContext(ss.ctx, args...))
}

// orNull returns bytes as an argument, NULL for none.
func orNull(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

func flagOf(b bool) int {
	if b {
		return 1
	}
	return 0
}
