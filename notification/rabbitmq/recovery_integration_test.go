//go:build integration

package rabbitmq_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/logtest"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

// ctl runs rabbitmqctl on the rig's node.
func (r *rig) ctl(args ...string) string {
	r.Helper()
	out, err := r.node.Ctl(args...)
	require.NoError(r, err)
	return out
}

// phase waits until the only subscription is in that phase.
func (r *rig) phase(s *rabbitmq.Subscriber, phase rabbitmq.Phase) rabbitmq.State {
	r.Helper()
	var state rabbitmq.State
	require.Eventually(r, func() bool {
		states := s.State()
		if len(states) != 1 {
			return false
		}
		state = states[0]
		return state.Phase == phase
	}, patience, 5*time.Millisecond, "phase %s", phase)
	return state
}

func TestOperatorsSeeWhoWeAre(t *testing.T) {
	r := newRig(t)
	r.quorum()
	s, _ := r.subscribe(rabbitmq.SubscriberConfig{Name: "people-to-ldap"})
	state := r.phase(s, rabbitmq.Ready)
	require.Equal(t, r.queue, state.Name)
	require.Equal(t, r.node.Addr(), state.Host)
	require.NoError(t, state.LastError)
	require.Contains(t, r.ctl("list_consumers", "consumer_tag"), "people-to-ldap@")
	connections := r.ctl("list_connections", "client_properties")
	require.Contains(t, connections, "people-to-ldap")
	require.Contains(t, connections, `{"product","konnektor"}`)
}

func TestVhostsWithAnyCharacters(t *testing.T) {
	r := newRig(t)
	const vhost = "system/test #%æ"
	r.ctl("add_vhost", vhost)
	r.ctl("set_permissions", "-p", vhost, "guest", ".*", ".*", ".*")
	own := rabbitmq.Topology{Queues: []rabbitmq.Queue{{Name: r.queue}}}
	p := r.publisher(r.node.URLFor("guest", "guest", "system%2Ftest%20%23%25%C3%A6"), rabbitmq.PublisherConfig{Declare: own})
	require.NoError(t, p.Publish(r.queue, numbered(1, 1)...))
	_, messages := r.subscribe(rabbitmq.SubscriberConfig{Connection: rabbitmq.Connection{Vhost: vhost}})
	next(t, messages).Ack()
}

func TestCredentialsAreRotated(t *testing.T) {
	r := newRig(t)
	r.quorum()
	r.ctl("add_user", "rotating", "first")
	r.ctl("set_permissions", "rotating", "^$", ".*", ".*")
	var password atomic.Pointer[string]
	set := func(p string) { password.Store(&p) }
	set("first")
	var log logtest.Buffer
	s, messages := r.subscribeAt("amqp://"+r.node.Addr(), rabbitmq.SubscriberConfig{
		Connection: rabbitmq.Connection{Credentials: func(context.Context) (string, string, error) {
			return "rotating", *password.Load(), nil
		}},
		Logger: log.Logger(),
	})
	r.phase(s, rabbitmq.Ready)
	r.ctl("change_password", "rotating", "second")
	r.fill(1, 1)
	next(t, messages).Ack() // the connection stays
	r.closeConnections()
	r.phase(s, rabbitmq.Connecting)
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "check the user's name and password") },
		patience, 10*time.Millisecond)
	set("second")
	state := r.phase(s, rabbitmq.Ready)
	require.Equal(t, 1, state.Reconnects)
	for _, secret := range []string{"first", "second"} {
		require.NotContains(t, log.String(), secret)
		require.NotContains(t, state.LastError.Error(), secret)
	}
}

func TestAnAlarmBlocksThePublisherUntilItEnds(t *testing.T) {
	r := newRig(t)
	r.quorum()
	var log logtest.Buffer
	p := r.publisher(r.node.URL(), rabbitmq.PublisherConfig{ConfirmTimeout: time.Second, Logger: log.Logger()})
	require.NoError(t, p.Publish(r.queue, numbered(1, 1)...))
	s, messages := r.subscribe(rabbitmq.SubscriberConfig{})
	next(t, messages).Ack()

	r.ctl("set_vm_memory_high_watermark", "0")
	t.Cleanup(func() { r.ctl("set_vm_memory_high_watermark", "absolute", "1GB") })
	published := 1
	require.Eventually(t, func() bool { // the broker blocks at the next message
		err := p.Publish(r.queue, numbered(published+1, published+1)...)
		if err == nil || errors.Is(err, rabbitmq.ErrUnconfirmed) {
			published++ // it may be stored later
			return false
		}
		return strings.Contains(err.Error(), "the broker takes no messages now: low on memory")
	}, patience, 10*time.Millisecond)
	state := p.State()
	require.Equal(t, rabbitmq.Blocked, state.Phase)
	require.Equal(t, "low on memory", state.Reason)
	require.Equal(t, rabbitmq.Ready, r.phase(s, rabbitmq.Ready).Phase, "consuming goes on")

	r.ctl("set_vm_memory_high_watermark", "absolute", "1GB")
	require.Eventually(t, func() bool { return p.Publish(r.queue, numbered(1000, 1000)...) == nil }, patience, 10*time.Millisecond)
	require.Equal(t, rabbitmq.Ready, p.State().Phase)
	require.Zero(t, p.State().Reconnects, "a new connection would be blocked as well")
	require.Equal(t, 1, strings.Count(log.String(), "the broker takes no messages"), log.String())
	require.Equal(t, 1, strings.Count(log.String(), "takes messages again"), log.String())
	for msg := next(t, messages); string(msg.Payload) != "1000"; msg = next(t, messages) {
		msg.Ack()
	}
}

func TestASilentNetworkIsNoticed(t *testing.T) {
	r := newRig(t)
	r.quorum()
	r.fill(1, 3)
	proxy := server.NewProxy(r, r.node.URL())
	var log logtest.Buffer
	const heartbeat = 2 * time.Second
	s, messages := r.subscribeAt(proxy.URL(), rabbitmq.SubscriberConfig{
		Connection: rabbitmq.Connection{Heartbeat: heartbeat}, Logger: log.Logger(),
	})
	held := next(t, messages)
	proxy.Silence(true)
	began := time.Now()
	<-held.Context().Done()
	noticed := time.Since(began)
	t.Logf("noticed after %s, of a heartbeat of %s", noticed.Round(time.Millisecond), heartbeat)
	require.Less(t, noticed, heartbeat*3/2+2*time.Second) // not exact: another may have the processor
	require.ErrorContains(t, context.Cause(held.Context()), "the broker sent no heartbeats")
	proxy.Silence(false)
	proxy.Cut() // what was half opened meanwhile
	r.phase(s, rabbitmq.Ready)
	collect(t.Context(), t, messages, 3)
}

func TestAConsumerTimeoutIsRecoveredFrom(t *testing.T) {
	r := newRig(t)
	r.quorum()
	r.ctl("eval", "[application:set_env(rabbit, K, V) || {K, V} <- [{consumer_timeout, 1000}, {channel_tick_interval, 1000}]].")
	t.Cleanup(func() {
		r.ctl("eval", "[application:set_env(rabbit, K, V) || {K, V} <- [{consumer_timeout, 1800000}, {channel_tick_interval, 60000}]].")
	})
	r.fill(1, 2)
	s, messages := r.subscribe(rabbitmq.SubscriberConfig{})
	first, second := next(t, messages), next(t, messages)
	<-first.Context().Done() // nobody settles it
	<-second.Context().Done()
	require.ErrorContains(t, context.Cause(first.Context()), "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out")
	first.Ack() // too late, and it settles nothing
	for range 2 {
		again := next(t, messages)
		require.NotEmpty(t, again.Payload)
		require.Equal(t, "1", again.Metadata["x-delivery-count"])
		again.Ack()
	}
	state := r.phase(s, rabbitmq.Ready)
	require.GreaterOrEqual(t, state.Reconnects, 1)
	require.ErrorContains(t, state.LastError, "PRECONDITION_FAILED")
}

func TestASingleActiveConsumerHandsOverWithoutOverlap(t *testing.T) {
	r := newRig(t)
	r.declare(amqp.Table{"x-queue-type": "quorum", "x-single-active-consumer": true})
	ctx, stop := context.WithCancel(t.Context())
	first, err := rabbitmq.NewSubscriber(r.node.URL(), rabbitmq.SubscriberConfig{Prefetch: 10, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	active, err := first.Subscribe(ctx, r.queue)
	require.NoError(t, err)
	r.phase(first, rabbitmq.Ready)
	second, standby := r.subscribe(rabbitmq.SubscriberConfig{Prefetch: 10})
	r.phase(second, rabbitmq.Ready)
	r.fill(1, 30)
	var held []*message.Message
	for range 5 {
		held = append(held, next(t, active))
	}
	r.holds(20)
	stop() // it works on, and the second must not begin
	for _, msg := range held[:4] {
		msg.Ack()
		// The broker has had time to activate the second, had it a reason.
		require.Eventually(t, func() bool { return r.unacked() >= 10 }, patience, 10*time.Millisecond)
		select {
		case other := <-standby:
			require.Fail(t, "overlap", "%s", other.Payload)
		default:
		}
	}
	held[4].Ack()
	_, open := <-active
	require.False(t, open)
	for i := 6; i <= 30; i++ {
		msg := next(t, standby)
		require.Equal(t, strconv.Itoa(i), string(msg.Payload), "nothing lost, in order")
		msg.Ack()
	}
	require.NoError(t, first.Close())
	require.Empty(t, first.State())
}

// unacked returns how many messages of the rig's queue are in flight.
func (r *rig) unacked() int {
	r.Helper()
	for line := range strings.Lines(r.ctl("list_queues", "name", "messages_unacknowledged", "--no-table-headers")) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == r.queue {
			n, err := strconv.Atoi(fields[1])
			require.NoError(r, err)
			return n
		}
	}
	return 0
}

func TestAnExclusiveConsumerIsAlone(t *testing.T) {
	r := newRig(t)
	r.declare(nil) // a quorum queue takes no notice
	first, messages := r.subscribe(rabbitmq.SubscriberConfig{Exclusive: true})
	r.phase(first, rabbitmq.Ready)
	second, standby := r.subscribe(rabbitmq.SubscriberConfig{Exclusive: true})
	require.Eventually(t, func() bool {
		state := second.State()[0]
		return state.LastError != nil && strings.Contains(state.LastError.Error(), "in exclusive use")
	}, patience, 10*time.Millisecond)
	r.fill(1, 1)
	next(t, messages).Ack()
	require.NoError(t, first.Close())
	r.phase(second, rabbitmq.Ready)
	r.fill(2, 2)
	require.Equal(t, "2", string(next(t, standby).Payload))
}

func TestDeclarations(t *testing.T) {
	r := newRig(t)
	exchange, dead := r.queue+".exchange", r.queue+".dead"
	own := rabbitmq.Topology{
		Exchanges: []rabbitmq.Exchange{{Name: exchange}},
		Queues:    []rabbitmq.Queue{{Name: dead}, {Name: r.queue, DeliveryLimit: 2, DeadLetter: dead, SingleActive: true}},
		Bindings:  []rabbitmq.Binding{{Queue: r.queue, Exchange: exchange, Key: "no.uio.#"}},
	}
	_, messages := r.subscribe(rabbitmq.SubscriberConfig{Declare: own})
	p := r.publisher(r.node.URL(), rabbitmq.PublisherConfig{Exchange: exchange, Declare: own}) // again, alike
	require.NoError(t, p.Publish("no.uio.person.update", numbered(1, 1)...))
	require.ErrorIs(t, p.Publish("se.uu.person.update", numbered(2, 2)...), rabbitmq.ErrUnroutable)
	for range 3 {
		next(t, messages).Nack()
	}
	r.queue = dead
	r.holds(1)
}

func TestDelaysHaveAQueueEach(t *testing.T) {
	r := newRig(t)
	long, brief := r.queue+".retry.3000", r.queue+".retry.200"
	p := r.publisher(r.node.URL(), rabbitmq.PublisherConfig{Declare: rabbitmq.Topology{Queues: []rabbitmq.Queue{
		{Name: r.queue},
		{Name: long, MessageTTL: 3 * time.Second, DeadLetter: r.queue},
		{Name: brief, MessageTTL: 200 * time.Millisecond, DeadLetter: r.queue},
	}}})
	began := time.Now()
	require.NoError(t, p.Publish(long, numbered(1, 1)...))
	require.NoError(t, p.Publish(brief, numbered(2, 2)...))
	_, messages := r.subscribe(rabbitmq.SubscriberConfig{})
	for _, want := range []string{"2", "1"} { // in one queue the first would hold the second
		msg := next(t, messages)
		require.Equal(t, want, string(msg.Payload))
		msg.Ack()
	}
	require.GreaterOrEqual(t, time.Since(began), 3*time.Second)
}

func TestADeclarationThatDiffersIsNamed(t *testing.T) {
	r := newRig(t)
	r.declare(amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(3)})
	r.fill(1, 1)
	var log logtest.Buffer
	other := rabbitmq.Topology{Queues: []rabbitmq.Queue{{Name: r.queue, DeliveryLimit: 5}}}
	s, _ := r.subscribe(rabbitmq.SubscriberConfig{Declare: other, Logger: log.Logger()})
	const want = "it exists with x-delivery-limit 3 instead of 5"
	require.Eventually(t, func() bool { return strings.Count(log.String(), want) >= 2 }, patience, 10*time.Millisecond)
	require.Equal(t, 1, strings.Count(log.String(), "level=WARN"), "and one line for all attempts: %s", log.String())
	require.Less(t, strings.Count(log.String(), want), 4, "a hot loop")
	require.Equal(t, rabbitmq.Connecting, s.State()[0].Phase)
	p := r.publisher(r.node.URL(), rabbitmq.PublisherConfig{Declare: other})
	require.ErrorContains(t, p.Publish(r.queue, numbered(2, 2)...), want)
	r.holds(1)
}

func TestADeclarationWithoutTheRightSaysSo(t *testing.T) {
	r := newRig(t)
	r.quorum()
	r.ctl("add_user", "modest", "modest")
	r.ctl("set_permissions", "modest", "^$", ".*", ".*")
	p := r.publisher(r.node.URLFor("modest", "modest", ""), rabbitmq.PublisherConfig{
		Declare: rabbitmq.Topology{Queues: []rabbitmq.Queue{{Name: r.queue}}},
	})
	err := p.Publish(r.queue, numbered(1, 1)...)
	require.ErrorContains(t, err, "declare queue "+r.queue)
	require.ErrorContains(t, err, "no right to configure")
}

func TestHotLoopsDoNotHappen(t *testing.T) {
	r := newRig(t)
	var log logtest.Buffer
	s, _ := r.subscribe(rabbitmq.SubscriberConfig{Logger: log.Logger()})
	require.Eventually(t, func() bool { return strings.Count(log.String(), "NOT_FOUND") >= 3 }, patience, 10*time.Millisecond)
	state := s.State()[0]
	require.ErrorContains(t, state.LastError, "no queue")
	lines := strings.Count(log.String(), "NOT_FOUND")
	require.Less(t, lines, 5, fmt.Sprint("attempts: ", lines))
}
