package connector_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
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
	"github.com/konnektor-go/konnektor/internal/logtest"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/testkit"
)

type person struct {
	Name  string
	Start time.Time // zero: has started
}

type entry struct{ Name string }

func key(id string) entity.Key { return entity.Key{Type: "persons", ID: id} }

// register is a source in memory that counts what is asked of it.
type register struct {
	mu      sync.Mutex
	people  map[string]person
	fetches map[string]int
	down    error
	latency time.Duration
}

func (r *register) set(id string, p person) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.people == nil {
		r.people = make(map[string]person)
	}
	r.people[id] = p
}

func (r *register) remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.people, id)
}

func (r *register) setDown(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = err
}

func (r *register) count(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fetches[id]
}

func (r *register) total() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	total := 0
	for _, n := range r.fetches {
		total += n
	}
	return total
}

// Fetch reads the state when it is called and answers after the latency, as a
// real source does.
func (r *register) Fetch(ctx context.Context, req source.Request) (person, error) {
	p, err := r.read(req)
	if r.latency > 0 {
		select {
		case <-time.After(r.latency):
		case <-ctx.Done():
			return person{}, ctx.Err()
		}
	}
	return p, err
}

func (r *register) read(req source.Request) (person, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fetches == nil {
		r.fetches = make(map[string]int)
	}
	r.fetches[req.Key.ID]++
	switch p, ok := r.people[req.Key.ID]; {
	case r.down != nil:
		return person{}, r.down
	case !req.Fresh && !strings.HasPrefix(req.Key.ID, "bulk-"):
		return person{}, errors.New("a live fetch must be fresh")
	case !ok:
		return person{}, failure.As(failure.Gone, errors.New("not in the register"))
	default:
		return p, nil
	}
}

// toEntry is the mapping of the tests: a person is in the target from the start
// date on.
func toEntry(_ context.Context, _ entity.Key, p person) (connector.Desired[entry], error) {
	if p.Start.After(time.Now()) {
		return connector.Absent[entry]().RecheckAt(p.Start), nil
	}
	return connector.Present(entry{p.Name}), nil
}

const queue = "from_system-test-iga"

// world is everything around a connector, in a synctest bubble.
type world struct {
	t        *testing.T
	broker   *testkit.Broker
	register *register
	target   *testkit.Target[entry]
	flow     connector.Flow[person, entry]
	cfg      connector.Config
	log      *logtest.Buffer

	connector *connector.Connector // that was started last
}

func newWorld(t *testing.T) *world {
	t.Helper()
	broker, err := testkit.NewBroker(testkit.BrokerConfig{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, broker.Close()) })
	require.NoError(t, broker.Bind(queue, "#"))
	w := &world{t: t, broker: broker, register: &register{}, target: &testkit.Target[entry]{}, log: &logtest.Buffer{}}
	entries, err := sink.Ensure(w.target, sink.EnsureConfig[entry]{})
	require.NoError(t, err)
	w.flow = connector.Flow[person, entry]{Name: "people", Source: w.register, Map: toEntry, Sink: entries}
	w.cfg = connector.Config{
		Store:  work.NewMemory(),
		Logger: w.log.Logger(),
	}
	return w
}

// start runs the connector, with further flows if there are any, and returns
// what stops it and gives Run's error.
func (w *world) start(flows ...connector.Definition) (stop func() error) {
	w.t.Helper()
	c, err := connector.New("test", w.cfg, append([]connector.Definition{w.flow}, flows...)...)
	require.NoError(w.t, err)
	w.connector = c
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, connector.Input{Subscriber: w.broker, Topic: queue}) }()
	synctest.Wait()
	return func() error {
		cancel()
		return <-ended
	}
}

func (w *world) notify(ids ...string) {
	w.t.Helper()
	for _, id := range ids {
		w.publish("persons/" + id)
	}
}

// publish sends a bare reference.
func (w *world) publish(reference string) {
	w.t.Helper()
	msg := message.NewMessage(watermill.NewUUID(), []byte(reference))
	require.NoError(w.t, w.broker.Publish("no.uio.iga.persons.update", msg))
}

func (w *world) row(id string) work.Row {
	w.t.Helper()
	row, found, err := w.cfg.Store.Get(w.t.Context(), w.flow.Name, key(id))
	require.NoError(w.t, err)
	require.True(w.t, found, "no row for %s", id)
	return row
}

// inTarget returns the target's entries by ID.
func (w *world) inTarget() map[string]string {
	names := make(map[string]string)
	for k, e := range w.target.Snapshot() {
		names[k.ID] = e.Name
	}
	return names
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newWorld(t)) })
}

// settle lets everything that needs no more than a little time happen.
func settle() {
	time.Sleep(100 * time.Millisecond)
	synctest.Wait()
}

func ids(from, to int) []string {
	var list []string
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprintf("p-%04d", i))
	}
	return list
}
