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

// BenchmarkApplyChildren is BenchmarkApply for an employee with three
// employments. By hand they are compared in Go, and all deleted and inserted if
// they differ.
func BenchmarkApplyChildren(b *testing.B) {
	for _, impl := range []struct {
		name  string
		apply func(b *testing.B, db postgres.DB) func(ctx context.Context, key entity.Key, want employee) error
	}{{"sink", childrenBySink}, {"by hand", childrenByHand}} {
		b.Run(impl.name, func(b *testing.B) {
			db := database(b, employees)
			apply := impl.apply(b, db.Pool)
			for _, bb := range []struct {
				name string
				key  func(n int) string
				want func(n int) employee
			}{
				{"unchanged", func(int) string { return "1" }, func(int) employee { return employed(0) }},
				{"changed", func(int) string { return "1" }, employed},
				{"new", func(n int) string { return "new" + strconv.Itoa(n) }, employed},
			} {
				b.Run(bb.name, func(b *testing.B) {
					_, err := db.Pool.Exec(b.Context(), "TRUNCATE employee CASCADE")
					require.NoError(b, err)
					require.NoError(b, apply(b.Context(), id("1"), employed(0)))
					n := 0
					for b.Loop() {
						n++
						if err := apply(b.Context(), id(bb.key(n)), bb.want(n)); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}

func employed(n int) employee {
	percent := float64(n % 100)
	return employee{Name: "Ada", Employments: []employment{
		{"a", day(1), &percent}, {"b", day(2), nil}, {"c" + strconv.Itoa(n%2), day(3), nil},
	}}
}

func childrenBySink(b *testing.B, db postgres.DB) func(context.Context, entity.Key, employee) error {
	b.Helper()
	s := ensured[employee](b, db, "employee", employeesConfig())
	return func(ctx context.Context, key entity.Key, want employee) error {
		_, err := s.Apply(ctx, key, want)
		return err
	}
}

func childrenByHand(_ *testing.B, db postgres.DB) func(context.Context, entity.Key, employee) error {
	return func(ctx context.Context, key entity.Key, want employee) error {
		tx, err := db.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(ctx) }()
		var surrogate int64
		var name string
		err = tx.QueryRow(ctx, "SELECT id, name FROM employee WHERE number = $1 FOR UPDATE", key.ID).Scan(&surrogate, &name)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			err = tx.QueryRow(ctx, "INSERT INTO employee (number, name) VALUES ($1, $2) RETURNING id", key.ID, want.Name).Scan(&surrogate)
		case err == nil && name != want.Name:
			_, err = tx.Exec(ctx, "UPDATE employee SET name = $2 WHERE id = $1", surrogate, want.Name)
		}
		if err != nil {
			return err
		}
		same, err := sameEmployments(ctx, tx, surrogate, want.Employments)
		if err != nil || same {
			return errors.Join(err, tx.Commit(ctx))
		}
		if _, err := tx.Exec(ctx, "DELETE FROM employment WHERE employee_id = $1", surrogate); err != nil {
			return err
		}
		for _, e := range want.Employments {
			if _, err := tx.Exec(ctx, "INSERT INTO employment (employee_id, position, from_date, percent) VALUES ($1, $2, $3, $4)",
				surrogate, e.Position, e.From, e.Percent); err != nil {
				return err
			}
		}
		return tx.Commit(ctx)
	}
}

func sameEmployments(ctx context.Context, tx pgx.Tx, surrogate int64, want []employment) (bool, error) {
	rows, err := tx.Query(ctx, "SELECT position, from_date, percent FROM employment WHERE employee_id = $1 ORDER BY position", surrogate)
	if err != nil {
		return false, err
	}
	have, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e employment, err error) {
		err = row.Scan(&e.Position, &e.From, &e.Percent)
		return e, err
	})
	same := err == nil && len(have) == len(want)
	for i := 0; same && i < len(have); i++ {
		h, w := have[i], want[i]
		same = h.Position == w.Position && h.From.Equal(w.From) &&
			(h.Percent == w.Percent || h.Percent != nil && w.Percent != nil && *h.Percent == *w.Percent)
	}
	return same, err
}

// BenchmarkRoundTrips is what workers would win by sharing round trips: reads
// of 64 rows one by one in 8 workers, in batches of 8, and in one.
func BenchmarkRoundTrips(b *testing.B) {
	db := database(b, people, "INSERT INTO people SELECT n, 'Ada' FROM generate_series(1, 1000) AS n")
	const sql = "SELECT name, email FROM people WHERE id = $1"
	for _, size := range []int{1, 8, 64} {
		b.Run(strconv.Itoa(size)+" at once", func(b *testing.B) {
			b.SetParallelism(4) // with the machine's two cores 8 workers, twice the pool's connections
			b.RunParallel(func(pb *testing.PB) {
				for n := 0; pb.Next(); n++ {
					if n%size > 0 {
						continue // it was read with others
					}
					batch := &pgx.Batch{}
					for i := range size {
						batch.Queue(sql, strconv.Itoa((n+i)%1000+1))
					}
					if err := db.Pool.SendBatch(b.Context(), batch).Close(); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
