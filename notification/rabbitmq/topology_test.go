package rabbitmq

import (
	"errors"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
)

func TestArgumentsOfADeclaredQueue(t *testing.T) {
	tests := []struct {
		name  string
		queue Queue
		want  amqp.Table
	}{
		{"quorum by default", Queue{Name: "q"}, amqp.Table{"x-queue-type": "quorum"}},
		{"classic", Queue{Name: "q", Classic: true}, amqp.Table{}},
		{"limit", Queue{Name: "q", DeliveryLimit: 5}, amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(5)}},
		{"dead letters, at least once", Queue{Name: "q", DeadLetter: "q.dead"}, amqp.Table{
			"x-queue-type": "quorum", "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q.dead",
			"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish",
		}},
		{"dead letters of a classic queue", Queue{Name: "q", Classic: true, DeadLetter: "q.dead"}, amqp.Table{
			"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q.dead",
		}},
		{"the rest", Queue{
			Name: "q", SingleActive: true, MessageTTL: time.Second, MaxLength: 7,
			Arguments: amqp.Table{"x-max-in-memory-length": 1},
		}, amqp.Table{
			"x-queue-type": "quorum", "x-single-active-consumer": true, "x-message-ttl": int64(1000),
			"x-max-length": int64(7), "x-max-in-memory-length": 1,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.NoError(t, Topology{Queues: []Queue{tt.queue}}.validate())
			require.Equal(t, tt.want, tt.queue.arguments())
		})
	}
}

func TestMisuseOfDeclarations(t *testing.T) {
	long := strings.Repeat("x", 256)
	queue := func(q Queue) Topology { return Topology{Queues: []Queue{{Name: "first"}, q}} }
	tests := []struct {
		name     string
		topology Topology
		want     string
	}{
		{"exchange", Topology{Exchanges: []Exchange{{}}}, "Declare.Exchanges[0].Name: 0 bytes"},
		{"exchange's arguments", Topology{Exchanges: []Exchange{{Name: "x", Arguments: amqp.Table{"a": struct{}{}}}}}, "Declare.Exchanges[0].Arguments: "},
		{"queue", queue(Queue{}), "Declare.Queues[1].Name: 0 bytes: give 1 to 255"},
		{"dead letters", queue(Queue{Name: "q", DeadLetter: long}), "Declare.Queues[1].DeadLetter: 256 bytes"},
		{"its own dead letters", queue(Queue{Name: "q", DeadLetter: "q"}), "Declare.Queues[1].DeadLetter: the queue itself"},
		{"limit", queue(Queue{Name: "q", DeliveryLimit: -1}), "Declare.Queues[1].DeliveryLimit: -1"},
		{"limit of a classic queue", queue(Queue{Name: "q", DeliveryLimit: 1, Classic: true}), "Declare.Queues[1].DeliveryLimit: a classic queue has none"},
		{"time to live", queue(Queue{Name: "q", MessageTTL: time.Microsecond}), "Declare.Queues[1].MessageTTL: 1µs"},
		{"too long to live", queue(Queue{Name: "q", MessageTTL: maxTTL + time.Millisecond}), "Declare.Queues[1].MessageTTL: "},
		{"length", queue(Queue{Name: "q", MaxLength: -1}), "Declare.Queues[1].MaxLength: -1"},
		{"argument twice", queue(Queue{Name: "q", Arguments: amqp.Table{"x-queue-type": "classic"}}), "Declare.Queues[1].Arguments: x-queue-type is made from another field"},
		{"argument's type", queue(Queue{Name: "q", Arguments: amqp.Table{"x": struct{}{}}}), "Declare.Queues[1].Arguments: "},
		{"binding", Topology{Bindings: []Binding{{Queue: "q"}}}, "Declare.Bindings[0]: give names"},
		{"binding's key", Topology{Bindings: []Binding{{Queue: "q", Exchange: "e", Key: long}}}, "Declare.Bindings[0].Key: 256 bytes"},
		{"binding's arguments", Topology{Bindings: []Binding{{Queue: "q", Exchange: "e", Arguments: amqp.Table{"x": struct{}{}}}}}, "Declare.Bindings[0].Arguments: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewSubscriber("amqp://a", SubscriberConfig{Declare: tt.topology})
			require.ErrorContains(t, err, "rabbitmq: "+tt.want)
			_, err = NewPublisher("amqp://a", PublisherConfig{Declare: tt.topology})
			require.ErrorContains(t, err, "rabbitmq: "+tt.want)
		})
	}
}

// What RabbitMQ 3.10 answered to declarations.
func TestDifferencesAreNamed(t *testing.T) {
	tests := []struct {
		name   string
		reason string
		want   difference
		value  any
		ok     bool
	}{
		{
			"missing here",
			"PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received none but current is the value 'quorum' of type 'longstr'",
			difference{"x-queue-type", "none", "quorum"}, "quorum", true,
		},
		{
			"missing there",
			"PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue 'q2' in vhost '/': received the value '-1' of type 'long' but current is none",
			difference{"x-expires", "-1", "none"}, nil, false,
		},
		{
			"both",
			"PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-exchange' for queue 'q' in vhost '/': received 'a' but current is ''",
			difference{"x-dead-letter-exchange", "a", ""}, "", true,
		},
		{
			"a number",
			"PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'q' in vhost '/': received none but current is the value '7' of type 'long'",
			difference{"x-delivery-limit", "none", "7"}, int64(7), true,
		},
		{
			"a flag",
			"PRECONDITION_FAILED - inequivalent arg 'x-single-active-consumer' for queue 'q' in vhost '/': received none but current is the value 'true' of type 'bool'",
			difference{"x-single-active-consumer", "none", "true"}, true, true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := error(&amqp.Error{Code: amqp.PreconditionFailed, Reason: tt.reason, Server: true})
			d, ok := differenceIn(err)
			require.True(t, ok)
			require.Equal(t, tt.want, d)
			value, ok := valueIn(err)
			require.Equal(t, tt.ok, ok)
			require.Equal(t, tt.value, value)
			require.ErrorContains(t, declined(err), "it exists with "+d.name)
		})
	}
	for _, err := range []error{
		errors.New("inequivalent arg"),
		&amqp.Error{Code: amqp.PreconditionFailed, Reason: "PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'q'", Server: true},
	} {
		_, ok := differenceIn(err)
		require.False(t, ok)
		require.Equal(t, err, declined(err))
	}
	refused := &amqp.Error{Code: amqp.AccessRefused, Reason: "ACCESS_REFUSED", Server: true}
	require.ErrorContains(t, declined(refused), "no right to configure")
}

func TestNamesOfThePortal(t *testing.T) {
	require.Equal(t, "from_system-production-iga", From("system-production-iga"))
	require.Equal(t, "outgoing_system-production-my_app", Outgoing("system-production-my_app"))
}
