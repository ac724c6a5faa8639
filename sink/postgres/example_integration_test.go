//go:build integration

package postgres_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/postgres"
)

// exampleTB lets an example, which has no testing.TB, use the shared server.
type exampleTB struct {
	testing.TB
	cleanups []func()
}

func (e *exampleTB) Helper()                   {}
func (e *exampleTB) Fatal(args ...any)         { panic(fmt.Sprint(args...)) }
func (e *exampleTB) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (e *exampleTB) Errorf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (e *exampleTB) Cleanup(f func())          { e.cleanups = append(e.cleanups, f) }
func (e *exampleTB) end() {
	for _, f := range e.cleanups {
		f()
	}
}

func Example() {
	tb := &exampleTB{}
	defer tb.end()
	databaseURL := server.SharedPostgreSQL(tb).NewDatabase(tb)

	ctx := context.Background()
	pool, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	_, err = pool.Exec(ctx, `CREATE TABLE employee (
		number bigint PRIMARY KEY, name text NOT NULL, email text, room text DEFAULT 'none yet')`)
	if err != nil {
		fmt.Println(err)
		return
	}

	// The room is not ours: somebody else takes care of it.
	type Employee struct {
		Name  string
		Email *string `db:"email"`
	}
	table, err := postgres.New[Employee](pool, "employee", postgres.Config{Key: "number"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := table.Check(ctx); err != nil {
		fmt.Println(err)
		return
	}
	employees, err := sink.Ensure[Employee](table, sink.EnsureConfig[Employee]{})
	if err != nil {
		fmt.Println(err)
		return
	}

	key := entity.Key{Type: "employees", ID: "1815"}
	for _, want := range []Employee{
		{Name: "Ada"},
		{Name: "Ada"},
		{Name: "Ada", Email: new("ada@example.org")},
	} {
		change, err := employees.Apply(ctx, key, want)
		fmt.Println(change, err)
	}
	_, err = employees.Apply(ctx, entity.Key{Type: "employees", ID: "A-1"}, Employee{Name: "Eve"})
	fmt.Println(err)
	change, err := employees.Remove(ctx, key)
	fmt.Println(change, err)
	// Output:
	// created <nil>
	// unchanged <nil>
	// updated(email) <nil>
	// postgres: Key: the ID is no bigint, the type of column "number" of table employee; change the column's type, or name another (SQLSTATE 22P02)
	// removed <nil>
}
