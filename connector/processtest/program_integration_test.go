//go:build integration

package processtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/connector/work/sqlstore"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// variable holds a program in JSON for a process that is to run it.
const variable = "KONNEKTOR_PROCESS"

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(variable); ok {
		if err := runProgram(text); err != nil {
			fmt.Fprintln(os.Stderr, "failed:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	server.Main(m)
}

// program is what a process is told to run: a connector of people from an API to
// a target.
type program struct {
	Name, AMQP, Database, Source, Target string

	Lease   time.Duration
	Workers int
	// Conditional makes the writes depend on what was read.
	Conditional bool
	// FanOut makes each person mark a team.
	FanOut bool
	// StopAt is where the process stops itself, once: see the moments.
	StopAt string
}

// The moments at which a process can stop itself.
const (
	beforeAsking = "before asking" // it has read the target, and asks next whether it may write
	afterAsking  = "after asking"  // it was told that it may write, and sends the write next
	beforeCommit = "before commit" // in a transaction of the work store
)

const flow = "people"

// person is a person as the source has it.
type person struct {
	Version int    `json:"version"`
	Name    string `json:"name"`
}

func runProgram(text string) (err error) {
	var p program
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h := &halt{at: p.StopAt}

	database, err := pgx.ParseConfig(p.Database)
	if err != nil {
		return err
	}
	database.Tracer = h
	db := stdlib.OpenDB(*database)
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(20)
	store, err := sqlstore.NewPostgres(ctx, db, sqlstore.PostgresConfig{})
	if err != nil {
		return err
	}
	queueSubscriber, err := rabbitmq.NewSubscriber(p.AMQP, rabbitmq.SubscriberConfig{Name: p.Name, Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, queueSubscriber.Close()) }()

	held := &leases{Store: store, held: make(map[entity.Key]lease)}
	api := &http.Transport{MaxIdleConnsPerHost: 64}
	target := &client{program: p, leases: held, halt: h, http: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 10 * time.Second,
	}}
	people, err := p.people(api, target)
	if err != nil {
		return err
	}
	c, err := connector.New(p.Name, connector.Config{
		Store: held, Logger: log, Lease: p.Lease, StopTimeout: 5 * time.Second,
	}, people, teams())
	if err != nil {
		return err
	}
	go answer(api, target) // ends with the process
	return c.Run(ctx, connector.Input{Subscriber: queueSubscriber, Topic: queue})
}

func (p program) people(api http.RoundTripper, target *client) (connector.Definition, error) {
	gw, err := gateway.New(p.Source, gateway.Config{Key: apiKey, Transport: api})
	if err != nil {
		return nil, err
	}
	entries, err := sink.Ensure(target, sink.EnsureConfig[entry]{})
	if err != nil {
		return nil, err
	}
	return connector.Flow[person, entry]{
		Name:    flow,
		Workers: p.Workers,
		Source:  source.REST[person]{Gateway: gw, Path: "persons/{id}"},
		Map: func(_ context.Context, key entity.Key, state person) (connector.Desired[entry], error) {
			want := connector.Present(entry{Version: state.Version, Name: state.Name})
			if p.FanOut {
				want = want.Mark("teams", entity.Key{Type: "teams", ID: key.ID[len(key.ID)-1:]})
			}
			return want, nil
		},
		Sink: entries,
	}, nil
}

// teams is a flow that does nothing. Only people mark teams.
func teams() connector.Definition {
	return connector.Flow[struct{}, entry]{
		Name: "teams",
		Keys: func(context.Context, notification.Notification) ([]entity.Key, error) { return nil, nil },
		Source: source.Func[struct{}](func(context.Context, source.Request) (struct{}, error) {
			return struct{}{}, nil
		}),
		Map: func(context.Context, entity.Key, struct{}) (connector.Desired[entry], error) {
			return connector.Absent[entry](), nil
		},
		Sink: sink.Discard[entry]{},
	}
}

// usage is what a process needs, without its idle connections.
type usage struct {
	Heap uint64 `json:"heap"`
	// Workers are the goroutines of runs. The connector keeps them when there is
	// nothing to do. Goroutines are all others.
	Workers    int `json:"workers"`
	Goroutines int `json:"goroutines"`
}

func (u usage) String() string {
	return fmt.Sprintf("%d KiB, %d goroutines and %d workers", u.Heap>>10, u.Goroutines, u.Workers)
}

// more reports whether a process has kept what it did not have before. The heap
// may be some entities larger.
func (u usage) more(before usage) bool {
	return u.Goroutines > before.Goroutines || u.Heap > before.Heap+4<<20
}

// answer answers each line of the standard input with the process's usage.
func answer(api *http.Transport, target *client) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		api.CloseIdleConnections()
		target.http.CloseIdleConnections()
		runtime.GC() //nolint:revive // so that only what is in use is counted
		runtime.GC() //nolint:revive // what was kept by finalizers and pools
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		stacks := make([]byte, 8<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		workers := bytes.Count(stacks, []byte("connector.(*loop).work("))
		all := bytes.Count(stacks, []byte("\n\ngoroutine ")) + 1
		text, _ := json.Marshal(usage{memory.HeapAlloc, workers, all - workers})
		_, _ = os.Stdout.Write(append(text, '\n'))
	}
}

// halt stops the process at a moment, once.
type halt struct {
	at   string
	once sync.Once
}

func (h *halt) reached(moment string) {
	if h.at != moment {
		return
	}
	h.once.Do(func() {
		before := time.Now()
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		// The signal may take its time: wait until the clock has jumped.
		for now := time.Now(); now.Sub(before) < time.Second; now = time.Now() {
			before = now
			time.Sleep(time.Millisecond)
		}
	})
}

// TraceQueryStart implements pgx.QueryTracer.
func (h *halt) TraceQueryStart(ctx context.Context, _ *pgx.Conn, query pgx.TraceQueryStartData) context.Context {
	if strings.EqualFold(query.SQL, "commit") {
		h.reached(beforeCommit)
	}
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (*halt) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// lease is the right to write for an entity until a time, by the process's
// clock.
type lease struct {
	token string
	until time.Time
}

// leases is a work store that knows which leases the process holds.
type leases struct {
	work.Store

	mu   sync.Mutex
	held map[entity.Key]lease // the last one of each person
}

func (s *leases) of(key entity.Key) lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[key]
}

// Lease implements work.Store.
func (s *leases) Lease(ctx context.Context, req work.LeaseRequest) ([]work.Lease, error) {
	until := time.Now().Add(req.TTL)
	taken, err := s.Store.Lease(ctx, req)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range taken {
		if l.Flow == flow {
			s.held[l.Key] = lease{l.Token, until}
		}
	}
	return taken, err
}

// Renew implements work.Store.
func (s *leases) Renew(ctx context.Context, renewed []work.Lease, ttl time.Duration) ([]error, error) {
	until := time.Now().Add(ttl)
	errs, err := s.Store.Renew(ctx, renewed, ttl)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, l := range renewed {
		if err == nil && errs[i] == nil && s.held[l.Key].token == l.Token {
			s.held[l.Key] = lease{l.Token, until}
		}
	}
	return errs, err
}
