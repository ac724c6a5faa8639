//go:build integration

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/postgres"
)

func TestVersion(t *testing.T) {
	for _, tt := range []struct{ name, column, first, second string }{
		{name: "counts from its default", column: "bigint NOT NULL DEFAULT 1", first: "1", second: "2"},
		{name: "counts from null", column: "smallint", first: "NULL", second: "1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := database(t, `CREATE TABLE people (id text PRIMARY KEY, name text, email text, room text, "V" `+tt.column+")")
			cfg := postgres.Config{Version: "V"}
			target := table[person](t, db, "people", cfg)
			require.NoError(t, target.Check(t.Context()))
			s := ensured[person](t, db, "people", cfg)
			version := func() string { return text(t, db, `SELECT "V"::text FROM people`) }
			_, err := s.Apply(t.Context(), id("1"), person{Name: "Ada"})
			require.NoError(t, err)
			require.Equal(t, tt.first, version())
			_, err = s.Apply(t.Context(), id("1"), person{Name: "Ada L"})
			require.NoError(t, err)
			require.Equal(t, tt.second, version())
			change, err := s.Apply(t.Context(), id("1"), person{Name: "Ada L"})
			require.NoError(t, err)
			require.Equal(t, sink.Unchanged, change.Op)
			require.Equal(t, tt.second, version(), "what is not written is not counted")

			// A column that is not ours was changed, which only the version shows.
			have, _, err := target.Get(t.Context(), id("1"))
			require.NoError(t, err)
			_, err = db.Pool.Exec(t.Context(), `UPDATE people SET room = 'theirs', "V" = "V" + 1`)
			require.NoError(t, err)
			require.ErrorIs(t, target.Update(t.Context(), id("1"), have, person{}, []sink.Field{{Name: "name"}}), sink.ErrConflict)
			require.ErrorIs(t, target.Delete(t.Context(), id("1"), have), sink.ErrConflict)
			require.Equal(t, "Ada L theirs", text(t, db, "SELECT name || ' ' || room FROM people"))

			have.Ref = nil // as if it were not from this target
			require.ErrorIs(t, target.Delete(t.Context(), id("1"), have), sink.ErrConflict)
			change, err = s.Remove(t.Context(), id("1"))
			require.NoError(t, err)
			require.Equal(t, sink.Removed, change.Op)
		})
	}
}

func TestVersionColumnThatCannotCount(t *testing.T) {
	db := database(t, "CREATE TABLE people (id text PRIMARY KEY, name text, email text, version text)")
	err := table[person](t, db, "people", postgres.Config{Version: "version"}).Check(t.Context())
	require.Equal(t, failure.Unavailable, failure.Of(err))
	require.ErrorContains(t, err, "the plan of UPDATE")
	err = table[person](t, db, "people", postgres.Config{Version: "none"}).Check(t.Context())
	require.EqualError(t, err, `postgres: Version: table people has no column "none"; add it, or name another`)
}

// TestDeleteIsGuarded holds that what another writer changed since it was read
// is not deleted, and what T only cannot hold exactly is.
func TestDeleteIsGuarded(t *testing.T) {
	type row struct {
		Amount float64
		Name   string
	}
	db := database(t, "CREATE TABLE t (id text PRIMARY KEY, amount numeric, name text)", "INSERT INTO t VALUES ('1', 0.1000000000000000055511, NULL)")
	target := table[row](t, db, "t", postgres.Config{})
	have, _, err := target.Get(t.Context(), id("1"))
	require.NoError(t, err)
	_, err = db.Pool.Exec(t.Context(), "UPDATE t SET name = 'b'")
	require.NoError(t, err)
	require.ErrorIs(t, target.Delete(t.Context(), id("1"), have), sink.ErrConflict)
	_, err = db.Pool.Exec(t.Context(), "UPDATE t SET name = NULL")
	require.NoError(t, err)
	require.NoError(t, target.Delete(t.Context(), id("1"), have))
	require.ErrorIs(t, target.Delete(t.Context(), id("1"), have), sink.ErrNotFound)
}

// TestStaleChildren holds that a write that was decided before another changed
// the children does not undo that.
func TestStaleChildren(t *testing.T) {
	for _, other := range []string{
		"UPDATE employment SET from_date = '2026-12-01'", "DELETE FROM employment",
		"INSERT INTO employment (employee_id, position) SELECT id, 'b' FROM employee", "UPDATE employment SET position = NULL",
	} {
		db := database(t, employees)
		target := table[employee](t, db, "employee", employeesConfig())
		first := employee{Name: "Ada", Employments: []employment{{"a", day(1), nil}}}
		second := employee{Name: "Ada", Employments: []employment{{"a", day(2), nil}}}
		require.NoError(t, target.Create(t.Context(), id("1"), first))
		require.ErrorIs(t, target.Create(t.Context(), id("1"), second), sink.ErrExists)
		have, _, fields, err := target.Observe(t.Context(), id("1"), second)
		require.NoError(t, err)
		_, err = db.Pool.Exec(t.Context(), other)
		require.NoError(t, err)
		after := dump(t, db)
		require.ErrorIs(t, target.Update(t.Context(), id("1"), have, second, fields), sink.ErrConflict)
		require.ErrorIs(t, target.Delete(t.Context(), id("1"), have), sink.ErrConflict)
		require.Equal(t, after, dump(t, db))

		// A column of a child that T does not name is nobody's business.
		have, _, fields, err = target.Observe(t.Context(), id("1"), second)
		require.NoError(t, err)
		_, err = db.Pool.Exec(t.Context(), "UPDATE employment SET room = 'B2'")
		require.NoError(t, err)
		require.NoError(t, target.Update(t.Context(), id("1"), have, second, fields))
		require.ErrorIs(t, target.Update(t.Context(), id("2"), have, second, fields), sink.ErrNotFound)
		require.ErrorIs(t, target.Delete(t.Context(), id("2"), have), sink.ErrNotFound)
	}
}

// TestTwoWritersOfChildren lets instances race for the rows of one employee
// while a stranger changes a column of theirs and adds rows. Whatever is seen at
// any time is what one of them wanted, or what the stranger added to it.
func TestTwoWritersOfChildren(t *testing.T) {
	for _, version := range []string{"", "version"} {
		t.Run("version column "+version, func(t *testing.T) { raceForChildren(t, version) })
	}
}

func raceForChildren(t *testing.T, version string) {
	t.Helper()
	db := database(t, employees, "ALTER TABLE employee ADD version int")
	cfg := employeesConfig()
	cfg.Version = version
	group, ctx := errgroup.WithContext(t.Context())
	for _, writer := range []string{"a", "b"} {
		s := ensured[employee](t, db, "employee", cfg)
		group.Go(func() error {
			for n := range 60 {
				name := fmt.Sprint(writer, n)
				want := employee{Name: name, Employments: []employment{{"kept", day(1), nil}, {name, day(2), nil}}, Emails: sink.Set([]email{{name}})}
				var err error
				if rand.IntN(8) == 0 {
					_, err = s.Remove(ctx, id("1"))
				} else {
					_, err = s.Apply(ctx, id("1"), want)
				}
				if err != nil && !errors.Is(err, sink.ErrConflict) && !errors.Is(err, sink.ErrExists) && !errors.Is(err, sink.ErrNotFound) {
					return err
				}
				if err := notMixed(ctx, db); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		for n := range 40 {
			sql := "UPDATE employment SET room = 'theirs' WHERE position = 'kept'"
			if n%4 == 0 {
				sql = "INSERT INTO employment (employee_id, position) SELECT id, 'stranger' FROM employee ON CONFLICT DO NOTHING"
			}
			_, err := db.Pool.Exec(ctx, sql)
			if state := (*pgconn.PgError)(nil); errors.As(err, &state) && state.Code == "23503" {
				continue // the employee was removed meanwhile
			}
			if err != nil {
				return fmt.Errorf("the stranger: %w", err)
			}
		}
		return nil
	})
	require.NoError(t, group.Wait())
	s := ensured[employee](t, db, "employee", cfg)
	last := employee{Name: "last", Employments: []employment{{"kept", day(1), nil}, {"last", day(2), nil}}, Emails: sink.Set([]email{{"last"}})}
	for _, op := range []string{"", "unchanged"} {
		change, err := s.Apply(t.Context(), id("1"), last)
		require.NoError(t, err)
		require.Contains(t, change.String(), op)
	}
	require.Equal(t, "kept last last", text(t, db, `SELECT string_agg(position, ' ' ORDER BY position) || ' ' || (SELECT string_agg(address, ' ') FROM emails) FROM employment`))
}

// notMixed checks that the rows are of one writer.
func notMixed(ctx context.Context, db *counting) error {
	var mixed bool
	err := db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM employee e WHERE
		(SELECT array_agg(position ORDER BY position) FROM employment WHERE employee_id = e.id AND position NOT IN ('kept', 'stranger')) IS DISTINCT FROM ARRAY[name] OR
		(SELECT array_agg(address) FROM emails WHERE employee_id = e.id) IS DISTINCT FROM ARRAY[name])`).Scan(&mixed)
	if mixed {
		return errors.New("rows of two writers")
	}
	return err
}

// TestKeysOfSeveralColumns has tenants whose people have the same IDs, and
// children that refer to both columns.
func TestKeysOfSeveralColumns(t *testing.T) {
	type note struct{ Text string }
	type row struct {
		Tenant string
		Name   string
		Notes  []note
	}
	db := database(t, `CREATE TABLE people (tenant text, no bigint, name text, PRIMARY KEY (tenant, no));
		CREATE TABLE notes (t text, n bigint, text text, UNIQUE (t, n, text), FOREIGN KEY (t, n) REFERENCES people)`)
	cfg := postgres.Config{
		Keys:     []postgres.KeyColumn{{Name: "tenant", Value: func(k entity.Key) string { return k.Type }}, {Name: "no"}},
		Children: []postgres.Child{{Field: "Notes", Parent: []string{"t", "n"}}},
	}
	target := table[row](t, db, "people", cfg)
	require.NoError(t, target.Check(t.Context()))
	s := ensured[row](t, db, "people", cfg)
	for _, tenant := range []string{"uio", "uib"} {
		for _, no := range []string{"1", "2"} {
			want := row{Name: tenant + no, Notes: []note{{tenant}, {no}}}
			for _, op := range []sink.Op{sink.Created, sink.Unchanged} {
				change, err := s.Apply(t.Context(), entity.Key{Type: tenant, ID: no}, want)
				require.NoError(t, err)
				require.Equal(t, op, change.Op)
			}
		}
	}
	have, found, err := target.Get(t.Context(), entity.Key{Type: "uib", ID: "02"})
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, row{Tenant: "uib", Name: "uib2", Notes: []note{{"2"}, {"uib"}}}, have.Value)
	_, err = s.Apply(t.Context(), entity.Key{Type: "uio", ID: "secret"}, row{})
	require.EqualError(t, err, `postgres: Key: the ID is no text, bigint, the type of column "tenant", "no" of table people; `+
		`change the column's type, or name another (SQLSTATE 22P02)`)
	_, err = s.Remove(t.Context(), entity.Key{Type: "uio", ID: "2"})
	require.NoError(t, err)
	require.Equal(t, "uib1 uib2 uio1", text(t, db, "SELECT string_agg(name, ' ' ORDER BY name) FROM people"))
	require.Equal(t, "6", text(t, db, "SELECT count(*)::text FROM notes"))
}
