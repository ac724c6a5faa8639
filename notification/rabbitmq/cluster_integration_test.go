//go:build integration

package rabbitmq_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/konnektor-go/konnektor/internal/logtest"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

var (
	clusterMessages = flag.Int("cluster-messages", 20_000,
		"how many messages TestCluster publishes at least while nodes are killed")
	clusterFreeze = flag.Duration("cluster-freeze", 30*time.Second,
		"how long TestCluster freezes a node; after a minute the others give it up")
)

// gaps measures the longest time between two events, and the latest.
type gaps struct {
	mu      sync.Mutex
	count   int
	last    time.Time
	longest time.Duration
}

func (g *gaps) event() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if !g.last.IsZero() {
		g.longest = max(g.longest, now.Sub(g.last))
	}
	g.count++
	g.last = now
}

// reset begins to measure again, and returns what was the longest.
func (g *gaps) reset() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	longest := g.longest
	g.longest = 0
	return longest
}

func (g *gaps) total() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count
}

// stream is a steady flow of messages through a quorum queue of a cluster.
type stream struct {
	t          *testing.T
	queue      string
	publisher  *rabbitmq.Publisher
	subscriber *rabbitmq.Subscriber
	log        logtest.Buffer

	confirms, deliveries gaps
	stopPublishing       context.CancelFunc
	publishing           sync.WaitGroup
	consuming            sync.WaitGroup

	mu        sync.Mutex
	confirmed []string
	seen      map[string]int
}

// newStream begins a stream. Its queue is led by the node on which it is made.
func newStream(t *testing.T, nodes []*server.RabbitMQNode, heartbeat time.Duration) *stream {
	t.Helper()
	var hosts []string
	for _, n := range nodes {
		hosts = append(hosts, n.Addr())
	}
	url := "amqp://guest:guest@" + strings.Join(hosts, ",") + "/"
	s := &stream{t: t, seen: map[string]int{}}
	s.queue = "stream-" + watermill.NewShortUUID() // a name that is used again can lose its replicas
	connection := rabbitmq.Connection{Heartbeat: heartbeat}
	var err error
	s.publisher, err = rabbitmq.NewPublisher(url, rabbitmq.PublisherConfig{
		Connection: connection, Logger: slog.New(slog.NewTextHandler(&s.log, nil)),
		Declare: rabbitmq.Topology{Queues: []rabbitmq.Queue{{Name: s.queue}}},
	})
	require.NoError(t, err)
	s.publish("first")
	s.subscriber, err = rabbitmq.NewSubscriber(url, rabbitmq.SubscriberConfig{
		Connection: connection, Logger: slog.New(slog.NewTextHandler(&s.log, nil)),
	})
	require.NoError(t, err)
	messages, err := s.subscriber.Subscribe(t.Context(), s.queue)
	require.NoError(t, err)
	s.consuming.Go(func() {
		for msg := range messages {
			s.mu.Lock()
			s.seen[string(msg.Payload)]++
			s.mu.Unlock()
			s.deliveries.event()
			msg.Ack()
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	s.stopPublishing = stop
	pace := rate.NewLimiter(400, 20) // messages per second
	for worker := range 4 {
		s.publishing.Go(func() {
			for n := 0; pace.Wait(ctx) == nil; n++ {
				s.publish(fmt.Sprintf("%d-%d", worker, n))
			}
		})
	}
	return s
}

// publish tries until the message is confirmed, as the author of a notification
// does.
func (s *stream) publish(body string) {
	for s.publisher.Publish(s.queue, message.NewMessage(body, []byte(body))) != nil {
		if s.t.Context().Err() != nil {
			return
		}
	}
	s.confirms.event()
	s.mu.Lock()
	s.confirmed = append(s.confirmed, body)
	s.mu.Unlock()
}

// finish waits until all that was confirmed has come, and reports.
func (s *stream) finish() {
	s.t.Helper()
	s.stopPublishing()
	s.publishing.Wait()
	missing := 0
	require.Eventually(s.t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		missing = 0
		for _, body := range s.confirmed {
			if s.seen[body] == 0 {
				missing++
			}
		}
		return missing == 0
	}, 90*time.Second, 100*time.Millisecond, "confirmed, but never delivered: %d", missing)
	require.NoError(s.t, s.subscriber.Close())
	require.NoError(s.t, s.publisher.Close())
	s.consuming.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Zero(s.t, s.seen[""], "empty messages")
	twice := 0
	for _, times := range s.seen {
		twice += times - 1
	}
	s.t.Logf("%d confirmed, all delivered, %d deliveries more than that", len(s.confirmed), twice)
}

func (s *stream) hosts() string {
	var at []string
	for _, state := range append(s.subscriber.State(), s.publisher.State()) {
		at = append(at, state.Host)
	}
	return strings.Join(at, ", ")
}

// flows waits until confirms and deliveries have come since now.
func (s *stream) flows() {
	s.t.Helper()
	confirms, deliveries := s.confirms.total(), s.deliveries.total()
	require.Eventually(s.t, func() bool {
		return s.confirms.total() > confirms+20 && s.deliveries.total() > deliveries+20
	}, 2*time.Minute, 20*time.Millisecond)
}

func (s *stream) report(what string) {
	s.t.Helper()
	s.t.Logf("%s: longest gap of confirms %s, of deliveries %s", what,
		s.confirms.reset().Round(time.Millisecond), s.deliveries.reset().Round(time.Millisecond))
}

// leader returns the node that leads the queue.
func (s *stream) leader(nodes []*server.RabbitMQNode) *server.RabbitMQNode {
	s.t.Helper()
	n, err := server.RabbitMQLeader(nodes, s.queue)
	require.NoError(s.t, err)
	return n
}

func TestCluster(t *testing.T) {
	nodes := server.RabbitMQCluster(t)

	t.Run("one node after another is killed", func(t *testing.T) {
		s := newStream(t, nodes, 0)
		s.flows()
		for i := 0; i < len(nodes) || s.confirms.total() < *clusterMessages; i++ {
			n := nodes[i%len(nodes)]
			role := "a follower"
			if s.leader(nodes) == n {
				role = "the leader"
			}
			t.Logf("killing %s, %s; subscriber and publisher at %s", n.Addr(), role, s.hosts())
			s.confirms.reset()
			s.deliveries.reset()
			require.NoError(t, n.Kill())
			s.flows()
			require.NoError(t, n.Start())
			require.NoError(t, server.WaitForCluster(nodes))
			s.flows()
			s.report("killed and started again")
		}
		s.finish()
	})

	t.Run("the leader and the publisher's node are one, and lost", func(t *testing.T) {
		s := newStream(t, nodes, 0)
		s.flows()
		n := s.leader(nodes)
		require.Equal(t, n.Addr(), s.publisher.State().Host, "a queue is led by the node that it was declared on")
		s.confirms.reset()
		s.deliveries.reset()
		require.NoError(t, n.Kill())
		s.flows() // while it is down
		require.NotEqual(t, n.Addr(), s.publisher.State().Host)
		s.report("leader and publisher's node lost, and still down")
		t.Logf("state: %+v", s.publisher.State())
		require.NoError(t, n.Start())
		require.NoError(t, server.WaitForCluster(nodes))
		s.finish()
	})

	t.Run("the leader's node freezes, with the publisher on it", func(t *testing.T) {
		const heartbeat = 4 * time.Second
		frozen := *clusterFreeze
		s := newStream(t, nodes, heartbeat)
		s.flows()
		n := s.leader(nodes)
		s.confirms.reset()
		s.deliveries.reset()
		began := time.Now()
		require.NoError(t, n.Freeze())
		var thaw sync.WaitGroup
		defer thaw.Wait()
		thaw.Go(func() {
			<-time.After(frozen)
			if err := n.Thaw(); err != nil {
				t.Error(err)
			}
		})
		require.Eventually(t, func() bool { return s.publisher.State().Host != n.Addr() }, time.Minute, 10*time.Millisecond)
		t.Logf("the publisher was elsewhere %s after the freeze", time.Since(began).Round(time.Millisecond))
		s.flows()
		t.Logf("all flows %s after the freeze of %s", time.Since(began).Round(time.Millisecond), frozen)
		s.report("frozen")
		thaw.Wait()
		// One that was frozen for long stays outside of the cluster until it is
		// started again.
		require.NoError(t, n.Kill())
		require.NoError(t, n.Start())
		require.NoError(t, server.WaitForCluster(nodes))
		s.finish()
	})
}
