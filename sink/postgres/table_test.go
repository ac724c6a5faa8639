package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
)

// broken is a DB that fails.
type broken struct{ err error }

func (b broken) Query(context.Context, string, ...any) (pgx.Rows, error) { return nil, b.err }
func (b broken) Exec(context.Context, string, ...any) (pgconn.CommandTag, error) {
	return pgconn.CommandTag{}, b.err
}
func (b broken) SendBatch(context.Context, *pgx.Batch) pgx.BatchResults {
	return brokenBatch{err: b.err}
}
func (b broken) Begin(context.Context) (pgx.Tx, error) { return nil, b.err }

// brokenBatch is the results of a broken DB.
type brokenBatch struct {
	pgx.BatchResults
	err error
}

func (b brokenBatch) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, b.err }
func (b brokenBatch) Query() (pgx.Rows, error)         { return nil, b.err }
func (b brokenBatch) Close() error                     { return b.err }

type contact struct {
	Email string `db:"e-mail"`
	Phone *string
}

type row struct {
	ID     string
	Name   string
	Secret string `db:"-"`
	contact
	hidden string
}

func TestNew(t *testing.T) {
	long := strings.Repeat("x", 64)
	for _, tt := range []struct {
		name  string
		make  func() error
		error string
	}{
		{name: "works", make: made[row](broken{}, "people", Config{})},
		{name: "schema, and a table with dots", make: made[row](broken{}, "hr.people.old", Config{})},
		{name: "odd characters", make: made[row](broken{}, `a "b'; DROP`, Config{Key: `k"`})},
		{name: "only a key", make: made[struct{}](broken{}, "people", Config{})},
		{name: "no database", make: made[row](nil, "people", Config{}), error: "postgres: db: must not be nil"},
		{
			name: "no table", make: made[row](broken{}, "", Config{}),
			error: `postgres: table: name or schema: must not be empty; write "table" or "schema.table"`,
		},
		{
			name: "no schema", make: made[row](broken{}, ".people", Config{}),
			error: `postgres: table: name or schema: must not be empty; write "table" or "schema.table"`,
		},
		{
			name: "zero byte", make: made[row](broken{}, "peo\x00ple", Config{}),
			error: `postgres: table: name or schema: must not hold a zero byte; write "table" or "schema.table"`,
		},
		{
			name: "too long a key", make: made[row](broken{}, "people", Config{Key: long}),
			error: "postgres: Key: 64 bytes, PostgreSQL's names have at most 63",
		},
		{name: "no struct", make: made[string](broken{}, "people", Config{}), error: "postgres: T: must be a struct, is string"},
		{
			name: "pointer", make: made[*row](broken{}, "people", Config{}),
			error: "postgres: T: must be a struct, is *postgres.row",
		},
		{
			name: "twice the same column", make: made[struct {
				Name  string
				Other string `db:"name"`
			}](broken{}, "people", Config{}),
			error: `postgres: T: fields Name and Other are both column "name"; give one another db tag`,
		},
		{
			name: "empty tag", make: made[struct {
				Name string `db:""`
			}](broken{}, "people", Config{}),
			error: "postgres: T: db tag of field Name: must not be empty",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.error == "" {
				require.NoError(t, tt.make())
			} else {
				require.EqualError(t, tt.make(), tt.error)
			}
		})
	}
}

func made[T any](db DB, table string, cfg Config) func() error {
	return func() error {
		_, err := New[T](db, table, cfg)
		return err
	}
}

func TestColumns(t *testing.T) {
	s := shaped[row](t, "people", Config{})
	require.Equal(t, column{name: "id", field: "ID", path: []int{0}, typ: reflect.TypeFor[string]()}, s.keys[0].column)
	require.Equal(t, []column{
		{name: "name", field: "Name", path: []int{1}, typ: reflect.TypeFor[string]()},
		{name: "e-mail", field: "Email", path: []int{3, 0}, typ: reflect.TypeFor[string]()},
		{name: "phone", field: "Phone", path: []int{3, 1}, typ: reflect.TypeFor[*string]()},
	}, s.columns)
	want := reflect.ValueOf(row{Name: "Ada", contact: contact{Email: "a@b"}, hidden: "x"})
	require.Equal(t, "Ada", s.columns[0].value(want))
	require.Equal(t, "a@b", s.columns[1].value(want))
	require.Equal(t, (*string)(nil), s.columns[2].value(want))
	require.Equal(t, []any{"7"}, s.values(entity.Key{ID: "7"}))

	s = shaped[row](t, "people", Config{Key: "number"})
	require.Equal(t, column{name: "number"}, s.keys[0].column)
	require.Len(t, s.columns, 4)

	s = shaped[row](t, "people", Config{Keys: []KeyColumn{{Name: "id"}, {Name: "kind", Value: func(k entity.Key) string { return k.Type }}}})
	require.Equal(t, []any{"7", "persons"}, s.values(entity.Key{Type: "persons", ID: "7"}))
	require.Len(t, s.columns, 3)
}

func shaped[T any](t *testing.T, name string, cfg Config) shape {
	t.Helper()
	table, err := New[T](broken{}, name, cfg)
	require.NoError(t, err)
	return table.shape
}

func TestStatements(t *testing.T) {
	type person struct {
		Name string
		Born int `db:"bo\"rn"`
	}
	s := shaped[person](t, `hr.pe"ople`, Config{Key: "no"})
	st, err := s.statements(map[string]typeNames{
		"no": {"bigint", "bigint"}, "name": {"text", "text"}, `bo"rn`: {"numeric", "numeric(4,0)"}, "other": {"text", "text"},
	})
	require.NoError(t, err)
	const from, where = ` FROM "hr"."pe""ople" AS p`, ` WHERE p."no" = ($1::text)::bigint`
	require.Equal(t, `SELECT "name"::text, "bo""rn"`+from+where, st.get)
	require.Equal(t, st.get+" FOR UPDATE", st.lock)
	require.Equal(t, `SELECT "name"::text, "bo""rn"`+from+` LIMIT 1`, st.sample)
	require.Equal(t, `SELECT "name"::text IS DISTINCT FROM ($2::text)::text, "bo""rn"::text IS DISTINCT FROM ($3::numeric(4,0))::text, `+
		`"name"::text, "bo""rn"`+from+where, st.observe)
	require.Equal(t, `INSERT INTO "hr"."pe""ople" ("no", "name", "bo""rn") VALUES (($1::text)::bigint, $2::text, $3::numeric) `+
		`ON CONFLICT ("no") DO NOTHING`, st.create(s, s.columns))
	require.Equal(t, `INSERT INTO "hr"."pe""ople" ("no", "bo""rn") VALUES (($1::text)::bigint, $2::numeric) `+
		`ON CONFLICT ("no") DO NOTHING`, st.create(s, s.columns[1:]))
	require.Equal(t, `DELETE`+from+where, st.remove)
	require.Equal(t, ` AND p."name"::text IS NOT DISTINCT FROM $3::text AND p."bo""rn"::text IS NOT DISTINCT FROM ($4::numeric(4,0))::text`,
		st.guard(3, s.columns))
	require.Equal(t, `UPDATE "hr"."pe""ople" AS p SET "name" = $2::text, "bo""rn" = $3::numeric`+where+" guard", st.update(s, s.columns, " guard"))
	require.Equal(t, `SELECT`+from+where+" guard FOR UPDATE", st.update(s, nil, " guard"))
	s.version = `v"`
	require.Equal(t, `UPDATE "hr"."pe""ople" AS p SET "v""" = coalesce("v""", 0) + 1`+where, st.update(s, nil, ""))
	s.version = ""

	_, err = s.statements(nil)
	require.EqualError(t, err, `postgres: table: there is no hr.pe"ople that the user can see; create it, or correct the name`)
	_, err = s.statements(map[string]typeNames{"name": {}})
	require.EqualError(t, err, `postgres: Key: table hr.pe"ople has no column "no"; add it, or name another`)
	_, err = s.statements(map[string]typeNames{"no": {}, "name": {}})
	require.EqualError(t, err, `postgres: T: table hr.pe"ople has no column "bo\"rn"; add it, or correct the db tag of field Born`)
}

func TestNullsBecomeZero(t *testing.T) {
	type nullable struct {
		Name  string
		Nick  *string
		Count int
	}
	table, err := New[nullable](broken{}, "people", Config{})
	require.NoError(t, err)
	var have nullable
	dests, fill := destsOf(table.shape.read(), nil, reflect.ValueOf(&have).Elem())
	*dests[0].(**string) = nil
	*dests[1].(**string) = nil
	seven := 7
	*dests[2].(**int) = &seven
	require.NoError(t, fill())
	require.Equal(t, nullable{Count: 7}, have)
}

// TestFailures holds the classes of the package comment, and that no value
// gets into an error's text.
func TestFailures(t *testing.T) {
	key := entity.Key{Type: "persons", ID: "secret"}
	state := func(code string) error {
		return &pgconn.PgError{
			Severity: "ERROR", Code: code, Message: "secret", Detail: "Key (email)=(secret)", Hint: "secret",
			Where: "secret", InternalQuery: "secret", ConstraintName: "people_email_key",
		}
	}
	for _, tt := range []struct {
		name  string
		err   error
		class failure.Class
		text  string
	}{
		{name: "refused", err: &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, class: failure.Unavailable, text: "dial"},
		{name: "cut", err: io.ErrUnexpectedEOF, class: failure.Unavailable, text: "unexpected EOF"},
		{name: "deadline", err: context.DeadlineExceeded, class: failure.Unavailable, text: "deadline"},
		{name: "stopped", err: context.Canceled, class: failure.Unavailable, text: "canceled"},
		{name: "connection closed", err: pgconn.ErrConnClosed, class: failure.Unavailable, text: "conn closed"},
		{name: "connection exception", err: state("08006"), class: failure.Unavailable},
		{name: "no login", err: state("28P01"), class: failure.Unavailable},
		{name: "no database", err: state("3D000"), class: failure.Unavailable},
		{name: "no schema", err: state("3F000"), class: failure.Unavailable},
		{name: "no table", err: state("42P01"), class: failure.Unavailable},
		{name: "no right", err: state("42501"), class: failure.Unavailable, text: "lacks a right"},
		{name: "no unique index", err: state("42P10"), class: failure.Unavailable, text: "no unique index"},
		{name: "read-only", err: state("25006"), class: failure.Unavailable},
		{name: "too many connections", err: state("53300"), class: failure.Unavailable},
		{name: "shutdown", err: state("57P01"), class: failure.Unavailable},
		{name: "statement timeout", err: state("57014"), class: failure.Unavailable},
		{name: "disk", err: state("58030"), class: failure.Unavailable},
		{name: "corrupted", err: state("XX001"), class: failure.Unavailable},
		{name: "not writable", err: state("55000"), class: failure.Unavailable},
		{name: "unknown statement", err: state("26000"), class: failure.Unavailable},
		{name: "too long", err: state("22001"), class: failure.Rejected},
		{name: "check option", err: state("44000"), class: failure.Rejected},
		{name: "too large", err: state("54000"), class: failure.Rejected},
		{name: "null", err: state("23502"), class: failure.Rejected, text: "null is not allowed"},
		{name: "check", err: state("23514"), class: failure.Rejected},
		{name: "unique", err: state("23505"), class: failure.Failed, text: `constraint "people_email_key" (SQLSTATE 23505)`},
		{name: "foreign key", err: state("23503"), class: failure.Failed},
		{name: "exclusion", err: state("23P01"), class: failure.Failed},
		{name: "serialization", err: state("40001"), class: failure.Failed},
		{name: "deadlock", err: state("40P01"), class: failure.Failed},
		{name: "lock", err: state("55P03"), class: failure.Failed},
		{name: "trigger", err: state("P0001"), class: failure.Failed},
		{name: "unknown code", err: state(""), class: failure.Failed},
		{
			name: "unreadable", err: pgx.ScanArgError{FieldName: "born", Err: errors.New("secret")},
			class: failure.Failed, text: `column "born" holds what its field of T cannot`,
		},
		{
			name: "cannot be sent", err: errors.New("failed to encode args[1]: unable to encode secret"), class: failure.Rejected,
			text: `a string cannot be sent for column "name"; change the type of field Name`,
		},
		{name: "unknown", err: errors.New("secret"), class: failure.Failed, text: "an error of type *errors.errorString"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table, err := New[row](broken{tt.err}, "people", Config{})
			require.NoError(t, err)
			st, err := table.shape.statements(map[string]typeNames{"id": {}, "name": {}, "e-mail": {}, "phone": {}})
			require.NoError(t, err)
			fields := []sink.Field{{Name: "name"}}
			for name, op := range map[string]func() error{
				"create": func() error { return table.Create(t.Context(), key, row{Name: "secret"}) },
				"update": func() error { return table.Update(t.Context(), key, sink.Found[row]{}, row{Name: "secret"}, fields) },
			} {
				table.known.Store(st)
				err := op()
				require.Equal(t, tt.class, failure.Of(err), name)
				require.True(t, strings.HasPrefix(err.Error(), "postgres: "), err)
				require.ErrorContains(t, err, tt.text)
				require.NotContains(t, fmt.Sprintf("%v %+v", err, err), "secret")
				require.NotErrorAs(t, err, new(*pgconn.PgError), "which holds the values")
			}
		})
	}
}

func TestConflictingTransactionsAreConflicts(t *testing.T) {
	table, err := New[row](broken{}, "people", Config{})
	require.NoError(t, err)
	err = table.classified(&pgconn.PgError{Code: "40001"})
	require.ErrorIs(t, err, sink.ErrConflict)
	require.ErrorContains(t, err, "40001")
	var state interface{ SQLState() string }
	require.ErrorAs(t, err, &state)
	require.Equal(t, "40001", state.SQLState())
}

func TestUpdateOfUnknownField(t *testing.T) {
	table, err := New[row](broken{}, "people", Config{})
	require.NoError(t, err)
	_, _, err = table.shape.find([]sink.Field{{Name: "Age"}})
	require.EqualError(t, err, `postgres: table people: fields: T has no column or field "Age" to update; correct Diff`)
	changed, _, err := table.shape.find([]sink.Field{{Name: "Email"}, {Name: "name"}})
	require.NoError(t, err)
	require.Equal(t, []string{"e-mail", "name"}, []string{changed[0].name, changed[1].name})
	require.NoError(t, table.Update(t.Context(), entity.Key{ID: "1"}, sink.Found[row]{}, row{}, nil), "nothing to do")
}
