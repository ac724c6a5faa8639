package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/connector/work/sqlstore"
	"github.com/konnektor-go/konnektor/connector/work/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, open)
	storetest.RunDurable(t, open)
	storetest.RunSingle(t, open)
}

// open opens the store of a folder and returns how to close it.
func open(dir string) (work.Store, func() error, error) {
	db, err := sql.Open("sqlite", filepath.Join(dir, "work.db"))
	if err != nil {
		return nil, nil, err
	}
	s, err := sqlstore.NewSQLite(context.Background(), db, sqlstore.SQLiteConfig{})
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return s, func() error { return errors.Join(s.Close(), db.Close()) }, nil
}
