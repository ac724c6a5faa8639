//go:build integration

package connector_test

import (
	"context"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/connector/work/sqlstore"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/postgres"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/testkit"
)

func TestMain(m *testing.M) { server.Main(m) }

// account is an account as the source's API gives it, and as the table holds
// it.
type account struct {
	Name string `json:"name" db:"name"`
}

// TestOnRealServers runs a connector between a real RabbitMQ and a real
// PostgreSQL, with the API gateway behind a socket.
func TestOnRealServers(t *testing.T) {
	r := newServers(t)
	cloudEvent := `{"specversion":"1.0","type":"no.uio.cerebrum.account.create","source":"https://cerebrum-uio.uio.no",` +
		`"subject":"https://cerebrum-uio.uio.no/api/v2/accounts/123456","id":"4d3559ec67504aaba65d40b0363faad8","time":"2020-10-29T09:01:14Z"}`

	require.NoError(t, r.api.Put("accounts/123456", account{"kari"}))
	r.notify(cloudEvent)
	r.await("created")
	require.Equal(t, "kari", r.name())
	requests := r.api.Log()
	require.Equal(t, "accounts/123456", requests[0].Path, "the path of the subject, at the gateway's host")
	require.True(t, requests[0].Fresh)
	require.Equal(t, http.StatusOK, requests[0].Status, "the API key opens the gateway")

	version := r.version()
	r.notify(cloudEvent)
	r.await("unchanged")
	require.Equal(t, version, r.version(), "the second identical notification writes nothing")

	require.NoError(t, r.api.Put("accounts/123456", account{"kari.berg"}))
	r.notify("accounts/123456")
	r.await("updated(name)")
	require.Equal(t, "kari.berg", r.name())

	r.api.Stop() // 404 No context-path matches the request URI.
	version, before := r.version(), r.api.Requests()
	r.notify("accounts/123456")
	require.Eventually(t, func() bool { return r.api.Requests() >= before+3 }, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, version, r.version(), "the gateway's own 404 removes nothing")
	require.Zero(t, r.row().Attempts)
	r.api.Start()
	r.await("unchanged")

	require.NoError(t, r.api.Delete("accounts/123456"))
	r.notify("accounts/123456")
	r.await("removed")
	require.Empty(t, r.name())

	r.stop()
	require.Zero(t, r.queueLength(), "everything is acked")
}

// servers is the world on real servers.
type servers struct {
	t       *testing.T
	api     *testkit.Gateway
	pool    *pgxpool.Pool
	channel *amqp.Channel
	store   *sqlstore.SQLite
	stop    func()
	runs    int64
}

func newServers(t *testing.T) *servers {
	t.Helper()
	r := &servers{t: t}
	url := server.SharedRabbitMQ(t).URL()
	r.makeTopology(url)

	var err error
	r.pool, err = pgxpool.New(t.Context(), server.SharedPostgreSQL(t).NewDatabase(t))
	require.NoError(t, err)
	t.Cleanup(r.pool.Close)
	_, err = r.pool.Exec(t.Context(), `CREATE TABLE accounts (id text PRIMARY KEY, name text NOT NULL, note text DEFAULT 'theirs')`)
	require.NoError(t, err)

	r.api, err = testkit.NewGateway(testkit.GatewayConfig{ContextPath: "/iga-api-test", Key: "the-key"})
	require.NoError(t, err)
	socket := httptest.NewServer(r.api)
	t.Cleanup(socket.Close)
	gw, err := gateway.New(socket.URL+"/iga-api-test", gateway.Config{Key: "the-key"})
	require.NoError(t, err)

	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "work.db"))
	require.NoError(t, err)
	r.store, err = sqlstore.NewSQLite(t.Context(), db, sqlstore.SQLiteConfig{})
	require.NoError(t, err)
	table, err := postgres.New[account](r.pool, "accounts", postgres.Config{})
	require.NoError(t, err)
	rows, err := sink.Ensure(table, sink.EnsureConfig[account]{})
	require.NoError(t, err)
	queueSubscriber, err := rabbitmq.NewSubscriber(url, rabbitmq.SubscriberConfig{})
	require.NoError(t, err)
	c, err := connector.New("accounts-to-postgres", connector.Config{Store: r.store}, connector.Flow[account, account]{
		Name:   "accounts",
		Source: source.REST[account]{Gateway: gw, Path: "accounts/{id}"},
		Map: func(_ context.Context, _ entity.Key, a account) (connector.Desired[account], error) {
			return connector.Present(a), nil
		},
		Sink: rows,
	})
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, connector.Input{Subscriber: queueSubscriber, Topic: queue}) }()
	r.stop = func() {
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, queueSubscriber.Close())
	}
	t.Cleanup(func() {
		cancel()
		require.NoError(t, r.store.Close())
		require.NoError(t, db.Close())
	})
	return r
}

// makeTopology makes what the portal makes: a topic exchange and a quorum
// queue of the same name, with arguments that the connector does not know.
func (r *servers) makeTopology(url string) {
	r.t.Helper()
	connection, err := amqp.Dial(url)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { require.NoError(r.t, connection.Close()) })
	r.channel, err = connection.Channel()
	require.NoError(r.t, err)
	require.NoError(r.t, r.channel.ExchangeDeclare(queue, "topic", true, false, false, false, nil))
	_, err = r.channel.QueueDeclare(queue, true, false, false, false, amqp.Table{
		"x-queue-type": "quorum", "x-delivery-limit": 20,
	})
	require.NoError(r.t, err)
	require.NoError(r.t, r.channel.QueueBind(queue, "#", queue, false, nil))
}

func (r *servers) notify(payload string) {
	r.t.Helper()
	require.NoError(r.t, r.channel.PublishWithContext(r.t.Context(), queue, "cerebrum.event.account.modify", false, false,
		amqp.Publishing{ContentType: "application/octet-stream", DeliveryMode: amqp.Persistent, Body: []byte(payload)}))
}

func (r *servers) row() work.Row {
	r.t.Helper()
	row, _, err := r.store.Get(r.t.Context(), "accounts", entity.Key{Type: "accounts", ID: "123456"})
	require.NoError(r.t, err)
	return row
}

// await waits for the next run that succeeds, and checks what it did.
func (r *servers) await(summary string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.row().Done > r.runs }, 30*time.Second, 10*time.Millisecond)
	r.runs = r.row().Done
	require.Equal(r.t, summary, r.row().Summary)
}

// name returns the account's name in the table, "" if it is not there.
func (r *servers) name() string {
	r.t.Helper()
	rows, err := r.pool.Query(r.t.Context(), `SELECT name FROM accounts WHERE id = '123456'`)
	require.NoError(r.t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(r.t, err)
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// version changes with every write to the account's row.
func (r *servers) version() string {
	r.t.Helper()
	var version string
	require.NoError(r.t, r.pool.QueryRow(r.t.Context(), `SELECT ctid::text || xmin::text FROM accounts`).Scan(&version))
	return version
}

func (r *servers) queueLength() int {
	r.t.Helper()
	state, err := r.channel.QueueDeclarePassive(queue, true, false, false, false, nil)
	require.NoError(r.t, err)
	return state.Messages
}
