package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// How the file is opened, locked and closed.

// minVersion is the first SQLite without the race of a WAL reset with a
// checkpoint that corrupts the database (https://sqlite.org/wal.html).
var minVersion = [3]int{3, 51, 3}

// cacheKiB is how much of the file SQLite may hold in memory, 32 MiB; negative
// means KiB. With the usual 2 MiB a file of 100,000 rows takes twice the time.
const cacheKiB = "-32768"

var errInUse = errors.New("db: another store uses this *sql.DB; give each its own")

// setUp makes a new connection fit for the store and takes the file.
func setUp(ctx context.Context, conn *sql.Conn, wait time.Duration) error {
	// First of all, because whatever reads the file takes a lock: the wait, and
	// that the lock is to be exclusive, so that no memory is shared either.
	millis := strconv.FormatInt(wait.Milliseconds(), 10)
	if err := pragma(ctx, conn, "busy_timeout", millis, millis); err != nil {
		return err
	}
	if err := pragma(ctx, conn, "locking_mode", "EXCLUSIVE", "exclusive"); err != nil {
		return err
	}
	var version string
	if err := conn.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return lockError(fmt.Errorf("db: cannot use the file, which must be writable and on a local disk: %w", err))
	}
	if err := checkVersion(version); err != nil {
		return err
	}
	if err := checkFile(ctx, conn); err != nil {
		return err
	}
	for _, p := range []struct{ name, value, answer string }{
		{"journal_mode", "WAL", "wal"},
		{"synchronous", "FULL", "2"},
		{"foreign_keys", "ON", "1"},
		{"cache_size", cacheKiB, cacheKiB},
		{"secure_delete", "ON", "1"}, // what Forget deletes is overwritten
	} {
		if err := pragma(ctx, conn, p.name, p.value, p.answer); err != nil {
			return lockError(err)
		}
	}
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE; COMMIT"); err != nil {
		return lockError(fmt.Errorf("db: lock the file: %w", err))
	}
	// Another store on this pool would not be kept away by the lock, which is
	// the connection's. The table lives as long as the connection.
	if _, err := conn.ExecContext(ctx, "CREATE TEMP TABLE konnektor_in_use (x)"); err != nil {
		if strings.Contains(err.Error(), "already exists") {
			return errInUse
		}
		return fmt.Errorf("db: claim the connection: %w", err)
	}
	return nil
}

func checkVersion(version string) error {
	var v [3]int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &v[0], &v[1], &v[2]); err != nil {
		return fmt.Errorf("db: cannot read the SQLite version %q: %w", version, err)
	}
	for i, least := range minVersion {
		if v[i] > least {
			break
		}
		if v[i] < least {
			return fmt.Errorf("db: SQLite %s can corrupt its file; use a driver with 3.51.3 or later", version)
		}
	}
	return nil
}

func checkFile(ctx context.Context, conn *sql.Conn) error {
	var file string
	err := conn.QueryRowContext(ctx, "SELECT coalesce(file, '') FROM pragma_database_list WHERE name = 'main'").Scan(&file)
	if err != nil {
		return lockError(fmt.Errorf("db: find its file: %w", err))
	}
	if file == "" {
		return errors.New("db: keeps its data in memory; name a file, or use work.NewMemory")
	}
	return nil
}

// pragma sets a pragma and reads it back.
func pragma(ctx context.Context, conn *sql.Conn, name, value, want string) error {
	var got string
	// Some answer to being set, some do not; asking works for all.
	rows, err := conn.QueryContext(ctx, "PRAGMA "+name+" = "+value)
	if err == nil {
		err = errors.Join(rows.Err(), rows.Close())
	}
	if err == nil {
		err = conn.QueryRowContext(ctx, "PRAGMA "+name).Scan(&got)
	}
	if err != nil {
		return fmt.Errorf("db: set %s: %w", name, err)
	}
	if got != want {
		return fmt.Errorf("db: %s is %q and cannot be %q; keep the file on a local, writable disk", name, got, want)
	}
	return nil
}

// lockError says in plain words that the file is taken. All drivers pass on
// SQLite's own text.
func lockError(err error) error {
	if !strings.Contains(err.Error(), "database is locked") {
		return err
	}
	return fmt.Errorf("db: another process uses this work store (or another pool of this process); "+
		"stop it, or name another file: %w", err)
}

// checkpoint moves the write-ahead log into the database.
func checkpoint(ctx context.Context, conn *sql.Conn) error {
	var busy, frames, moved int
	err := conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &moved)
	if err == nil && busy != 0 {
		err = errors.New("checkpoint: the database is busy")
	}
	return err
}
