package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"time"
)

//go:embed migrations
var migrations embed.FS

// migrate brings the tables up to date. Version n of them is what the first n
// files of the folder make.
func migrate(ctx context.Context, conn *sql.Conn) error {
	files, err := fs.Glob(migrations, "migrations/sqlite/*.sql") // sorted
	if err != nil {
		return err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("work store: migrate: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if err := migrateTx(ctx, tx, files); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("work store: migrate: %w", err)
	}
	return nil
}

func migrateTx(ctx context.Context, tx *sql.Tx, files []string) error {
	const table = "CREATE TABLE IF NOT EXISTS konnektor_schema (version INTEGER NOT NULL)"
	if _, err := tx.ExecContext(ctx, table); err != nil {
		return fmt.Errorf("work store: migrate: %w", err)
	}
	var version int
	const latest = "SELECT coalesce(max(version), 0) FROM konnektor_schema"
	if err := tx.QueryRowContext(ctx, latest).Scan(&version); err != nil {
		return fmt.Errorf("work store: migrate: %w", err)
	}
	if version > len(files) {
		return fmt.Errorf("db: its tables have version %d, this program knows them up to %d; use a newer program",
			version, len(files))
	}
	for i, file := range files[version:] {
		text, err := migrations.ReadFile(file)
		if err == nil {
			_, err = tx.ExecContext(ctx, string(text))
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, "INSERT INTO konnektor_schema (version) VALUES ($1)", version+i+1)
		}
		if err != nil {
			return fmt.Errorf("work store: migrate with %s: %w", file, err)
		}
	}
	return nil
}

const (
	sqlMakeSecret = `INSERT INTO konnektor_meta (name, value) VALUES ('secret', $1) ON CONFLICT (name) DO NOTHING`
	sqlGetSecret  = `SELECT value FROM konnektor_meta WHERE name = 'secret'`

	// Who has opened the file last.
	sqlSetOpened = `INSERT INTO konnektor_meta (name, value) VALUES ('opened', $1)
ON CONFLICT (name) DO UPDATE SET value = excluded.value`
	sqlOpened = `SELECT value FROM konnektor_meta WHERE name = 'opened'`

	// As if the runs had been deferred, but not counted.
	sqlReleaseAll = `UPDATE konnektor_work SET
	due = (SELECT min(t) FROM (
		SELECT konnektor_work.due AS t
		UNION ALL SELECT CAST($1 AS BIGINT)
		UNION ALL SELECT min(at) FROM konnektor_later WHERE konnektor_later.rid = konnektor_work.rid
	) AS wanted),
	token = NULL, lease_owner = '', lease_until = NULL, renewed = 0
WHERE token IS NOT NULL`
)

// restart ends the leases of the process before, which is dead: the file was
// locked. It returns the secret, which it makes the first time.
func (s *SQLite) restart(ctx context.Context) (secret []byte, err error) {
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh) // never fails, see crypto/rand
	s.opened = []byte(rand.Text())
	err = s.hold(ctx, "open", func(ss *session) error {
		if err := ss.begin(); err != nil {
			return err
		}
		if err := ss.replay(); err != nil {
			return err
		}
		if _, err := ss.tx.ExecContext(ss.ctx, sqlReleaseAll, time.Now().UnixMilli()); err != nil {
			return err
		}
		if _, err := ss.tx.ExecContext(ss.ctx, sqlMakeSecret, fresh); err != nil {
			return err
		}
		if _, err := ss.tx.ExecContext(ss.ctx, sqlSetOpened, s.opened); err != nil {
			return err
		}
		return ss.tx.QueryRowContext(ss.ctx, sqlGetSecret).Scan(&secret)
	})
	return secret, err
}
