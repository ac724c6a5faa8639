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
func ExampleNew() {
	dir, err := os.MkdirTemp("", "work")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "work.db")

	fmt.Println("mark:", inStore(file, func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.Mark(ctx, []work.Mark{{Flow: "people", Key: entity.Key{Type: "persons", ID: "123"}}})
		return err
	}))
	// Another day, another process.
	fmt.Println("run:", inStore(file, func(ctx context.Context, s *sqlstore.Store) error {
		leases, err := s.Lease(ctx, "people", "instance-1", 10, time.Minute)
		if err != nil {
			return err
		}
		for _, l := range leases {
			fmt.Println("to do:", l.Key) // a key prints without its ID
			if _, err := s.Finish(ctx, []work.Outcome{{Lease: l, Result: work.Done, Present: true}}); err != nil {
				return err
			}
		}
		counts, err := s.Counts(ctx)
		fmt.Println("rows:", counts)
		return err
	}))
	// Output:
	// mark: <nil>
	// to do: persons/***
	// rows: map[people:map[idle:1]]
	// run: <nil>
}

// inStore opens the store of a file for f.
func inStore(file string, f func(context.Context, *sqlstore.Store) error) error {
	ctx := context.Background()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return err
	}
	defer db.Close()
	s, err := sqlstore.New(ctx, db, sqlstore.Config{})
	if err != nil {
		return err
	}
	defer s.Close()
	return f(ctx, s)
}
