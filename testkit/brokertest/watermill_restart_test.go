//go:build !race

// Watermill's case on restarts reads a slice while its own goroutine still
// appends to it, so it cannot run under the race detector.

package brokertest_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/testkit"
)

// watermillRestart runs Watermill's case on restarts of the broker. The suite
// restarts it by a command; this one asks the test to do it, and waits.
func watermillRestart(t *testing.T, restart func() error, pubSub tests.PubSubConstructor) {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if err := restart(); err != nil {
				t.Errorf("restart: %v", err)
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		<-done
	})
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	tests.TestReconnect(t, tests.TestContext{TestID: tests.NewTestID(), Features: tests.Features{
		Persistent:            true,
		RestartServiceCommand: []string{"bash", "-c", fmt.Sprintf("cat </dev/tcp/127.0.0.1/%s", port)},
	}}, pubSub)
}

func TestWatermillRestartOnFake(t *testing.T) {
	b, err := testkit.NewBroker(testkit.BrokerConfig{StopTimeout: stopTimeout})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	watermillRestart(t, func() error { b.Cut(); return nil }, func(*testing.T) (message.Publisher, message.Subscriber) {
		return b.Connect(), initializer{b.Connect(), func(queue string) error { return b.Bind(queue, queue) }}
	})
}
