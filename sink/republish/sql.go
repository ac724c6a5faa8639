package republish

import (
	"context"
	"database/sql"
	_ "embed" // the migration
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/konnektor-go/konnektor/entity"
)

//go:embed migrations/1.sql
var migration string

// SQL is a [Journal] in a table konnektor_publications, in SQLite or PostgreSQL.
// It may be used concurrently, by several instances too.
type SQL struct {
	db   *sql.DB
	name string
	// placeholder is what the database has before the number of an argument.
	placeholder string

	mu    sync.Mutex
	swept time.Time // when what expired was forgotten
}

// OpenSQL returns the journal with a name, one for each flow, and makes its table
// if there is none. The database is the caller's, who closes it. In SQLite it is
// not that of a work store, which takes its file for itself; set busy_timeout if
// there are several instances, and journal_mode(WAL), with which a commit costs a
// fraction.
func OpenSQL(ctx context.Context, db *sql.DB, name string) (*SQL, error) {
	switch {
	case db == nil:
		return nil, errors.New("republish: db: must not be nil")
	case name == "":
		return nil, errors.New("republish: name: must not be empty")
	}
	j := &SQL{db: db, name: name, placeholder: "$"}
	if err := db.PingContext(ctx); err != nil {
		return nil, fmt.Errorf("republish: db: %w", err)
	}
	var version string
	if err := db.QueryRowContext(ctx, "SELECT current_setting('server_version_num')").Scan(&version); err != nil {
		if err := db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
			return nil, errors.New("republish: db: is neither PostgreSQL nor SQLite, or does not answer")
		}
		j.placeholder = "?"
	}
	if _, err := db.ExecContext(ctx, migration); err != nil {
		// Of several that make it at once, PostgreSQL lets one.
		if _, err := j.Load(ctx, entity.Key{}); err != nil {
			return nil, err
		}
	}
	return j, nil
}

const (
	loadEntry   = `SELECT state, revision FROM konnektor_publications WHERE journal = $1 AND key_type = $2 AND key_id = $3`
	insertEntry = `INSERT INTO konnektor_publications (journal, key_type, key_id, revision, pending, expires, state)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`
	updateEntry = `UPDATE konnektor_publications SET revision = $4, pending = $5, expires = $6, state = $7
		WHERE journal = $1 AND key_type = $2 AND key_id = $3 AND revision = $8`
	forgetEntries = `DELETE FROM konnektor_publications WHERE journal = $1 AND pending = 0 AND expires < $2`
	forgetKey     = `DELETE FROM konnektor_publications WHERE journal = $1 AND key_type = $2 AND key_id = $3`
)

// sql returns a statement as the database takes it.
func (j *SQL) sql(statement string) string {
	return strings.ReplaceAll(statement, "$", j.placeholder)
}

// Load implements [Journal].
func (j *SQL) Load(ctx context.Context, key entity.Key) (Entry, error) {
	var e Entry
	var state []byte
	var revision int64
	err := j.db.QueryRowContext(ctx, j.sql(loadEntry), j.name, key.Type, key.ID).Scan(&state, &revision)
	if errors.Is(err, sql.ErrNoRows) {
		return Entry{}, nil
	}
	if err != nil {
		return Entry{}, silent("read", err)
	}
	if err := json.Unmarshal(state, &e); err != nil {
		return Entry{}, errors.New("republish: the journal's entry is not readable")
	}
	e.Revision = revision
	return e, nil
}

// Store implements [Journal].
func (j *SQL) Store(ctx context.Context, key entity.Key, e Entry) (Entry, error) {
	state, err := json.Marshal(e)
	if err != nil {
		return Entry{}, errors.New("republish: the journal's entry cannot be encoded")
	}
	pending := 0
	if e.Pending {
		pending = 1
	}
	old := e.Revision
	// Random, so that an entry which was forgotten and made anew is another one.
	e.Revision = 1 + rand.Int64N(1<<62) //nolint:gosec // it is no secret
	args := []any{j.name, key.Type, key.ID, e.Revision, pending, e.Expires.Unix(), string(state)}
	statement := insertEntry
	if old != 0 {
		statement, args = updateEntry, append(args, old)
	}
	result, err := j.db.ExecContext(ctx, j.sql(statement), args...)
	if err != nil {
		return Entry{}, silent("write", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return Entry{}, silent("write", err)
	}
	if n == 0 {
		return Entry{}, ErrConflict
	}
	j.sweep(ctx)
	return e, nil
}

// sweep forgets what expired, now and then. If it fails, the next one does.
func (j *SQL) sweep(ctx context.Context) {
	now := time.Now()
	j.mu.Lock()
	due := now.Sub(j.swept) >= sweepEvery
	if due {
		j.swept = now
	}
	j.mu.Unlock()
	if due {
		_, _ = j.db.ExecContext(ctx, j.sql(forgetEntries), j.name, now.Unix())
	}
}

// Forget implements [Journal].
func (j *SQL) Forget(ctx context.Context, key entity.Key) error {
	if _, err := j.db.ExecContext(ctx, j.sql(forgetKey), j.name, key.Type, key.ID); err != nil {
		return silent("clean", err)
	}
	return nil
}

// String returns the journal's name.
func (j *SQL) String() string { return j.name }

// Format prints what String returns, for every verb.
func (j *SQL) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, j.name) }

// silent returns an error without the text of a database's, which can hold the
// key.
func silent(what string, err error) error {
	var code interface{ SQLState() string }
	if errors.As(err, &code) {
		return fmt.Errorf("republish: cannot %s table konnektor_publications (SQLSTATE %s)", what, code.SQLState())
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("republish: cannot %s table konnektor_publications: %w", what, err)
	}
	return fmt.Errorf("republish: cannot %s table konnektor_publications: %T", what, err)
}
