package testkit

import (
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
)

// BenchmarkBroker publishes, delivers and acks: what the fake itself costs a
// benchmark that runs on it.
func BenchmarkBroker(b *testing.B) {
	broker, err := NewBroker(BrokerConfig{})
	require.NoError(b, err)
	defer func() { require.NoError(b, broker.Close()) }()
	require.NoError(b, broker.Bind(q, "a.#"))
	out, err := broker.Subscribe(b.Context(), q)
	require.NoError(b, err)
	payload := make([]byte, 300)
	b.ReportAllocs()
	go func() {
		for range b.N {
			_ = broker.Publish("a.b", message.NewMessage("id", payload))
		}
	}()
	for range b.N {
		(<-out).Ack()
	}
}
