package sqlstore

import (
	"bufio"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

func openDB(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func newStore(t *testing.T, file string) *SQLite {
	t.Helper()
	s, err := NewSQLite(t.Context(), openDB(t, file), SQLiteConfig{LockWait: time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestNewRefuses(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	require.NoError(t, os.WriteFile(garbage, []byte(strings.Repeat("not a database ", 100)), 0o600))
	readOnly := filepath.Join(dir, "readonly")
	require.NoError(t, newStore(t, readOnly).Close())

	for _, c := range []struct {
		name, dsn string
		cfg       SQLiteConfig
		want      string
	}{
		{"data in memory", ":memory:", SQLiteConfig{}, "db: keeps its data in memory; name a file"},
		{"shared data in memory", "file:x?mode=memory&cache=shared", SQLiteConfig{}, "db: keeps its data in memory; name a file"},
		{"a temporary file", "", SQLiteConfig{}, "db: keeps its data in memory; name a file"},
		{"a file that cannot be made", filepath.Join(dir, "none", "work.db"), SQLiteConfig{}, "unable to open database file"},
		{"another kind of file", garbage, SQLiteConfig{}, "file is not a database"},
		{"a file that cannot be written", "file:" + readOnly + "?mode=ro", SQLiteConfig{}, "db: cannot use the file, which must be writable"},
		{"a negative LockWait", "", SQLiteConfig{LockWait: -1}, "LockWait: -1ns; use 0 to 1m"},
		{"a LockWait of hours", "", SQLiteConfig{LockWait: time.Hour}, "LockWait: 1h0m0s; use 0 to 1m"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := NewSQLite(t.Context(), openDB(t, c.dsn), c.cfg)
			require.ErrorContains(t, err, c.want)
			require.Nil(t, s)
		})
	}
	t.Run("no db", func(t *testing.T) {
		_, err := NewSQLite(t.Context(), nil, SQLiteConfig{})
		require.ErrorContains(t, err, "db: is nil; open one")
	})
	t.Run("an ended context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := NewSQLite(ctx, openDB(t, filepath.Join(dir, "cancelled")), SQLiteConfig{})
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestCheckVersion(t *testing.T) {
	for _, v := range []string{"3.51.3", "3.51.10", "3.52.0", "4.0.0"} {
		require.NoError(t, checkVersion(v), v)
	}
	for _, v := range []string{"3.51.2", "3.46.1", "3.9.9", "2.99.99"} {
		require.ErrorContains(t, checkVersion(v), "db: SQLite "+v+" can corrupt its file; use")
	}
	require.ErrorContains(t, checkVersion("PostgreSQL 18"), "db: cannot read the SQLite version")
}

// The settings are those of the connection in use, also of one that replaced
// another.
func TestSettings(t *testing.T) {
	s := newStore(t, filepath.Join(t.TempDir(), "work.db"))
	check := func() {
		conn, err := s.conn(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		for name, want := range map[string]string{
			"journal_mode": "wal", "locking_mode": "exclusive", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "1",
			"cache_size": "-32768", "secure_delete": "1",
		} {
			var got string
			require.NoError(t, conn.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&got))
			require.Equal(t, want, got, name)
		}
	}
	check()
	lose(t, s)
	check()
}

// lose makes database/sql drop the store's connection.
func lose(t *testing.T, s *SQLite) {
	t.Helper()
	conn, err := s.db.Conn(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, conn.Raw(func(any) error { return driver.ErrBadConn }), driver.ErrBadConn)
	require.ErrorIs(t, conn.Close(), sql.ErrConnDone)
}

func TestLostConnection(t *testing.T) {
	s := newStore(t, filepath.Join(t.TempDir(), "work.db"))
	marks := []work.Mark{{Flow: "f", Key: entity.Key{ID: "1"}}}
	_, err := s.Mark(t.Context(), marks)
	require.NoError(t, err)
	leases, err := s.Lease(t.Context(), work.LeaseRequest{Flow: "f", Owner: "me", N: 1, TTL: time.Hour})
	require.NoError(t, err)
	lose(t, s)
	// The process lives, so its lease does too.
	errs, err := s.Finish(t.Context(), []work.Outcome{{Lease: leases[0], Result: work.Done}})
	require.NoError(t, err)
	require.Equal(t, []error{nil}, errs)
	seqs, err := s.Mark(t.Context(), marks)
	require.NoError(t, err)
	require.Equal(t, []int64{2}, seqs)
}

// A second store on the file is refused, at once or after LockWait, and does not
// disturb the first.
func TestOneStoreForAFile(t *testing.T) {
	const taken = "db: another process uses this work store"
	file := filepath.Join(t.TempDir(), "work.db")
	synctest.Test(t, func(t *testing.T) {
		first := newStore(t, file)
		start := time.Now()
		_, err := NewSQLite(t.Context(), openDB(t, file), SQLiteConfig{LockWait: 10 * time.Second})
		require.ErrorContains(t, err, taken)
		require.InDelta(t, 10, time.Since(start).Seconds(), 1)

		_, err = NewSQLite(t.Context(), first.db, SQLiteConfig{})
		require.ErrorContains(t, err, "db: another store uses this *sql.DB")

		tool := openDB(t, file)
		_, err = tool.ExecContext(t.Context(), "SELECT count(*) FROM konnektor_work")
		require.ErrorContains(t, err, "database is locked")

		_, err = first.Mark(t.Context(), []work.Mark{{Flow: "f", Key: entity.Key{ID: "1"}}})
		require.NoError(t, err)
		require.NoError(t, first.Close())
		require.NotNil(t, newStore(t, file), "the file is free after Close")
	})

	t.Run("another process", func(t *testing.T) {
		cmd, lines := child(t, "hold", file)
		require.True(t, lines.Scan())
		require.Equal(t, "open", lines.Text())
		_, err := NewSQLite(t.Context(), openDB(t, file), SQLiteConfig{LockWait: time.Millisecond})
		require.ErrorContains(t, err, taken)
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())
		require.NotNil(t, newStore(t, file), "the file is free after a kill")
	})
}

// child starts this test program as another process in a mode of TestMain.
func child(t *testing.T, mode, file string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "KONNEKTOR_CHILD="+mode, "KONNEKTOR_FILE="+file)
	cmd.Stderr = os.Stderr
	_, err = cmd.StdinPipe() // the child ends when this test does
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, bufio.NewScanner(out)
}

func TestMain(m *testing.M) {
	mode := os.Getenv("KONNEKTOR_CHILD")
	if mode == "" {
		runTests(m)
		return
	}
	go func() { // owned by the process: ends it with the parent
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	if err := runChild(mode, os.Getenv("KONNEKTOR_FILE")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runChild(mode, file string) error {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return err
	}
	s, err := NewSQLite(context.Background(), db, SQLiteConfig{})
	if err != nil {
		return err
	}
	if mode == "hold" {
		fmt.Println("open")
		select {}
	}
	return crashLoop(s)
}

func TestMigrate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "work.db")
	db := openDB(t, file)
	_, err := db.ExecContext(t.Context(), "CREATE TABLE mine (x); INSERT INTO mine VALUES (1)")
	require.NoError(t, err)
	s, err := NewSQLite(t.Context(), db, SQLiteConfig{})
	require.NoError(t, err)
	_, err = s.Mark(t.Context(), []work.Mark{{Flow: "f", Key: entity.Key{ID: "1"}}})
	require.NoError(t, err)
	require.NoError(t, s.Close())

	var version, mine int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT max(version) FROM konnektor_schema").Scan(&version))
	require.Equal(t, 4, version)
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT x FROM mine").Scan(&mine))
	require.Equal(t, 1, mine)

	_, err = db.ExecContext(t.Context(), "INSERT INTO konnektor_schema VALUES (7)")
	require.NoError(t, err)
	_, err = NewSQLite(t.Context(), db, SQLiteConfig{})
	require.EqualError(t, err, "db: its tables have version 7, this program knows them up to 4; use a newer program")
	_, err = db.ExecContext(t.Context(), "DELETE FROM konnektor_schema WHERE version = 7")
	require.NoError(t, err)
	s, err = NewSQLite(t.Context(), db, SQLiteConfig{})
	require.NoError(t, err, "a refused file is not changed and is free")
	row, found, err := s.Get(t.Context(), "f", entity.Key{ID: "1"})
	require.NoError(t, err)
	require.True(t, found)
	require.EqualValues(t, 1, row.Dirty)
	require.NoError(t, s.Close())
}

// A migration that fails leaves nothing behind.
func TestMigrateIsAllOrNothing(t *testing.T) {
	db := openDB(t, filepath.Join(t.TempDir(), "work.db"))
	_, err := db.ExecContext(t.Context(), "CREATE TABLE konnektor_rejected (mine)") // the last that it makes
	require.NoError(t, err)
	_, err = NewSQLite(t.Context(), db, SQLiteConfig{})
	require.ErrorContains(t, err, "work store: migrate with migrations/sqlite/0001_work.sql")
	var tables int
	const count = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'"
	require.NoError(t, db.QueryRowContext(t.Context(), count).Scan(&tables))
	require.Equal(t, 1, tables)
}

func TestClose(t *testing.T) {
	file := filepath.Join(t.TempDir(), "work.db")
	s := newStore(t, file)
	_, err := s.Mark(t.Context(), []work.Mark{{Flow: "f", Key: entity.Key{ID: "1"}}})
	require.NoError(t, err)
	require.FileExists(t, file+"-wal")
	require.NoError(t, s.Close())
	require.NoFileExists(t, file+"-wal", "the log is in the database")
	require.NoError(t, s.Close(), "again")
	_, err = s.Mark(t.Context(), nil)
	require.ErrorIs(t, err, errClosed)
	_, err = s.NextDue(t.Context(), "f")
	require.ErrorIs(t, err, errClosed)
	require.NoError(t, s.db.PingContext(t.Context()), "db is the caller's")
}
