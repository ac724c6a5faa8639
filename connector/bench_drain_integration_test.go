//go:build integration

package connector_test

import (
	"cmp"
	"context"
	"database/sql"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver of the work store in PostgreSQL
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/connector/work/sqlstore"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/source"
)

var (
	wholeMessages = flag.Int("whole.messages", 40_000, "notifications of each run of BenchmarkWholeWay")
	wholeRounds   = flag.Int("whole.rounds", 3, "rounds of BenchmarkWholeWay")
	wholeOnly     = flag.String("whole.only", "", "regular expression: the contenders of BenchmarkWholeWay, by name")
)

// wholeWorkers is how many entities each contender works on at once.
const wholeWorkers = 64

// mostPrefetch is how many messages those have in flight who gather them.
const mostPrefetch = 2000

// BenchmarkWholeWay takes notifications from a preloaded quorum queue, fetches
// each entity over HTTP and writes it to a target in memory: by a connector with
// each work store, and by what one would write by hand. It prints the medians:
//
//	go test -tags integration -run '^$' -bench WholeWay -benchtime 1x ./connector
//
// A run counts from its start until the target is right and the queue is empty.
// The source changes while it runs, so that one can see what each makes of it:
// stale writes are those of an older state over a newer one, and wrong are the
// entities whose last state the target has not got in the end. CPU is what
// processors spent on all of it for each notification, with RabbitMQ, PostgreSQL
// and the API: where all of them are busy, it says the same as the speed, and more
// reliably so on a machine that does other things as well.
//
// The work queue by hand stands for that of Kubernetes' client-go, which works
// the same way and would bring sixty modules to look after.
func BenchmarkWholeWay(b *testing.B) {
	node, pg := server.SharedRabbitMQ(b), server.SharedPostgreSQL(b)
	only := regexp.MustCompile(*wholeOnly)
	for _, load := range []load{
		{name: "distinct", entities: *wholeMessages},
		{name: "distinct, 5 ms of latency", entities: *wholeMessages, latency: 5 * time.Millisecond},
		{name: "bursts of 20", entities: *wholeMessages / 20, skewed: true},
		{name: "bursts of 20, 5 ms of latency", entities: *wholeMessages / 20, skewed: true, latency: 5 * time.Millisecond},
		{name: "changing under way", entities: 250, messages: 5000, skewed: true, latency: 5 * time.Millisecond, changing: true},
	} {
		b.Run(load.name, func(b *testing.B) {
			var results []wholeResult
			for round := range b.N * *wholeRounds {
				for i := range contenders {
					c := contenders[(round+i)%len(contenders)] // each goes first in turn
					if !only.MatchString(c.name) {
						continue
					}
					results = append(results, load.run(b, node, pg, c))
				}
			}
			printWhole(b, load.name, results)
		})
	}
}

// load is what a run has to do.
type load struct {
	name     string
	entities int
	messages int           // 0: -whole.messages
	skewed   bool          // some entities come much more often than others
	latency  time.Duration // of the API
	changing bool          // entities change while their notifications come
}

// keys returns the entities in the order of their notifications.
func (l load) keys() []int {
	n := l.messages
	if n == 0 {
		n = *wholeMessages
	}
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.2, 10, uint64(l.entities-1))
	keys := make([]int, n)
	for i := range keys {
		switch {
		case i < l.entities:
			keys[i] = i // each at least once
		case l.skewed:
			keys[i] = int(zipf.Uint64())
		default:
			keys[i] = i % l.entities
		}
	}
	if l.skewed {
		random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	}
	return keys
}

// contender is a consumer to compare. It consumes until ctx ends and has then
// ended.
type contender struct {
	name    string
	consume func(ctx context.Context, b *testing.B, w *wholeWorld)
}

var contenders = []contender{
	{"konnektor, in memory", func(ctx context.Context, b *testing.B, w *wholeWorld) {
		consumeOurs(ctx, b, w, durable{work.NewMemory()})
	}},
	{"konnektor, SQLite", consumeSQLite},
	{"konnektor, PostgreSQL", consumePostgres},
	{"by hand: pool, ack each", consumePool},
	{"by hand: work queue in memory", consumeWorkQueue},
	{"Watermill's router", consumeWatermill},
}

func consumeSQLite(ctx context.Context, b *testing.B, w *wholeWorld) {
	db, err := sql.Open("sqlite", filepath.Join(b.TempDir(), "work.db"))
	require.NoError(b, err)
	store, err := sqlstore.NewSQLite(b.Context(), db, sqlstore.SQLiteConfig{})
	require.NoError(b, err)
	consumeOurs(ctx, b, w, store)
	require.NoError(b, store.Close())
	require.NoError(b, db.Close())
}

func consumePostgres(ctx context.Context, b *testing.B, w *wholeWorld) {
	db, err := sql.Open("pgx", w.database)
	require.NoError(b, err)
	store, err := sqlstore.NewPostgres(b.Context(), db, sqlstore.PostgresConfig{})
	require.NoError(b, err)
	consumeOurs(ctx, b, w, store)
	require.NoError(b, db.Close())
}

// consumeOurs is what a user of the library writes.
func consumeOurs(ctx context.Context, b *testing.B, w *wholeWorld, store work.Store) {
	flow := connector.Flow[state, state]{
		Name: "people",
		Source: source.Func[state](func(ctx context.Context, req source.Request) (state, error) {
			return w.fetch(ctx, req.Key.ID)
		}),
		Map: func(_ context.Context, _ entity.Key, s state) (connector.Desired[state], error) {
			return connector.Present(s), nil
		},
		Sink:    versions{w},
		Workers: wholeWorkers,
	}
	c, err := connector.New("bench", connector.Config{Store: store, Logger: slog.New(slog.DiscardHandler)}, flow)
	require.NoError(b, err)
	queue, err := rabbitmq.NewSubscriber(w.url, rabbitmq.SubscriberConfig{Prefetch: mostPrefetch})
	require.NoError(b, err)
	require.NoError(b, c.Run(ctx, connector.Input{Subscriber: queue, Topic: w.queue}))
	require.NoError(b, queue.Close())
}

// versions is a sink into the target.
type versions struct{ *wholeWorld }

func (s versions) Apply(_ context.Context, _ entity.Key, want state) (sink.Change, error) {
	s.write(want)
	return sink.Change{Op: sink.Updated}, nil
}

func (versions) Remove(context.Context, entity.Key) (sink.Change, error) { return sink.Change{}, nil }

// wholeResult is one run.
type wholeResult struct {
	name                 string
	rate                 float64 // notifications a second
	cpu                  float64 // microseconds for each
	calls                float64 // of the API, for each notification
	stale, wrong, queued int
}

func (l load) run(b *testing.B, node *server.RabbitMQNode, pg *server.PostgresServer, c contender) wholeResult {
	b.Helper()
	keys := l.keys()
	w := newWholeWorld(b, node, l)
	defer w.close()
	w.database = pg.NewDatabase(b)
	if !l.changing {
		w.publish(b, keys)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	begun, cpu := time.Now(), cpuTime()
	go func() {
		defer close(ended)
		c.consume(ctx, b, w)
	}()
	if l.changing {
		w.publish(b, keys)
	}
	quiet := w.awaitQuiet(b)
	elapsed := quiet.Sub(begun)
	cpu = cpuTime() - cpu
	cancel()
	<-ended
	return wholeResult{
		name: c.name, rate: float64(len(keys)) / elapsed.Seconds(),
		cpu:   float64(cpu.Microseconds()) / float64(len(keys)),
		calls: float64(w.calls.Load()) / float64(len(keys)),
		stale: int(w.stale.Load()), wrong: w.wrong(), queued: w.queued(b),
	}
}

// publish changes each entity and then says so, one after the other.
func (w *wholeWorld) publish(b *testing.B, keys []int) {
	b.Helper()
	p, err := rabbitmq.NewPublisher(w.url, rabbitmq.PublisherConfig{Window: 1000})
	require.NoError(b, err)
	const batch = 500
	for rest := keys; len(rest) > 0; rest = rest[min(batch, len(rest)):] {
		messages := make([]*message.Message, min(batch, len(rest)))
		for i := range messages {
			k := rest[i]
			w.source[k].Add(1)
			messages[i] = message.NewMessage(fmt.Sprint(len(rest)-i), fmt.Appendf(nil, `{"specversion":"1.0","id":"%d",`+
				`"type":"no.uio.iga.person.update","source":"https://iga.uio.no","subject":"/persons/%d","time":"2026-10-29T09:01:14Z"}`, len(rest)-i, k))
			messages[i].Metadata.Set(notification.MetaContentType, "application/cloudevents+json")
		}
		require.NoError(b, p.Publish(w.queue, messages...))
	}
	require.NoError(b, p.Close())
}

// awaitQuiet waits until the target is right and nothing is written any more, or
// it is wrong for good. It returns when the last write or ack was.
func (w *wholeWorld) awaitQuiet(b *testing.B) time.Time {
	b.Helper()
	const calm = 2 * time.Second
	for last, since := int64(-1), time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if now := w.calls.Load(); now != last {
			last, since = now, time.Now()
			continue
		}
		if time.Since(since) > calm {
			return since
		}
		if time.Since(since) > 2*time.Minute {
			b.Fatal("it does not end")
		}
	}
}

// queued returns how many messages are left in the queue, and deletes it.
func (w *wholeWorld) queued(b *testing.B) int {
	b.Helper()
	conn, err := amqp.Dial(w.url)
	require.NoError(b, err)
	defer conn.Close()
	ch, err := conn.Channel()
	require.NoError(b, err)
	n, err := ch.QueueDelete(w.queue, false, false, false)
	require.NoError(b, err)
	return n
}

func middle(values []float64) float64 {
	slices.SortFunc(values, cmp.Compare)
	return values[len(values)/2]
}

// printWhole prints the medians, and of what is wrong the most.
func printWhole(b *testing.B, name string, results []wholeResult) {
	b.Helper()
	pick := func(contender string, value func(wholeResult) float64) []float64 {
		var values []float64
		for _, r := range results {
			if r.name == contender {
				values = append(values, value(r))
			}
		}
		return values
	}
	rate := func(r wholeResult) float64 { return r.rate }
	pool := pick("by hand: pool, ack each", rate)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(t, "\n%s, %d workers\tnotifications/s\tthis/pool\tlowest\thighest\tCPU µs each\tAPI calls each\tstale\twrong\tleft in queue\t\n", name, wholeWorkers)
	for _, c := range contenders {
		rates := pick(c.name, rate)
		if len(rates) == 0 {
			continue
		}
		ratios := make([]float64, len(rates))
		for i := range rates { // of the same round
			if ratios[i] = math.NaN(); len(pool) > 0 {
				ratios[i] = rates[i] / pool[i]
			}
		}
		_, _ = fmt.Fprintf(t, "%s\t%.0f\t%.2f\t%.2f\t%.2f\t%.0f\t%.3f\t%.0f\t%.0f\t%.0f\t\n", c.name, middle(rates), middle(ratios), slices.Min(ratios), slices.Max(ratios),
			middle(pick(c.name, func(r wholeResult) float64 { return r.cpu })),
			middle(pick(c.name, func(r wholeResult) float64 { return r.calls })),
			slices.Max(pick(c.name, func(r wholeResult) float64 { return float64(r.stale) })),
			slices.Max(pick(c.name, func(r wholeResult) float64 { return float64(r.wrong) })),
			slices.Max(pick(c.name, func(r wholeResult) float64 { return float64(r.queued) })))
	}
	require.NoError(b, t.Flush())
}
