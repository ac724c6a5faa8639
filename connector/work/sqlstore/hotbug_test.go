package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"

	"modernc.org/sqlite"

	"github.com/konnektor-go/konnektor/connector/work"
)

// hotBug is a bug: statements are not what they should be, or memory.
type hotBug struct {
	name string
	// query and instead are a statement and what is run in its place.
	query, instead string
	// args changes what a statement is given.
	args func(query string, args []driver.NamedValue)
	// after changes what is in memory, after every step.
	after func(*SQLite)
	// beside changes what is in memory while others can lease from it.
	beside func(*SQLite)
	// failed is called when a commit fails, and what it returns once all is undone.
	failed func(*SQLite) (undone func())
}

// hotBugs are the ways in which a journal can go wrong.
var hotBugs = []hotBug{
	{name: "an entry is acknowledged and not kept", query: sqlAppend, instead: `SELECT ?`},
	{name: "recovery does not happen", query: sqlJournal, instead: sqlJournal + ` LIMIT 0`},
	{name: "recovery stops early", query: sqlJournal, instead: sqlJournal + ` LIMIT 1`},
	{name: "recovery leaves out the last entry", query: sqlJournal, instead: `SELECT states FROM konnektor_journal
WHERE seq < (SELECT max(seq) FROM konnektor_journal) ORDER BY seq`},
	{name: "recovery replays the last entry first", query: sqlJournal, instead: sqlJournal + ` DESC`},
	{name: "what was recovered is recovered again", query: `DELETE FROM konnektor_journal`, instead: `SELECT 1`},
	{name: "leases outlive the process", query: sqlReleaseAll, instead: `SELECT $1`},
	{name: "the journal goes when some rows go back", query: sqlTrim, instead: `DELETE FROM konnektor_journal WHERE seq < $1 OR 1`},
	{name: "an entry too many goes", query: sqlTrim, instead: `DELETE FROM konnektor_journal WHERE seq <= $1`},
	{name: "the journal stays when all rows go back", query: sqlTrim, instead: `DELETE FROM konnektor_journal WHERE seq < $1 AND $1 < 1e18`},
	{name: "rows that go back do not arrive", query: sqlUpdate, instead: strings.Replace(sqlUpdate, "rid = ?", "rid = -?", 1)},
	{name: "dates that go back do not arrive", query: sqlAddLater, instead: `SELECT $1, $2, $3`},
	{name: "dates that are over stay", query: sqlClearLater, instead: `SELECT $1`},
	{name: "an outcome goes over a newer mark", args: func(query string, args []driver.NamedValue) {
		if query == sqlUpdate || query == sqlInsert {
			const dirty, due, leased = 0, 16, 15
			if finished := args[6].Value; finished != nil && args[dirty].Value.(int64) > args[leased].Value.(int64) {
				args[dirty].Value, args[due].Value = args[leased].Value, nil
			}
		}
	}},
	{name: "the fingerprint stays behind", args: func(query string, args []driver.NamedValue) {
		if query == sqlUpdate {
			args[5].Value = nil
		}
	}},
	{name: "what is in memory is leased from the table as well", after: func(s *SQLite) { clear(s.hot.byRID) }},
	{name: "the table is looked at before rows went back to it", after: func(s *SQLite) {
		for _, queues := range s.hot.cold {
			for _, q := range queues {
				q.next, q.all = nil, true
			}
		}
	}},
	{name: "memory is forgotten", after: func(s *SQLite) { s.hot.clear() }},
	{name: "rows that rest are taken for written", after: func(s *SQLite) {
		for _, r := range s.hot.resting.next {
			r.changed = false
		}
	}},
	{name: "rows are said to be in no entry", after: func(s *SQLite) {
		for _, r := range s.hot.rows {
			r.seq = 0
		}
	}},
	{name: "marks of rows that are done are kept in memory", after: keep(func(r *hotRow) promise { return promise{1, work.Live} })},
	{name: "a live mark of bulk work is kept in memory", after: keep(func(r *hotRow) promise { return promise{r.kept.due, work.Live} })},
	{name: "marks of rows that wait are kept in memory", after: keep(func(r *hotRow) promise {
		return promise{min(r.kept.due, 1), r.kept.priority}
	})},
	{name: "marks of rows that failed are kept in memory", after: keep(func(r *hotRow) promise {
		if r.token != "" || r.parked {
			return r.kept
		}
		return promise{r.due, r.priority}
	})},
	{name: "marks of rows that are parked are kept in memory", after: keep(func(r *hotRow) promise {
		if !r.parked {
			return r.kept
		}
		return promise{1, r.priority}
	})},
	{name: "rows can be leased before their marks are stored", beside: func(s *SQLite) {
		for _, r := range s.hot.rows {
			if r.queue == nil {
				s.hot.enqueue(r)
			}
		}
	}},
	{name: "what could not be stored is taken for stored", failed: func(s *SQLite) func() {
		kept := make(map[*hotRow]promise)
		for _, r := range s.hot.rows {
			kept[r] = r.kept
		}
		return func() {
			keep(func(r *hotRow) promise { return kept[r] })(s)
		}
	}},
}

// keep changes what is taken for stored.
func keep(as func(*hotRow) promise) func(*SQLite) {
	return func(s *SQLite) {
		for _, r := range s.hot.rows {
			r.kept = as(r)
		}
	}
}

var errPlanted = errors.New("planted")

// plantedDB is a SQLite database with a bug.
type plantedDB struct {
	*sql.DB

	bug    hotBug
	file   string
	store  *SQLite
	fail   bool // the next commit
	lose   bool // the answer of the next commit
	undone func()
	// beside is called once, when the next commit begins or before that the next row
	// goes back to the table, if others can lease meanwhile.
	beside  func()
	whenRow bool
}

// leaseBeside lets somebody lease what is in memory at this moment.
func (db *plantedDB) leaseBeside(row bool) {
	if db.beside == nil || row != db.whenRow || !db.store.memory.TryLock() {
		return
	}
	if db.bug.beside != nil {
		db.bug.beside(db.store)
	}
	db.store.memory.Unlock()
	db.beside()
	db.beside = nil
}

func openPlanted(file string, bug hotBug) *plantedDB {
	db := &plantedDB{bug: bug, file: file}
	db.DB = sql.OpenDB(plantedConnector{db})
	return db
}

type plantedConnector struct{ db *plantedDB }

func (c plantedConnector) Driver() driver.Driver { return new(sqlite.Driver) }

func (c plantedConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.Driver().Open(c.db.file)
	if err != nil {
		return nil, err
	}
	return &plantedConn{conn.(sqliteConn), c.db}, nil
}

type sqliteConn interface { //nolint:interfacebloat // what database/sql asks of a connection
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

type plantedConn struct {
	sqliteConn

	db *plantedDB
}

func (c *plantedConn) plant(query string) string {
	if query == c.db.bug.query {
		return c.db.bug.instead
	}
	return query
}

func (c *plantedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	stmt, err := c.sqliteConn.PrepareContext(ctx, c.plant(query))
	if err != nil {
		return nil, err
	}
	return &plantedStmt{stmt.(sqliteStmt), c.db, query}, nil
}

func (c *plantedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.sqliteConn.ExecContext(ctx, c.plant(query), args)
}

func (c *plantedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.sqliteConn.QueryContext(ctx, c.plant(query), args)
}

func (c *plantedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.sqliteConn.BeginTx(ctx, opts)
	return plantedTx{tx, c.db}, err
}

type plantedTx struct {
	driver.Tx

	db *plantedDB
}

func (t plantedTx) Commit() error {
	t.db.leaseBeside(false)
	if t.db.fail {
		t.db.fail = false
		if failed := t.db.bug.failed; failed != nil {
			t.db.undone = failed(t.db.store)
		}
		return errors.Join(errPlanted, t.Rollback())
	}
	if t.db.lose {
		t.db.lose = false
		return errors.Join(errPlanted, t.Tx.Commit())
	}
	return t.Tx.Commit()
}

type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type plantedStmt struct {
	sqliteStmt

	db    *plantedDB
	query string
}

func (s *plantedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.db.leaseBeside(s.query == sqlUpdate || s.query == sqlInsert || s.query == sqlInsertIdle)
	if s.db.bug.args != nil {
		s.db.bug.args(s.query, args)
	}
	return s.sqliteStmt.ExecContext(ctx, args)
}
