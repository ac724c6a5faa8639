//go:build integration

package postgres_test

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink/postgres"
)

// BenchmarkApply compares Ensure over a Table with the same by hand: a select, a
// comparison in Go, and an insert or update where something differs.
func BenchmarkApply(b *testing.B) {
	for _, impl := range []struct {
		name  string
		apply func(b *testing.B, db postgres.DB) func(ctx context.Context, key entity.Key, want person) error
	}{{"sink", bySink}, {"by hand", byHand}} {
		b.Run(impl.name, func(b *testing.B) {
			db := database(b, people)
			apply := impl.apply(b, db.Pool)
			ctx := context.Background()
			for _, bb := range []struct {
				name string
				key  func(n int) string
				want func(n int) person
			}{
				{"unchanged", func(int) string { return "1" }, func(int) person { return person{Name: "Ada"} }},
				{"changed", func(int) string { return "1" }, func(n int) person { return person{Name: strconv.Itoa(n)} }},
				{"new", func(n int) string { return "new" + strconv.Itoa(n) }, func(int) person { return person{Name: "Ada"} }},
			} {
				b.Run(bb.name, func(b *testing.B) {
					_, err := db.Pool.Exec(ctx, "TRUNCATE people CASCADE; INSERT INTO people VALUES ('1', 'Ada')")
					require.NoError(b, err)
					n := 0
					for b.Loop() {
						n++
						if err := apply(ctx, id(bb.key(n)), bb.want(n)); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}

func bySink(b *testing.B, db postgres.DB) func(context.Context, entity.Key, person) error {
	s := ensured[person](b, db, "people", postgres.Config{})
	return func(ctx context.Context, key entity.Key, want person) error {
		_, err := s.Apply(ctx, key, want)
		return err
	}
}

func byHand(_ *testing.B, db postgres.DB) func(context.Context, entity.Key, person) error {
	return func(ctx context.Context, key entity.Key, want person) error {
		rows, err := db.Query(ctx, "SELECT name, email FROM people WHERE id = $1", key.ID)
		if err != nil {
			return err
		}
		have, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (p person, err error) {
			err = row.Scan(&p.Name, &p.Email)
			return p, err
		})
		if errors.Is(err, pgx.ErrNoRows) {
			_, err = db.Exec(ctx, "INSERT INTO people (id, name, email) VALUES ($1, $2, $3)", key.ID, want.Name, want.Email)
			return err
		}
		if err != nil {
			return err
		}
		same := have.Email == want.Email || have.Email != nil && want.Email != nil && *have.Email == *want.Email
		if have.Name == want.Name && same {
			return nil
		}
		_, err = db.Exec(ctx, "UPDATE people SET name = $2, email = $3 WHERE id = $1", key.ID, want.Name, want.Email)
		return err
	}
}
