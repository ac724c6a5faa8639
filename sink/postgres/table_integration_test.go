//go:build integration

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/postgres"
)

type person struct {
	ID    string
	Name  string
	Email *string
}

const people = `CREATE TABLE people (id text PRIMARY KEY, name text NOT NULL, email text UNIQUE,
	note text NOT NULL DEFAULT 'ours', parent text REFERENCES people, CHECK (name <> 'forbidden'))`

// requireBadKey holds that an ID which the key's type does not take is
// rejected by all operations, and not told.
func requireBadKey[T any](t *testing.T, s sink.Sink[T], bad string, want T) {
	t.Helper()
	_, applied := s.Apply(t.Context(), id(bad), want)
	_, removed := s.Remove(t.Context(), id(bad))
	for _, err := range []error{applied, removed} {
		require.Equal(t, failure.Rejected, failure.Of(err))
		require.ErrorContains(t, err, "postgres: Key: the ID is no ")
		require.NotContains(t, err.Error(), bad)
	}
}

func TestTable(t *testing.T) {
	db := database(t, people)
	target := table[person](t, db, "public.people", postgres.Config{})
	ctx, key := t.Context(), id("1")

	_, found, err := target.Get(ctx, key)
	require.NoError(t, err)
	require.False(t, found)
	require.ErrorIs(t, target.Update(ctx, key, sink.Found[person]{}, person{Name: "x"}, []sink.Field{{Name: "name"}}), sink.ErrNotFound)
	require.ErrorIs(t, target.Delete(ctx, key, sink.Found[person]{}), sink.ErrNotFound)

	ada := person{Name: "Ada"}
	require.NoError(t, target.Create(ctx, key, ada))
	require.ErrorIs(t, target.Create(ctx, key, person{Name: "other"}), sink.ErrExists)
	have, found, err := target.Get(ctx, key)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, person{ID: "1", Name: "Ada"}, have.Value)

	// Somebody else changes what we do not name, and what we do not change.
	_, err = db.Pool.Exec(ctx, "UPDATE people SET note = 'theirs', email = 'their@example.org'")
	require.NoError(t, err)
	want := person{Name: "Ada L"}
	require.NoError(t, target.Update(ctx, key, have, want, []sink.Field{{Name: "name"}}))
	require.Equal(t, "(1,\"Ada L\",their@example.org,theirs,)", text(t, db, "SELECT people::text FROM people"))

	// What we change is not as we read it any more.
	err = target.Update(ctx, key, have, want, []sink.Field{{Name: "name"}, {Name: "email"}})
	require.ErrorIs(t, err, sink.ErrConflict)
	require.ErrorContains(t, err, "postgres: table public.people: ")

	// Nor may it be deleted unseen.
	require.ErrorIs(t, target.Delete(ctx, key, have), sink.ErrConflict)
	have, _, err = target.Get(ctx, key)
	require.NoError(t, err)
	require.NoError(t, target.Delete(ctx, key, have))
	require.Equal(t, "0", text(t, db, "SELECT count(*)::text FROM people"))
}

func TestObserve(t *testing.T) {
	db := database(t, people, "INSERT INTO people VALUES ('1', 'Ada', NULL)")
	target := table[person](t, db, "people", postgres.Config{})
	_, found, _, err := target.Observe(t.Context(), id("2"), person{})
	require.NoError(t, err)
	require.False(t, found)
	have, found, fields, err := target.Observe(t.Context(), id("1"), person{ID: "ignored", Name: "Ada", Email: new("a@b")})
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, person{ID: "1", Name: "Ada"}, have.Value)
	require.Equal(t, []sink.Field{{Name: "email", Old: (*string)(nil), New: new("a@b")}}, fields)
}

func TestEnsureWritesWhatDiffers(t *testing.T) {
	db := database(t, people)
	s := ensured[person](t, db, "people", postgres.Config{})
	_, err := s.Remove(t.Context(), id("1"))
	require.NoError(t, err)
	require.Equal(t, 2, db.reads, "the first call asks the catalog too")
	for _, step := range []struct {
		want   person
		change string
		writes string
	}{
		{person{Name: "Ada"}, "created", `INSERT INTO "people" ("id", "name", "email")`},
		{person{Name: "Ada"}, "unchanged", ""},
		{person{Name: "Ada", Email: new("a@b")}, "updated(email)", `UPDATE "people" AS p SET "email" = $2::text WHERE`},
		{person{Name: "Ada L"}, "updated(name, email)", `UPDATE "people" AS p SET "name" = $2::text, "email" = $3::text WHERE`},
	} {
		db.writes, db.reads = nil, 0
		change, err := s.Apply(t.Context(), id("1"), step.want)
		require.NoError(t, err)
		require.Equal(t, step.change, change.String())
		require.Equal(t, 1, db.reads)
		if step.writes == "" {
			require.Empty(t, db.writes)
		} else {
			require.Len(t, db.writes, 1)
			require.True(t, strings.HasPrefix(db.writes[0], step.writes), db.writes[0])
		}
	}
}

func TestWaysToRunAStatement(t *testing.T) {
	type row struct {
		Name  string
		Count int
		Nick  *string
		Born  time.Time
		Tags  []string
	}
	base := database(t).Config()
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			config := base.Copy()
			config.ConnConfig.DefaultQueryExecMode = mode
			db, err := pgxpool.NewWithConfig(t.Context(), config)
			require.NoError(t, err)
			defer db.Close()
			_, err = db.Exec(t.Context(), "DROP TABLE IF EXISTS t")
			require.NoError(t, err)
			_, err = db.Exec(t.Context(), "CREATE TABLE t (id bigint PRIMARY KEY, name text, count int, nick text, born timestamptz, tags text[])")
			require.NoError(t, err)
			require.NoError(t, table[row](t, db, "t", postgres.Config{}).Check(t.Context()))
			s := ensured[row](t, db, "t", postgres.Config{})
			first := row{Name: "a'b", Count: 1, Born: time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC), Tags: []string{"x"}}
			second := row{Name: `\`, Nick: new("n"), Born: first.Born.Add(time.Hour)}
			for _, step := range []struct {
				want row
				op   sink.Op
			}{{first, sink.Created}, {first, sink.Unchanged}, {second, sink.Updated}, {second, sink.Unchanged}, {first, sink.Updated}} {
				change, err := s.Apply(t.Context(), id("1"), step.want)
				require.NoError(t, err)
				require.Equal(t, step.op, change.Op)
			}
			requireBadKey(t, s, "nonsense", first)
		})
	}
}

// TestPresenceOnly holds that a T without columns manages only that rows exist.
func TestPresenceOnly(t *testing.T) {
	db := database(t, "CREATE TABLE members (id bigint PRIMARY KEY)")
	require.NoError(t, table[struct{}](t, db, "members", postgres.Config{}).Check(t.Context()))
	s := ensured[struct{}](t, db, "members", postgres.Config{})
	for _, op := range []sink.Op{sink.Created, sink.Unchanged} {
		change, err := s.Apply(t.Context(), id("1"), struct{}{})
		require.NoError(t, err)
		require.Equal(t, op, change.Op)
	}
	change, err := s.Remove(t.Context(), id("1"))
	require.NoError(t, err)
	require.Equal(t, sink.Removed, change.Op)
}

func TestNamesAndValuesNeverBecomeSQL(t *testing.T) {
	type odd struct {
		Value string `db:"v\"; DROP TABLE victim; --"`
		Space string `db:"SELECT æ "`
	}
	const name, key = `odd "schema'`, `k"; DROP TABLE victim; --`
	quote := func(s string) string { return pgx.Identifier{s}.Sanitize() }
	db := database(t, "CREATE TABLE victim ()", "CREATE SCHEMA "+quote(name),
		"CREATE TABLE "+quote(name)+"."+quote(`t."; DROP TABLE victim; --`)+" ("+quote(key)+" text PRIMARY KEY, "+
			quote(`v"; DROP TABLE victim; --`)+" text, "+quote("SELECT æ ")+" text)")
	for _, value := range []string{`'; DROP TABLE victim; --`, `$1`, `\'; DROP TABLE victim; --`, `"`, "%s ?"} {
		target := table[odd](t, db, name+`.t."; DROP TABLE victim; --`, postgres.Config{Key: key})
		require.NoError(t, target.Check(t.Context()))
		s := ensured[odd](t, db, name+`.t."; DROP TABLE victim; --`, postgres.Config{Key: key})
		for _, want := range []odd{{Value: value}, {Value: value, Space: value}} {
			_, err := s.Apply(t.Context(), id(value), want)
			require.NoError(t, err)
			have, found, err := target.Get(t.Context(), id(value))
			require.NoError(t, err)
			require.True(t, found)
			require.Equal(t, want, have.Value)
		}
		change, err := s.Remove(t.Context(), id(value))
		require.NoError(t, err)
		require.Equal(t, sink.Removed, change.Op)
	}
	require.Equal(t, "victim", text(t, db, "SELECT to_regclass('victim')::text"))
	for _, tt := range []struct{ table, key string }{
		{`people"; DROP TABLE victim; --`, "id"}, {"victim", `id"; DROP TABLE victim; --`},
	} {
		target := table[odd](t, db, tt.table, postgres.Config{Key: tt.key})
		_, _, err := target.Get(t.Context(), id("1"))
		require.Equal(t, failure.Unavailable, failure.Of(err))
	}
	require.Equal(t, "victim", text(t, db, "SELECT to_regclass('victim')::text"))
}

// TestTwoWriters lets two writers race for one row. Each of them writes both of
// its columns or fails with a conflict, so that no row is ever a mixture.
func TestTwoWriters(t *testing.T) {
	db := database(t, people)
	s := ensured[person](t, db, "people", postgres.Config{})
	group, ctx := errgroup.WithContext(t.Context())
	for _, writer := range []string{"a", "b"} {
		group.Go(func() error {
			for n := range 100 {
				value := fmt.Sprint(writer, n)
				if rand.IntN(10) == 0 {
					if _, err := s.Remove(ctx, id("1")); err != nil && !errors.Is(err, sink.ErrConflict) {
						return err
					}
					continue
				}
				_, err := s.Apply(ctx, id("1"), person{Name: value, Email: &value})
				if err != nil && !errors.Is(err, sink.ErrConflict) && !errors.Is(err, sink.ErrExists) && !errors.Is(err, sink.ErrNotFound) {
					return err
				}
				var mixed bool
				if err := db.QueryRow(ctx, "SELECT EXISTS (SELECT FROM people WHERE name <> email)").Scan(&mixed); err != nil || mixed {
					return fmt.Errorf("mixed: %v, %w", mixed, err)
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	_, err := s.Apply(t.Context(), id("1"), person{Name: "last", Email: new("last")})
	require.NoError(t, err)
	require.Equal(t, "last last", text(t, db, "SELECT name || ' ' || email FROM people"))
}

// TestValuesBeyondTheField holds that a value which a field cannot hold exactly
// neither hides a difference nor stands in the way of an update.
func TestValuesBeyondTheField(t *testing.T) {
	type row struct{ Amount float64 }
	const stored = "0.1000000000000000055511"
	db := database(t, "CREATE TABLE t (id text PRIMARY KEY, amount numeric)", "INSERT INTO t VALUES ('1', "+stored+")")
	s := ensured[row](t, db, "t", postgres.Config{})
	change, err := s.Apply(t.Context(), id("1"), row{0.1})
	require.NoError(t, err)
	require.Equal(t, "updated(amount)", change.String())
	require.Equal(t, "0.1", text(t, db, "SELECT amount::text FROM t"))
	change, err = s.Apply(t.Context(), id("1"), row{0.1})
	require.NoError(t, err)
	require.Equal(t, sink.Unchanged, change.Op)

	// In the same way it is a conflict when somebody else really changed it.
	target := table[row](t, db, "t", postgres.Config{})
	_, err = db.Pool.Exec(t.Context(), "UPDATE t SET amount = "+stored)
	require.NoError(t, err)
	have, _, err := target.Get(t.Context(), id("1"))
	require.NoError(t, err)
	_, err = db.Pool.Exec(t.Context(), "UPDATE t SET amount = 5")
	require.NoError(t, err)
	err = target.Update(t.Context(), id("1"), have, row{2}, []sink.Field{{Name: "Amount"}})
	require.ErrorIs(t, err, sink.ErrConflict)
	require.Equal(t, "5", text(t, db, "SELECT amount::text FROM t"))
}

func TestSerializationFailureIsAConflict(t *testing.T) {
	db := database(t, people, "INSERT INTO people VALUES ('1', 'Ada')")
	tx, err := db.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(context.Background())) }()
	target := table[person](t, tx, "people", postgres.Config{})
	have, _, err := target.Get(t.Context(), id("1"))
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), "UPDATE people SET name = 'Eve'")
	require.NoError(t, err)
	err = target.Update(t.Context(), id("1"), have, person{Name: "Bob"}, []sink.Field{{Name: "name"}})
	require.ErrorIs(t, err, sink.ErrConflict)
	require.ErrorContains(t, err, "SQLSTATE 40001")
}

func TestInTransaction(t *testing.T) {
	db := database(t, people)
	tx, err := db.Begin(t.Context())
	require.NoError(t, err)
	s := ensured[person](t, tx, "people", postgres.Config{})
	for _, want := range []person{{Name: "Ada"}, {Name: "Eve"}} {
		_, err = s.Apply(t.Context(), id("1"), want)
		require.NoError(t, err)
	}
	require.Equal(t, "0", text(t, db, "SELECT count(*)::text FROM people"))
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, "Eve", text(t, db, "SELECT name FROM people"))
}

func TestRefusals(t *testing.T) {
	db := database(t, people, "INSERT INTO people VALUES ('1', 'Ada', 'ada@example.org')",
		`CREATE TABLE strict (id bigint PRIMARY KEY, short varchar(3), born date NOT NULL, amount numeric(4,2), count int)`)
	type child struct {
		Name   string
		Parent *string
	}
	type strict struct {
		Short  string
		Born   *string
		Amount string
		Count  any
	}
	born := new("2026-01-02")
	apply := func(want strict) func() error {
		return func() error {
			_, err := ensured[strict](t, db, "strict", postgres.Config{}).Apply(t.Context(), id("7"), want)
			return err
		}
	}
	for _, tt := range []struct {
		name  string
		apply func() error
		class failure.Class
		text  string
	}{
		{name: "unique", apply: func() error {
			_, err := ensured[person](t, db, "people", postgres.Config{}).Apply(t.Context(), id("2"), person{Name: "B", Email: new("ada@example.org")})
			return err
		}, class: failure.Failed, text: `another row has a value that must be unique, constraint "people_email_key" (SQLSTATE 23505)`},
		{name: "check", apply: func() error {
			_, err := ensured[person](t, db, "people", postgres.Config{}).Apply(t.Context(), id("2"), person{Name: "forbidden"})
			return err
		}, class: failure.Rejected, text: `constraint "people_name_check" (SQLSTATE 23514)`},
		{name: "foreign key", apply: func() error {
			_, err := ensured[child](t, db, "people", postgres.Config{}).Apply(t.Context(), id("2"), child{Name: "B", Parent: new("secret")})
			return err
		}, class: failure.Failed, text: `constraint "people_parent_fkey" (SQLSTATE 23503)`},
		{
			name: "null", apply: apply(strict{Short: "a", Amount: "1"}), class: failure.Rejected,
			text: `null is not allowed, column "born" (SQLSTATE 23502)`,
		},
		{
			name: "too long", apply: apply(strict{Short: "secret", Born: born, Amount: "1"}), class: failure.Rejected,
			text: "postgres: table strict: a value does not fit its column (SQLSTATE 22001)",
		},
		{name: "no date", apply: apply(strict{Born: new("secret"), Amount: "1"}), class: failure.Rejected, text: "SQLSTATE 22007"},
		{name: "overflow", apply: apply(strict{Born: born, Amount: "123.45"}), class: failure.Rejected, text: "SQLSTATE 22003"},
		{name: "zero byte", apply: apply(strict{Short: "\x00", Born: born, Amount: "1"}), class: failure.Rejected, text: "SQLSTATE 22021"},
		{
			name: "cannot be sent", apply: apply(strict{Born: born, Amount: "1", Count: struct{ S string }{"secret"}}), class: failure.Rejected,
			text: `cannot be sent for column "count"; change the type of field Count`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.apply()
			require.Equal(t, tt.class, failure.Of(err), err)
			require.ErrorContains(t, err, tt.text)
			require.NotContains(t, err.Error(), "secret")
			require.NotContains(t, err.Error(), "example.org")
		})
	}
	// An entity that fits goes on as before.
	require.NoError(t, apply(strict{Short: "abc", Born: born, Amount: "1", Count: 5})())
}

func TestUnreadableColumn(t *testing.T) {
	db := database(t, "CREATE TABLE t (id text PRIMARY KEY, name text)", "INSERT INTO t VALUES ('1', 'secret')")
	type row struct{ Name int }
	target := table[row](t, db, "t", postgres.Config{})
	_, _, err := target.Get(t.Context(), id("1"))
	require.EqualError(t, err, `postgres: table t: column "name" holds what its field of T cannot; change the field's type`)
	require.EqualError(t, target.Check(t.Context()), err.Error())
}

func TestLockTimeout(t *testing.T) {
	db := database(t, people, "INSERT INTO people VALUES ('1', 'Ada')")
	tx, err := db.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(context.Background())) }()
	_, err = tx.Exec(t.Context(), "UPDATE people SET name = 'locked'")
	require.NoError(t, err)

	url := db.Config().ConnString()
	for _, tt := range []struct {
		setting string
		class   failure.Class
		state   string
	}{{"lock_timeout", failure.Failed, "55P03"}, {"statement_timeout", failure.Unavailable, "57014"}} {
		impatient := pool(t, url+"&"+tt.setting+"=20")
		_, err = ensured[person](t, impatient, "people", postgres.Config{}).Apply(t.Context(), id("1"), person{Name: "Eve"})
		require.Equal(t, tt.class, failure.Of(err))
		require.ErrorContains(t, err, tt.state)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = ensured[person](t, db, "people", postgres.Config{}).Apply(ctx, id("1"), person{Name: "Eve"})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, failure.Unavailable, failure.Of(err))
}

func TestOutage(t *testing.T) {
	pg := server.PostgreSQL(t)
	db := pool(t, pg.NewDatabase(t), people)
	s := ensured[person](t, db, "people", postgres.Config{})
	_, err := s.Apply(t.Context(), id("1"), person{Name: "Ada"})
	require.NoError(t, err)
	for i, end := range []func() error{pg.Stop, pg.Kill} {
		require.NoError(t, end())
		for range 3 { // the first meets the old connection
			_, err = s.Apply(t.Context(), id("1"), person{Name: "Eve"})
			require.Equal(t, failure.Unavailable, failure.Of(err), err)
			_, err = s.Remove(t.Context(), id("1"))
			require.Equal(t, failure.Unavailable, failure.Of(err), err)
		}
		require.Equal(t, failure.Unavailable, failure.Of(table[person](t, db, "people", postgres.Config{}).Check(t.Context())))
		require.NoError(t, pg.Start())
		change, err := s.Apply(t.Context(), id("1"), person{Name: fmt.Sprint("Eve", i)})
		require.NoError(t, err)
		require.Equal(t, "updated(name)", change.String())
	}
	db.Close()
	_, err = s.Remove(t.Context(), id("1"))
	require.Equal(t, failure.Unavailable, failure.Of(err), "the pool is closed")
}

func TestChangedTable(t *testing.T) {
	db := database(t, "CREATE TABLE people (id text PRIMARY KEY, name text, email text)")
	s := ensured[person](t, db, "people", postgres.Config{})
	_, err := s.Apply(t.Context(), id("1"), person{Name: "1"})
	require.NoError(t, err)

	_, err = db.Exec(t.Context(), "ALTER TABLE people RENAME name TO full_name")
	require.NoError(t, err)
	for range 2 {
		_, err = s.Apply(t.Context(), id("1"), person{Name: "2"})
		require.Equal(t, failure.Unavailable, failure.Of(err))
	}
	require.EqualError(t, err, `postgres: T: table people has no column "name"; add it, or correct the db tag of field Name`)

	_, err = db.Exec(t.Context(), "ALTER TABLE people RENAME full_name TO name; ALTER TABLE people ALTER name TYPE bigint USING name::bigint")
	require.NoError(t, err)
	change, err := s.Apply(t.Context(), id("1"), person{Name: "3"})
	require.NoError(t, err)
	require.Equal(t, sink.Updated, change.Op)
}
