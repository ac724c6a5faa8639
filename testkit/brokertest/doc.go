// Package brokertest is the suite of what a connector may expect of its broker
// and transport together: one subtest for each rule. testkit.Broker passes it,
// and so does RabbitMQ behind package rabbitmq, so tests on the first tell about
// the second.
//
//	func TestBroker(t *testing.T) {
//		brokertest.Run(t, brokertest.Config{Virtual: true}, func(t *testing.T, s brokertest.Settings) brokertest.Harness {
//			b, err := testkit.NewBroker(testkit.BrokerConfig{
//				Exchange: s.Exchange, Prefetch: s.Prefetch, StopTimeout: s.StopTimeout,
//			})
//			require.NoError(t, err)
//			t.Cleanup(func() { require.NoError(t, b.Close()) })
//			return brokertest.Harness{
//				Declare: b.Declare, Delete: b.DeleteQueue, Bind: b.BindTo, Publish: b.PublishAMQP,
//				Reject: b.Reject, Cut: b.Cut, Cancel: b.CancelConsumers,
//				Publisher:  func() message.Publisher { return b.Connect() },
//				Subscriber: func() message.Subscriber { return b.Connect() },
//			}
//		})
//	}
//
// A rule that a broker cannot be made to show is left out by Config.Without,
// which says why; its subtest is skipped with that reason. Nothing is left out
// otherwise.
package brokertest
