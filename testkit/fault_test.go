package testkit

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

// failOn makes one payload suffer a fault.
func failOn(b *Broker, payload string, f Fault) {
	b.Fail(func(msg *message.Message) Fault {
		if string(msg.Payload) == payload {
			return f
		}
		return Fault{}
	})
}

// acked acks all that comes, and returns it.
func acked(out <-chan *message.Message) string {
	var all []string
	for {
		got := take(out)
		if len(got) == 0 {
			return strings.Join(all, " ")
		}
		for _, m := range got {
			m.Ack()
		}
		all = append(all, payloads(got))
	}
}

func TestBrokerFaults(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault Fault // of message 2 of 1 2 3 4
		want  string
		after time.Duration
	}{
		{name: "none", want: "1 2 3 4"},
		{name: "duplicate", fault: Fault{Duplicate: 2}, want: "1 2 2 2 3 4"},
		{name: "delay", fault: Fault{Delay: time.Minute}, after: time.Minute, want: "1 3 4 2"},
		{name: "not yet", fault: Fault{Delay: time.Minute}, after: time.Minute - 1, want: "1 3 4"},
		{name: "ahead", fault: Fault{Ahead: true}, want: "2 1 3 4"},
		{name: "duplicate, delayed and ahead", fault: Fault{Duplicate: 1, Delay: time.Minute, Ahead: true}, after: time.Minute, want: "2 2 1 3 4"},
		{name: "cut on delivery", fault: Fault{CutOnDelivery: true}, want: "1 2 1! 2! 3! 4!"},
		{name: "cut before the ack", fault: Fault{CutBeforeAck: true}, want: "1 2 3 4 2!"},
		{name: "cut after the ack", fault: Fault{CutAfterAck: true}, want: "1 2 3 4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBroker(t, BrokerConfig{})
				failOn(b, "2", tc.fault)
				publish(t, b, "1", "2", "3", "4")
				require.Equal(t, 4+tc.fault.Duplicate, b.Len(q), "delayed ones too")
				time.Sleep(tc.after)
				synctest.Wait()
				require.Equal(t, tc.want, acked(subscribe(t.Context(), t, b)))
				require.Equal(t, b.Published(), b.Acked()+b.Len(q))
			})
		})
	}
}

func TestBrokerCutsAtTheChosenMoment(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault Fault // of message 2 of 1 2 3 4, of which 1 2 3 are held
		again string
		acked int
	}{
		{name: "before the ack", fault: Fault{CutBeforeAck: true}, again: "2! 3! 4!", acked: 1},
		{name: "after the ack", fault: Fault{CutAfterAck: true}, again: "3! 4!", acked: 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBroker(t, BrokerConfig{})
				failOn(b, "2", tc.fault)
				publish(t, b, "1", "2", "3", "4")
				out := subscribe(t.Context(), t, b)
				other := subscribe(t.Context(), t, b)
				one, two, three := <-out, <-out, <-out // 4 is on its way
				one.Ack()
				two.Ack()
				synctest.Wait()
				require.ErrorIs(t, context.Cause(three.Context()), errTakenBack)
				require.Equal(t, tc.acked, b.Acked(), "the ack before it counts")
				three.Ack()
				require.Equal(t, 4-tc.acked, b.Len(q), "a late ack does not")
				// Both subscribers are there, and the fault is over.
				got := append(take(out), take(other)...)
				for _, m := range got {
					m.Ack()
				}
				require.Equal(t, 4, b.Acked())
				require.ElementsMatch(t, strings.Fields(tc.again), strings.Fields(payloads(got)))
			})
		})
	}
	t.Run("on delivery, in the middle of a batch", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBroker(t, BrokerConfig{Prefetch: 4})
			failOn(b, "2", Fault{CutOnDelivery: true})
			publish(t, b, "1", "2", "3", "4", "5", "6")
			out := subscribe(t.Context(), t, b)
			one, two := <-out, <-out
			require.Equal(t, "1 2", payloads([]*message.Message{one, two}))
			synctest.Wait()
			require.ErrorIs(t, context.Cause(one.Context()), errTakenBack)
			require.ErrorIs(t, context.Cause(two.Context()), errTakenBack)
			require.Equal(t, "1! 2! 3! 4! 5 6", acked(out), "once")
		})
	})
	t.Run("only the subscriber that has the message", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBroker(t, BrokerConfig{Prefetch: 1})
			failOn(b, "2", Fault{CutBeforeAck: true})
			one, two := subscribe(t.Context(), t, b), subscribe(t.Context(), t, b)
			publish(t, b, "1", "2")
			first := <-one
			(<-two).Ack()
			synctest.Wait()
			require.NoError(t, first.Context().Err())
			require.Equal(t, "2!", acked(two))
			require.True(t, first.Ack())
		})
	})
	t.Run("several at a time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBroker(t, BrokerConfig{})
			b.Fail(func(*message.Message) Fault { return Fault{CutBeforeAck: true, CutAfterAck: true} })
			publish(t, b, "1", "2", "3")
			out := subscribe(t.Context(), t, b)
			for _, m := range []*message.Message{<-out, <-out, <-out} {
				m.Ack()
			}
			for b.Len(q) > 0 {
				(<-out).Ack()
				synctest.Wait()
			}
			require.Equal(t, 3, b.Acked(), "each once")
		})
	})
}

func TestBrokerLosesAConfirm(t *testing.T) {
	b := newBroker(t, BrokerConfig{})
	failOn(b, "2", Fault{Unconfirmed: true})
	err := b.Publish("a.b", message.NewMessage("1", []byte("1")), message.NewMessage("2", []byte("2")), message.NewMessage("3", []byte("3")))
	require.ErrorIs(t, err, rabbitmq.ErrUnconfirmed)
	require.Equal(t, 2, b.Len(q), "stored, the next one not sent")
	b.Fail(nil)
	publish(t, b, "2")
	require.Equal(t, 3, b.Len(q))
}

func TestBrokerFaultMisuse(t *testing.T) {
	b := newBroker(t, BrokerConfig{})
	for _, tc := range []struct {
		name, want string
		fault      Fault
	}{
		{name: "duplicate", fault: Fault{Duplicate: -1}, want: "Fault.Duplicate: -1, must not be"},
		{name: "delay", fault: Fault{Delay: -1}, want: "Fault.Delay: -1ns, must not be"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			failOn(b, "x", tc.fault)
			require.ErrorContains(t, b.Publish("a.b", message.NewMessage("", []byte("x"))), tc.want)
			require.Zero(t, b.Len(q))
		})
	}
}

func TestBrokerFailMayCallTheBroker(t *testing.T) {
	b := newBroker(t, BrokerConfig{})
	b.Fail(func(msg *message.Message) Fault {
		require.Equal(t, "a.b", msg.Metadata[notification.MetaRoutingKey])
		return Fault{Duplicate: b.Len(q)}
	})
	publish(t, b, "1", "2", "3")
	require.Equal(t, 1+2+4, b.Len(q))
}

func TestBrokerMoreMisuse(t *testing.T) {
	b := newBroker(t, BrokerConfig{})
	long := strings.Repeat("x", maxName+1)
	for _, tc := range []struct {
		name, want string
		err        error
	}{
		{"exchange of the broker", "Exchange: 256 bytes", func() error { _, err := NewBroker(BrokerConfig{Exchange: long}); return err }()},
		{"default exchange", "exchange: must not be empty", b.BindTo("", q)},
		{"long exchange", "at most 255", b.BindTo(long, q)},
		{"no queue name", "queueName: 0 bytes", b.Declare("", nil)},
		{"long queue name", "queueName: 256 bytes", b.Declare(long, nil)},
		{"unknown argument", "args: x-max-age is not known here", b.Declare("x", amqp.Table{"x-max-age": 1})},
		{"float", "x-message-ttl: a float64, must be an integer", b.Declare("x", amqp.Table{"x-message-ttl": 1.5})},
		{"negative", "x-delivery-limit: -1, must be 0 to", b.Declare("x", amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": -1})},
		{"not text", "x-dead-letter-exchange: a int, must be a string", b.Declare("x", amqp.Table{"x-dead-letter-exchange": 1})},
		{"long text", "x-dead-letter-exchange: 256 bytes", b.Declare("x", amqp.Table{"x-dead-letter-exchange": long})},
		{"other arguments", "x-message-ttl: inequivalent arg 'x-message-ttl': the queue has none and not 1", b.Declare(q, amqp.Table{"x-queue-type": "quorum", "x-message-ttl": 1})},
		{"no such queue to delete", "queueName: there is no such queue", b.DeleteQueue("none")},
		{"no such queue to cancel", "queueName: there is no such queue", b.CancelConsumers("none")},
		{"no such queue to reject from", "queueName: there is no such queue", b.Reject("none")},
		{"nothing to reject", "queueName: no message is ready", b.Reject(q)},
		{"no such exchange", "exchange: there is none of that name", b.PublishAMQP("none", "a", amqp.Publishing{})},
		{"long key", "routingKey: 256 bytes", b.PublishAMQP("", long, amqp.Publishing{})},
		{"CC", "Headers: CC is not supported", b.PublishAMQP("", q, amqp.Publishing{Headers: amqp.Table{"CC": []any{"x"}}})},
		{"header", "Headers: ", b.PublishAMQP("", q, amqp.Publishing{Headers: amqp.Table{"x": struct{}{}}})},
		{"expiration", "Expiration: must be a whole number", b.PublishAMQP("", q, amqp.Publishing{Expiration: "1s"})},
	} {
		t.Run(tc.name, func(t *testing.T) { require.ErrorContains(t, tc.err, tc.want) })
	}
	require.NoError(t, b.Close())
	require.ErrorIs(t, b.Declare("x", nil), errClosed)
	for _, kind := range []any{int(1), int8(1), int16(1), int32(1), int64(1), uint8(1), uint16(1), uint32(1)} {
		s, err := parse(amqp.Table{"x-message-ttl": kind})
		require.NoError(t, err)
		require.Equal(t, time.Millisecond, s.ttl)
	}
}

// TestBrokerSharesNothingWithPublishers: tables within headers are copied too.
func TestBrokerSharesNothingWithPublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, BrokerConfig{})
		inner := amqp.Table{"k": "v"}
		p := amqp.Publishing{Headers: amqp.Table{"t": inner}, Body: []byte("1")}
		require.NoError(t, b.PublishAMQP("", q, p))
		inner["k"], p.Body[0] = "changed", 'X'
		m := take(subscribe(t.Context(), t, b))[0]
		require.JSONEq(t, `{"k":"v"}`, m.Metadata["t"])
		require.Equal(t, "1", string(m.Payload))
		m.Ack()
	})
}

// TestBrokerCountersAddUp: whatever happens in whatever order, what was put into
// queues was acked, has moved on, was dropped, or is still there.
func TestBrokerCountersAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		noDeadline := struct{ rapid.TB }{t} // a bubble has none, and asking panics
		rapid.Check(noDeadline, func(t *rapid.T) {
			b, err := NewBroker(BrokerConfig{Prefetch: 3, StopTimeout: 5 * time.Second})
			require.NoError(t, err)
			defer func() { require.NoError(t, b.Close()) }()
			names := []string{"a", "b", "c"}
			declare := func(name string) {
				args := amqp.Table{"x-dead-letter-exchange": "", "x-message-ttl": rapid.IntRange(0, 4000).Draw(t, "ttl")}
				args["x-dead-letter-routing-key"] = rapid.SampledFrom(append(names, "none")).Draw(t, "dead letters to")
				if rapid.Bool().Draw(t, "quorum") {
					args["x-queue-type"] = "quorum"
					args["x-delivery-limit"] = rapid.IntRange(0, 3).Draw(t, "limit")
					if rapid.Bool().Draw(t, "keep") {
						args["x-dead-letter-strategy"], args["x-overflow"] = "at-least-once", "reject-publish"
					}
				}
				_ = b.Declare(name, args) // it may be there, and be another
			}
			b.Fail(func(*message.Message) Fault {
				if rapid.IntRange(0, 3).Draw(t, "faulty") > 0 {
					return Fault{}
				}
				return Fault{
					Duplicate:     rapid.IntRange(0, 2).Draw(t, "duplicate"),
					Delay:         time.Duration(rapid.IntRange(0, 3).Draw(t, "delay")) * time.Second,
					Ahead:         rapid.Bool().Draw(t, "ahead"),
					CutOnDelivery: rapid.Bool().Draw(t, "cut on delivery"),
					CutBeforeAck:  rapid.Bool().Draw(t, "cut before ack"),
					CutAfterAck:   rapid.Bool().Draw(t, "cut after ack"),
				}
			})
			var outs []<-chan *message.Message
			var held []*message.Message
			for _, name := range names {
				declare(name)
			}
			for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
				name := rapid.SampledFrom(names).Draw(t, "queue")
				switch rapid.SampledFrom([]string{
					"publish", "publish", "publish", "subscribe", "take", "take", "ack", "nack", "nack",
					"cut", "cancel", "delete", "declare", "reject", "wait",
				}).Draw(t, "step") {
				case "publish":
					_ = b.PublishAMQP("", name, amqp.Publishing{MessageId: fmt.Sprint(i), Body: []byte("x")})
				case "subscribe":
					if out, err := b.Subscribe(t.Context(), name); err == nil {
						outs = append(outs, out)
					}
				case "take":
					for _, out := range outs {
						held = append(held, take(out)...)
					}
				case "ack", "nack":
					if len(held) > 0 {
						m := held[rapid.IntRange(0, len(held)-1).Draw(t, "message")]
						_ = rapid.Bool().Draw(t, "ack") && m.Ack() || m.Nack()
					}
				case "cut":
					b.Cut()
				case "cancel":
					_ = b.CancelConsumers(name)
				case "delete":
					_ = b.DeleteQueue(name)
				case "declare":
					declare(name)
				case "reject":
					_ = b.Reject(name)
				case "wait":
					time.Sleep(time.Duration(rapid.IntRange(1, 100_000).Draw(t, "ms")) * time.Millisecond)
				}
				synctest.Wait()
				left := 0
				for _, name := range names {
					left += b.Len(name)
				}
				require.Equal(t, b.Published(), b.Acked()+b.DeadLettered()+b.Dropped()+left)
			}
		})
	})
}
