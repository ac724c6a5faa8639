package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/batch"
	"github.com/konnektor-go/konnektor/notification"
)

// Config has what all flows of a connector share. The zero Config works, for
// trials: its work store is in memory.
type Config struct {
	// Store remembers what is to be done. Nil: [work.NewMemory]. The connector
	// does not close it.
	Store work.Store
	// Logger gets what operators need to see, without personal data. Nil:
	// slog.Default().
	Logger *slog.Logger
	// Middleware wraps the handling of each message, first one outermost.
	Middleware []message.HandlerMiddleware
	// StopTimeout is how long work under way may go on when Run is stopped,
	// before it is cancelled and left for the next start. Default 20 seconds.
	StopTimeout time.Duration
	// Lease is how long an entity stays reserved for a run whose process has
	// died. Work that takes longer is no problem: leases are renewed. Default 1
	// minute, at least 1 second.
	Lease time.Duration
}

func (c Config) withDefaults() Config {
	if c.Store == nil {
		c.Store = work.NewMemory()
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.StopTimeout = orDefault(c.StopTimeout, 20*time.Second)
	c.Lease = orDefault(c.Lease, time.Minute)
	return c
}

func (c Config) validate() error {
	switch {
	case c.StopTimeout < 0:
		return errors.New("StopTimeout: must not be negative")
	case c.Lease < time.Second:
		return errors.New("Lease: must be at least 1 second")
	}
	return nil
}

// Connector keeps targets equal to their source.
type Connector struct {
	name  string
	cfg   Config
	flows []*flow

	mu      sync.Mutex
	running bool
}

// New makes a connector. The name identifies it in logs and to operators.
func New(name string, cfg Config, flows ...Definition) (*Connector, error) {
	if name == "" {
		return nil, errors.New("connector: name: must not be empty")
	}
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("connector %q: %w", name, err)
	}
	if len(flows) == 0 {
		return nil, fmt.Errorf("connector %q: flows: at least one is needed", name)
	}
	c := &Connector{name: name, cfg: cfg}
	names := make(map[string]bool)
	for _, definition := range flows {
		f, err := definition.define()
		if err != nil {
			return nil, fmt.Errorf("connector %q: %w", name, err)
		}
		if names[f.name] {
			return nil, fmt.Errorf("connector %q: flow %q: Name: is used twice", name, f.name)
		}
		names[f.name] = true
		c.flows = append(c.flows, f)
	}
	return c, nil
}

// Run takes notifications from the inputs and reconciles what is due, until ctx
// ends; then it takes nothing new, lets running work end within
// Config.StopTimeout, and returns nil with everything stored. It returns an
// error if it cannot start, if an input ends by itself, or if user code did not
// end when it was cancelled.
//
// With no inputs it works off what the store holds.
func (c *Connector) Run(ctx context.Context, inputs ...Input) error {
	for i, in := range inputs {
		if err := in.validate(); err != nil {
			return fmt.Errorf("connector %q: input %d: %w", c.name, i, err)
		}
	}
	if !c.start() {
		return fmt.Errorf("connector %q: runs already", c.name)
	}
	defer c.stop()
	secret, err := c.cfg.Store.Secret(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("connector %q: work store: %w", c.name, err)
	}
	return c.newSession(entity.NewHasher(secret)).run(ctx, inputs)
}

func (c *Connector) start() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running {
		return false
	}
	c.running = true
	return true
}

func (c *Connector) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = false
}

// maxBatch is how many marks' messages or outcomes share a commit at most.
const maxBatch = 500

// session is one call of Run.
type session struct {
	*Connector
	log      *slog.Logger
	loops    []*loop
	marks    *batch.Group[[]work.Mark, []int64]
	outcomes *batch.Group[work.Outcome, error]
	waiters  *waiters
}

func (c *Connector) newSession(hasher entity.Hasher) *session {
	s := &session{Connector: c, log: c.cfg.Logger.With("connector", c.name)}
	s.marks = batch.New(maxBatch, s.commitMarks)
	s.outcomes = batch.New(maxBatch, s.commitOutcomes)
	settled := func(work.Lease, time.Time, work.Result) {}
	if !c.cfg.Store.Durable() {
		s.waiters = &waiters{store: c.cfg.Store, rows: make(map[rowID][]*waiter)}
		settled = s.waiters.settled
	}
	owner := c.name + "/" + uuid.NewString()
	for _, f := range c.flows {
		s.loops = append(s.loops, &loop{
			flow:     f,
			store:    c.cfg.Store,
			outcomes: s.outcomes,
			settled:  settled,
			owner:    owner,
			ttl:      c.cfg.Lease,
			hasher:   hasher,
			log:      s.log.With("flow", f.name),
			breaker:  newBreaker(),
			wake:     make(chan struct{}, 1),
			runs:     make(map[string]*run),
		})
	}
	return s
}

// errStopped is the cause by which running work ends when its time is over.
var errStopped = errors.New("the connector stops")

// run has three circles of life, each inside the next: intake and the start of
// new runs end with ctx; running work may last StopTimeout longer; storing
// outlives them all, and a little longer if the store is slow.
func (s *session) run(ctx context.Context, inputs []Input) error {
	group, takeCtx := errgroup.WithContext(ctx)
	runCtx, stopRuns := context.WithCancelCause(context.WithoutCancel(ctx))
	storeCtx, stopStore := context.WithCancel(context.WithoutCancel(ctx))
	defer stopStore()
	defer stopRuns(nil)

	var storing sync.WaitGroup
	storing.Go(func() { s.marks.Run(storeCtx) })
	storing.Go(func() { s.outcomes.Run(storeCtx) })

	// Deliveries that wait for a reconcile do so until there can be no more.
	waitCtx, stopWaiting := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error {
		defer stopWaiting()
		var loops sync.WaitGroup
		for _, l := range s.loops {
			loops.Go(func() { l.loop(takeCtx, runCtx) })
		}
		loops.Wait()
		return nil
	})
	if len(inputs) > 0 {
		group.Go(func() error { return s.take(takeCtx, waitCtx, inputs) })
	}
	s.log.Info("running", "flows", len(s.loops), "inputs", len(inputs))
	defer s.log.Info("stopped")
	return s.await(takeCtx, group, &storing, stopRuns, stopStore)
}

// await returns when everything has ended, and hurries it step by step once
// takeCtx is over.
func (s *session) await(takeCtx context.Context, group *errgroup.Group, storing *sync.WaitGroup, stopRuns context.CancelCauseFunc, stopStore func()) error {
	ended := make(chan error, 1)
	go func() {
		err := group.Wait()
		stopStore()
		storing.Wait()
		ended <- err
	}()
	<-takeCtx.Done()
	for _, hurry := range []struct {
		after time.Duration
		do    func()
	}{
		{s.cfg.StopTimeout, func() { stopRuns(errStopped) }},
		{5 * time.Second, stopStore},
		{5 * time.Second, func() {}},
	} {
		select {
		case err := <-ended:
			return err
		case <-time.After(hurry.after):
			hurry.do()
		}
	}
	return fmt.Errorf("connector %q: work goes on though it was cancelled: %w", s.name, errStopped)
}

// take subscribes to all inputs and handles their messages until ctx ends.
func (s *session) take(ctx, waitCtx context.Context, inputs []Input) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: s.cfg.StopTimeout}, logAdapter{s.log})
	if err != nil {
		return fmt.Errorf("connector %q: %w", s.name, err)
	}
	router.AddMiddleware(s.cfg.Middleware...)
	in := &intake{
		flows: s.flows, store: s.cfg.Store, marks: s.marks, waiters: s.waiters,
		stopping: ctx, waiting: waitCtx, log: s.log,
	}
	subscriptions, err := subscribe(ctx, cancel, inputs)
	if err != nil {
		return fmt.Errorf("connector %q: %w", s.name, err)
	}
	// The Router is not stopped by its context but by the end of its messages:
	// while it stops, it must not be given any more.
	routing, stopRouting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRouting()
	var forwarding sync.WaitGroup
	defer forwarding.Wait()
	for i, input := range inputs {
		decoder := input.Decoder
		if decoder == nil {
			decoder = notification.Default()
		}
		messages := make(chan *message.Message)
		forwarding.Go(func() {
			defer stopRouting()
			forward(ctx, subscriptions[i], messages)
		})
		router.AddConsumerHandler(fmt.Sprintf("%d %s", i, input.Topic), input.Topic, subscription(messages), in.handler(decoder))
	}
	if err := router.Run(routing); err != nil {
		return fmt.Errorf("connector %q: %w", s.name, err)
	}
	if ctx.Err() == nil {
		return fmt.Errorf("connector %q: all inputs have ended", s.name)
	}
	return nil
}

// subscription is a subscriber that has subscribed already. Watermill's Router
// leaves a goroutine behind when a subscriber refuses, and closes subscribers,
// which are the caller's.
type subscription <-chan *message.Message

func (s subscription) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	return s, nil
}

func (subscription) Close() error { return nil }

// subscribe subscribes to all inputs, or cancels ctx and leaves none.
func subscribe(ctx context.Context, cancel func(), inputs []Input) ([]<-chan *message.Message, error) {
	subscriptions := make([]<-chan *message.Message, len(inputs))
	for i, input := range inputs {
		messages, err := input.Subscriber.Subscribe(ctx, input.Topic)
		if err != nil {
			cancel()
			for _, subscribed := range subscriptions[:i] {
				refuse(subscribed)
			}
			return nil, fmt.Errorf("input %d: %w", i, err)
		}
		subscriptions[i] = messages
	}
	return subscriptions, nil
}

// forward passes messages on until ctx ends, and gives back what comes after.
func forward(ctx context.Context, from <-chan *message.Message, to chan<- *message.Message) {
	defer refuse(from)
	defer close(to)
	for {
		select {
		case msg, open := <-from:
			if !open {
				return
			}
			select {
			case to <- msg:
			case <-ctx.Done():
				msg.Nack()
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func refuse(messages <-chan *message.Message) {
	for msg := range messages {
		msg.Nack()
	}
}

func (s *session) commitMarks(ctx context.Context, sets [][]work.Mark) ([][]int64, error) {
	var all []work.Mark
	for _, set := range sets {
		all = append(all, set...)
	}
	var seqs []int64
	err := untilStored(ctx, s.log, func(ctx context.Context) (err error) {
		seqs, err = s.cfg.Store.Mark(ctx, all)
		return err
	})
	if err != nil {
		return nil, err
	}
	results := make([][]int64, len(sets))
	for i, set := range sets {
		results[i], seqs = seqs[:len(set)], seqs[len(set):]
	}
	for _, l := range s.loops {
		l.signal()
	}
	return results, nil
}

func (s *session) commitOutcomes(ctx context.Context, outcomes []work.Outcome) (errs []error, err error) {
	err = untilStored(ctx, s.log, func(ctx context.Context) error {
		errs, err = s.cfg.Store.Finish(ctx, outcomes)
		return err
	})
	return errs, err
}
