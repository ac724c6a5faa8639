//go:build integration

package sqlstore

import (
	"context"
	"database/sql"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/server"
)

func newTestPostgres(t *testing.T, address string) *Postgres {
	t.Helper()
	p, err := NewPostgres(t.Context(), openPostgres(t, address), PostgresConfig{})
	require.NoError(t, err)
	return p
}

func execAll(t *testing.T, address string, statements ...string) {
	t.Helper()
	db := openPostgres(t, address)
	for _, statement := range statements {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}

// as returns the URL for another role.
func as(t *testing.T, address, role string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.User = url.User(role)
	return u.String()
}

// with returns the URL with a setting of the connection.
func with(address, name, value string) string {
	return address + "&" + name + "=" + url.QueryEscape(value)
}

func markOf(id string) work.Mark { return work.Mark{Flow: "f", Key: entity.Key{ID: id}} }

func TestPostgresConfig(t *testing.T) {
	address := server.SharedPostgreSQL(t).NewDatabase(t)
	db := openPostgres(t, address)
	for _, c := range []struct {
		name string
		cfg  PostgresConfig
		want string
	}{
		{"capitals", PostgresConfig{Schema: "Work"}, `Schema: "Work"; use at most 63 of a-z`},
		{"a quote", PostgresConfig{Schema: `a"; DROP TABLE x`}, `Schema: "a\"; DROP TABLE x"; use`},
		{"a digit first", PostgresConfig{Schema: "1a"}, `Schema: "1a"; use`},
		{"too long", PostgresConfig{Schema: strings.Repeat("a", 64)}, `; use at most 63`},
		{"the system's", PostgresConfig{Schema: "pg_work"}, `Schema: "pg_work"; use`},
		{"a short Timeout", PostgresConfig{Timeout: time.Millisecond}, "Timeout: 1ms; use 1s to 10m"},
		{"a long Timeout", PostgresConfig{Timeout: time.Hour}, "Timeout: 1h0m0s; use 1s to 10m"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := NewPostgres(t.Context(), db, c.cfg)
			require.ErrorContains(t, err, c.want)
			require.Nil(t, p)
		})
	}
	t.Run("no db", func(t *testing.T) {
		_, err := NewPostgres(t.Context(), nil, PostgresConfig{})
		require.ErrorContains(t, err, "db: is nil; open one")
	})
	t.Run("an ended context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := NewPostgres(ctx, openPostgres(t, address), PostgresConfig{})
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("a reserved word is a schema like others", func(t *testing.T) {
		p, err := NewPostgres(t.Context(), db, PostgresConfig{Schema: "select"})
		require.NoError(t, err)
		_, err = p.Mark(t.Context(), []work.Mark{markOf("1")})
		require.NoError(t, err)
	})
	t.Run("commits that are not waited for", func(t *testing.T) {
		_, err := NewPostgres(t.Context(), openPostgres(t, with(address, "synchronous_commit", "off")), PostgresConfig{})
		require.EqualError(t, err, `db: synchronous_commit is "off": what is stored would not survive a crash; use on`)
	})
	t.Run("another isolation", func(t *testing.T) {
		other := openPostgres(t, with(address, "default_transaction_isolation", "serializable"))
		_, err := NewPostgres(t.Context(), other, PostgresConfig{})
		require.ErrorContains(t, err, `db: default_transaction_isolation is "serializable": `)
	})
	t.Run("another encoding", func(t *testing.T) {
		t.Cleanup(func() { require.NoError(t, dropDatabase(db, "latin")) })
		execAll(t, address, "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
		u, err := url.Parse(address)
		require.NoError(t, err)
		u.Path = "/latin"
		_, err = NewPostgres(t.Context(), openPostgres(t, u.String()), PostgresConfig{})
		require.EqualError(t, err, `db: server_encoding is "LATIN1": make the database with ENCODING 'UTF8'`)
	})
	t.Run("another database", func(t *testing.T) {
		_, err := NewPostgres(t.Context(), openDB(t, t.TempDir()+"/work.db"), PostgresConfig{})
		require.ErrorContains(t, err, "db: cannot read the server's settings; is it PostgreSQL?")
	})
}

func dropDatabase(db *sql.DB, name string) error {
	_, err := db.ExecContext(context.Background(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	return err
}

// Two schemas are two stores.
func TestPostgresSchemas(t *testing.T) {
	db := openPostgres(t, server.SharedPostgreSQL(t).NewDatabase(t))
	var stores []*Postgres
	for _, schema := range []string{"one", "two"} {
		p, err := NewPostgres(t.Context(), db, PostgresConfig{Schema: schema})
		require.NoError(t, err)
		stores = append(stores, p)
	}
	_, err := stores[0].Mark(t.Context(), []work.Mark{markOf("1")})
	require.NoError(t, err)
	_, found, err := stores[1].Get(t.Context(), "f", entity.Key{ID: "1"})
	require.NoError(t, err)
	require.False(t, found)
	require.NotEqual(t, stores[0].secret, stores[1].secret)
}

func TestPostgresMigrate(t *testing.T) {
	address := server.SharedPostgreSQL(t).NewDatabase(t)
	t.Run("several at once", func(t *testing.T) {
		const n = 8
		stores, errs := make([]*Postgres, n), make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			db := openPostgres(t, address)
			wg.Go(func() { stores[i], errs[i] = NewPostgres(t.Context(), db, PostgresConfig{}) })
		}
		wg.Wait()
		for i := range n {
			require.NoError(t, errs[i])
			require.Equal(t, stores[0].secret, stores[i].secret)
		}
		require.Equal(t, "1", lines(t, stores[0].db, "SELECT count(*)::text FROM konnektor.schema_version"))
	})
	t.Run("what is there stays, leases too", func(t *testing.T) {
		p := newTestPostgres(t, address)
		_, err := p.Mark(t.Context(), []work.Mark{markOf("1")})
		require.NoError(t, err)
		leases, err := p.Lease(t.Context(), work.LeaseRequest{Flow: "f", Owner: "first", N: 1, TTL: time.Hour})
		require.NoError(t, err)
		other := newTestPostgres(t, address)
		row, found, err := other.Get(t.Context(), "f", entity.Key{ID: "1"})
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, work.Running, row.State)
		finishOne(t, other, work.Outcome{Lease: leases[0], Result: work.Done})
	})
	t.Run("a newer version is refused", func(t *testing.T) {
		execAll(t, address, "INSERT INTO konnektor.schema_version VALUES (7)")
		_, err := NewPostgres(t.Context(), openPostgres(t, address), PostgresConfig{})
		require.EqualError(t, err, "db: its tables have version 7, this program knows them up to 1; use a newer program")
		execAll(t, address, "DELETE FROM konnektor.schema_version WHERE version = 7")
		newTestPostgres(t, address)
	})
	t.Run("one that fails leaves nothing behind", func(t *testing.T) {
		execAll(t, address, "CREATE SCHEMA broken", "CREATE TABLE broken.rejected (mine int)") // the last that it makes
		_, err := NewPostgres(t.Context(), openPostgres(t, address), PostgresConfig{Schema: "broken"})
		require.ErrorContains(t, err, "work store: migrate with migrations/postgres/0001_work.sql: ")
		const count = "SELECT string_agg(tablename, ' ') FROM pg_tables WHERE schemaname = 'broken'"
		require.Equal(t, "rejected", lines(t, openPostgres(t, address), count))
	})
}

// A role that may not make a schema can use one that is up to date; errors say
// what it lacks.
func TestPostgresRights(t *testing.T) {
	address := server.SharedPostgreSQL(t).NewDatabase(t)
	role := "worker_" + strings.ToLower(t.Name())
	execAll(t, address, "CREATE ROLE "+role+" LOGIN")
	t.Cleanup(func() {
		db := openPostgres(t, address)
		for _, statement := range []string{"DROP OWNED BY " + role, "DROP ROLE " + role} {
			_, err := db.ExecContext(context.Background(), statement)
			require.NoError(t, err)
		}
	})
	refused := func(schema, advice string) {
		t.Helper()
		_, err := NewPostgres(t.Context(), openPostgres(t, as(t, address, role)), PostgresConfig{Schema: schema})
		require.ErrorContains(t, err, "db: an administrator has to run: "+advice)
		require.Equal(t, "42501", sqlCode(err))
	}
	refused("", `CREATE SCHEMA "konnektor" AUTHORIZATION "`+role+`"; because: `)

	newTestPostgres(t, address) // as the administrator
	const use = `GRANT USAGE ON SCHEMA "konnektor" TO %s; ` +
		`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "konnektor" TO %s`
	advice := strings.ReplaceAll(use, "%s", `"`+role+`"`)
	refused("", advice)
	execAll(t, address, advice)
	p := newTestPostgres(t, as(t, address, role))
	_, err := p.Mark(t.Context(), []work.Mark{markOf("1")})
	require.NoError(t, err)
	require.NoError(t, p.Reject(t.Context(), []work.Rejected{{Reason: "x"}}))
	n, err := p.Forget(t.Context(), entity.Key{ID: "1"})
	require.NoError(t, err)
	require.Equal(t, 1, n)

	execAll(t, address, "CREATE SCHEMA empty", "GRANT USAGE ON SCHEMA empty TO "+role)
	refused("empty", `GRANT USAGE, CREATE ON SCHEMA "empty" TO "`+role+`"; because: `)

	tx, err := p.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback()
	file := "migrations/postgres/0001_work.sql"
	later := &migration{Postgres: p, role: role, files: []string{file, file}} // as if there were another version
	err = later.inTx(t.Context(), tx)
	require.ErrorContains(t, err, `run: GRANT `+role+` the role that owns the tables of "konnektor", or start the program once as it; because: `)
}
