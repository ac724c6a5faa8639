//go:build integration

package republish_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/postgres"
	"github.com/konnektor-go/konnektor/sink/republish"
)

// The test binary is also the program that is killed.
const asProgram = "REPUBLISH_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if where := os.Getenv(asProgram); where != "" {
		if err := program(where); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	server.Main(m)
}

var kari = entity.Key{Type: "persons", ID: "90017"}

// topology is what the program publishes to.
func topology() rabbitmq.Topology {
	exchange, queue := rabbitmq.Outgoing("republish"), rabbitmq.From("republish")
	return rabbitmq.Topology{
		Exchanges: []rabbitmq.Exchange{{Name: exchange}},
		Queues:    []rabbitmq.Queue{{Name: queue}},
		Bindings:  []rabbitmq.Binding{{Queue: queue, Exchange: exchange, Key: "#"}},
	}
}

// program makes Kari a row of PostgreSQL, or removes her, and publishes that. It
// says "here" and waits to be killed right before or after it publishes.
func program(where string) error {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer pool.Close()
	table, err := postgres.New[struct{ Name string }](pool, "people", postgres.Config{})
	if err != nil {
		return err
	}
	people, err := sink.Ensure(table, sink.EnsureConfig[struct{ Name string }]{})
	if err != nil {
		return err
	}
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	journal, err := republish.OpenSQL(ctx, db, "people")
	if err != nil {
		return err
	}
	to, err := rabbitmq.NewPublisher(os.Getenv("AMQP_URL"), rabbitmq.PublisherConfig{
		Exchange: rabbitmq.Outgoing("republish"), Declare: topology(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	defer func() { _ = to.Close() }()
	publish, err := notifier(to)
	if err != nil {
		return err
	}
	told, err := republish.New(people, journal, func(ctx context.Context, p republish.Publication) error {
		if where == "before" {
			wait()
		}
		err := publish(ctx, p)
		if where == "after" {
			wait()
		}
		return err
	}, republish.Config{})
	if err != nil {
		return err
	}
	var change sink.Change
	if name := os.Getenv("NAME"); name != "" {
		change, err = told.Apply(ctx, kari, struct{ Name string }{name})
	} else {
		change, err = told.Remove(ctx, kari)
	}
	fmt.Println(change)
	return err
}

func wait() {
	fmt.Println("here")
	select {}
}

// TestKill kills a program between its write and its publication, and between
// its publication and the note of that. The next one publishes what is owed.
func TestKill(t *testing.T) {
	database := server.SharedPostgreSQL(t).NewDatabase(t)
	pool, err := pgxpool.New(t.Context(), database)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, err = pool.Exec(t.Context(), "CREATE TABLE people (id text PRIMARY KEY, name text NOT NULL)")
	require.NoError(t, err)
	amqp := server.SharedRabbitMQ(t).URL()
	messages := subscribe(t, amqp)

	run := func(where, name string) (*exec.Cmd, *bufio.Scanner) {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), asProgram+"="+where, "NAME="+name, "DATABASE_URL="+database, "AMQP_URL="+amqp)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		cmd.Stderr = os.Stderr
		require.NoError(t, cmd.Start())
		return cmd, bufio.NewScanner(out)
	}
	for _, tc := range []struct{ where, name, operation, row string }{
		{"before", "Kari", "create", "Kari"},
		{"before", "Kari N", "update", "Kari N"},
		{"after", "Kari", "update", "Kari"},
		{"before", "", "delete", ""},
	} {
		cmd, out := run(tc.where, tc.name)
		require.True(t, out.Scan(), "it says where it is")
		require.Equal(t, "here", out.Text())
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait(), "it was killed")
		var name string
		err := pool.QueryRow(t.Context(), "SELECT coalesce(max(name), '') FROM people").Scan(&name)
		require.NoError(t, err)
		require.Equal(t, tc.row, name, "it had written")

		cmd, out = run("nowhere", tc.name)
		require.True(t, out.Scan())
		require.Equal(t, "unchanged", out.Text(), "there is nothing to write any more")
		require.NoError(t, cmd.Wait())
		first := next(t, messages)
		require.Equal(t, kari, first.Key)
		require.Equal(t, tc.operation, first.Operation)
		if tc.where == "after" {
			duplicate := next(t, messages)
			require.Equal(t, first.Event.ID(), duplicate.Event.ID(), "consumers know it")
		}

		cmd, out = run("nowhere", tc.name)
		require.True(t, out.Scan())
		require.Equal(t, "unchanged", out.Text())
		require.NoError(t, cmd.Wait())
	}
	select {
	case <-messages:
		require.FailNow(t, "published without a change")
	default: // the queue is empty: the last program had ended before
	}
}

func subscribe(t *testing.T, amqp string) <-chan *message.Message {
	t.Helper()
	from, err := rabbitmq.NewSubscriber(amqp, rabbitmq.SubscriberConfig{Declare: topology(), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, from.Close()) })
	messages, err := from.Subscribe(t.Context(), rabbitmq.From("republish"))
	require.NoError(t, err)
	return messages
}

func next(t *testing.T, messages <-chan *message.Message) notification.Notification {
	t.Helper()
	select {
	case msg := <-messages:
		require.NotNil(t, msg)
		msg.Ack()
		ns, err := notification.Default().Decode(msg)
		require.NoError(t, err)
		require.Len(t, ns, 1)
		return ns[0]
	case <-time.After(60 * time.Second): // far longer than it takes
		require.FailNow(t, "no message")
		return notification.Notification{}
	}
}

func TestPostgreSQL(t *testing.T) {
	database := server.SharedPostgreSQL(t).NewDatabase(t)
	open := func() *sql.DB {
		db, err := sql.Open("pgx", database)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		return db
	}
	testJournal(t, func() republish.Journal { return openSQL(t, open(), "people") })
	testSQL(t, open())
}
