//go:build integration

package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/postgres"
)

// TestOptionalColumns holds that what is left alone is not named, neither in a
// new row nor in one that is there, and that null and empty are values.
func TestOptionalColumns(t *testing.T) {
	type row struct {
		Name sink.Optional[string]
		Room sink.Optional[string]
		Born sink.Optional[time.Time]
	}
	db := database(t, "CREATE TABLE t (id text PRIMARY KEY, name text, room text NOT NULL DEFAULT 'none yet', born date)")
	require.NoError(t, table[row](t, db, "t", postgres.Config{}).Check(t.Context()))
	s := ensured[row](t, db, "t", postgres.Config{})
	for _, step := range []struct {
		name   string
		want   row
		change string
		stored string
		other  string
	}{
		{name: "a new row gets defaults", want: row{Name: sink.Set("Ada")}, change: "created", stored: `(1,Ada,"none yet",)`},
		{
			name: "what others set stays", other: "UPDATE t SET room = 'A1', born = '1815-12-10'",
			want: row{Name: sink.Set("Ada L")}, change: "updated(name)", stored: `(1,"Ada L",A1,1815-12-10)`,
		},
		{name: "nothing is named", want: row{}, change: "unchanged", stored: `(1,"Ada L",A1,1815-12-10)`},
		{
			name: "null", want: row{Name: sink.Null[string](), Born: sink.Null[time.Time]()},
			change: "updated(name, born)", stored: `(1,,A1,)`,
		},
		{name: "null again", want: row{Name: sink.Null[string](), Born: sink.Null[time.Time]()}, change: "unchanged", stored: `(1,,A1,)`},
		{name: "empty", want: row{Name: sink.Set(""), Room: sink.Set("")}, change: "updated(name, room)", stored: `(1,"","",)`},
		{name: "empty again", want: row{Name: sink.Set(""), Room: sink.Set("")}, change: "unchanged", stored: `(1,"","",)`},
	} {
		t.Run(step.name, func(t *testing.T) {
			if step.other != "" {
				_, err := db.Pool.Exec(t.Context(), step.other)
				require.NoError(t, err)
			}
			change, err := s.Apply(t.Context(), id("1"), step.want)
			require.NoError(t, err)
			require.Equal(t, step.change, change.String())
			require.Equal(t, step.stored, text(t, db, "SELECT t::text FROM t"))
		})
	}
	_, err := s.Apply(t.Context(), id("1"), row{Room: sink.Null[string]()})
	require.Equal(t, failure.Rejected, failure.Of(err))
	have, _, err := table[row](t, db, "t", postgres.Config{}).Get(t.Context(), id("1"))
	require.NoError(t, err)
	require.Equal(t, row{Name: sink.Set(""), Room: sink.Set(""), Born: sink.Null[time.Time]()}, have.Value)
}

// TestNamesAndValuesOfChildrenNeverBecomeSQL is
// TestNamesAndValuesNeverBecomeSQL for all that children and keys have of names
// and values.
func TestNamesAndValuesOfChildrenNeverBecomeSQL(t *testing.T) {
	type item struct {
		Key   string `db:"k\"; DROP TABLE victim; --"`
		Value string `db:"want"`
		N     string `db:"n"`
		W     string `db:"w0"`
	}
	type row struct {
		C    string `db:"c"`
		Rows []item
	}
	quote := func(s string) string { return pgx.Identifier{s}.Sanitize() }
	const attack = `"; DROP TABLE victim; --`
	for _, name := range []string{attack, `'` + attack, "p", "c", "want", "have", "$1", "as_read", "æ %s ?"} {
		db := database(t, "CREATE TABLE victim ()",
			"CREATE TABLE "+quote("t"+name)+" (id text PRIMARY KEY, c text, "+quote("surrogate"+name)+" bigint GENERATED ALWAYS AS IDENTITY UNIQUE, "+quote("v"+name)+" int)",
			"CREATE TABLE "+quote(name)+" ("+quote("p"+name)+" bigint REFERENCES "+quote("t"+name)+"("+quote("surrogate"+name)+"), "+
				quote(`k"; DROP TABLE victim; --`)+` text, want text, n text, w0 text, UNIQUE (`+quote("p"+name)+", "+quote(`k"; DROP TABLE victim; --`)+"))")
		cfg := postgres.Config{Version: "v" + name, Children: []postgres.Child{{
			Field: "Rows", Table: name, Parent: []string{"p" + name}, References: []string{"surrogate" + name}, Key: []string{`k"; DROP TABLE victim; --`},
		}}}
		target := table[row](t, db, "t"+name, cfg)
		require.NoError(t, target.Check(t.Context()), name)
		s := ensured[row](t, db, "t"+name, cfg)
		for _, value := range []string{`'; DROP TABLE victim; --`, `$1`, `\'; DROP TABLE victim; --`, `"`, "%s ?", `),(1,'x`, "{a,b}", strings.Repeat("ø", 1000)} {
			for _, want := range []row{{C: value, Rows: []item{{value, "a", value, value}}}, {C: value, Rows: []item{{value, value, value, "b"}, {value + "2", value, value, value}}}} {
				_, err := s.Apply(t.Context(), id(value), want)
				require.NoError(t, err, name)
				have, found, err := target.Get(t.Context(), id(value))
				require.NoError(t, err)
				require.True(t, found)
				require.Equal(t, want, have.Value)
				change, err := s.Apply(t.Context(), id(value), want)
				require.NoError(t, err)
				require.Equal(t, sink.Unchanged, change.Op)
			}
			change, err := s.Remove(t.Context(), id(value))
			require.NoError(t, err)
			require.Equal(t, sink.Removed, change.Op)
		}
		require.Equal(t, "victim", text(t, db, "SELECT to_regclass('victim')::text"))
	}
}

// TestCheckOfChildren holds what Check says of the tables of children.
func TestCheckOfChildren(t *testing.T) {
	type row struct {
		Rows []struct{ Name string }
	}
	const parent = "CREATE TABLE t (id text PRIMARY KEY);"
	for _, tt := range []struct{ name, sql, references, error string }{
		{name: "no table", sql: parent, error: "postgres: Children[0].Table: there is no rows that the user can see; create it, or correct the name"},
		{
			name: "no parent column", sql: parent + "CREATE TABLE rows (name text)",
			error: `postgres: Children[0].Parent: table rows has no column "parent_id"; add it, or name another`,
		},
		{
			name: "no column", sql: parent + "CREATE TABLE rows (parent_id text)",
			error: `postgres: Children[0].Field: table rows has no column "name"; add it, or correct the db tag of field Name`,
		},
		{
			name: "no column to refer to", sql: parent + "CREATE TABLE rows (parent_id text, name text)", references: "no",
			error: `postgres: Children[0].References: table t has no column "no"; add it, or name another`,
		},
		{
			name: "not unique", sql: parent + "CREATE TABLE rows (parent_id text, name text, UNIQUE (name))",
			error: "postgres: Children[0].Key: with Parent, the key of table rows is not unique; add a unique index, or name another column: the plan of INSERT",
		},
		{
			name: "other types", sql: parent + "CREATE TABLE rows (parent_id int, name text, UNIQUE (parent_id, name))",
			error: "postgres: table rows: the table is not as expected (SQLSTATE 42883)",
		},
		{name: "fine", sql: parent + "CREATE TABLE rows (parent_id text, name text, UNIQUE (name, parent_id))"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := postgres.Config{Children: []postgres.Child{{Field: "Rows"}}}
			if tt.references != "" {
				cfg.Children[0].References = []string{tt.references}
			}
			err := table[row](t, database(t, tt.sql), "t", cfg).Check(t.Context())
			if tt.error == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, tt.error)
			require.Equal(t, failure.Unavailable, failure.Of(err))
		})
	}
}
