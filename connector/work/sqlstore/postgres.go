package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

var _ work.Store = (*Postgres)(nil)

// PostgresConfig is what a Postgres can be told. The zero PostgresConfig works.
type PostgresConfig struct {
	// Schema holds the tables: at most 63 of a-z, 0-9 and _, not beginning
	// with a digit or "pg_". Empty means "konnektor". It belongs to one
	// connector, whose instances all use it; another connector in the same
	// database needs another schema, or they take each other's work.
	Schema string
	// Timeout is how long a call may take once it has a connection. Until then
	// the call's context counts. 0 means 15 seconds.
	Timeout time.Duration
}

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

func (c PostgresConfig) withDefaults() PostgresConfig {
	if c.Schema == "" {
		c.Schema = "konnektor"
	}
	if c.Timeout == 0 {
		c.Timeout = 15 * time.Second
	}
	return c
}

func (c PostgresConfig) validate() error {
	if !schemaName.MatchString(c.Schema) || strings.HasPrefix(c.Schema, "pg_") {
		return fmt.Errorf("Schema: %q; use at most 63 of a-z, 0-9 and _, not beginning with a digit or pg_", c.Schema)
	}
	if c.Timeout < time.Second || c.Timeout > 10*time.Minute {
		return fmt.Errorf("Timeout: %v; use 1s to 10m, 0 means 15s", c.Timeout)
	}
	return nil
}

// Postgres is a [work.Store] in a PostgreSQL database, which any number of
// processes share. Make one with NewPostgres. Its methods may be called
// concurrently.
type Postgres struct {
	db     *sql.DB
	cfg    PostgresConfig
	clock  clock
	texts  map[string]string // of the statements, by their templates
	secret []byte
	doubts doubts
	held   held
}

// NewPostgres opens the work store in db, a PostgreSQL database of version 13 or
// later, and makes its tables or brings them up to date. Other processes may
// have it open, and keep their leases.
//
// The store uses as many connections as there are calls at once. db remains the
// caller's, who limits and closes it.
func NewPostgres(ctx context.Context, db *sql.DB, cfg PostgresConfig) (*Postgres, error) {
	return newPostgres(ctx, db, cfg, serverClock)
}

func newPostgres(ctx context.Context, db *sql.DB, cfg PostgresConfig, c clock) (*Postgres, error) {
	if db == nil {
		return nil, errors.New("db: is nil; open one with sql.Open and a PostgreSQL driver")
	}
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	p := &Postgres{db: db, cfg: cfg, clock: c, texts: make(map[string]string)}
	replace := strings.NewReplacer("{schema}", p.schema(), "{now}", string(c))
	for _, template := range postgresStatements {
		p.texts[template] = replace.Replace(template)
	}
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// schema returns the schema's name, quoted.
func (p *Postgres) schema() string { return quoteName(p.cfg.Schema) }

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// clock is the SQL of what time it is. It is stable within a statement, so that
// indexes are used.
type clock string

const (
	// serverClock is the clock by which leases are judged: those of the
	// machines that share the store differ.
	serverClock clock = "date_trunc('milliseconds', now())"

	// processClock is time.Now, put into each statement: for tests that run in
	// a bubble of testing/synctest.
	processClock clock = "{now}"
)

// text returns a statement's text.
func (p *Postgres) text(template string) string {
	text := p.texts[template]
	if p.clock == processClock {
		now := time.Now().UTC().Format("2006-01-02 15:04:05.000")
		text = strings.ReplaceAll(text, string(processClock), "'"+now+"+00'::timestamptz")
	}
	return text
}

// querier is a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// mostTries is how often a call is tried that the server refuses in favour of
// another.
const mostTries = 5

// call lets f execute one statement, or more in a transaction. Once f has begun,
// the context's end does not stop it, so that the caller knows what was stored.
// f is called again if nothing was stored for a reason that has passed.
func (p *Postgres) call(ctx context.Context, what string, f func(context.Context, *sql.Conn) error) error {
	err := ctx.Err()
	for try := 0; err == nil; try++ {
		if err = p.tryCall(ctx, f); err == nil {
			return nil
		}
		if try < mostTries && passing(err) {
			err = ctx.Err()
		}
	}
	if errors.Is(err, work.ErrRunning) {
		return err
	}
	return fmt.Errorf("work store: %s: %w", what, withoutData(err))
}

func (p *Postgres) tryCall(ctx context.Context, f func(context.Context, *sql.Conn) error) error {
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // gives it back
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.Timeout)
	defer cancel()
	return f(ctx, conn)
}

// sqlPostgresLimitIdle has the server end a transaction whose process stands
// still: the rows that it has locked would hold up all others.
const sqlPostgresLimitIdle = "SET LOCAL idle_in_transaction_session_timeout = '5s'"

// transact is call for more than one statement.
func (p *Postgres) transact(ctx context.Context, what string, f func(context.Context, querier) error) error {
	return p.call(ctx, what, func(ctx context.Context, conn *sql.Conn) error {
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // does nothing after Commit
		if _, err := tx.ExecContext(ctx, sqlPostgresLimitIdle); err != nil {
			return err
		}
		if err := f(ctx, tx); err != nil {
			return err
		}
		return tx.Commit()
	})
}

// each executes a statement and lets scan read its rows.
func (p *Postgres) each(ctx context.Context, q querier, scan func(*sql.Rows) error, template string, args ...any) error {
	rows, err := q.QueryContext(ctx, p.text(template), args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err says what matters
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// change is call for one statement that changes rows. It returns how many.
func (p *Postgres) change(ctx context.Context, what, template string, args ...any) (n int64, err error) {
	err = p.call(ctx, what, func(ctx context.Context, conn *sql.Conn) (err error) {
		n, err = changes(conn.ExecContext(ctx, p.text(template), args...))
		return err
	})
	return n, err
}

// passing reports whether a call failed with nothing stored, and may succeed
// when it is repeated: a deadlock, a serialization failure, a connection that
// was found lost before it was used.
func passing(err error) bool {
	switch sqlCode(err) {
	case "40P01", "40001":
		return true
	}
	return errors.Is(err, driver.ErrBadConn)
}

// sqlCode returns the code of an error of the server, empty for others.
func sqlCode(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}

// serverError is an error of the server without what drivers attach to it: the
// detail of one holds the values of a row.
type serverError struct{ code, text string }

func (e *serverError) Error() string { return e.text }

// SQLState returns the error's code.
func (e *serverError) SQLState() string { return e.code }

// dataClasses are the classes of errors whose messages may hold values.
var dataClasses = []string{"21", "22", "23", "44", "P0"}

// withoutData returns an error that holds no keys and no values.
func withoutData(err error) error {
	code := sqlCode(err)
	switch {
	case len(code) < 2:
		return err
	case slices.Contains(dataClasses, code[:2]):
		return &serverError{code, "the server refuses a value (SQLSTATE " + code + ")"}
	default:
		return &serverError{code, err.Error()}
	}
}

// Durable returns true: what a method has stored survives the process, and a
// crash of the server as far as the server's own settings have it.
func (p *Postgres) Durable() bool { return true }

// Shared returns true.
func (p *Postgres) Shared() bool { return true }

// Secret implements [work.Store].
func (p *Postgres) Secret(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("work store: secret: %w", err)
	}
	return slices.Clone(p.secret), nil
}
