package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/connector/work/sqlstore"
	"github.com/konnektor-go/konnektor/entity"
)

// A program imports a driver, here with
//
//	import _ "modernc.org/sqlite"
func ExampleNewSQLite() {
	dir, err := os.MkdirTemp("", "work")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "work.db")

	fmt.Println("mark:", inStore(file, func(ctx context.Context, s *sqlstore.SQLite) error {
		_, err := s.Mark(ctx, []work.Mark{{Flow: "people", Key: entity.Key{Type: "persons", ID: "123"}}})
		return err
	}))
	// Another day, another process.
	fmt.Println("run:", inStore(file, func(ctx context.Context, s *sqlstore.SQLite) error {
		leases, err := s.Lease(ctx, work.LeaseRequest{Flow: "people", Owner: "instance-1", N: 10, TTL: time.Minute})
		if err != nil {
			return err
		}
		for _, l := range leases {
			fmt.Println("to do:", l.Key) // a key prints without its ID
			if _, err := s.Finish(ctx, []work.Outcome{{Lease: l, Result: work.Done, Present: true}}); err != nil {
				return err
			}
		}
		stats, err := s.Stats(ctx)
		fmt.Println("done:", stats["people"][work.Idle].Rows)
		return err
	}))
	// Output:
	// mark: <nil>
	// to do: persons/***
	// done: 1
	// run: <nil>
}

// inStore opens the store of a file for f.
func inStore(file string, f func(context.Context, *sqlstore.SQLite) error) error {
	ctx := context.Background()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return err
	}
	defer db.Close()
	s, err := sqlstore.NewSQLite(ctx, db, sqlstore.SQLiteConfig{})
	if err != nil {
		return err
	}
	defer s.Close()
	return f(ctx, s)
}
