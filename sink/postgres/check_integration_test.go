//go:build integration

package postgres_test

import (
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/postgres"
)

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name, sql string
		key       string
		stranger  bool   // a user who owns nothing
		error     string // "" if all is well
	}{
		{name: "works", sql: "CREATE TABLE people (id text PRIMARY KEY, name text, email text)"},
		{name: "unique column", sql: "CREATE TABLE people (id text UNIQUE, name text, email text)"},
		{name: "other key", sql: "CREATE TABLE people (id text, no int PRIMARY KEY, name text, email text)", key: "no"},
		{
			name: "partitioned", sql: `CREATE TABLE people (id text PRIMARY KEY, name text, email text) PARTITION BY HASH (id);
				CREATE TABLE people_1 PARTITION OF people FOR VALUES WITH (MODULUS 1, REMAINDER 0)`,
		},
		{
			name: "view", sql: `CREATE TABLE base (id text PRIMARY KEY, name text, email text, extra text);
				CREATE VIEW people AS SELECT id, name, email FROM base`,
		},
		{name: "no table", sql: "", error: "postgres: table: there is no people that the user can see; create it, or correct the name"},
		{
			name: "no key", sql: "CREATE TABLE people (name text, email text)",
			error: `postgres: Key: table people has no column "id"; add it, or name another`,
		},
		{
			name: "no column", sql: "CREATE TABLE people (id text PRIMARY KEY, name text)",
			error: `postgres: T: table people has no column "email"; add it, or correct the db tag of field Email`,
		},
		{
			name: "key not unique", sql: "CREATE TABLE people (id text, name text, email text)",
			error: `postgres: Key: column "id" of table people is not unique; add a unique index, or name another column: the plan of INSERT`,
		},
		{
			name: "key unique with another", sql: "CREATE TABLE people (id text, name text, email text, PRIMARY KEY (id, name))",
			error: `postgres: Key: column "id" of table people is not unique; add a unique index, or name another column: the plan of INSERT`,
		},
		{
			name: "key unique in part", sql: "CREATE TABLE people (id text, name text, email text); CREATE UNIQUE INDEX ON people (id) WHERE name <> ''",
			error: `postgres: Key: column "id" of table people is not unique; add a unique index, or name another column: the plan of INSERT`,
		},
		{
			name: "generated column", sql: "CREATE TABLE people (id text PRIMARY KEY, name text GENERATED ALWAYS AS ('x') STORED, email text)",
			error: "postgres: table people: the table is not as expected (SQLSTATE 428C9): the plan of INSERT",
		},
		{
			name: "no right to update", stranger: true, sql: `CREATE TABLE people (id text PRIMARY KEY, name text, email text);
				GRANT SELECT, INSERT, DELETE ON people TO PUBLIC`,
			error: "postgres: table people: the user lacks a right (SQLSTATE 42501): the plan of UPDATE",
		},
		{
			name: "no right to read", stranger: true, sql: `CREATE TABLE people (id text PRIMARY KEY, name text, email text);
				GRANT INSERT ON people TO PUBLIC`,
			error: "postgres: table people: the user lacks a right (SQLSTATE 42501)",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := database(t, tt.sql)
			pool := db.Pool
			if tt.stranger {
				pool = asStranger(t, db)
			}
			target := table[person](t, pool, "people", postgres.Config{Key: tt.key})
			err := target.Check(t.Context())
			if tt.error == "" {
				require.NoError(t, err)
				_, err = ensured[person](t, pool, "people", postgres.Config{Key: tt.key}).Apply(t.Context(), id("1"), person{Name: "Ada"})
				require.NoError(t, err)
				require.NoError(t, target.Check(t.Context()), "with a row")
				require.Equal(t, "1", text(t, db, "SELECT count(*)::text FROM people"), "nothing was written")
				return
			}
			require.EqualError(t, err, tt.error)
			require.Equal(t, failure.Unavailable, failure.Of(err))
		})
	}
}

func TestCheckOfTypes(t *testing.T) {
	type row struct{ Born struct{ Secret string } }
	db := database(t, "CREATE TABLE people (id text PRIMARY KEY, born date)")
	err := table[row](t, db, "people", postgres.Config{}).Check(t.Context())
	require.ErrorContains(t, err, `cannot be sent for column "born"; change the type of field Born`)
}

func TestKeyWithTwoRows(t *testing.T) {
	db := database(t, "CREATE TABLE people (id text, name text, email text)", "INSERT INTO people VALUES ('1', 'a'), ('1', 'b')")
	s := ensured[person](t, db, "people", postgres.Config{})
	_, applied := s.Apply(t.Context(), id("1"), person{Name: "c"})
	_, removed := s.Remove(t.Context(), id("1"))
	for _, err := range []error{applied, removed} {
		require.ErrorContains(t, err, `postgres: Key: column "id" of table people is not unique`)
		require.ErrorIs(t, err, sink.ErrAmbiguous)
		require.Equal(t, failure.Failed, failure.Of(err))
	}
	require.Equal(t, "2", text(t, db, "SELECT count(*)::text FROM people"))
}

// asStranger returns a pool of a user who owns nothing.
func asStranger(t *testing.T, db *counting) *pgxpool.Pool {
	t.Helper()
	_, err := db.Exec(t.Context(), `DO $$ BEGIN CREATE ROLE stranger LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$`)
	require.NoError(t, err)
	u, err := url.Parse(db.Config().ConnString())
	require.NoError(t, err)
	u.User = url.User("stranger")
	return pool(t, u.String())
}
