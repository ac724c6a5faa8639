//go:build integration

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"regexp"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/connector/work/storetest"
	"github.com/konnektor-go/konnektor/internal/server"
)

func TestPostgres(t *testing.T) {
	open := openIn(server.SharedPostgreSQL(t).NewDatabase(t))
	storetest.Run(t, open)
	storetest.RunDurable(t, open)
	storetest.RunShared(t, open)
}

var notInSchema = regexp.MustCompile("[^a-z0-9]+")

// openIn returns a function that opens the store of a folder in a database, each
// in a schema of its own, by the clock of the test's bubble.
func openIn(url string) storetest.Open {
	return func(dir string) (work.Store, func() error, error) {
		db, err := sql.Open("pgx", url)
		if err != nil {
			return nil, nil, err
		}
		name := "t" + notInSchema.ReplaceAllString(strings.ToLower(dir), "_")
		cfg := PostgresConfig{Schema: name[:2] + name[max(2, len(name)-50):]}
		s, err := newPostgres(context.Background(), db, cfg, processClock)
		if err != nil {
			return nil, nil, errors.Join(err, db.Close())
		}
		return s, db.Close, nil
	}
}

// openPostgres opens a pool for a database, which the test closes.
func openPostgres(tb testing.TB, url string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("pgx", url)
	require.NoError(tb, err)
	db.SetMaxIdleConns(100)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return db
}
