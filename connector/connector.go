package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/sync/errgroup"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/batch"
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
	// Middleware wraps the handling of each message, first one outermost. There is
	// no Router of Watermill around it, so message.HandlerNameFromCtx and the like
	// return nothing. One that returns messages is an error: none are published.
	Middleware []message.HandlerMiddleware
	// StopTimeout is how long work under way may go on when Run is stopped,
	// before it is cancelled and left for the next start. Default 20 seconds.
	StopTimeout time.Duration
	// Lease is how long an entity stays reserved for a run whose process has
	// died. Work that takes longer is no problem: leases are renewed. While many
	// notifications come, entities that wait for their run may be reserved as well.
	// Default 1 minute, at least 1 second.
	Lease time.Duration
	// MaxRejected is how much of the payload of a message that cannot be used is
	// kept, in bytes. A message that is cut cannot be replayed. Default 64 KiB.
	MaxRejected int
	// KeepRejected is how long messages that cannot be used are kept. They may
	// hold personal data, so not for ever. Default 30 days.
	KeepRejected time.Duration
	// KeepGone is how long the work store remembers entities that are gone from
	// the source and the target. Default 90 days.
	KeepGone time.Duration
	// KeepParked is how long entities stay parked before they are forgotten.
	// Default 365 days.
	KeepParked time.Duration
	// MeterProvider gets the metrics, TracerProvider the traces, by OpenTelemetry.
	// Nil: none.
	MeterProvider  metric.MeterProvider
	TracerProvider trace.TracerProvider
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
	c.MaxRejected = orDefault(c.MaxRejected, 64<<10)
	c.KeepRejected = orDefault(c.KeepRejected, 30*24*time.Hour)
	c.KeepGone = orDefault(c.KeepGone, 90*24*time.Hour)
	c.KeepParked = orDefault(c.KeepParked, 365*24*time.Hour)
	if c.MeterProvider == nil {
		c.MeterProvider = metricnoop.NewMeterProvider()
	}
	if c.TracerProvider == nil {
		c.TracerProvider = tracenoop.NewTracerProvider()
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.StopTimeout < 0:
		return errors.New("StopTimeout: must not be negative")
	case c.Lease < time.Second:
		return errors.New("Lease: must be at least 1 second")
	case c.MaxRejected < 0:
		return errors.New("MaxRejected: must not be negative")
	case c.KeepRejected < 0:
		return errors.New("KeepRejected: must not be negative")
	case c.KeepGone < 0:
		return errors.New("KeepGone: must not be negative")
	case c.KeepParked < 0:
		return errors.New("KeepParked: must not be negative")
	}
	return nil
}

// Connector keeps targets equal to their source.
type Connector struct {
	name  string
	cfg   Config
	store *watchedStore // cfg.Store
	flows []*flow

	mu      sync.Mutex
	running bool
	inputs  []Input  // of the last Run
	session *session // that runs, if one does
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
	store := &watchedStore{Store: cfg.Store}
	cfg.Store = store
	c := &Connector{name: name, cfg: cfg, store: store}
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

// flow returns the flow of a name, nil if there is none.
func (c *Connector) flow(name string) *flow {
	for _, f := range c.flows {
		if f.name == name {
			return f
		}
	}
	return nil
}

// Run takes notifications from the inputs and reconciles what is due, until ctx
// ends; then it takes nothing new, lets running work end within
// Config.StopTimeout, and returns nil with everything stored. It returns an
// error if it cannot start, if an input ends by itself, if user code did not end
// when it was cancelled, or if the work store was away or did not answer to the
// end. Some seconds after StopTimeout it does not wait for them any longer.
//
// With no inputs it works off what the store holds.
func (c *Connector) Run(ctx context.Context, inputs ...Input) error {
	for i, in := range inputs {
		if err := in.validate(); err != nil {
			return fmt.Errorf("connector %q: input %d: %w", c.name, i, err)
		}
	}
	if !c.start(inputs) {
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
	s, err := c.newSession(entity.NewHasher(secret))
	if err != nil {
		return fmt.Errorf("connector %q: %w", c.name, err)
	}
	defer s.meter.close()
	c.mu.Lock()
	c.session = s
	c.mu.Unlock()
	return s.run(ctx, inputs)
}

func (c *Connector) start(inputs []Input) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running {
		return false
	}
	c.running, c.inputs = true, slices.Clone(inputs)
	return true
}

func (c *Connector) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running, c.session = false, nil
}

// signal tells the session that runs, if one does, that there may be something
// to do.
func (c *Connector) signal() {
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s != nil {
		s.signal()
	}
}

const (
	// maxBatch is how many marks or outcomes share a commit, at most twice as
	// many.
	maxBatch = 500
	// maxMarks is how many entities one message or one run may mark.
	maxMarks = 100_000
)

// session is one call of Run.
type session struct {
	*Connector

	log      *slog.Logger
	hasher   entity.Hasher
	meter    *meter
	loops    []*loop
	marks    *batch.Group[[]work.Mark, []int64]
	outcomes *batch.Group[*run, error]
	waiters  *waiters // nil: the store is durable
	tide     tide

	unstored atomic.Int64 // outcomes and marks, see the log
}

func (c *Connector) newSession(hasher entity.Hasher) (*session, error) {
	s := &session{Connector: c, hasher: hasher, log: c.cfg.Logger.With("connector", c.name)}
	s.marks = batch.New(maxBatch, func(set []work.Mark) int { return len(set) }, s.commitMarks)
	s.outcomes = batch.New(maxBatch, func(r *run) int { return 1 + len(r.outcome.Marks) }, s.commitOutcomes)
	if !c.cfg.Store.Durable() {
		s.waiters = &waiters{store: c.cfg.Store, rows: make(map[rowID][]*waiter)}
	}
	var err error
	if s.meter, err = s.newMeter(); err != nil {
		return nil, err
	}
	owner := c.name + "/" + uuid.NewString()
	for _, f := range c.flows {
		s.loops = append(s.loops, s.newLoop(f, owner))
	}
	return s, nil
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
	group.Go(func() error {
		s.prune(takeCtx)
		return nil
	})
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
			if n := s.unstored.Load(); err == nil && n > 0 {
				err = fmt.Errorf("connector %q: %d outcomes or marks could not be stored, see the log", s.name, n)
			}
			return err
		case <-time.After(hurry.after):
			hurry.do()
		}
	}
	return fmt.Errorf("connector %q: %w", s.name, s.goesOn())
}

// goesOn says what does not end: user code or the work store.
func (s *session) goesOn() error {
	var errs []error
	for _, l := range s.loops {
		if n := len(l.status().Runs); n > 0 {
			errs = append(errs, fmt.Errorf("flow %q: %d runs go on though they were cancelled: %w", l.flow.name, n, errStopped))
		}
	}
	if n := s.store.calls.Load(); n > 0 {
		errs = append(errs, fmt.Errorf("the work store does not answer (%d calls under way)", n))
	}
	if len(errs) == 0 {
		return fmt.Errorf("the intake of messages goes on though it was cancelled: %w", errStopped)
	}
	return errors.Join(errs...)
}

func (s *session) commitMarks(ctx context.Context, sets [][]work.Mark) ([][]int64, error) {
	all := slices.Concat(sets...)
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
	s.tide.in(len(sets))
	s.signal()
	return results, nil
}

// signal tells the loops that there may be something to do.
func (s *session) signal() {
	for _, l := range s.loops {
		l.signal()
	}
}

func (s *session) commitOutcomes(ctx context.Context, runs []*run) (errs []error, err error) {
	outcomes := make([]work.Outcome, len(runs))
	for i, r := range runs {
		outcomes[i] = r.outcome
	}
	err = untilStored(ctx, s.log, func(ctx context.Context) error {
		errs, err = s.cfg.Store.Finish(ctx, outcomes)
		return err
	})
	s.tide.out(len(outcomes))
	return errs, err
}
