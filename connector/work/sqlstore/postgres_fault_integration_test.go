//go:build integration

package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/server"
)

const soon = 20 * time.Second // for what happens at once, mostly

// lockRow locks a row until the test or release ends.
func lockRow(t *testing.T, db *sql.DB, id string) (tx *sql.Tx, release func()) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "SELECT FROM konnektor.work WHERE id = $1 FOR UPDATE", id)
	require.NoError(t, err)
	release = sync.OnceFunc(func() { _ = tx.Rollback() })
	t.Cleanup(release)
	return tx, release
}

// inBackground calls Mark and returns how to wait for its error.
func inBackground(t *testing.T, p *Postgres, marks ...work.Mark) (wait func() error) {
	done := make(chan error, 1)
	go func() { // ends with the call, which wait or the cleanup waits for
		_, err := p.Mark(t.Context(), marks)
		done <- err
	}()
	wait = sync.OnceValue(func() error { return <-done })
	t.Cleanup(func() { _ = wait() })
	return wait
}

const blocked = ` FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`

func waitUntilBlocked(t *testing.T, db *sql.DB) {
	t.Helper()
	require.Eventually(t, func() bool { return lines(t, db, "SELECT count(*)::text"+blocked) == "1" }, soon, 5*time.Millisecond)
}

func rowOf(t *testing.T, p *Postgres, id string) work.Row {
	t.Helper()
	row, found, err := p.Get(t.Context(), "f", entity.Key{ID: id})
	require.NoError(t, err)
	require.True(t, found)
	return row
}

// A connection that the server ends, in the middle of a call or when it is to
// commit, fails the call as a whole, and the next one has another connection.
func TestPostgresConnectionKilled(t *testing.T) {
	address := server.SharedPostgreSQL(t).NewDatabase(t)
	p, db := newTestPostgres(t, address), openPostgres(t, address)
	marks := []work.Mark{markOf("1"), markOf("2")}
	_, err := p.Mark(t.Context(), marks)
	require.NoError(t, err)

	_, release := lockRow(t, db, "2")
	wait := inBackground(t, p, marks...)
	waitUntilBlocked(t, db)
	lines(t, db, "SELECT pg_terminate_backend(pid)::text"+blocked)
	err = wait()
	require.ErrorContains(t, err, "work store: mark: ")
	require.Equal(t, "57P01", sqlCode(err))
	release()
	require.EqualValues(t, 1, rowOf(t, p, "1").Dirty)

	_, err = db.ExecContext(t.Context(), `
CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER die AFTER UPDATE ON konnektor.work DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()`)
	require.NoError(t, err)
	_, err = p.Mark(t.Context(), marks)
	require.Equal(t, "57P01", sqlCode(err))
	_, err = db.ExecContext(t.Context(), "DROP TRIGGER die ON konnektor.work")
	require.NoError(t, err)
	seqs, err := p.Mark(t.Context(), marks)
	require.NoError(t, err)
	require.Equal(t, []int64{2, 2}, seqs)
}

// lossy passes bytes between clients and a server, until it is told to lose an
// answer: then the next bytes of the server are not passed on, and the
// connection ends.
type lossy struct {
	url  string
	lose atomic.Bool
}

func newLossy(t *testing.T, address string) *lossy {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	backend := u.Host
	u.Host = l.Addr().String()
	p := &lossy{url: u.String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(client, backend) })
		}
	})
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		wg.Wait() // the clients' pools are closed
	})
	return p
}

func (p *lossy) serve(client net.Conn, backend string) {
	defer client.Close()
	db, err := net.Dial("tcp", backend)
	if err != nil {
		return
	}
	defer db.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(db, client)
		_ = db.Close()
	})
	defer wg.Wait()
	defer client.Close()
	answer := make([]byte, 1<<16)
	for {
		n, err := db.Read(answer)
		if err != nil || p.lose.CompareAndSwap(true, false) {
			return
		}
		if _, err := client.Write(answer[:n]); err != nil {
			return
		}
	}
}

// When the answer to a commit is lost, the call fails although it was stored. A
// repeated Finish then says that it was, and a mark costs one more run at most.
func TestPostgresAnswerLost(t *testing.T) {
	proxy := newLossy(t, server.SharedPostgreSQL(t).NewDatabase(t))
	p := newTestPostgres(t, proxy.url)
	marks := []work.Mark{markOf("1")}
	// The first calls prepare the statements, with answers of their own.
	_, err := p.Mark(t.Context(), marks)
	require.NoError(t, err)
	lease := func() work.Lease {
		leases, err := p.Lease(t.Context(), work.LeaseRequest{Flow: "f", N: 1, TTL: time.Hour})
		require.NoError(t, err)
		require.Len(t, leases, 1)
		return leases[0]
	}
	_, err = p.Finish(t.Context(), []work.Outcome{{Lease: lease(), Result: work.Failed}})
	require.NoError(t, err)

	proxy.lose.Store(true)
	_, err = p.Mark(t.Context(), marks)
	require.Error(t, err)
	seqs, err := p.Mark(t.Context(), marks)
	require.NoError(t, err)
	require.Equal(t, []int64{3}, seqs)

	outcomes := []work.Outcome{{Lease: lease(), Result: work.Done, Marks: []work.Mark{markOf("2")}}}
	stranger := outcomes[0]
	stranger.Lease.Token = "forged"
	_, err = p.Finish(t.Context(), []work.Outcome{stranger})
	require.NoError(t, err)
	proxy.lose.Store(true) // the answer to BEGIN: nothing is stored
	_, err = p.Finish(t.Context(), outcomes)
	require.Error(t, err)
	require.Equal(t, work.Running, rowOf(t, p, "1").State)

	single := []work.Outcome{{Lease: outcomes[0].Lease, Result: work.Done}}
	_, err = p.Finish(t.Context(), []work.Outcome{stranger}) // prepares the statement on the new connection
	require.NoError(t, err)
	proxy.lose.Store(true)
	_, err = p.Finish(t.Context(), single)
	require.Error(t, err)
	row := rowOf(t, p, "1")
	require.Equal(t, work.Idle, row.State, "it was stored")
	errs, err := p.Finish(t.Context(), append(single, stranger))
	require.NoError(t, err)
	require.Equal(t, []error{nil, work.ErrLeaseLost}, errs)
	require.Equal(t, row, rowOf(t, p, "1"))
	errs, err = p.Finish(t.Context(), single)
	require.NoError(t, err)
	require.Equal(t, []error{work.ErrLeaseLost}, errs, "there is no doubt any more")
}

// A server that is away fails calls, and the store works on when it is back.
func TestPostgresOutage(t *testing.T) {
	pg := server.PostgreSQL(t)
	p := newTestPostgres(t, pg.NewDatabase(t))
	marks := []work.Mark{markOf("1")}
	var err error
	for _, end := range []func() error{pg.Stop, pg.Kill} {
		var wg sync.WaitGroup
		for range 8 { // so that there are several connections
			wg.Go(func() { _, _ = p.Mark(t.Context(), marks) })
		}
		wg.Wait()
		var row work.Row
		found := func() bool { // a lost connection may cost a call
			row, _, err = p.Get(t.Context(), "f", marks[0].Key)
			return err == nil
		}
		require.Eventually(t, found, soon, 5*time.Millisecond)
		require.NoError(t, end())
		_, err = p.Mark(t.Context(), marks)
		require.ErrorContains(t, err, "work store: mark: ")
		_, err = p.NextDue(t.Context(), "f")
		require.ErrorContains(t, err, "work store: next due: ")
		require.NoError(t, pg.Start())
		var seqs []int64
		require.Eventually(t, func() bool {
			seqs, err = p.Mark(t.Context(), marks)
			return err == nil
		}, soon, 5*time.Millisecond)
		require.Equal(t, []int64{row.Dirty + 1}, seqs)
	}
}

// A call that takes too long fails, by the server's limit or by the store's own.
func TestPostgresTimeout(t *testing.T) {
	address := server.SharedPostgreSQL(t).NewDatabase(t)
	db := openPostgres(t, address)
	limited := newTestPostgres(t, with(address, "statement_timeout", "100"))
	impatient, err := NewPostgres(t.Context(), openPostgres(t, address), PostgresConfig{Timeout: time.Second})
	require.NoError(t, err)
	marks := []work.Mark{markOf("1")}
	_, err = limited.Mark(t.Context(), marks)
	require.NoError(t, err)

	_, release := lockRow(t, db, "1")
	_, err = limited.Mark(t.Context(), marks)
	require.Equal(t, "57014", sqlCode(err))
	_, err = impatient.Mark(t.Context(), marks)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Eventually(t, func() bool { return lines(t, db, "SELECT count(*)::text"+blocked) == "0" }, soon, 5*time.Millisecond)
	release()
	for i, p := range []*Postgres{limited, impatient} {
		seqs, err := p.Mark(t.Context(), marks)
		require.NoError(t, err)
		require.Equal(t, []int64{int64(i + 2)}, seqs)
	}
}

// On a server that takes no writes, reading works and writing fails, until it
// takes them again.
func TestPostgresReadOnly(t *testing.T) {
	pg := server.PostgreSQL(t)
	address := pg.NewDatabase(t)
	p, db := newTestPostgres(t, address), openPostgres(t, address)
	marks := []work.Mark{markOf("1")}
	_, err := p.Mark(t.Context(), marks)
	require.NoError(t, err)
	mark := func() string {
		_, err := p.Mark(t.Context(), marks)
		return sqlCode(err)
	}
	set := func(value string) {
		for _, s := range []string{"SET default_transaction_read_only = off", "ALTER SYSTEM SET default_transaction_read_only = " + value, "SELECT pg_reload_conf()"} {
			_, err := db.ExecContext(t.Context(), s)
			require.NoError(t, err)
		}
	}
	db.SetMaxOpenConns(1) // which may always write
	set("on")
	require.Eventually(t, func() bool { return mark() == "25006" }, soon, 5*time.Millisecond)
	dirty := rowOf(t, p, "1").Dirty
	_, err = NewPostgres(t.Context(), openPostgres(t, address), PostgresConfig{})
	require.NoError(t, err, "it opens")
	require.Equal(t, dirty, rowOf(t, p, "1").Dirty)
	set("off")
	require.Eventually(t, func() bool { return mark() == "" }, soon, 5*time.Millisecond)
	require.Equal(t, dirty+1, rowOf(t, p, "1").Dirty)
}

// The victim of a deadlock tries again.
func TestPostgresDeadlock(t *testing.T) {
	address := server.SharedPostgreSQL(t).NewDatabase(t)
	p, db := newTestPostgres(t, address), openPostgres(t, address)
	_, err := p.Mark(t.Context(), []work.Mark{markOf("1"), markOf("2")})
	require.NoError(t, err)
	marked, victim := int64(1), false
	for range 10 {
		tx, release := lockRow(t, db, "2")
		wait := inBackground(t, p, markOf("2"), markOf("1")) // has 1, wants 2
		waitUntilBlocked(t, db)
		_, err = tx.ExecContext(t.Context(), "SELECT FROM konnektor.work WHERE id = '1' FOR UPDATE")
		release()
		require.NoError(t, wait())
		marked++
		// Who has waited for a second is the victim: the store, unless this test was slow.
		if victim = err == nil; victim {
			break
		}
		require.Equal(t, "40P01", sqlCode(err))
	}
	require.True(t, victim)
	require.Equal(t, marked, rowOf(t, p, "1").Dirty)
	require.Equal(t, marked, rowOf(t, p, "2").Dirty)
}

// No error tells whose row it was, not even one that is taken apart.
func TestPostgresErrorsHoldNoData(t *testing.T) {
	p := newTestPostgres(t, server.SharedPostgreSQL(t).NewDatabase(t))
	for _, statement := range []string{
		"ALTER TABLE konnektor.work ADD CONSTRAINT c CHECK (id NOT LIKE 'secret-check%')",
		`CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''row %'', NEW.id; END'`,
		"CREATE TRIGGER tell BEFORE INSERT ON konnektor.work FOR EACH ROW WHEN (NEW.id = 'secret-raise') EXECUTE FUNCTION tell()",
	} {
		_, err := p.db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	for id, code := range map[string]string{"secret-check": "23514", "secret-raise": "P0001", "secret-\x00": "", "secret-\xff": ""} {
		_, err := p.Mark(t.Context(), []work.Mark{markOf(id)})
		require.ErrorContains(t, err, "work store: mark: ")
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "secret")
		require.Equal(t, code, sqlCode(err))
		var e *pgconn.PgError
		require.NotErrorAs(t, err, &e)
	}
	address := server.SharedPostgreSQL(t).URL()
	away := strings.Replace(address, "postgres@", "someone:secret-password@", 1)
	_, err := NewPostgres(t.Context(), openPostgres(t, away), PostgresConfig{})
	require.ErrorContains(t, err, "db: cannot connect: ")
	require.NotContains(t, err.Error(), "secret")
}
