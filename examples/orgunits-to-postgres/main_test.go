package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/testkit"
)

// TestOrgunits plays the register, the broker and the table around the flow, in
// virtual time.
func TestOrgunits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.start(t.Context())()

		// The first load: those below come first, and some come twice.
		w.put("uni", "University", "")
		w.put("mn", "Sciences", "uni")
		w.put("fys", "Physics", "mn")
		w.notify("fys", "mn", "fys", "uni")
		require.Equal(t, map[string]string{"uni": "University <", "mn": "Sciences < uni", "fys": "Physics < mn"}, w.rows())
		require.Empty(t, w.log.String(), "waiting is no failure")
		writes := len(w.table.Log())
		w.notify("uni", "mn", "fys")
		require.Len(t, w.table.Log(), writes, "nothing new, nothing written")

		// Nobody announced the units above this one.
		w.put("jus", "Law", "uni")
		w.put("ifp", "Public Law", "jus")
		w.notify("ifp")
		require.Equal(t, "Public Law < jus", w.rows()["ifp"])

		// This one moves below another that nobody announced. It is never away.
		w.put("juridicum", "Centre of Law", "jus")
		w.put("ifp", "Public Law", "juridicum")
		w.notify("ifp")
		require.Equal(t, "Public Law < juridicum", w.rows()["ifp"])
		for _, write := range w.table.Log() {
			require.NotEqual(t, "delete", write.Op)
		}

		// Sciences moves with all that is below. The answer is lost.
		w.table.FailAfter(func(testkit.Call) error {
			w.table.FailAfter(nil)
			return failure.As(failure.Unavailable, errors.New("connection lost"))
		})
		w.put("mn", "Sciences", "jus")
		w.notify("mn")
		require.Equal(t, "Sciences < jus", w.rows()["mn"])
		require.Equal(t, "Physics < mn", w.rows()["fys"])

		// A circle is refused, and only that.
		w.log.Reset()
		w.put("mn", "Natural Sciences", "fys")
		w.put("fys", "Physics and Astronomy", "mn")
		w.notify("mn", "fys", "ifp")
		require.Equal(t, "Sciences < jus", w.rows()["mn"])
		require.Equal(t, "Physics and Astronomy < mn", w.rows()["fys"])
		require.Contains(t, w.log.String(), "the register has units in a circle")
		w.put("mn", "Natural Sciences", "uni")
		w.notify("mn")
		require.Equal(t, "Natural Sciences < uni", w.rows()["mn"])

		// A unit goes after those below it.
		w.remove("mn")
		w.notify("mn")
		require.Contains(t, w.rows(), "mn", "Physics is below it")
		w.remove("fys")
		w.notify("fys")
		pass(5 * time.Minute)
		require.Equal(t, map[string]string{"uni": "University <", "jus": "Law < uni",
			"juridicum": "Centre of Law < jus", "ifp": "Public Law < juridicum"}, w.rows())
		require.Zero(t, w.table.circles)
	})
}

// TestAUnitThatTheTableRefuses keeps those below it waiting, with growing
// delays, and no others.
func TestAUnitThatTheTableRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.start(t.Context())()
		w.table.Fail(func(c testkit.Call) error {
			if c.Op == "create" && c.Key.ID == "mn" {
				return failure.As(failure.Rejected, errors.New("a check constraint refuses a value"))
			}
			return nil
		})
		w.put("uni", "University", "")
		w.put("mn", "?", "uni")
		w.put("fys", "Physics", "mn")
		w.notify("fys", "mn", "uni")
		pass(time.Hour)
		require.Equal(t, map[string]string{"uni": "University <"}, w.rows())
		require.Contains(t, w.log.String(), "a unit above this one fails")
		require.Less(t, w.api.Requests(), 50, "it does not ask for ever")

		w.table.Fail(nil)
		w.put("mn", "Sciences", "uni")
		w.notify("mn")
		pass(2 * time.Hour)
		require.Equal(t, "Physics < mn", w.rows()["fys"])
	})
}

// world is what stands around the flow.
type world struct {
	t      require.TestingT
	broker *testkit.Broker
	api    *testkit.Gateway
	table  *hierarchy
	log    bytes.Buffer // what operators are told of
	c      *connector.Connector
}

func newWorld(t require.TestingT) *world {
	w := &world{t: t, table: &hierarchy{}}
	w.table.Latency = 2 * time.Millisecond
	var err error
	w.broker, err = testkit.NewBroker(testkit.BrokerConfig{})
	require.NoError(t, err)
	require.NoError(t, w.broker.Bind("queue", "#"))
	w.api, err = testkit.NewGateway(testkit.GatewayConfig{})
	require.NoError(t, err)
	gw, err := gateway.New("https://gateway.test/api", gateway.Config{Key: "secret", Transport: w.api})
	require.NoError(t, err)
	rows, err := sink.Ensure[Row](w.table, sink.EnsureConfig[Row]{})
	require.NoError(t, err)
	store := work.NewMemory()
	logger := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	w.c, err = connector.New("test", connector.Config{Store: store, Logger: logger, Lease: time.Hour}, orgunits(tree{
		register: source.REST[Unit]{Gateway: gw, Path: "orgunits/{id}"}, table: w.table, store: store,
	}, rows))
	require.NoError(t, err)
	return w
}

// start runs the connector until stop is called.
func (w *world) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.c.Run(ctx, connector.Input{Subscriber: w.broker, Topic: "queue"}) }()
	return func() {
		cancel()
		require.NoError(w.t, <-ended)
		require.NoError(w.t, w.broker.Close())
	}
}

func (w *world) put(id, name, parent string) {
	u := Unit{Name: name}
	if parent != "" {
		u.Parent = &parent
	}
	require.NoError(w.t, w.api.Put("orgunits/"+id, u))
}

func (w *world) remove(id string) { require.NoError(w.t, w.api.Delete("orgunits/"+id)) }

// notify says that units may have changed, and gives the connector some time.
func (w *world) notify(ids ...string) {
	for _, id := range ids {
		msg := message.NewMessage(watermill.NewUUID(), []byte("orgunits/"+id))
		require.NoError(w.t, w.broker.Publish("no.uio.register.prod.orgunits.update", msg))
	}
	pass(20 * time.Second)
}

// pass lets time pass.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// rows returns the table as "name < parent" by id.
func (w *world) rows() map[string]string {
	rows := make(map[string]string)
	for key, row := range w.table.Snapshot() {
		rows[key.ID] = row.Name + " <"
		if row.Parent != nil {
			rows[key.ID] += " " + *row.Parent
		}
	}
	return rows
}

// hierarchy is a table in memory with a foreign key, as in schema.sql. It counts
// the writes that made a circle.
type hierarchy struct {
	testkit.Target[Row]
	circles int
}

var errForeignKey = errors.New("the foreign key forbids it")

func (h *hierarchy) Create(ctx context.Context, key entity.Key, want Row) error {
	if !h.has(key, want.Parent) {
		return errForeignKey
	}
	return h.Target.Create(ctx, key, want)
}

func (h *hierarchy) Update(ctx context.Context, key entity.Key, have sink.Found[Row], want Row, fields []sink.Field) error {
	if !h.has(key, want.Parent) {
		return errForeignKey
	}
	defer h.lookForCircle(key)
	return h.Target.Update(ctx, key, have, want, fields)
}

func (h *hierarchy) Delete(ctx context.Context, key entity.Key, have sink.Found[Row]) error {
	for _, row := range h.Snapshot() {
		if row.Parent != nil && *row.Parent == key.ID {
			return errForeignKey
		}
	}
	return h.Target.Delete(ctx, key, have)
}

func (h *hierarchy) has(key entity.Key, parent *string) bool {
	if parent == nil {
		return true
	}
	_, found := h.Snapshot()[above(key, *parent)]
	return found
}

func (h *hierarchy) lookForCircle(key entity.Key) {
	rows := h.Snapshot()
	for at, n := key, 0; rows[at].Parent != nil; n++ {
		if n > len(rows) {
			h.circles++
			return
		}
		at = above(at, *rows[at].Parent)
	}
}
