// People-to-ldap keeps entries of people in an LDAP directory equal to a
// register, and the group of all employees with them. Who leaves is marked as
// former, and deleted after 90 days. Copy it as a start for a connector of your
// own; README.md says how.
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
	_ "modernc.org/sqlite" // the work store's driver

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work/sqlstore"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
	"github.com/konnektor-go/konnektor/sink/ldap"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// config is read from the environment.
type config struct {
	AMQPURL       string         `env:"AMQP_URL,required,notEmpty"`
	AMQPQueue     string         `env:"AMQP_QUEUE,required,notEmpty"`
	GatewayURL    string         `env:"GATEWAY_URL,required,notEmpty"`
	GatewayKey    gateway.Secret `env:"GATEWAY_KEY,required,notEmpty"`
	LDAPURL       []string       `env:"LDAP_URL,required,notEmpty"`
	LDAPUser      string         `env:"LDAP_USER,required,notEmpty"`
	LDAPPassword  gateway.Secret `env:"LDAP_PASSWORD,required,notEmpty"`
	LDAPPlaintext bool           `env:"LDAP_PLAINTEXT"`
	WorkStore     string         `env:"WORK_STORE" envDefault:"people-to-ldap.db"`
	LogLevel      slog.Level     `env:"LOG_LEVEL" envDefault:"info"`
}

const usage = `People-to-ldap keeps an LDAP directory's people equal to a register.

It reads these environment variables:
  AMQP_URL        the broker, amqps://user:password@host:5671/vhost
  AMQP_QUEUE      the queue with the register's notifications, from_system-prod-register
  GATEWAY_URL     the register's API at the gateway, https://host/context-path
  GATEWAY_KEY     the API key of the subscription
  LDAP_URL        the directory, ldaps://host or ldap://host (StartTLS), several with commas
  LDAP_USER       the DN to bind as
  LDAP_PASSWORD   its password
  LDAP_PLAINTEXT  true: ldap:// without StartTLS, for trials on one machine
  WORK_STORE      the file that remembers what is to be done (default people-to-ldap.db)
  LOG_LEVEL       debug, info, warn or error (default info)

It runs until it gets SIGINT or SIGTERM. Exit codes: 0 stopped, 1 failed, 2 misconfigured.
`

func main() {
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), usage) }
	flag.Parse()
	var cfg config
	if err := env.Parse(&cfg); err != nil {
		fmt.Fprintf(os.Stderr, "people-to-ldap: %v\n\n%s", err, usage)
		os.Exit(2)
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.LogLevel})))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, cfg)
	stop()
	if err != nil {
		slog.Error("people-to-ldap failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg config) (err error) {
	directory, err := ldap.NewClient(cfg.LDAPURL, ldap.ClientConfig{
		User:      cfg.LDAPUser,
		Password:  func(context.Context) (string, error) { return string(cfg.LDAPPassword), nil },
		Plaintext: cfg.LDAPPlaintext,
	})
	if err != nil {
		return fmt.Errorf("LDAP_URL: %w", err)
	}
	defer directory.Close()
	people, err := ldap.New(directory, "ou=people,dc=example,dc=org", entries)
	if err != nil {
		return err
	}
	groups, err := ldap.NewMemberships(directory, employees, people.Find, ldap.MembershipsConfig{})
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
	queue, err := rabbitmq.NewSubscriber(cfg.AMQPURL, rabbitmq.SubscriberConfig{Name: "people-to-ldap"})
	if err != nil {
		return fmt.Errorf("AMQP_URL: %w", err)
	}
	defer func() { err = errors.Join(err, queue.Close()) }()
	register := source.REST[Person]{Gateway: gw, Path: "persons/{id}"}
	c, err := newConnector(connector.Config{Store: store}, register, people, groups, people.Find)
	if err != nil {
		return err
	}
	return c.Run(ctx, connector.Input{Subscriber: queue, Topic: cfg.AMQPQueue})
}
