package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

const (
	sqlRows = `SELECT rid, type, id, dirty, done, due, priority, attempts, deferrals, first_failure, last_failure,
	present, applied, fingerprint, finished, last_result, summary, failure_group, lease_owner, lease_until,
	cause_kind, cause_event_id, cause_time, cause_routing_key, cause_trace, cause_hops, ` + stateNow + `
FROM konnektor_work `

	// stateNow is a row's state at the time $1.
	stateNow = `CASE
	WHEN lease_until > $1 THEN 'running'
	WHEN parked = 1 THEN 'parked'
	WHEN ` + ready + ` > $1 THEN 'waiting'
	WHEN ` + ready + ` IS NOT NULL THEN 'due'
	ELSE 'idle' END`

	sqlGet = sqlRows + `WHERE flow = $2 AND type = $3 AND id = $4`

	sqlGetLater = `SELECT at FROM konnektor_later WHERE rid = $1 ORDER BY at`

	sqlPage = ` AND (type, id) > ($3, $4) AND ($6 = '' OR failure_group = $6) ORDER BY type, id LIMIT $7`

	// sqlListParked reads parked rows in the order of their keys.
	sqlListParked = sqlRows + `WHERE flow = $2 AND parked = 1 AND ` + stateNow + ` = $5` + sqlPage

	// sqlListMany reads all rows in the order of their keys, until it has enough.
	sqlListMany = sqlRows + `WHERE flow = $2 AND ` + stateNow + ` = $5` + sqlPage

	// sqlListFew reads the rows that wait for something, by the index alone where
	// the state is another one, and sorts those that it finds.
	sqlListFew = sqlRows + `INDEXED BY konnektor_work_ready
WHERE flow = $2 AND ` + ready + ` IS NOT NULL AND ` + stateNow + ` = $5` + sqlPage

	sqlAreFew = `SELECT count(*) FROM (SELECT 1 FROM konnektor_work INDEXED BY konnektor_work_ready
	WHERE flow = $2 AND ` + ready + ` IS NOT NULL AND ` + stateNow + ` = $3 LIMIT $4) AS found`
)

// fewRows is how many rows are sorted for a page rather than looked for among all.
const fewRows = 10_000

// prepared are the statements of [session.stmt].
var prepared = []string{
	sqlHotByID, sqlHotByRID, sqlLevels, sqlCold, sqlAppend, sqlTrim, sqlRID, sqlInsert, sqlInsertIdle, sqlUpdate, sqlClearLater, sqlAddLater,
	sqlGet, sqlGetLater, sqlListParked, sqlListMany, sqlListFew, sqlAreFew, sqlUpcomingDue, sqlUpcomingLater,
	sqlCountAll, sqlCountReady, sqlParkedGroups, sqlPruneIdle, sqlPruneParked, sqlOfEntity, sqlDelete,
	sqlReject, sqlListRejected, sqlGetRejected, sqlDeleteRejected, sqlPruneRejected,
}

// Get implements [work.Store].
func (s *SQLite) Get(ctx context.Context, flow string, key entity.Key) (work.Row, bool, error) {
	var found []work.Row
	err := s.transact(ctx, "get", func(ss *session) (err error) {
		found, err = ss.rows(flow, sqlGet, stamp(time.Now()), flow, key.Type, key.ID)
		return err
	})
	if err != nil || len(found) == 0 {
		return work.Row{}, false, err
	}
	return found[0], true, nil
}

// List implements [work.Store]. It takes milliseconds, unless rows of the state
// are few among very many that wait for another time.
func (s *SQLite) List(ctx context.Context, q work.Query) (page []work.Row, _ error) {
	err := s.transact(ctx, "list", func(ss *session) error {
		now := stamp(time.Now())
		query := sqlListMany
		switch q.State {
		case work.Idle:
		case work.Parked:
			query = sqlListParked
		default:
			n, err := ss.numbers(sqlAreFew, now, q.Flow, string(q.State), fewRows+1)
			if err != nil {
				return err
			}
			if n[0] <= fewRows {
				query = sqlListFew
			}
		}
		var err error
		page, err = ss.rows(q.Flow, query,
			now, q.Flow, q.After.Type, q.After.ID, string(q.State), q.Group, max(q.Limit, 0))
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// storedRow is a row and its number.
type storedRow struct {
	rid int64
	row work.Row
}

// rows returns the rows of a query that begins with sqlRows.
func (ss *session) rows(flow, query string, args ...any) ([]work.Row, error) {
	stored, err := collect(ss, scanRow, query, args...)
	if err != nil {
		return nil, err
	}
	var rows []work.Row
	for _, r := range stored {
		later, err := ss.numbers(sqlGetLater, r.rid)
		if err != nil {
			return nil, err
		}
		r.row.Flow = flow
		for _, at := range later {
			r.row.Later = append(r.row.Later, time.UnixMilli(at).UTC())
		}
		rows = append(rows, r.row)
	}
	return rows, nil
}

func scanRow(rows *sql.Rows, to *storedRow) error {
	r := &to.row
	return rows.Scan(&to.rid, &r.Key.Type, &r.Key.ID, &r.Dirty, &r.Done, (*stamp)(&r.Due), &r.Priority,
		&r.Attempts, &r.Deferrals, (*stamp)(&r.FirstFailure), (*stamp)(&r.LastFailure),
		&r.Present, (*stamp)(&r.Applied), &r.Fingerprint, (*stamp)(&r.Finished), &r.LastResult, &r.Summary, &r.Group,
		&r.LeaseOwner, (*stamp)(&r.LeaseUntil),
		&r.Cause.Kind, &r.Cause.EventID, (*stamp)(&r.Cause.Time), &r.Cause.RoutingKey, &r.Cause.Trace, &r.Cause.Hops,
		&r.State)
}
