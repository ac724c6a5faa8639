// Positions keeps a table of accounts equal to a register of people and
// positions. A notification about a position concerns everybody who holds it, and
// an account is there from five days before somebody's first day until the last.
// Copy it as a start for a connector of your own; README.md says how.
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
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "modernc.org/sqlite" // the work store's driver

	"github.com/konnektor-go/konnektor/calendar"
	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work/sqlstore"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/postgres"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// Person is a person as the register's API gives it, with the title of the
// position, which the API keeps elsewhere.
type Person struct {
	GivenName  string        `json:"givenName"`
	FamilyName string        `json:"familyName"`
	Position   string        `json:"position"`
	FirstDay   calendar.Date `json:"firstDay"`
	LastDay    calendar.Date `json:"lastDay"`
	Title      *string       `json:"-"`
}

// Position is a position as the register's API gives it.
type Position struct {
	Title   string   `json:"title"`
	Holders []string `json:"holders"` // ids of people
}

// Account is a row of the table accounts, besides its key.
type Account struct {
	Name  string  `db:"name"`
	Title *string `db:"title"`
}

// employed is when an account is there, by the clocks of Norway.
var employed = calendar.Window{LeadDays: 5}

// toAccount says what the table must hold for a person.
func toAccount(_ context.Context, _ entity.Key, p Person) (connector.Desired[Account], error) {
	now, changes := employed.Active(time.Now(), calendar.Period{From: p.FirstDay, To: p.LastDay})
	if !now {
		return connector.Absent[Account]().RecheckAt(changes), nil
	}
	return connector.Present(Account{Name: p.GivenName + " " + p.FamilyName, Title: p.Title}).RecheckAt(changes), nil
}

// toHolders says whom a position concerns. There is nothing to write for it.
func toHolders(_ context.Context, _ entity.Key, p Position) (connector.Desired[struct{}], error) {
	holders := make([]entity.Key, len(p.Holders))
	for i, id := range p.Holders {
		holders[i] = entity.Key{Type: "persons", ID: id}
	}
	return connector.Present(struct{}{}).Mark("people", holders...), nil
}

// flows join the source, the mappings and the target.
func flows(register *gateway.Client, accounts sink.Sink[Account]) (connector.Flow[Person, Account], connector.Flow[Position, struct{}]) {
	positions := source.REST[Position]{Gateway: register, Path: "positions/{id}"}
	people := source.Composite[Person]{
		Main: source.REST[Person]{Gateway: register, Path: "persons/{id}"},
		Parts: []source.Part[Person]{{Name: "position", Fetch: func(ctx context.Context, req source.Request, p *Person) error {
			if p.Position == "" {
				return nil
			}
			req.Key = entity.Key{Type: "positions", ID: p.Position}
			position, err := positions.Fetch(ctx, req)
			p.Title = &position.Title
			return err
		}}},
	}
	return connector.Flow[Person, Account]{
			Name:   "people",
			Match:  notification.RoutingKey("#.persons.#"),
			Source: people,
			Map:    toAccount,
			Sink:   accounts,
		}, connector.Flow[Position, struct{}]{
			Name:   "positions",
			Match:  notification.RoutingKey("#.positions.#"),
			Source: positions,
			Map:    toHolders,
			Sink:   sink.Discard[struct{}]{},
		}
}

// config is read from the environment.
type config struct {
	AMQPURL     string         `env:"AMQP_URL,required,notEmpty"`
	AMQPQueue   string         `env:"AMQP_QUEUE,required,notEmpty"`
	GatewayURL  string         `env:"GATEWAY_URL,required,notEmpty"`
	GatewayKey  gateway.Secret `env:"GATEWAY_KEY,required,notEmpty"`
	DatabaseURL string         `env:"DATABASE_URL,required,notEmpty"`
	WorkStore   string         `env:"WORK_STORE" envDefault:"positions.db"`
	LogLevel    slog.Level     `env:"LOG_LEVEL" envDefault:"info"`
}

const usage = `Positions keeps a table of accounts equal to a register of people and positions.

It reads these environment variables:
  AMQP_URL      the broker, amqps://user:password@host:5671/vhost
  AMQP_QUEUE    the queue with the register's notifications, from_system-prod-register
  GATEWAY_URL   the register's API at the gateway, https://host/context-path
  GATEWAY_KEY   the API key of the subscription
  DATABASE_URL  the database, postgres://user:password@host/database
  WORK_STORE    the file that remembers what is to be done (default positions.db)
  LOG_LEVEL     debug, info, warn or error (default info)

It runs until it gets SIGINT or SIGTERM. Exit codes: 0 stopped, 1 failed, 2 misconfigured.
`

func main() {
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), usage) }
	flag.Parse()
	var cfg config
	if err := env.Parse(&cfg); err != nil {
		fmt.Fprintf(os.Stderr, "positions: %v\n\n%s", err, usage)
		os.Exit(2)
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.LogLevel})))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, cfg)
	stop()
	if err != nil {
		slog.Error("positions failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg config) (err error) {
	pool, err := pgxpool.New(ctx, cfg.DatabaseURL)
	if err != nil {
		return errors.New("DATABASE_URL: is not a connection string of PostgreSQL") // err may show the password
	}
	defer pool.Close()
	table, err := postgres.New[Account](pool, "accounts", postgres.Config{})
	if err != nil {
		return err
	}
	accounts, err := sink.Ensure(table, sink.EnsureConfig[Account]{})
	if err != nil {
		return err
	}
	register, err := gateway.New(cfg.GatewayURL, gateway.Config{Key: cfg.GatewayKey})
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
	queue, err := rabbitmq.NewSubscriber(cfg.AMQPURL, rabbitmq.SubscriberConfig{Name: "positions"})
	if err != nil {
		return fmt.Errorf("AMQP_URL: %w", err)
	}
	defer func() { err = errors.Join(err, queue.Close()) }()
	people, positions := flows(register, accounts)
	c, err := connector.New("positions", connector.Config{Store: store}, people, positions)
	if err != nil {
		return err
	}
	return c.Run(ctx, connector.Input{Subscriber: queue, Topic: cfg.AMQPQueue})
}
