//go:build integration

package main

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/testkit"
)

const queue = "from_system-test-register"

func TestMain(m *testing.M) { server.Main(m) }

// TestKill runs the program on 2,000 notifications, kills it ten times at
// random moments and starts it again. In the end every row is right.
func TestKill(t *testing.T) {
	const notifications, persons, kills = 2000, 400, 10
	k := newKillable(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	want := make(map[string]string)

	backlog := 0 // kills that interrupted work
	for life := range kills {
		for i := range notifications / kills {
			id := fmt.Sprint(random.IntN(persons))
			name := fmt.Sprintf("%d-%d", life, i)
			require.NoError(t, k.api.Put("persons/"+id, Person{GivenName: "Kari", FamilyName: name}))
			want[id] = "Kari " + name
			k.notify(id)
		}
		before := k.api.Requests()
		program := k.start()
		require.Eventually(t, func() bool { return k.api.Requests() > before }, 30*time.Second, time.Millisecond)
		<-time.After(time.Duration(random.IntN(150)) * time.Millisecond) // the moment is the point of the test
		require.NoError(t, program.Process.Kill())
		require.Error(t, program.Wait(), "it was killed")
		if k.queueLength() > 0 || !k.equal(want) {
			backlog++
		}
	}
	t.Logf("%d of %d kills interrupted work", backlog, kills)
	require.Positive(t, backlog)

	program := k.start()
	require.Eventually(t, func() bool { return k.queueLength() == 0 && k.equal(want) }, 60*time.Second, 20*time.Millisecond)
	require.NoError(t, program.Process.Signal(syscall.SIGTERM))
	require.NoError(t, program.Wait(), "a stop in order is exit code 0")
	require.Zero(t, k.queueLength())
	require.True(t, k.equal(want))
	t.Logf("%d notifications cost %d fetches", notifications, k.api.Requests())
}

// killable is the program and what it works with.
type killable struct {
	t       *testing.T
	program string
	env     []string
	api     *testkit.Gateway
	pool    *pgxpool.Pool
	channel *amqp.Channel
}

func newKillable(t *testing.T) *killable {
	t.Helper()
	k := &killable{t: t, program: filepath.Join(t.TempDir(), "people-to-postgres")}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", k.program, ".")
	build.Stderr = os.Stderr
	require.NoError(t, build.Run())

	url := server.SharedRabbitMQ(t).URL()
	k.makeTopology(url)

	database := server.SharedPostgreSQL(t).NewDatabase(t)
	var err error
	k.pool, err = pgxpool.New(t.Context(), database)
	require.NoError(t, err)
	t.Cleanup(k.pool.Close)
	schema, err := os.ReadFile("schema.sql")
	require.NoError(t, err)
	_, err = k.pool.Exec(t.Context(), string(schema))
	require.NoError(t, err)

	k.api, err = testkit.NewGateway(testkit.GatewayConfig{ContextPath: "/register", Key: "the-key", Latency: 5 * time.Millisecond})
	require.NoError(t, err)
	socket := httptest.NewServer(k.api)
	t.Cleanup(socket.Close)
	k.env = append(os.Environ(),
		"AMQP_URL="+url,
		"AMQP_QUEUE="+queue,
		"GATEWAY_URL="+socket.URL+"/register",
		"GATEWAY_KEY=the-key",
		"DATABASE_URL="+database,
		"WORK_STORE="+filepath.Join(t.TempDir(), "work.db"),
		"LOG_LEVEL=warn",
	)
	return k
}

func (k *killable) makeTopology(url string) {
	k.t.Helper()
	connection, err := amqp.Dial(url)
	require.NoError(k.t, err)
	k.t.Cleanup(func() { require.NoError(k.t, connection.Close()) })
	k.channel, err = connection.Channel()
	require.NoError(k.t, err)
	_, err = k.channel.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
	require.NoError(k.t, err)
	require.NoError(k.t, k.channel.ExchangeDeclare(queue, "topic", true, false, false, false, nil))
	require.NoError(k.t, k.channel.QueueBind(queue, "#", queue, false, nil))
	require.NoError(k.t, k.channel.Confirm(false))
}

func (k *killable) notify(id string) {
	k.t.Helper()
	confirm, err := k.channel.PublishWithDeferredConfirmWithContext(k.t.Context(), queue, "no.uio.register.test.persons.update", true, false,
		amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("persons/" + id)})
	require.NoError(k.t, err)
	stored, err := confirm.WaitContext(k.t.Context())
	require.NoError(k.t, err)
	require.True(k.t, stored)
}

func (k *killable) start() *exec.Cmd {
	k.t.Helper()
	program := exec.CommandContext(k.t.Context(), k.program)
	program.Env = k.env
	program.Stderr = os.Stderr
	require.NoError(k.t, program.Start())
	return program
}

func (k *killable) queueLength() int {
	k.t.Helper()
	state, err := k.channel.QueueDeclarePassive(queue, true, false, false, false, nil)
	require.NoError(k.t, err)
	return state.Messages
}

// equal reports whether the table holds exactly the wanted names.
func (k *killable) equal(want map[string]string) bool {
	k.t.Helper()
	rows, err := k.pool.Query(k.t.Context(), `SELECT id, name FROM people`)
	require.NoError(k.t, err)
	type pair struct{ ID, Name string }
	pairs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[pair])
	require.NoError(k.t, err)
	if len(pairs) != len(want) {
		return false
	}
	for _, p := range pairs {
		if want[p.ID] != p.Name {
			return false
		}
	}
	return true
}
