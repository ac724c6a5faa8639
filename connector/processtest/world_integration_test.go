//go:build integration

package processtest

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/connector/work/sqlstore"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
	"github.com/konnektor-go/konnektor/testkit"
)

const queue = "from_system-test-register"

// world is everything around the processes.
type world struct {
	t         *testing.T
	rabbit    *server.RabbitMQNode
	postgres  *server.PostgresServer
	database  string
	db        *sql.DB
	store     *sqlstore.Postgres
	register  *register
	target    *target
	source    *socket // of the register
	sink      *socket // of the target
	publisher *rabbitmq.Publisher
	logs      string

	started   int
	processes []*process
}

// newWorld starts servers of its own, so that tests can end them.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, rabbit: server.RabbitMQ(t), postgres: server.PostgreSQL(t), logs: t.TempDir()}
	w.makeTopology()
	w.database = w.postgres.NewDatabase(t)
	var err error
	w.db, err = sql.Open("pgx", w.database)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.db.Close()) })
	w.store, err = sqlstore.NewPostgres(t.Context(), w.db, sqlstore.PostgresConfig{})
	require.NoError(t, err)

	api, err := testkit.NewGateway(testkit.GatewayConfig{ContextPath: contextPath, Key: apiKey, Latency: 2 * time.Millisecond})
	require.NoError(t, err)
	w.register = &register{Gateway: api, people: make(map[string]int), present: make(map[string][]bool)}
	w.target = newTarget(w.register)
	w.source, w.sink = listen(t, api), listen(t, w.target)

	w.publisher, err = rabbitmq.NewPublisher(w.rabbit.URL(), rabbitmq.PublisherConfig{
		Exchange: queue, ConfirmTimeout: 5 * time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.publisher.Close()) })
	return w
}

// makeTopology makes a topic exchange and a quorum queue of the same name.
func (w *world) makeTopology() {
	w.t.Helper()
	w.onChannel(func(channel *amqp.Channel) error {
		if err := channel.ExchangeDeclare(queue, "topic", true, false, false, false, nil); err != nil {
			return err
		}
		if _, err := channel.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
			return err
		}
		return channel.QueueBind(queue, "#", queue, false, nil)
	})
}

func (w *world) onChannel(do func(*amqp.Channel) error) {
	w.t.Helper()
	connection, err := amqp.Dial(w.rabbit.URL())
	require.NoError(w.t, err)
	defer func() { require.NoError(w.t, connection.Close()) }()
	channel, err := connection.Channel()
	require.NoError(w.t, err)
	require.NoError(w.t, do(channel))
}

// person returns the ID of the n-th person.
func (*world) person(n int) string { return fmt.Sprintf("kari.%s.%04d", surname, n) }

// notify sends a notification about each of some people, and returns when the
// broker has them.
func (w *world) notify(ids ...string) error {
	messages := make([]*message.Message, len(ids))
	for i, id := range ids {
		messages[i] = message.NewMessage(watermill.NewUUID(), []byte("persons/"+id))
	}
	return w.publisher.Publish("no.uio.register.test.persons.update", messages...)
}

// notifyAtLast notifies until the broker is there, or the test has ended.
func (w *world) notifyAtLast(ctx context.Context, ids ...string) error {
	for {
		err := w.notify(ids...)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// quiet waits until all is settled, all messages too. The broker counts those
// in flight now and then, see its quorum_tick_interval.
func (w *world) quiet() {
	w.t.Helper()
	w.await("all messages are settled", 2*time.Minute, func() bool {
		out, err := w.rabbit.Ctl("list_queues", "--no-table-headers", "messages")
		return err == nil && strings.TrimSpace(out) == "0"
	})
	w.await("everybody is right and idle", time.Minute, w.settled)
}

// queued returns how many messages the queue holds that are not in flight.
func (w *world) queued() (n int) {
	w.t.Helper()
	w.onChannel(func(channel *amqp.Channel) error {
		state, err := channel.QueueDeclarePassive(queue, true, false, false, false, nil)
		n = state.Messages
		return err
	})
	return n
}

// rows returns the rows of people in a state.
func (w *world) rows(state work.State) []work.Row {
	w.t.Helper()
	rows, err := w.store.List(w.t.Context(), work.Query{Flow: flow, State: state, Limit: 10_000})
	require.NoError(w.t, err)
	return rows
}

// settled reports whether the target is right and nothing is left to be done.
func (w *world) settled() bool {
	if !w.target.right() {
		return false
	}
	stats, err := w.store.Stats(w.t.Context())
	if err != nil {
		return false
	}
	for _, states := range stats {
		for state, stat := range states {
			if state != work.Idle && stat.Rows > 0 {
				return false
			}
		}
	}
	return true
}

// await waits until a condition holds.
func (w *world) await(what string, within time.Duration, holds func() bool) {
	w.t.Helper()
	require.Eventually(w.t, holds, within, 20*time.Millisecond, what)
}

// checkLogs looks for what no process may have logged.
func (w *world) checkLogs() {
	w.t.Helper()
	for _, p := range w.processes {
		for _, secret := range []string{surname, apiKey, "guest:guest"} {
			for line := range strings.Lines(p.text()) {
				require.NotContains(w.t, line, secret)
			}
		}
		require.NotContains(w.t, p.text(), "DATA RACE")
	}
}

// socket serves HTTP on an address that stays the same.
type socket struct {
	t       *testing.T
	handler http.Handler
	addr    string
	server  *http.Server
	refuses atomic.Bool // answers 503
}

func listen(t *testing.T, handler http.Handler) *socket {
	t.Helper()
	s := &socket{t: t, handler: handler, addr: "127.0.0.1:0"}
	s.open()
	t.Cleanup(s.close)
	return s
}

func (s *socket) url() string { return "http://" + s.addr }

func (s *socket) open() {
	s.t.Helper()
	listener, err := new(net.ListenConfig).Listen(s.t.Context(), "tcp", s.addr)
	require.NoError(s.t, err)
	s.addr = listener.Addr().String()
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func(h *http.Server) { _ = h.Serve(listener) }(s.server) // ends with close
}

// close closes the listener and all connections.
func (s *socket) close() { _ = s.server.Close() }

// lose and back are close and open, refuse and accept say what is answered
// meanwhile.
func (s *socket) lose() error   { s.close(); return nil }
func (s *socket) back() error   { s.open(); return nil }
func (s *socket) refuse() error { s.refuses.Store(true); return nil }
func (s *socket) accept() error { s.refuses.Store(false); return nil }

// ServeHTTP implements http.Handler.
func (s *socket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.refuses.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	s.handler.ServeHTTP(w, r)
}
