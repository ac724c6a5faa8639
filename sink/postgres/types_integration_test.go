//go:build integration

package postgres_test

import (
	"encoding/json"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/postgres"
)

type (
	mood   string
	number int
)

var oslo = time.FixedZone("Oslo", 2*3600)

// typeCase is a column type with a first and a second value of Go type V.
type typeCase struct {
	name string
	run  func(t *testing.T, db *counting)
}

// of makes the case: create, find equal, update, find equal, put a null right.
func of[V any](name, column string, first, second V, stored string) typeCase {
	type row struct{ Value V }
	return typeCase{name: name, run: func(t *testing.T, db *counting) {
		typed := pgx.Identifier{name}.Sanitize()
		_, err := db.Exec(t.Context(), "CREATE TABLE "+typed+" (id text PRIMARY KEY, value "+column+", other text DEFAULT 'left')")
		require.NoError(t, err)
		require.NoError(t, table[row](t, db, name, postgres.Config{}).Check(t.Context()), "empty")
		s := ensured[row](t, db, name, postgres.Config{})
		step := func(want row, op sink.Op) {
			t.Helper()
			db.writes = nil
			change, err := s.Apply(t.Context(), id("1"), want)
			require.NoError(t, err)
			require.Equal(t, op, change.Op)
			if op == sink.Unchanged {
				require.Empty(t, db.writes)
			}
		}
		step(row{first}, sink.Created)
		step(row{first}, sink.Unchanged)
		step(row{second}, sink.Updated)
		require.Equal(t, stored, text(t, db, "SELECT value::text FROM "+typed))
		step(row{second}, sink.Unchanged)
		step(row{first}, sink.Updated)
		step(row{first}, sink.Unchanged)

		_, err = db.Exec(t.Context(), "UPDATE "+typed+" SET value = NULL")
		require.NoError(t, err)
		if stored == "NULL" {
			step(row{second}, sink.Unchanged)
		} else {
			step(row{second}, sink.Updated)
		}
		require.Equal(t, stored, text(t, db, "SELECT value::text FROM "+typed))
		require.Equal(t, "left", text(t, db, "SELECT other FROM "+typed))
		require.NoError(t, table[row](t, db, name, postgres.Config{}).Check(t.Context()), "with a row")
	}}
}

func TestTypes(t *testing.T) {
	db := database(t, "CREATE TYPE mood AS ENUM ('good', 'bad')", "CREATE DOMAIN price AS numeric(9,2)",
		"CREATE DOMAIN tags AS text[]", "CREATE DOMAIN doc AS jsonb",
		"CREATE DOMAIN short AS varchar(5) CHECK (VALUE <> 'no')", "CREATE DOMAIN shorter AS short")
	nano := time.Date(2026, 11, 2, 12, 30, 15, 123456789, oslo)
	for _, tt := range []typeCase{
		of("text", "text", "", "blåbær\n'\"", "blåbær\n'\""),
		of("text of a named type", "text", mood("a"), mood("b"), "b"),
		of("nullable text", "text", new("a"), nil, "NULL"),
		of("nullable text, empty", "text", nil, new(""), ""),
		of("varchar with a length", "varchar(5)", "a", "b    ", "b    "),
		of("char with a length", "char(5)", "a", "b", "b"),
		of("enum", "mood", mood("good"), mood("bad"), "bad"),
		of("nullable enum", "mood", new(mood("good")), nil, "NULL"),
		of("domain", "short", "a", "b", "b"),
		of("domain of a domain", "shorter", new("a"), nil, "NULL"),
		of("domain with decimals", "price", 1.006, 2.5, "2.50"),
		of("smallint", "smallint", int16(1), math.MinInt16, "-32768"),
		of("int", "int", 0, -7, "-7"),
		of("int of a named type", "int", number(0), number(7), "7"),
		of("bigint", "bigint", int64(math.MaxInt64), int64(math.MinInt64), "-9223372036854775808"),
		of("nullable bigint", "bigint", new(int64(0)), nil, "NULL"),
		of("real", "real", 0.1, float64(float32(2.5)), "2.5"),
		of("real as float32", "real", float32(0.1), float32(0.2), "0.2"),
		of("double", "double precision", 0.1, 0.30000000000000004, "0.30000000000000004"),
		of("double NaN", "double precision", math.NaN(), math.Inf(1), "Infinity"),
		of("numeric", "numeric", "0.1234567890123456789", "123456789012345678901234567890.5", "123456789012345678901234567890.5"),
		of("numeric with decimals", "numeric(9,2)", "1.006", "2", "2.00"),
		of("numeric as float", "numeric(9,2)", 1.006, 2.5, "2.50"),
		of("numeric of pgx", "numeric", numeric("1.10"), numeric("1.2"), "1.2"),
		of("bool", "bool", false, true, "true"),
		of("nullable bool", "bool", new(false), nil, "NULL"),
		of("date", "date", nano, time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), "2026-01-02"),
		of("nullable date", "date", nil, new(nano), "2026-11-02"),
		of("date as text", "date", "2026-01-02", "9999-12-31", "9999-12-31"),
		of("date of pgx", "date", pgtype.Date{InfinityModifier: pgtype.Infinity, Valid: true}, pgtype.Date{}, "NULL"),
		of("timestamptz", "timestamptz", nano, time.Date(2026, 1, 2, 0, 0, 0, 0, oslo), "2026-01-01 22:00:00+00"),
		of("timestamptz in seconds", "timestamptz(0)", nano, nano.Add(time.Second), "2026-11-02 10:30:16+00"),
		of("nullable timestamptz", "timestamptz", new(nano), nil, "NULL"),
		of("timestamp", "timestamp", nano, time.Date(2026, 1, 2, 3, 4, 5, 0, oslo), "2026-01-02 03:04:05"),
		of("timestamps in milliseconds", "timestamp(3)[]", []time.Time{nano}, []time.Time{nano.Add(time.Second)}, `{"2026-11-02 12:30:16.123"}`),
		of("interval", "interval", time.Hour, 90*time.Second, "00:01:30"),
		of("uuid", "uuid", uuid.UUID{1}, uuid.UUID{2}, "02000000-0000-0000-0000-000000000000"),
		of("uuid as text", "uuid", "01000000-0000-0000-0000-00000000000A", "{02000000000000000000000000000000}", "02000000-0000-0000-0000-000000000000"),
		of("nullable uuid", "uuid", new(uuid.UUID{1}), nil, "NULL"),
		of("texts", "text[]", []string{"a", `b,"`}, []string{}, "{}"),
		of("texts, nil", "text[]", []string{}, nil, "NULL"),
		of("ints", "int[]", []int{1}, []int{1, 2}, "{1,2}"),
		of("bytes", "bytea", []byte{0, 1}, []byte{}, `\x`),
		of("jsonb", "jsonb", json.RawMessage(`{"b": 1, "a":  [1, 2.0]}`), json.RawMessage(`{"b":2}`), `{"b": 2}`),
		of("jsonb of a map", "jsonb", map[string]any{"n": 1 << 60}, map[string]any{"n": nil}, `{"n": null}`),
		of("jsonb of a struct", "jsonb", struct{ A int }{1}, struct{ A int }{2}, `{"A": 2}`),
		of("jsonb as text", "jsonb", `{"b":1,  "a": 1}`, `[]`, `[]`),
		of("jsonb, nil", "jsonb", map[string]any{}, nil, "NULL"),
		of("json", "json", json.RawMessage(`{"b":  1}`), json.RawMessage(`{"b":2}`), `{"b":2}`),
		of("json of a map", "json", map[string]any{"b": 1, "a": 2}, map[string]any{}, `{}`),
		of("xml", "xml", "<a/>", "<b/>", "<b/>"),
		of("point", "point", pgtype.Point{P: pgtype.Vec2{X: 1}, Valid: true}, pgtype.Point{P: pgtype.Vec2{Y: 1}, Valid: true}, "(0,1)"),
		of("optional text", "text", sink.Set("a"), sink.Null[string](), "NULL"),
		of("optional text, empty", "text", sink.Null[string](), sink.Set(""), ""),
		of("optional int", "int", sink.Set(7), sink.Set(0), "0"),
		of("optional timestamptz in seconds", "timestamptz(0)", sink.Set(nano), sink.Null[time.Time](), "NULL"),
		of("optional texts", "text[]", sink.Set([]string{"a"}), sink.Set([]string{}), "{}"),
		of("optional jsonb", "jsonb", sink.Set(map[string]any{"a": 1}), sink.Null[map[string]any](), "NULL"),
		of("timestamptz of pgx", "timestamptz", pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true},
			pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}, "-infinity"),
		of("timestamptz as text", "timestamptz", "2026-01-02 03:04:05+01", "infinity", "infinity"),
		of("time", "time(0)", pgtype.Time{Microseconds: 1400000, Valid: true}, pgtype.Time{Microseconds: 2e6, Valid: true}, "00:00:02"),
		of("time as text", "time(0)", "12:00:00.4", "23:59", "23:59:00"),
		of("interval as text", "interval", "1 mon 2 days", "P1Y", "1 year"),
		of("interval of pgx", "interval", pgtype.Interval{Months: 1, Valid: true}, pgtype.Interval{Days: 30, Valid: true}, "30 days"),
		of("range of dates as text", "daterange", "[2026-01-01,2026-02-01]", "empty", "empty"),
		of("range of ints", "int4range", pgtype.Range[pgtype.Int4]{
			Lower: pgtype.Int4{Int32: 1, Valid: true}, Upper: pgtype.Int4{Int32: 2, Valid: true},
			LowerType: pgtype.Inclusive, UpperType: pgtype.Inclusive, Valid: true,
		}, pgtype.Range[pgtype.Int4]{LowerType: pgtype.Empty, UpperType: pgtype.Empty, Valid: true}, "empty"),
		of("numeric NaN", "numeric", "NaN", "-0", "0"),
		of("domain of an array", "tags", []string{"a"}, []string{}, "{}"),
		of("domain of jsonb", "doc", map[string]any{"a": 1}, map[string]any{}, "{}"),
		of("enums as text", "mood[]", "{good}", "{bad,good}", "{bad,good}"),
		of("bits as text", "varbit", "101", "", ""),
		of("address", "inet", netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::1"), "::1/128"),
		of("network", "cidr", netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.1.0.0/16"), "10.1.0.0/16"),
		of("address as text", "inet", "10.0.0.1", "10.0.0.0/8", "10.0.0.0/8"),
		of("hardware address", "macaddr", "08-00-2b-01-02-03", "08002b010204", "08:00:2b:01:02:04"),
		of("inet", "inet", netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("10.0.0.0/8"), "10.0.0.0/8"),
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, db) })
	}
}

// TestTypesOfKeysOfChildren has rows of children that only their keys tell
// apart, in types that the server compares in ways of its own.
func TestTypesOfKeysOfChildren(t *testing.T) {
	for _, tt := range []typeCase{
		keyOf("text", "text", "a", "A", "a"),
		keyOf("varchar", "varchar(9)", "a", "a ", "a"),
		keyOf("char", "char(4)", "a", "b", "a   "),
		keyOf("numeric", "numeric(5,1)", "1.04", "2", "01.0"),
		keyOf("date", "date", time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC), time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)),
		keyOf("timestamptz", "timestamptz", time.Unix(0, 0).UTC(), time.Unix(1, 0), time.Unix(0, 1).In(oslo)),
		keyOf("uuid", "uuid", "01000000-0000-0000-0000-00000000000A", "02000000-0000-0000-0000-000000000000", "{0100000000000000000000000000000a}"),
		keyOf("enum", "mood", "good", "bad", "good"),
		keyOf("domain", "price", 1.001, 2.0, 1.0),
		keyOf("texts", "text[]", []string{"a"}, []string{}, []string{"a"}),
		keyOf("jsonb", "jsonb", `{"a":1,"b":2}`, `{}`, `{"b":2, "a":1}`),
		keyOf("inet", "inet", "10.0.0.1", "10.0.0.2", "10.0.0.1/32"),
		keyOf("bool", "bool", false, true, false),
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.run(t, database(t, "CREATE TYPE mood AS ENUM ('good', 'bad')", "CREATE DOMAIN price AS numeric(9,2)"))
		})
	}
}

// keyOf makes the case: first and second are different rows, again is first.
func keyOf[V any](name, column string, first, second, again V) typeCase {
	type item struct {
		Value V
		Note  string
	}
	type row struct{ Items []item }
	return typeCase{name: name, run: func(t *testing.T, db *counting) {
		t.Helper()
		_, err := db.Pool.Exec(t.Context(), "CREATE TABLE parent (id text PRIMARY KEY); CREATE TABLE items (parent_id text REFERENCES parent, value "+
			column+", note text, serial bigint GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (parent_id, value))")
		require.NoError(t, err)
		cfg := postgres.Config{Children: []postgres.Child{{Field: "Items", Key: []string{"value"}}}}
		require.NoError(t, table[row](t, db, "parent", cfg).Check(t.Context()))
		s := ensured[row](t, db, "parent", cfg)
		for _, step := range []struct {
			want []item
			op   sink.Op
		}{
			{[]item{{first, "a"}, {second, "b"}}, sink.Created},
			{[]item{{second, "b"}, {again, "a"}}, sink.Unchanged},
			{[]item{{second, "b"}, {again, "c"}}, sink.Updated},
			{[]item{{again, "c"}}, sink.Updated},
			{[]item{{first, "c"}}, sink.Unchanged},
		} {
			change, err := s.Apply(t.Context(), id("1"), row{step.want})
			require.NoError(t, err)
			require.Equal(t, step.op, change.Op)
		}
		require.Equal(t, "1 c", text(t, db, "SELECT string_agg(serial || ' ' || note, ',') FROM items"), "it is the same row")
		_, err = s.Apply(t.Context(), id("1"), row{[]item{{first, "a"}, {again, "b"}}})
		require.ErrorContains(t, err, "two rows of field Items have the same key")
	}}
}

func numeric(s string) pgtype.Numeric {
	var n pgtype.Numeric
	if err := n.Scan(s); err != nil {
		panic(err)
	}
	return n
}

func TestKeyTypes(t *testing.T) {
	type row struct{ Name string }
	const one, two = "01000000-0000-0000-0000-000000000000", "02000000-0000-0000-0000-000000000000"
	for _, tt := range []struct {
		name, column string
		ids          [2]string
		bad          string // an ID that the type does not take
	}{
		{name: "text", column: "text", ids: [2]string{"1", "'; DROP TABLE keyed; --"}},
		{name: "text with spaces", column: "text", ids: [2]string{"1", "1 "}},
		{name: "varchar", column: "varchar(3)", ids: [2]string{"abc", "ab"}},
		{name: "char", column: "char(3)", ids: [2]string{"abc", "ab"}},
		{name: "bigint", column: "bigint", ids: [2]string{"1", "-22"}, bad: "abc"},
		{name: "bigint, too large", column: "bigint", ids: [2]string{"1", "2"}, bad: "9223372036854775808"},
		{name: "identity", column: "bigint GENERATED BY DEFAULT AS IDENTITY", ids: [2]string{"1", "2"}, bad: "1; DROP TABLE keyed"},
		{name: "uuid", column: "uuid", ids: [2]string{one, two}, bad: "nonsense"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := database(t, "CREATE TABLE keyed (id "+tt.column+" PRIMARY KEY, name text NOT NULL)")
			s := ensured[row](t, db, "keyed", postgres.Config{})
			require.NoError(t, table[row](t, db, "keyed", postgres.Config{}).Check(t.Context()))
			for _, name := range []string{"a", "b"} {
				for i, key := range tt.ids {
					change, err := s.Apply(t.Context(), id(key), row{Name: name + tt.ids[i]})
					require.NoError(t, err)
					require.NotEqual(t, sink.Unchanged, change.Op)
					change, err = s.Apply(t.Context(), id(key), row{Name: name + tt.ids[i]})
					require.NoError(t, err)
					require.Equal(t, sink.Unchanged, change.Op)
				}
			}
			require.Equal(t, "2", text(t, db, "SELECT count(*)::text FROM keyed"))
			change, err := s.Remove(t.Context(), id(tt.ids[0]))
			require.NoError(t, err)
			require.Equal(t, sink.Removed, change.Op)
			require.Equal(t, "b"+tt.ids[1], text(t, db, "SELECT name FROM keyed"))
			if tt.bad != "" {
				requireBadKey(t, s, tt.bad, row{Name: "x"})
			}
		})
	}
}
