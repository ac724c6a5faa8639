//go:build integration

package postgres_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/postgres"
)

// employee has a surrogate key, which its employments and addresses refer to.
type employee struct {
	Name        string
	Employments []employment
	Emails      sink.Optional[[]email]
}

type employment struct {
	Position string
	From     time.Time `db:"from_date"`
	Percent  *float64
}

type email struct {
	Address string
}

const employees = `CREATE TABLE employee (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number text NOT NULL UNIQUE,
		name text NOT NULL, note text DEFAULT 'ours');
	CREATE TABLE employment (employment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		employee_id bigint NOT NULL REFERENCES employee, position text, from_date date, percent numeric(5,2) CHECK (percent <= 100),
		room text DEFAULT 'none yet', UNIQUE (employee_id, position));
	CREATE TABLE emails (employee_id bigint NOT NULL REFERENCES employee, address text, PRIMARY KEY (employee_id, address))`

func employeesConfig() postgres.Config {
	return postgres.Config{Key: "number", Children: []postgres.Child{
		{
			Field: "Employments", Table: "employment", Parent: []string{"employee_id"}, References: []string{"id"},
			Key: []string{"position"},
		},
		{Field: "Emails", Parent: []string{"employee_id"}, References: []string{"id"}},
	}}
}

func day(month int) time.Time { return time.Date(2026, time.Month(month), 1, 0, 0, 0, 0, time.UTC) }

// dump returns the employees and their children as text.
func dump(t *testing.T, db *counting) string {
	t.Helper()
	return text(t, db, `SELECT coalesce(string_agg(concat(number, ' ', name, ' ', note,
		(SELECT string_agg(concat(' [', position, ' ', from_date, ' ', percent, ' ', room, ']'), '' ORDER BY position)
			FROM employment WHERE employee_id = e.id),
		(SELECT string_agg(concat(' <', address, '>'), '' ORDER BY address) FROM emails WHERE employee_id = e.id)), E'\n' ORDER BY number), '')
		FROM employee e`)
}

func TestChildren(t *testing.T) {
	db := database(t, employees)
	target := table[employee](t, db, "employee", employeesConfig())
	require.NoError(t, target.Check(t.Context()))
	s := ensured[employee](t, db, "employee", employeesConfig())
	half, full := 50.0, 100.0
	professor := employment{"professor", day(1), &half}
	dean := employment{"dean", day(2), &full}
	for _, step := range []struct {
		name   string
		want   employee
		change string
		dump   string
		other  string // what another writer does before it
	}{
		{
			name: "create", want: employee{Name: "Ada", Employments: []employment{professor}},
			change: "created", dump: "1 Ada ours [professor 2026-01-01 50.00 none yet]",
		},
		{
			name: "insert, and leave the columns of others", want: employee{Name: "Ada", Employments: []employment{dean, professor}},
			other:  "UPDATE employment SET room = 'A1'; UPDATE employee SET note = 'theirs'",
			change: "updated(employments)", dump: "1 Ada theirs [dean 2026-02-01 100.00 none yet] [professor 2026-01-01 50.00 A1]",
		},
		{
			name: "update", want: employee{Name: "Ada", Employments: []employment{dean, {"professor", day(3), nil}}},
			change: "updated(employments)", dump: "1 Ada theirs [dean 2026-02-01 100.00 none yet] [professor 2026-03-01  A1]",
		},
		{
			name: "delete, insert and update at once, and the row too", want: employee{Name: "Ada L", Employments: []employment{{"professor", day(3), &full}, {"rector", day(4), nil}}},
			change: "updated(name, employments)", dump: "1 Ada L theirs [professor 2026-03-01 100.00 A1] [rector 2026-04-01  none yet]",
		},
		{
			name: "a foreign row goes, one that is left alone stays", want: employee{Name: "Ada L", Employments: []employment{{"rector", day(4), nil}}},
			other: "INSERT INTO employment (employee_id, position) SELECT id, 'intruder' FROM employee; INSERT INTO employment (employee_id) SELECT id FROM employee;" +
				"INSERT INTO emails SELECT id, 'their@example.org' FROM employee",
			change: "updated(employments)", dump: "1 Ada L theirs [rector 2026-04-01  none yet] <their@example.org>",
		},
		{
			name: "the other child", want: employee{Name: "Ada L", Emails: sink.Set([]email{{"a@b"}, {"c@d"}}), Employments: []employment{{"rector", day(4), nil}}},
			change: "updated(emails)", dump: "1 Ada L theirs [rector 2026-04-01  none yet] <a@b> <c@d>",
		},
		{
			name: "none", want: employee{Name: "Ada L", Emails: sink.Null[[]email]()},
			change: "updated(employments, emails)", dump: "1 Ada L theirs",
		},
		{
			name: "many", want: employee{Name: "Ada L", Emails: sink.Set(manyEmails(300))},
			change: "updated(emails)", dump: "1 Ada L theirs" + fmt.Sprintf(strings.Repeat(" <%s>", 300), addresses(300)...),
		},
	} {
		t.Run(step.name, func(t *testing.T) {
			if step.other != "" {
				_, err := db.Pool.Exec(t.Context(), step.other)
				require.NoError(t, err)
			}
			dry, err := sink.DryRun(s)
			require.NoError(t, err)
			planned, err := dry.Apply(t.Context(), id("1"), step.want)
			require.NoError(t, err)
			change, err := s.Apply(t.Context(), id("1"), step.want)
			require.NoError(t, err)
			require.Equal(t, step.change, change.String())
			require.Equal(t, step.change, planned.String())
			require.Equal(t, step.dump, dump(t, db))
			db.writes, db.trips = nil, 0
			change, err = s.Apply(t.Context(), id("1"), step.want)
			require.NoError(t, err)
			require.Equal(t, sink.Unchanged, change.Op)
			require.Empty(t, db.writes)
			require.Equal(t, 1, db.trips, "row and children are read in one round trip")
			require.NoError(t, target.Check(t.Context()))
		})
	}
	change, err := s.Remove(t.Context(), id("1"))
	require.NoError(t, err)
	require.Equal(t, sink.Removed, change.Op)
	require.Equal(t, "0 0 0", text(t, db, `SELECT concat((SELECT count(*) FROM employee), ' ', (SELECT count(*) FROM employment), ' ',
		(SELECT count(*) FROM emails))`))
}

func manyEmails(n int) []email {
	var all []email
	for _, a := range addresses(n) {
		all = append(all, email{a.(string)})
	}
	return all
}

func addresses(n int) []any {
	all := make([]any, n)
	for i := range all {
		all[i] = fmt.Sprintf("a%04d", i)
	}
	return all
}

func TestChildrenAreRead(t *testing.T) {
	db := database(t, employees)
	s := ensured[employee](t, db, "employee", employeesConfig())
	half := 50.0
	want := employee{Name: "Ada", Employments: []employment{{"a", day(1), &half}, {"b", day(2), nil}}, Emails: sink.Set([]email{{"a@b"}})}
	_, err := s.Apply(t.Context(), id("1"), want)
	require.NoError(t, err)
	target := table[employee](t, db, "employee", employeesConfig())
	have, found, err := target.Get(t.Context(), id("1"))
	require.NoError(t, err)
	require.True(t, found)
	require.Empty(t, sink.Diff(have.Value, want))

	less := want
	less.Employments = want.Employments[:1]
	have, found, fields, err := target.Observe(t.Context(), id("1"), less)
	require.NoError(t, err)
	require.True(t, found)
	require.Empty(t, sink.Diff(have.Value, want))
	require.Len(t, fields, 1)
	require.Equal(t, "employments", fields[0].Name)
	require.Len(t, fields[0].Old, 2)
	require.Len(t, fields[0].New, 1)

	_, found, fields, err = target.Observe(t.Context(), id("2"), less)
	require.NoError(t, err)
	require.False(t, found)
	require.Empty(t, fields)
}

// TestChildrenMatchAsTheServerDoes holds that the keys of children are compared
// by the server: these are written in other ways than it prints them.
func TestChildrenMatchAsTheServerDoes(t *testing.T) {
	type item struct {
		No   string
		At   time.Time
		Data json.RawMessage
		Tags []string
	}
	type row struct{ Items []item }
	db := database(t, `CREATE TABLE parent (id text PRIMARY KEY);
		CREATE TABLE items (parent_id text REFERENCES parent ON DELETE CASCADE, no numeric(6,2), at timestamptz(0), data jsonb, tags text[],
			n text DEFAULT 'n', w0 text DEFAULT 'w', h0 text DEFAULT 'h', PRIMARY KEY (parent_id, no, at))`)
	cfg := postgres.Config{Children: []postgres.Child{{Field: "Items", Key: []string{"no", "at"}}}}
	require.NoError(t, table[row](t, db, "parent", cfg).Check(t.Context()))
	s := ensured[row](t, db, "parent", cfg)
	noon := time.Date(2026, 11, 2, 12, 0, 0, 1000, oslo)
	for _, step := range []struct {
		want   []item
		change string
	}{
		{[]item{{"007", noon, json.RawMessage(`{"b":1,"a":2}`), []string{"x"}}}, "created"},
		{[]item{{"7.001", noon.UTC().Add(1000), json.RawMessage(`{"a":2, "b":1}`), []string{"x"}}}, "unchanged"},
		{[]item{{"7", noon, json.RawMessage(`{"a":2, "b":1}`), []string{"x", "y"}}}, "updated(items)"},
		{[]item{{"7", noon, nil, nil}, {"7", noon.Add(time.Second), nil, nil}}, "updated(items)"},
		{[]item{{"7", noon.Add(time.Second), nil, nil}, {"7", noon, nil, nil}}, "unchanged"},
	} {
		change, err := s.Apply(t.Context(), id("1"), row{step.want})
		require.NoError(t, err)
		require.Equal(t, step.change, change.String())
	}
	for _, bad := range [][]item{
		{{"7", noon, nil, nil}, {"07.00", noon.Add(1), nil, nil}},
		{{"8", noon, nil, nil}, {"8", noon, nil, nil}},
	} {
		for _, key := range []string{"1", "new"} {
			_, err := s.Apply(t.Context(), id(key), row{bad})
			require.EqualError(t, err, "postgres: table items: two rows of field Items have the same key")
			require.Equal(t, failure.Rejected, failure.Of(err))
		}
	}
	require.Equal(t, "7.00 7.00", text(t, db, "SELECT string_agg(no::text, ' ') FROM items"))
}

func TestChildrenRefused(t *testing.T) {
	db := database(t, employees)
	s := ensured[employee](t, db, "employee", employeesConfig())
	type nullable struct {
		Name   string
		Emails []struct{ Address *string }
	}
	_, err := ensured[nullable](t, db, "employee", postgres.Config{Key: "number", Children: []postgres.Child{
		{Field: "Emails", Parent: []string{"employee_id"}, References: []string{"id"}},
	}}).Apply(t.Context(), id("1"), nullable{Name: "Ada", Emails: []struct{ Address *string }{{}}})
	require.EqualError(t, err, "postgres: table emails: a row of field Emails has a null in its key")
	require.Equal(t, failure.Rejected, failure.Of(err))

	ada := employee{Name: "Ada", Employments: []employment{{"a", day(1), nil}}}
	_, err = s.Apply(t.Context(), id("1"), ada)
	require.NoError(t, err)
	before := dump(t, db)
	much := 1000.0
	over := 100.5
	for _, tt := range []struct {
		name  string
		rows  []employment
		text  string
		class failure.Class
	}{
		{"too much for its type", []employment{{"secret", day(1), &much}}, "SQLSTATE 22003", failure.Rejected},
		{"against a check", []employment{{"secret", day(1), &over}}, `constraint "employment_percent_check" (SQLSTATE 23514)`, failure.Rejected},
		{"with a zero byte", []employment{{"secret\x00", day(1), nil}}, "SQLSTATE 22021", failure.Rejected},
	} {
		for _, key := range []string{"1", "secret-key"} {
			_, err = s.Apply(t.Context(), id(key), employee{Name: "other", Employments: append(tt.rows, ada.Employments...)})
			require.ErrorContains(t, err, "postgres: table employment: ", tt.name)
			require.ErrorContains(t, err, tt.text, tt.name)
			require.NotContains(t, err.Error(), "secret")
			require.Equal(t, tt.class, failure.Of(err), tt.name)
			require.Equal(t, before, dump(t, db), "nothing of it is written")
		}
	}
	_, err = s.Apply(t.Context(), id("1"), employee{Name: "Ada", Emails: sink.Set(manyEmails(70000))})
	require.EqualError(t, err, "postgres: table emails: too many rows, they have more than 65535 values")
	require.Equal(t, failure.Rejected, failure.Of(err))
}

// TestChildrenInAllWaysToRunAStatement is TestWaysToRunAStatement for children.
func TestChildrenInAllWaysToRunAStatement(t *testing.T) {
	base := database(t, employees).Config()
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
			require.NoError(t, table[employee](t, db, "employee", employeesConfig()).Check(t.Context()))
			s := ensured[employee](t, db, "employee", employeesConfig())
			half := 50.0
			first := employee{Name: "a'b", Employments: []employment{{`\'`, day(1), &half}, {"b", day(2), nil}}, Emails: sink.Set([]email{{"$1"}})}
			second := employee{Name: `\`, Employments: []employment{{"b", day(3), &half}, {"c", day(2), nil}}, Emails: sink.Null[[]email]()}
			for _, step := range []struct {
				want employee
				op   sink.Op
			}{{first, sink.Created}, {first, sink.Unchanged}, {second, sink.Updated}, {second, sink.Unchanged}, {first, sink.Updated}} {
				change, err := s.Apply(t.Context(), id("1"), step.want)
				require.NoError(t, err)
				require.Equal(t, step.op, change.Op)
			}
			change, err := s.Remove(t.Context(), id("1"))
			require.NoError(t, err)
			require.Equal(t, sink.Removed, change.Op)
		})
	}
}
