// Orgunits-to-postgres keeps a table of organisational units equal to a
// register. They form a hierarchy: a unit is written after the one above it,
// whatever the order of the notifications. Copy it as a start for a connector of
// your own; README.md says how.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/caarlos0/env/v11"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "modernc.org/sqlite" // the work store's driver

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work/sqlstore"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/postgres"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// Unit is a unit as the register's API gives it.
type Unit struct {
	Name   string  `json:"name"`
	Parent *string `json:"parent"` // the id of the unit above it; null at the top
}

// Row is a unit as the table orgunits holds it, besides its key.
type Row struct {
	Name   string  `db:"name"`
	Parent *string `db:"parent"`
}

// orgunits joins the source, the mapping and the target.
func orgunits(t tree, rows sink.Sink[Row]) connector.Flow[Unit, Row] {
	return connector.Flow[Unit, Row]{
		Name:    flow,
		Match:   notification.RoutingKey("#.orgunits.#"),
		Source:  t.register,
		Map:     t.toRow,
		Sink:    rows,
		Workers: 1, // so that two units that move do not get in each other's way
	}
}

// config is read from the environment.
type config struct {
	AMQPURL     string         `env:"AMQP_URL,required,notEmpty"`
	AMQPQueue   string         `env:"AMQP_QUEUE,required,notEmpty"`
	GatewayURL  string         `env:"GATEWAY_URL,required,notEmpty"`
	GatewayKey  gateway.Secret `env:"GATEWAY_KEY,required,notEmpty"`
	DatabaseURL string         `env:"DATABASE_URL,required,notEmpty"`
	WorkStore   string         `env:"WORK_STORE" envDefault:"orgunits-to-postgres.db"`
	LogLevel    slog.Level     `env:"LOG_LEVEL" envDefault:"info"`
}

const usage = `Orgunits-to-postgres keeps a table of organisational units equal to a register.

It reads these environment variables:
  AMQP_URL      the broker, amqps://user:password@host:5671/vhost
  AMQP_QUEUE    the queue with the register's notifications, from_system-prod-register
  GATEWAY_URL   the register's API at the gateway, https://host/context-path
  GATEWAY_KEY   the API key of the subscription
  DATABASE_URL  the database, postgres://user:password@host/database
  WORK_STORE    the file that remembers what is to be done (default orgunits-to-postgres.db)
  LOG_LEVEL     debug, info, warn or error (default info)

It runs until it gets SIGINT or SIGTERM. Exit codes: 0 stopped, 1 failed, 2 misconfigured.
`

func main() {
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), usage) }
	flag.Parse()
	var cfg config
	if err := env.Parse(&cfg); err != nil {
		fmt.Fprintf(os.Stderr, "orgunits-to-postgres: %v\n\n%s", err, usage)
		os.Exit(2)
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.LogLevel})))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, cfg)
	stop()
	if err != nil {
		slog.Error("orgunits-to-postgres failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg config) (err error) {
	pool, err := pgxpool.New(ctx, cfg.DatabaseURL)
	if err != nil {
		return errors.New("DATABASE_URL: is not a connection string of PostgreSQL") // err may show the password
	}
	defer pool.Close()
	table, err := postgres.New[Row](pool, "orgunits", postgres.Config{})
	if err != nil {
		return err
	}
	rows, err := sink.Ensure(table, sink.EnsureConfig[Row]{})
	if err != nil {
		return err
	}
	gw, err := gateway.New(cfg.GatewayURL, gateway.Config{Key: cfg.GatewayKey})
	if err != nil {
		return fmt.Errorf("GATEWAY_URL: %w", err)
	}
	db, err := sql.Open("sqlite", cfg.WorkStore)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	store, err := sqlstore.NewSQLite(ctx, db, sqlstore.SQLiteConfig{})
	if err != nil {
		return fmt.Errorf("WORK_STORE: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	queue, err := rabbitmq.NewSubscriber(cfg.AMQPURL, rabbitmq.SubscriberConfig{Name: "orgunits-to-postgres"})
	if err != nil {
		return fmt.Errorf("AMQP_URL: %w", err)
	}
	defer func() { err = errors.Join(err, queue.Close()) }()
	t := tree{register: source.REST[Unit]{Gateway: gw, Path: "orgunits/{id}"}, table: table, store: store}
	c, err := connector.New("orgunits-to-postgres", connector.Config{Store: store}, orgunits(t, rows))
	if err != nil {
		return err
	}
	return c.Run(ctx, connector.Input{Subscriber: queue, Topic: cfg.AMQPQueue})
}
