//go:build integration

package rabbitmq_test

import (
	"cmp"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

var (
	drainMessages = flag.Int("drain.messages", 30_000, "messages in the queue at the start of each run of BenchmarkDrain")
	drainRounds   = flag.Int("drain.rounds", 5, "rounds of BenchmarkDrain")
)

const (
	inFlight = 256 // the same for all, and the default of ours
	// groupSize and groupDelay are when the hand-written consumer sends a group.
	groupSize  = 32
	groupDelay = 2 * time.Millisecond
	// serialMessages is how many a subscriber handles that has one in flight,
	// when each takes its time.
	serialMessages = 500
)

// BenchmarkDrain empties a preloaded quorum queue by our subscriber and by what
// one would use instead, one after the other in each round, and prints a table of
// the medians. It takes a minute or two:
//
//	go test -tags integration -run '^$' -bench Drain -benchtime 1x ./notification/rabbitmq
//
// A run counts from the first delivery until the connection is closed, so that
// all acks have reached the broker. Allocations and processor time are those of
// the whole process, without the broker.
func BenchmarkDrain(b *testing.B) {
	node := server.SharedRabbitMQ(b)
	for _, work := range []struct {
		name  string
		takes time.Duration
	}{{"no-op", 0}, {"5 ms of work", 5 * time.Millisecond}} {
		b.Run(work.name, func(b *testing.B) {
			var results []drainResult
			for round := range b.N * *drainRounds {
				// Each goes first in turn.
				for i := range drainers {
					results = append(results, drainOnce(b, node, drainers[(round+i)%len(drainers)], work.takes))
				}
			}
			printDrains(b, work.name, results)
		})
	}
}

// drainer is a consumer to compare.
type drainer struct {
	name   string
	serial bool // it has one message in flight at a time
	// drain calls handle for n messages, at once unless work takes no time, acks
	// each afterwards, and returns when all acks have reached the broker.
	drain func(b *testing.B, j drainJob)
}

var drainers = []drainer{
	{name: "konnektor", drain: drainOurs},
	{name: "amqp091-go, single acks", drain: drainSingle},
	{name: "amqp091-go, grouped acks", drain: drainGrouped},
	{name: "watermill-amqp", drain: drainWatermill, serial: true},
}

// drainJob is what a drainer does in a run.
type drainJob struct {
	url, queue string
	n          int
	takes      time.Duration // for each message; then inFlight are worked on at once
	started    *atomic.Int64 // nanoseconds, when the first message came
}

// each calls handle for all values that come, in inFlight goroutines if the
// work takes time, until n were handled.
func each[T any](j drainJob, values <-chan T, done func(T)) {
	if j.takes == 0 {
		for i := range j.n {
			v := <-values
			if i == 0 {
				j.started.Store(time.Now().UnixNano())
			}
			done(v)
		}
		return
	}
	var left atomic.Int64
	left.Store(int64(j.n))
	var workers sync.WaitGroup
	for range inFlight {
		workers.Go(func() {
			for left.Add(-1) >= 0 {
				v := <-values
				j.started.CompareAndSwap(0, time.Now().UnixNano())
				time.Sleep(j.takes) // the work
				done(v)
			}
		})
	}
	workers.Wait()
}

func drainOurs(b *testing.B, j drainJob) {
	s, err := rabbitmq.NewSubscriber(j.url, rabbitmq.SubscriberConfig{Prefetch: inFlight, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	messages, err := s.Subscribe(b.Context(), j.queue)
	require.NoError(b, err)
	each(j, messages, func(msg *message.Message) { msg.Ack() })
	require.NoError(b, s.Close())
}

// consume starts a consumer as one writes it by hand.
func consume(b *testing.B, j drainJob) (*amqp.Channel, <-chan amqp.Delivery, func()) {
	conn, err := amqp.Dial(j.url)
	require.NoError(b, err)
	ch, err := conn.Channel()
	require.NoError(b, err)
	require.NoError(b, ch.Qos(inFlight, 0, false))
	deliveries, err := ch.ConsumeWithContext(b.Context(), j.queue, "", false, false, false, false, nil)
	require.NoError(b, err)
	return ch, deliveries, func() {
		require.NoError(b, ch.Close())
		require.NoError(b, conn.Close())
	}
}

func drainSingle(b *testing.B, j drainJob) {
	_, deliveries, end := consume(b, j)
	each(j, deliveries, func(d amqp.Delivery) {
		if err := d.Ack(false); err != nil {
			b.Error(err)
		}
	})
	end()
}

// drainGrouped acks up to a tag when all up to it are done, some at a time or
// after a moment.
func drainGrouped(b *testing.B, j drainJob) {
	ch, deliveries, end := consume(b, j)
	tags := make(chan uint64, inFlight)
	var acker sync.WaitGroup
	acker.Go(func() {
		var done [1 << 16]bool // by tag; far more than are in flight
		var acked, low uint64  // all up to low are done, all up to acked are acked
		flush := func() {
			if low == acked {
				return
			}
			if err := ch.Ack(low, true); err != nil {
				b.Error(err)
			}
			acked = low
		}
		defer flush()
		ticker := time.NewTicker(groupDelay)
		defer ticker.Stop()
		for {
			select {
			case tag, ok := <-tags:
				if !ok {
					return
				}
				for done[tag%uint64(len(done))] = true; done[(low+1)%uint64(len(done))]; low++ {
					done[(low+1)%uint64(len(done))] = false
				}
				if low-acked >= groupSize {
					flush()
				}
			case <-ticker.C:
				flush()
			}
		}
	})
	each(j, deliveries, func(d amqp.Delivery) { tags <- d.DeliveryTag })
	close(tags)
	acker.Wait()
	end()
}

// asItIs makes watermill-amqp leave the queue alone.
type asItIs struct{ *wamqp.DefaultTopologyBuilder }

func (asItIs) BuildTopology(*amqp.Channel, wamqp.BuildTopologyParams, wamqp.Config, watermill.LoggerAdapter) error {
	return nil
}

func drainWatermill(b *testing.B, j drainJob) {
	config := wamqp.NewDurableQueueConfig(j.url)
	config.Consume.Qos.PrefetchCount = inFlight
	config.Marshaler = rabbitmq.Marshaler{} // its own fails on redeliveries
	config.TopologyBuilder = asItIs{}
	s, err := wamqp.NewSubscriber(config, watermill.NopLogger{})
	require.NoError(b, err)
	messages, err := s.Subscribe(b.Context(), j.queue)
	require.NoError(b, err)
	each(j, messages, func(msg *message.Message) { msg.Ack() })
	require.NoError(b, s.Close())
}

// drainResult is one run.
type drainResult struct {
	name   string
	left   int     // messages that were acked and are in the queue again
	rate   float64 // messages a second
	allocs float64 // for each message
	bytes  float64 // for each message
	cpu    float64 // microseconds of this process for each message
}

func drainOnce(b *testing.B, node *server.RabbitMQNode, d drainer, takes time.Duration) drainResult {
	queue := benchQueue(b, node)
	preload(b, node, queue)
	var started atomic.Int64
	job := drainJob{url: node.URL(), queue: queue, n: *drainMessages, takes: takes, started: &started}
	if d.serial && takes > 0 {
		job.n = min(job.n, serialMessages)
	}
	var before, after runtime.MemStats
	runtime.GC() //nolint:revive // so that no run pays for the one before
	runtime.ReadMemStats(&before)
	cpu := cpuTime(b)
	d.drain(b, job)
	cpu = cpuTime(b) - cpu
	elapsed := time.Since(time.Unix(0, started.Load()))
	runtime.ReadMemStats(&after)
	left := deleteQueue(b, node, queue) - (*drainMessages - job.n)
	n := float64(job.n)
	return drainResult{
		name: d.name, left: left, rate: n / elapsed.Seconds(),
		allocs: float64(after.Mallocs-before.Mallocs) / n, bytes: float64(after.TotalAlloc-before.TotalAlloc) / n,
		cpu: float64(cpu.Microseconds()) / n,
	}
}

// preload publishes thin notifications, with confirms.
func preload(b *testing.B, node *server.RabbitMQNode, queue string) {
	b.Helper()
	p, err := rabbitmq.NewPublisher(node.URL(), rabbitmq.PublisherConfig{Window: 1000})
	require.NoError(b, err)
	messages := make([]*message.Message, *drainMessages)
	for i := range messages {
		id := watermill.NewUUID()
		messages[i] = message.NewMessage(id, fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"type":"no.uio.cerebrum.account.modify",`+
			`"source":"https://cerebrum-uio.uio.no","subject":"https://cerebrum-uio.uio.no/api/v2/accounts/%d","time":"2026-10-29T09:01:14Z"}`, id, i))
		messages[i].Metadata.Set(notification.MetaContentType, "application/cloudevents+json")
	}
	require.NoError(b, p.Publish(queue, messages...))
	require.NoError(b, p.Close())
}

// deleteQueue returns how many messages were in the queue.
func deleteQueue(b *testing.B, node *server.RabbitMQNode, queue string) int {
	b.Helper()
	conn, err := amqp.Dial(node.URL())
	require.NoError(b, err)
	defer conn.Close()
	ch, err := conn.Channel()
	require.NoError(b, err)
	n, err := ch.QueueDelete(queue, false, false, false)
	require.NoError(b, err)
	return n
}

// cpuTime returns what this process has used of the processors.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func median(values []float64) float64 {
	slices.SortFunc(values, cmp.Compare)
	return values[len(values)/2]
}

// printDrains prints the medians. A ratio is the median of those of each round,
// so that what else the machine does matters less. "Acked but left" is the most
// that any round left: a quorum queue takes acks in its own time, and RabbitMQ
// forgets those that wait when the channel closes.
func printDrains(b *testing.B, work string, results []drainResult) {
	b.Helper()
	of := func(name string, value func(drainResult) float64) []float64 {
		var values []float64
		for _, r := range results {
			if r.name == name {
				values = append(values, value(r))
			}
		}
		return values
	}
	rate := func(r drainResult) float64 { return r.rate }
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(w, "\n%s, %d in flight, %d rounds\tmessages/s\tslowest\tfastest\tours/this\tallocs\tbytes\tCPU µs\tacked but left\t\n",
		work, inFlight, len(results)/len(drainers))
	for _, d := range drainers {
		rates, ours := of(d.name, rate), of(drainers[0].name, rate)
		ratios := make([]float64, len(rates))
		for i := range rates {
			ratios[i] = ours[i] / rates[i]
		}
		_, _ = fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f\t%.2f\t%.1f\t%.0f\t%.1f\t%.0f\t\n", d.name,
			median(rates), slices.Min(rates), slices.Max(rates), median(ratios),
			median(of(d.name, func(r drainResult) float64 { return r.allocs })),
			median(of(d.name, func(r drainResult) float64 { return r.bytes })),
			median(of(d.name, func(r drainResult) float64 { return r.cpu })),
			slices.Max(of(d.name, func(r drainResult) float64 { return float64(r.left) })))
	}
	require.NoError(b, w.Flush())
}
