package sqlstore

import (
	"context"
	"database/sql"
)

// rapidContext is for histories, which have no *testing.T.
var rapidContext = context.Background()

// openHot opens a store whose rows go back to the table at other limits.
func openHot(file string, l limits) (*SQLite, func() error, error) {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return nil, nil, err
	}
	s, err := NewSQLite(rapidContext, db, SQLiteConfig{})
	if err != nil {
		return nil, nil, err
	}
	s.limits = l
	return s, db.Close, nil
}
