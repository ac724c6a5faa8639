// People-to-scim keeps users at a SCIM service provider equal to a register. Who
// leaves is deactivated, and deleted after 30 days. Copy it as a start for a
// connector of your own; README.md says how.
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
	"strings"
	"syscall"
	"time"

	"github.com/caarlos0/env/v11"
	_ "modernc.org/sqlite" // the work store's driver

	"github.com/konnektor-go/konnektor/calendar"
	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work/sqlstore"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/scim"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// Person is a person as the register's API gives it.
type Person struct {
	GivenName  string        `json:"givenName"`
	FamilyName string        `json:"familyName"`
	Username   string        `json:"username"`
	Email      string        `json:"email"`
	Unit       string        `json:"unit"`
	FirstDay   calendar.Date `json:"firstDay"`
	LastDay    calendar.Date `json:"lastDay"`
}

// toUser says what the provider must hold for a person, who is found by the
// register's id in externalId. Attributes that it does not name are left alone.
func toUser(_ context.Context, key entity.Key, p Person) (connector.Desired[scim.User], error) {
	employed, changes := calendar.Window{}.Active(time.Now(), calendar.Period{From: p.FirstDay, To: p.LastDay})
	if !employed {
		return connector.Absent[scim.User]().RecheckAt(changes), nil
	}
	user := scim.User{
		UserName:    sink.Set(p.Username),
		Name:        scim.Name{GivenName: sink.Set(p.GivenName), FamilyName: sink.Set(p.FamilyName)},
		DisplayName: sink.Set(p.GivenName + " " + p.FamilyName),
		Emails:      sink.Null[[]scim.Value](),
		Active:      sink.Set(true),
		UserType:    sink.Set("Employee"),
		Enterprise:  scim.Enterprise{EmployeeNumber: sink.Set(key.ID), Department: sink.Null[string]()},
	}
	if p.Email != "" {
		user.Emails = sink.Set([]scim.Value{{Value: p.Email, Type: "work", Primary: true}})
	}
	if p.Unit != "" {
		user.Enterprise.Department = sink.Set(p.Unit)
	}
	return connector.Present(user).RecheckAt(changes), nil
}

// removal deactivates who has left, writes the time into userType, and deletes
// them after 30 days. Who comes back within them keeps the user.
func removal() sink.Removal[scim.User] {
	const former = "Former since "
	return sink.Removal[scim.User]{
		Disable: func(_ scim.User, since time.Time) scim.User {
			return scim.User{Active: sink.Set(false), UserType: sink.Set(former + since.Format(time.RFC3339))}
		},
		Disabled: func(have scim.User) (since time.Time, ok bool) {
			userType, _ := have.UserType.Get()
			text, ok := strings.CutPrefix(userType, former)
			since, err := time.Parse(time.RFC3339, text)
			return since, ok && err == nil
		},
		DeleteAfter: 30 * 24 * time.Hour,
	}
}

// people joins the source, the mapping and the target.
func people(register source.Source[Person], users sink.Sink[scim.User]) connector.Flow[Person, scim.User] {
	return connector.Flow[Person, scim.User]{
		Name:   "people",
		Match:  notification.RoutingKey("#.persons.#"),
		Source: register,
		Map:    toUser,
		Sink:   users,
	}
}

// config is read from the environment.
type config struct {
	AMQPURL    string         `env:"AMQP_URL,required,notEmpty"`
	AMQPQueue  string         `env:"AMQP_QUEUE,required,notEmpty"`
	GatewayURL string         `env:"GATEWAY_URL,required,notEmpty"`
	GatewayKey gateway.Secret `env:"GATEWAY_KEY,required,notEmpty"`
	SCIMURL    string         `env:"SCIM_URL,required,notEmpty"`
	SCIMToken  gateway.Secret `env:"SCIM_TOKEN,required,notEmpty"`
	WorkStore  string         `env:"WORK_STORE" envDefault:"people-to-scim.db"`
	LogLevel   slog.Level     `env:"LOG_LEVEL" envDefault:"info"`
}

const usage = `People-to-scim keeps users at a SCIM service provider equal to a register.

It reads these environment variables:
  AMQP_URL     the broker, amqps://user:password@host:5671/vhost
  AMQP_QUEUE   the queue with the register's notifications, from_system-prod-register
  GATEWAY_URL  the register's API at the gateway, https://host/context-path
  GATEWAY_KEY  the API key of the subscription
  SCIM_URL     the provider's base URL, https://idm.example.org/scim/v2
  SCIM_TOKEN   the bearer token for it
  WORK_STORE   the file that remembers what is to be done (default people-to-scim.db)
  LOG_LEVEL    debug, info, warn or error (default info)

It runs until it gets SIGINT or SIGTERM. Exit codes: 0 stopped, 1 failed, 2 misconfigured.
`

func main() {
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), usage) }
	flag.Parse()
	var cfg config
	if err := env.Parse(&cfg); err != nil {
		fmt.Fprintf(os.Stderr, "people-to-scim: %v\n\n%s", err, usage)
		os.Exit(2)
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.LogLevel})))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, cfg)
	stop()
	if err != nil {
		slog.Error("people-to-scim failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg config) (err error) {
	provider, err := scim.New[scim.User](cfg.SCIMURL, scim.Config{
		Auth:  scim.Bearer(string(cfg.SCIMToken)),
		Types: map[string][]string{"emails": {"work"}}, // other addresses are left alone
	})
	if err != nil {
		return fmt.Errorf("SCIM_URL: %w", err)
	}
	users, err := sink.Ensure(provider, sink.EnsureConfig[scim.User]{Removal: removal()})
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
	queue, err := rabbitmq.NewSubscriber(cfg.AMQPURL, rabbitmq.SubscriberConfig{Name: "people-to-scim"})
	if err != nil {
		return fmt.Errorf("AMQP_URL: %w", err)
	}
	defer func() { err = errors.Join(err, queue.Close()) }()
	register := source.REST[Person]{Gateway: gw, Path: "persons/{id}"}
	c, err := connector.New("people-to-scim", connector.Config{Store: store}, people(register, users))
	if err != nil {
		return err
	}
	return c.Run(ctx, connector.Input{Subscriber: queue, Topic: cfg.AMQPQueue})
}
