package brokertest_test

import (
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/testkit"
	"github.com/konnektor-go/konnektor/testkit/brokertest"
)

func TestFake(t *testing.T) {
	brokertest.Run(t, brokertest.Config{Virtual: true}, func(t *testing.T, s brokertest.Settings) brokertest.Harness {
		b, err := testkit.NewBroker(testkit.BrokerConfig{
			Exchange: s.Exchange, Prefetch: s.Prefetch, StopTimeout: s.StopTimeout,
		})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, b.Close()) })
		return brokertest.Harness{
			Declare: b.Declare, Delete: b.DeleteQueue, Bind: b.BindTo, Publish: b.PublishAMQP,
			Reject: b.Reject, Cut: b.Cut, Cancel: b.CancelConsumers,
			Publisher:  func() message.Publisher { return b.Connect() },
			Subscriber: func() message.Subscriber { return b.Connect() },
		}
	})
}
