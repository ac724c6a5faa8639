package connector_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/testkit"
)

// history is a world in which a history is played: one register, one broker,
// one target and one work store, and instances of a connector that live and
// die.
type history struct {
	broker *testkit.Broker
	target *testkit.Target[entry]
	store  work.Store // what survives crashes
	plant  plant

	mu          sync.Mutex
	people      map[string]person
	sourceDown  time.Time
	targetDown  time.Time
	storeDown   time.Time
	failures    map[string]int // to come, by entity
	lost        map[string]int // answers of writes to lose, by entity
	calls       map[string]int // calls to source and target going on, by entity
	marks       map[string]int // handed to the store, by entity
	fetches     map[string]int
	unfinished  map[string]int // runs that did not end well, by entity
	ownFailures map[string]int // injected failures of single entities
	attempts    map[string]int // stored as such
	version     int
	violations  []error

	instances []*instance
	late      sync.WaitGroup // notifications to come
}

// plant changes a world so that it has a bug. Nil plants none.
type plant func(h *history, i *instance)

// instance is a process of the connector.
type instance struct {
	*history
	steps  atomic.Int64 // left until it crashes; negative: it does not
	dead   atomic.Bool
	frozen atomic.Pointer[time.Time]
	flow   connector.Flow[person, entry]
	store  work.Store
	cancel context.CancelFunc
	done   chan error
}

var errDead = errors.New("the process is dead")

func newHistory(p plant) (*history, error) {
	broker, err := testkit.NewBroker(testkit.BrokerConfig{StopTimeout: time.Second})
	if err != nil {
		return nil, err
	}
	h := &history{
		broker: broker, target: &testkit.Target[entry]{Latency: 20 * time.Millisecond},
		store: shared{work.NewMemory()}, plant: p,
		people: make(map[string]person), failures: make(map[string]int), lost: make(map[string]int),
		calls: make(map[string]int), marks: make(map[string]int), fetches: make(map[string]int),
		unfinished: make(map[string]int), ownFailures: make(map[string]int), attempts: make(map[string]int),
	}
	return h, broker.Bind(queue, "#")
}

// shared is a store in memory that stands for a durable one.
type shared struct{ *work.Memory }

func (shared) Durable() bool { return true }
func (shared) Shared() bool  { return true }

func (h *history) violatedf(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.violations = append(h.violations, fmt.Errorf(format, args...))
}

// start starts an instance.
func (h *history) start(ctx context.Context) error {
	i := &instance{history: h, done: make(chan error, 1)}
	i.steps.Store(-1)
	i.store = &mortalStore{Store: h.store, i: i}
	entries, err := sink.Ensure[entry](&mortalTarget{i}, sink.EnsureConfig[entry]{})
	if err != nil {
		return err
	}
	i.flow = connector.Flow[person, entry]{
		Name: "people", Match: ofType("persons"), Source: i, Map: toEntry, Sink: entries, Workers: 3,
		Retry: connector.Retry{Min: time.Second, Max: time.Minute},
	}
	if h.plant != nil {
		h.plant(h, i)
	}
	c, err := connector.New("test", connector.Config{
		Store: i.store, StopTimeout: 2 * time.Second, Lease: 10 * time.Second,
		Logger: slog.New(slog.DiscardHandler),
	}, i.flow, i.teams())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	i.cancel = cancel
	go func() { i.done <- c.Run(ctx, connector.Input{Subscriber: h.broker, Topic: queue}) }()
	h.instances = append(h.instances, i)
	return nil
}

// teams is a flow of teams, of which each has two members. Its runs change
// nothing: they say that the members may have changed.
func (i *instance) teams() connector.Flow[[]entity.Key, entry] {
	return connector.Flow[[]entity.Key, entry]{
		Name: "teams", Match: ofType("teams"),
		Source: source.Func[[]entity.Key](func(ctx context.Context, req source.Request) ([]entity.Key, error) {
			if err := i.enter(ctx, req.Key.ID); err != nil {
				return nil, err
			}
			var n int
			_, err := fmt.Sscanf(req.Key.ID, "team%d", &n)
			return []entity.Key{key(name(n)), key(name((n + 1) % entities))}, errors.Join(err, i.leave(req.Key.ID))
		}),
		Map: func(_ context.Context, _ entity.Key, members []entity.Key) (connector.Desired[entry], error) {
			return connector.Absent[entry]().Mark("people", members...), nil
		},
		Sink:  sink.Discard[entry]{},
		Retry: connector.Retry{Min: time.Second, Max: time.Minute},
	}
}

// step is a moment at which the process can crash or stand still.
func (i *instance) step() error {
	if until := i.frozen.Load(); until != nil {
		if d := time.Until(*until); d > 0 {
			time.Sleep(d)
		}
	}
	if i.steps.Load() >= 0 && i.steps.Add(-1) < 0 {
		i.kill()
	}
	if i.dead.Load() {
		return errDead
	}
	return nil
}

// kill ends what the process can do to the world. Its goroutines end by and by,
// as no call of theirs succeeds.
func (i *instance) kill() {
	if i.dead.CompareAndSwap(false, true) {
		i.cancel()
	}
}

// end removes the first instance, if there is one, in order or by a crash.
func (h *history) end(crash bool) {
	if len(h.instances) == 0 {
		return
	}
	i := h.instances[0]
	h.instances = h.instances[1:]
	if crash {
		i.kill()
	}
	i.cancel()
	h.ended(i)
}

// ended waits for the end of an instance, which is in order unless it died or
// stood still: then its work may go on for longer than Run waits. Nor is it if the
// store was away until shortly before: it is tried once a second.
func (h *history) ended(i *instance) {
	err := <-i.done
	h.mu.Lock()
	away := time.Now().Before(h.storeDown.Add(2 * time.Second))
	h.mu.Unlock()
	if err != nil && !away && !i.dead.Load() && i.frozen.Load() == nil {
		h.violatedf("stop: %w", err)
	}
}

// reap takes away instances that crashed by themselves.
func (h *history) reap() {
	alive := h.instances[:0]
	for _, i := range h.instances {
		if i.dead.Load() {
			h.ended(i)
			continue
		}
		alive = append(alive, i)
	}
	h.instances = alive
}

func name(n int) string { return fmt.Sprint("p", n) }

// notify publishes n notifications, the first at once and the others later.
func (h *history) notify(n, times int, spread time.Duration) error {
	for k := range times {
		msg := message.NewMessage(watermill.NewUUID(), []byte("persons/"+name(n)))
		if k == 0 {
			if err := h.broker.Publish("k", msg); err != nil {
				return err
			}
			continue
		}
		h.late.Go(func() {
			time.Sleep(spread * time.Duration(k) / time.Duration(times))
			if err := h.broker.Publish("k", msg); err != nil {
				h.violatedf("publish: %w", err)
			}
		})
	}
	return nil
}

func (h *history) set(n int, change func(*person) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.version++
	p := person{Name: fmt.Sprint("version ", h.version)}
	if change(&p) {
		h.people[name(n)] = p
	} else {
		delete(h.people, name(n))
	}
}

// flood changes everybody again and again for a while, and notifies so fast that
// runs cannot follow.
func (h *history) flood(d time.Duration) error {
	const pause = 5 * time.Millisecond
	for end := time.Now().Add(d); ; time.Sleep(pause) {
		for n := range entities {
			h.set(n, func(*person) bool { return true })
			if err := h.notify(n, 10, pause); err != nil {
				return err
			}
		}
		if !time.Now().Before(end) {
			return nil
		}
	}
}

// play does what an act says.
func (h *history) play(ctx context.Context, a act) error {
	h.reap()
	until := time.Now().Add(a.D * 10)
	switch a.Kind {
	case "change":
		h.set(a.Entity, func(*person) bool { return true })
		return h.notify(a.Entity, a.N, a.D)
	case "remove":
		h.set(a.Entity, func(*person) bool { return false })
		return h.notify(a.Entity, 1, 0)
	case "future":
		h.set(a.Entity, func(p *person) bool { p.Start = time.Now().Add(a.D * 1000); return true })
		return h.notify(a.Entity, 1, 0)
	case "team":
		h.set(a.Entity, func(*person) bool { return true })
		h.set((a.Entity+1)%entities, func(*person) bool { return true })
		msg := message.NewMessage(watermill.NewUUID(), []byte(fmt.Sprint("teams/team", a.Entity)))
		return h.broker.Publish("k", msg)
	case "notify":
		return h.notify(a.Entity, a.N, a.D)
	case "tide":
		return h.flood(a.D / 10)
	case "sleep":
		time.Sleep(a.D)
	case "start":
		if len(h.instances) < 3 {
			return h.start(ctx)
		}
	case "stop":
		h.end(false)
	case "cut":
		h.broker.Cut()
	case "crash":
		if len(h.instances) > 0 {
			h.instances[0].steps.Store(int64(a.N * a.N / 3))
		}
	case "freeze":
		if len(h.instances) > 0 {
			h.instances[0].frozen.Store(&until)
		}
	default:
		h.breakDown(a, until)
	}
	return nil
}

func (h *history) breakDown(a act, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch a.Kind {
	case "source down":
		h.sourceDown = until
	case "target down":
		h.targetDown = until
	case "store down":
		h.storeDown = until
	case "entity fails":
		h.failures[name(a.Entity)] += a.N % 4
	case "answer lost":
		h.lost[name(a.Entity)]++
	}
}

// enter and leave stand around each call to source and target.
func (i *instance) enter(ctx context.Context, id string) error {
	if err := errors.Join(i.step(), ctx.Err()); err != nil {
		return err
	}
	i.mu.Lock()
	overlap := i.calls[id] > 0
	i.calls[id]++
	i.mu.Unlock()
	if overlap {
		i.violatedf("one at a time: two runs for %s overlap", id)
	}
	return nil
}

func (i *instance) leave(id string) error {
	i.mu.Lock()
	i.calls[id]--
	i.mu.Unlock()
	return i.step()
}

// Fetch is the source, as an instance sees it.
func (i *instance) Fetch(ctx context.Context, req source.Request) (p person, err error) {
	if err := i.enter(ctx, req.Key.ID); err != nil {
		return person{}, err
	}
	p, err = i.read(req.Key.ID)
	select {
	case <-time.After(30 * time.Millisecond):
	case <-ctx.Done():
		err = ctx.Err()
	}
	return p, errors.Join(err, i.leave(req.Key.ID))
}

func (h *history) read(id string) (person, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fetches[id]++
	if time.Now().Before(h.sourceDown) {
		h.unfinished[id]++
		return person{}, failure.As(failure.Unavailable, errors.New("source down"))
	}
	if h.failures[id] > 0 {
		h.failures[id]--
		h.unfinished[id]++
		h.ownFailures[id]++
		return person{}, errors.New("a failure of its own")
	}
	p, ok := h.people[id]
	if !ok {
		return p, failure.As(failure.Gone, errors.New("gone"))
	}
	return p, nil
}

// mortalTarget is the target, as an instance sees it.
type mortalTarget struct{ i *instance }

func call[R any](ctx context.Context, m *mortalTarget, key entity.Key, write bool, do func() (R, error)) (R, error) {
	var none R
	if err := m.i.enter(ctx, key.ID); err != nil {
		return none, err
	}
	m.i.mu.Lock()
	down := time.Now().Before(m.i.targetDown)
	lost := write && !down && m.i.lost[key.ID] > 0
	if lost {
		m.i.lost[key.ID]--
		m.i.ownFailures[key.ID]++
	}
	if down || lost {
		m.i.unfinished[key.ID]++
	}
	m.i.mu.Unlock()
	if down {
		return none, errors.Join(failure.As(failure.Unavailable, errors.New("target down")), m.i.leave(key.ID))
	}
	result, err := do()
	if lost {
		err = errors.Join(err, errors.New("the answer is lost"))
	}
	return result, errors.Join(err, m.i.leave(key.ID))
}

type found struct {
	entry sink.Found[entry]
	found bool
}

func (m *mortalTarget) Get(ctx context.Context, key entity.Key) (sink.Found[entry], bool, error) {
	f, err := call(ctx, m, key, false, func() (found, error) {
		e, ok, err := m.i.target.Get(ctx, key)
		return found{e, ok}, err
	})
	return f.entry, f.found, err
}

func (m *mortalTarget) Create(ctx context.Context, key entity.Key, want entry) error {
	_, err := call(ctx, m, key, true, func() (any, error) { return nil, m.i.target.Create(ctx, key, want) })
	return err
}

func (m *mortalTarget) Update(ctx context.Context, key entity.Key, have sink.Found[entry], want entry, fields []sink.Field) error {
	_, err := call(ctx, m, key, true, func() (any, error) { return nil, m.i.target.Update(ctx, key, have, want, fields) })
	return err
}

func (m *mortalTarget) Delete(ctx context.Context, key entity.Key, have sink.Found[entry]) error {
	_, err := call(ctx, m, key, true, func() (any, error) { return nil, m.i.target.Delete(ctx, key, have) })
	return err
}

// settleDown heals everything and waits until there is nothing left to do.
func (h *history) settleDown(ctx context.Context) error {
	for _, i := range h.instances {
		i.steps.Store(-1)
	}
	synctest.Wait() // for one that is taking its last step
	h.reap()
	if len(h.instances) == 0 {
		if err := h.start(ctx); err != nil {
			return err
		}
	}
	h.late.Wait()
	time.Sleep(2 * time.Hour) // the longest future, retries, outages
	synctest.Wait()
	return nil
}
