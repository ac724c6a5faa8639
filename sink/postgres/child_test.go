package postgres

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
)

type job struct {
	Title string
	From  time.Time `db:"from_date"`
}

type worker struct {
	Name   string
	Jobs   []job
	Phones sink.Optional[[]struct{ Number string }] `db:"phone numbers"`
	Other  []string
}

func TestNewWithKeysAndChildren(t *testing.T) {
	jobs := Child{Field: "Jobs"}
	with := func(change func(*Child)) Config {
		c := jobs
		change(&c)
		return Config{Children: []Child{c}}
	}
	for _, tt := range []struct {
		name  string
		make  func() error
		error string
	}{
		{name: "children", make: made[worker](broken{}, "w", Config{Children: []Child{jobs, {Field: "Phones", Table: "x.y"}}})},
		{name: "key of children", make: made[worker](broken{}, "w", with(func(c *Child) { c.Key = []string{"from_date", "title"} }))},
		{name: "keys", make: made[worker](broken{}, "w", Config{Keys: []KeyColumn{{Name: "a"}, {Name: "b"}}})},
		{
			name: "key and keys", make: made[worker](broken{}, "w", Config{Key: "a", Keys: []KeyColumn{{Name: "b"}}}),
			error: "postgres: Key: leaves no room for Keys; set one of them",
		},
		{
			name: "keys without a name", make: made[worker](broken{}, "w", Config{Keys: []KeyColumn{{Name: "a"}, {}}}),
			error: "postgres: Keys[1].Name: must not be empty",
		},
		{
			name: "twice the same key", make: made[worker](broken{}, "w", Config{Keys: []KeyColumn{{Name: "a"}, {Name: "a"}}}),
			error: `postgres: Keys[1].Name: "a" is there twice`,
		},
		{
			name: "version in T", make: made[worker](broken{}, "w", Config{Version: "name"}),
			error: `postgres: Version: column "name" is counted up by the table itself; leave its field out of T`,
		},
		{
			name: "version is the key", make: made[worker](broken{}, "w", Config{Version: "id"}),
			error: `postgres: Key: column "id" can be neither the version nor an Optional`,
		},
		{
			name: "key is an Optional", make: made[struct{ ID sink.Optional[string] }](broken{}, "w", Config{}),
			error: `postgres: Key: column "id" can be neither the version nor an Optional`,
		},
		{
			name: "odd version", make: made[worker](broken{}, "w", Config{Version: "a\x00"}),
			error: "postgres: Version: must not hold a zero byte",
		},
		{
			name: "no such field", make: made[worker](broken{}, "w", with(func(c *Child) { c.Field = "jobs" })),
			error: `postgres: Children[0].Field: T has no field "jobs" that is not a child already`,
		},
		{
			name: "twice the same field", make: made[worker](broken{}, "w", Config{Children: []Child{jobs, jobs}}),
			error: `postgres: Children[1].Field: T has no field "Jobs" that is not a child already`,
		},
		{
			name: "no structs", make: made[worker](broken{}, "w", with(func(c *Child) { c.Field = "Other" })),
			error: "postgres: Children[0].Field: Other must be a slice of structs, is []string",
		},
		{
			name: "odd table", make: made[worker](broken{}, "w", with(func(c *Child) { c.Table = "a." })),
			error: `postgres: Children[0].Table: table: name or schema: must not be empty; write "table" or "schema.table"`,
		},
		{
			name: "odd parent", make: made[worker](broken{}, "w", with(func(c *Child) { c.Parent = []string{""} })),
			error: "postgres: Children[0].Parent or References: must not be empty",
		},
		{
			name: "more parents than references", make: made[worker](broken{}, "w", with(func(c *Child) { c.Parent = []string{"a", "b"} })),
			error: "postgres: Children[0].Parent: has 2 columns to refer to 1 in References",
		},
		{
			name: "parent is a field", make: made[worker](broken{}, "w", with(func(c *Child) { c.Parent = []string{"title"} })),
			error: `postgres: Children[0].Parent: "title" is also field Title; leave the field out`,
		},
		{
			name: "no such key", make: made[worker](broken{}, "w", with(func(c *Child) { c.Key = []string{"title", "to"} })),
			error: `postgres: Children[0].Key: postgres.job has no column "to", or it is there twice`,
		},
		{
			name: "twice the same key of children", make: made[worker](broken{}, "w", with(func(c *Child) { c.Key = []string{"title", "title"} })),
			error: `postgres: Children[0].Key: postgres.job has no column "title", or it is there twice`,
		},
		{
			name: "optional in a child", make: made[struct {
				Jobs []struct{ A sink.Optional[int] }
			}](broken{}, "w", Config{Children: []Child{jobs}}),
			error: "postgres: Children[0].Field: Jobs: field A is an Optional, which the rows of a child cannot have",
		},
		{
			name: "nothing in a child", make: made[struct{ Jobs []struct{} }](broken{}, "w", Config{Children: []Child{jobs}}),
			error: "postgres: Children[0].Field: Jobs: struct {} has no exported fields",
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

func TestDefaultsOfChildren(t *testing.T) {
	given := []Child{{Field: "Phones"}, {Field: "Jobs", Table: "hr.job", Parent: []string{"worker"}, References: []string{"no"}, Key: []string{"from_date"}}}
	s := shaped[worker](t, "worker", Config{Key: "number", Children: given})
	require.Equal(t, []Child{{Field: "Phones"}, {Field: "Jobs", Table: "hr.job", Parent: []string{"worker"}, References: []string{"no"}, Key: []string{"from_date"}}},
		given, "left as it was given")
	require.Equal(t, `"phone numbers"`, s.children[0].table)
	require.Equal(t, []string{"parent_id"}, s.children[0].parent)
	require.Equal(t, []string{"number"}, s.children[0].references)
	require.Equal(t, 1, s.children[0].keys)
	require.Equal(t, `"hr"."job"`, s.children[1].table)
	require.Equal(t, []string{"from_date", "title"}, []string{s.children[1].columns[0].name, s.children[1].columns[1].name})
	require.Equal(t, 1, s.children[1].keys)
	require.Equal(t, []string{"name", "other"}, []string{s.columns[0].name, s.columns[1].name})

	columns, children, err := s.find([]sink.Field{{Name: "jobs"}, {Name: "name"}, {Name: "Phones"}})
	require.NoError(t, err)
	require.Len(t, columns, 1)
	require.Equal(t, []int{0, 1}, []int{children[0].index, children[1].index}, "in the order of Children")
}

func TestChildStatements(t *testing.T) {
	s := shaped[worker](t, "worker", Config{Key: "no", Children: []Child{{Field: "Jobs", Parent: []string{`w"`}, References: []string{"id"}, Key: []string{"title"}}}})
	text := typeNames{"text", "text"}
	st, err := s.statements(map[string]typeNames{"no": text, "name": text, "phone numbers": text, "other": text, "id": {"bigint", "bigint"}})
	require.NoError(t, err)
	c, err := s.children[0].statements(s, st, map[string]typeNames{
		`w"`: {"bigint", "bigint"}, "title": text, "from_date": {"timestamp", "timestamp(0)"},
	})
	require.NoError(t, err)
	const (
		want  = `(SELECT * FROM (VALUES (1, $3::text, $4::timestamp), (2, $5::text, $6::timestamp)) AS want (n, w0, w1) WHERE want.n <= $2::int) AS want`
		match = ` WHERE p."no" = ($1::text)::text AND c."w""" = p."id"`
		same  = `c."title" = want.w0::text`
	)
	require.Equal(t, `DELETE FROM "jobs" AS c USING "worker" AS p`+match, c.removeAll())
	require.Equal(t, c.removeAll()+` AND NOT EXISTS (SELECT FROM (SELECT * FROM (VALUES (1, $3::text)) AS want (n, w0) `+
		`WHERE want.n <= $2::int) AS want WHERE `+same+`)`, c.remove(1))
	require.Equal(t, `UPDATE "jobs" AS c SET "from_date" = want.w1 FROM "worker" AS p, `+want+match+` AND `+same+
		` AND (c."from_date"::text IS DISTINCT FROM want.w1::timestamp(0)::text)`, c.change(2))
	require.Equal(t, `INSERT INTO "jobs" ("w""", "title", "from_date") SELECT p."id", want.w0, want.w1 FROM "worker" AS p, `+want+
		` WHERE p."no" = ($1::text)::text AND NOT EXISTS (SELECT FROM "jobs" AS c WHERE c."w""" = p."id" AND `+same+`)`, c.insert(2))

	rows := reflect.ValueOf([]job{{Title: "a"}, {Title: "b"}, {Title: "c"}})
	sent, err := c.sent(c.remove, s.values(entity.Key{ID: "7"}), rows, c.keys)
	require.NoError(t, err)
	require.Equal(t, []any{"7", 3, "a", "b", "c", nil}, sent.args)
	require.Equal(t, "title", sent.columns[2].name)
}

func TestPadded(t *testing.T) {
	for n, size := range map[int]int{0: 1, 1: 1, 2: 2, 3: 4, 200: 256, 256: 256, 257: 512, 600: 768} {
		require.Equal(t, size, padded(n), n)
	}
}
