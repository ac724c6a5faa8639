package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

var (
	_ work.Store = (*SQLite)(nil)

	errClosed    = errors.New("the store is closed")
	errNeedsFile = errors.New("the answer is not in memory")
)

// SQLiteConfig is what a SQLite can be told. The zero SQLiteConfig works.
type SQLiteConfig struct {
	// LockWait is how long NewSQLite waits for another process to let go of the file,
	// for example while a service restarts. 0 means one second.
	LockWait time.Duration
}

func (c SQLiteConfig) withDefaults() SQLiteConfig {
	if c.LockWait == 0 {
		c.LockWait = time.Second
	}
	return c
}

func (c SQLiteConfig) validate() error {
	if c.LockWait < 0 || c.LockWait > time.Minute {
		return fmt.Errorf("LockWait: %v; use 0 to 1m, 0 means 1s", c.LockWait)
	}
	return nil
}

// SQLite is a [work.Store] in a database. Make one with NewSQLite. Its methods may be
// called concurrently.
type SQLite struct {
	db     *sql.DB
	cfg    SQLiteConfig
	secret []byte
	stmts  map[string]*sql.Stmt // by their text, not changed after NewSQLite
	limits limits
	opened []byte // names this opening of the file
	// forgotten says that something was forgotten since the last vacuum.
	forgotten atomic.Bool

	memory sync.Mutex // of who changes what is in memory, taken after the connection
	hot    *hot
	taken  bool // the file, by a connection that is open

	mu     sync.Mutex
	ready  any // the driver's connection that is set up
	closed bool
}

// NewSQLite opens the work store in db, which must be a SQLite database in a file,
// and makes its tables or brings them up to date. It limits db to one
// connection, which then belongs to the store and stays open: give it a *sql.DB of
// its own.
//
// Leases that an earlier process left are ended and their rows are due at once.
// It is an error if another process, another pool or another store uses the
// file.
func NewSQLite(ctx context.Context, db *sql.DB, cfg SQLiteConfig) (*SQLite, error) {
	if db == nil {
		return nil, errors.New("db: is nil; open one with sql.Open and a SQLite driver")
	}
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1) // and it stays open: it has the file
	db.SetConnMaxIdleTime(0)
	db.SetConnMaxLifetime(0)
	s := &SQLite{db: db, cfg: cfg, stmts: make(map[string]*sql.Stmt), hot: newHot(), limits: defaultLimits}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *SQLite) open(ctx context.Context) error {
	conn, err := s.conn(ctx)
	if err != nil {
		return err
	}
	err = migrate(context.WithoutCancel(ctx), conn)
	_ = conn.Close() // gives it back to db, cannot fail in a way that matters
	if err != nil {
		return err
	}
	for _, query := range prepared {
		if s.stmts[query], err = s.db.PrepareContext(ctx, query); err != nil {
			return fmt.Errorf("work store: prepare statements: %w", err)
		}
	}
	s.secret, err = s.restart(ctx)
	return err
}

// Close ends the store: what the write-ahead log holds is moved into the
// database, and the file is free for another process. Calls under way are
// waited for, later ones fail. It does not close db, which the caller opened.
func (s *SQLite) Close() error {
	s.mu.Lock()
	first, opened := !s.closed, s.ready != nil
	s.closed = true
	s.mu.Unlock()
	s.lose()
	if !first || !opened {
		return nil
	}
	ctx := context.Background()
	conn, err := s.db.Conn(ctx)
	if err == nil {
		err = errors.Join(s.leave(ctx, conn), s.vacuum(conn), checkpoint(ctx, conn))
		s.discard(conn)
	}
	for _, stmt := range s.stmts {
		err = errors.Join(err, stmt.Close())
	}
	if err != nil {
		return fmt.Errorf("work store: close: %w", err)
	}
	return nil
}

// Durable returns true: what a method has stored survives the process and a
// loss of power.
func (s *SQLite) Durable() bool { return true }

// Shared returns false: one process has the file.
func (s *SQLite) Shared() bool { return false }

// Secret implements [work.Store].
func (s *SQLite) Secret(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("work store: secret: %w", err)
	}
	return slices.Clone(s.secret), nil
}

// conn takes the connection, waiting for its turn. database/sql may have
// replaced it since the last call, so that it must be set up again.
func (s *SQLite) conn(ctx context.Context) (*sql.Conn, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	var current any
	err = conn.Raw(func(c any) error {
		current = c
		return nil
	})
	if err == nil {
		err = s.setUpOnce(ctx, conn, current)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func (s *SQLite) setUpOnce(ctx context.Context, conn *sql.Conn, current any) error {
	s.mu.Lock()
	known, closed := s.ready == current, s.closed
	s.mu.Unlock()
	if closed {
		return errClosed
	}
	if known {
		return nil
	}
	s.lose() // it was not the same connection all the time
	if err := setUp(ctx, conn, s.cfg.LockWait); err != nil {
		if !errors.Is(err, errInUse) {
			s.discard(conn)
		}
		return err
	}
	if s.opened != nil {
		if err := s.checkOpened(ctx, conn); err != nil {
			s.discard(conn)
			return err
		}
	}
	s.mu.Lock()
	s.ready = current
	s.mu.Unlock()
	return nil
}

// checkOpened forgets what is in memory if another process has had the file while
// there was no connection: it has written all of it back, and ended the leases.
func (s *SQLite) checkOpened(ctx context.Context, conn *sql.Conn) error {
	var opened []byte
	if err := conn.QueryRowContext(ctx, sqlOpened).Scan(&opened); err != nil {
		return fmt.Errorf("see who has opened the file: %w", err)
	}
	if !bytes.Equal(opened, s.opened) {
		s.memory.Lock()
		s.hot.clear()
		s.memory.Unlock()
		s.opened = opened
	}
	return nil
}

// lose notes that the file may be somebody else's from now on.
func (s *SQLite) lose() {
	s.memory.Lock()
	defer s.memory.Unlock()
	s.taken = false
}

// discard makes database/sql close the connection rather than use it again.
func (s *SQLite) discard(conn *sql.Conn) {
	s.memory.Lock()
	defer s.memory.Unlock()
	s.discardLocked(conn)
}

func (s *SQLite) discardLocked(conn *sql.Conn) {
	s.taken = false
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = conn.Close()
}

// session is a call that changes what is in memory, and has the connection, or else
// has to do without the file.
type session struct {
	ctx    context.Context
	memory *sync.Mutex // held, but for what is done beside
	alone  bool        // nothing may be done beside
	conn   *sql.Conn
	tx     *sql.Tx // nil until begin
	stmts  map[string]*sql.Stmt
	bound  map[string]*sql.Stmt // those that the transaction has used
	hot    *hot
	limits limits
	args   []any // of a statement, to be used again

	// What has to be undone in memory if the transaction fails: rows as they
	// were, in the order in which they were changed first. And what has to be done
	// there once it is committed.
	before    []before
	committed []func()
}

func (ss *session) stmt(query string) *sql.Stmt {
	stmt := ss.bound[query]
	if stmt == nil {
		if ss.bound == nil {
			ss.bound = make(map[string]*sql.Stmt)
		}
		stmt = ss.tx.StmtContext(ss.ctx, ss.stmts[query])
		ss.bound[query] = stmt
	}
	return stmt
}

// begin begins the session's transaction, unless it has begun.
func (ss *session) begin() (err error) {
	switch {
	case ss.conn == nil:
		return errNeedsFile
	case ss.tx == nil:
		ss.tx, err = ss.conn.BeginTx(ss.ctx, nil)
	}
	return err
}

// beside lets f work on the file while others lease rows in memory: all but those
// that the session has changed.
func (ss *session) beside(f func() error) error {
	if ss.alone {
		return f()
	}
	ss.memory.Unlock()
	defer ss.memory.Lock()
	return f()
}

// transact lets f read and change the tables, which are right: nothing is in
// memory.
func (s *SQLite) transact(ctx context.Context, what string, f func(*session) error) error {
	return s.hold(ctx, what, func(ss *session) error {
		if err := ss.foldAll(); err != nil {
			return err
		}
		return f(ss)
	})
}

// hold lets f have the connection, and what is in memory: all that f does is one
// transaction, which need not exist if f changes nothing that is durable. Once f
// has begun, the context's end does not stop it: it takes milliseconds, and a
// driver that is interrupted may close the connection, and with it give up the
// file.
func (s *SQLite) hold(ctx context.Context, what string, f func(*session) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("work store: %s: %w", what, err)
		}
	}()
	if err := ctx.Err(); err != nil {
		return err
	}
	conn, err := s.conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // gives it back, or was discarded
	s.memory.Lock()
	defer s.memory.Unlock()
	s.taken = true
	ss := s.session(context.WithoutCancel(ctx), conn)
	ss.before = s.hot.before
	defer ss.end()
	if err := s.try(ss, f); err != nil {
		ss.undo()
		return err
	}
	ss.done()
	return nil
}

func (s *SQLite) session(ctx context.Context, conn *sql.Conn) *session {
	return &session{ctx: ctx, memory: &s.memory, conn: conn, stmts: s.stmts, hot: s.hot, limits: s.limits}
}

func (s *SQLite) try(ss *session, f func(*session) error) error {
	err := f(ss)
	switch {
	case ss.tx == nil:
		if err != nil {
			s.discardLocked(ss.conn) // it could not begin
		}
		return err
	case err != nil:
		if ss.tx.Rollback() != nil {
			s.discardLocked(ss.conn) // a new one has no transaction open
		}
		return err
	}
	if err := ss.beside(ss.tx.Commit); err != nil {
		s.discardLocked(ss.conn)
		return err
	}
	return nil
}

// leave writes all back to the table, so that others who read the file find it
// there.
func (s *SQLite) leave(ctx context.Context, conn *sql.Conn) error {
	var current any
	err := conn.Raw(func(c any) error {
		current = c
		return nil
	})
	s.mu.Lock()
	known := s.opened != nil && current == s.ready
	s.mu.Unlock()
	if err != nil || !known {
		return err // a new connection has not got the file; the journal has it all
	}
	s.memory.Lock()
	defer s.memory.Unlock()
	s.taken = false
	return s.try(s.session(ctx, conn), func(ss *session) error { return ss.foldAll() })
}
