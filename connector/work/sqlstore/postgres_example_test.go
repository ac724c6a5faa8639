package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/konnektor-go/konnektor/connector/work/sqlstore"
)

// A program imports a driver, here with
//
//	import _ "github.com/jackc/pgx/v5/stdlib"
func ExampleNewPostgres() {
	db, err := sql.Open("pgx", "postgres://worker@db.example.org/konnektor?connect_timeout=5")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	store, err := sqlstore.NewPostgres(context.Background(), db, sqlstore.PostgresConfig{Schema: "people_to_ldap"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("several instances may use it:", store.Shared())
}
