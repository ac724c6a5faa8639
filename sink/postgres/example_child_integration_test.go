//go:build integration

package postgres_test

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/postgres"
)

// A person's employments are rows of another table, which refer to the id that
// the database gave the person.
func ExampleChild() {
	tb := &exampleTB{}
	defer tb.end()
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, server.SharedPostgreSQL(tb).NewDatabase(tb))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	_, err = pool.Exec(ctx, `
		CREATE TABLE person (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number text UNIQUE, name text, version int DEFAULT 1);
		CREATE TABLE employment (person_id bigint REFERENCES person, position text, percent numeric(5,2), PRIMARY KEY (person_id, position))`)
	if err != nil {
		fmt.Println(err)
		return
	}

	type Employment struct {
		Position string
		Percent  float64
	}
	type Person struct {
		Name        string
		Employments []Employment
	}
	table, err := postgres.New[Person](pool, "person", postgres.Config{
		Key:     "number",
		Version: "version",
		Children: []postgres.Child{{
			Field: "Employments", Table: "employment", Key: []string{"position"},
			Parent: []string{"person_id"}, References: []string{"id"},
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	people, err := sink.Ensure[Person](table, sink.EnsureConfig[Person]{})
	if err != nil {
		fmt.Println(err)
		return
	}
	key := entity.Key{Type: "persons", ID: "1815"}
	for _, employments := range [][]Employment{
		{{"professor", 80}, {"dean", 20}},
		{{"dean", 20}, {"professor", 80}},
		{{"professor", 100}},
		{{"professor", 50}, {"professor", 50}},
	} {
		change, err := people.Apply(ctx, key, Person{Name: "Ada", Employments: employments})
		fmt.Println(change, err)
	}
	// Output:
	// created <nil>
	// unchanged <nil>
	// updated(employments) <nil>
	// unchanged postgres: table employment: two rows of field Employments have the same key
}

// Rows of people who are gone are disabled, and deleted a month later.
func ExampleTable_removal() {
	tb := &exampleTB{}
	defer tb.end()
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, server.SharedPostgreSQL(tb).NewDatabase(tb))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	if _, err = pool.Exec(ctx, "CREATE TABLE account (id text PRIMARY KEY, name text, disabled_at timestamptz)"); err != nil {
		fmt.Println(err)
		return
	}

	// The mapping leaves DisabledAt nil, so that whoever comes back is enabled.
	type Account struct {
		Name       string
		DisabledAt *time.Time `db:"disabled_at"`
	}
	table, err := postgres.New[Account](pool, "account", postgres.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	accounts, err := sink.Ensure[Account](table, sink.EnsureConfig[Account]{Removal: sink.Removal[Account]{
		Disable: func(have Account, since time.Time) Account {
			have.DisabledAt = &since
			return have
		},
		Disabled: func(have Account) (time.Time, bool) {
			if have.DisabledAt == nil {
				return time.Time{}, false
			}
			return *have.DisabledAt, true
		},
		DeleteAfter: 30 * 24 * time.Hour,
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	key := entity.Key{Type: "persons", ID: "1815"}
	show := func(change sink.Change, err error) { fmt.Println(change, !change.Next.IsZero(), err) }
	show(accounts.Apply(ctx, key, Account{Name: "Ada"}))
	show(accounts.Remove(ctx, key))
	show(accounts.Remove(ctx, key))
	show(accounts.Apply(ctx, key, Account{Name: "Ada"}))
	show(accounts.Remove(ctx, key))
	if _, err = pool.Exec(ctx, "UPDATE account SET disabled_at = disabled_at - interval '30 days'"); err != nil { // time passes
		fmt.Println(err)
		return
	}
	show(accounts.Remove(ctx, key))
	// Output:
	// created false <nil>
	// disabled(disabled_at) true <nil>
	// unchanged true <nil>
	// updated(disabled_at) false <nil>
	// disabled(disabled_at) true <nil>
	// removed false <nil>
}
