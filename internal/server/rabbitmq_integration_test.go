//go:build integration

package server_test

import (
	"os"
	"path/filepath"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
)

func TestMain(m *testing.M) { server.Main(m) }

func TestRabbitMQKeepsItsDataOverOutages(t *testing.T) {
	outages := []struct {
		name string
		end  func(*server.RabbitMQNode) error
	}{
		{"stopped in order", (*server.RabbitMQNode).Stop},
		{"killed", (*server.RabbitMQNode).Kill},
	}
	node := server.RabbitMQ(t)
	for _, outage := range outages {
		t.Run(outage.name, func(t *testing.T) {
			publishDurably(t, node.URL(), outage.name)
			_, err := node.Ctl("eval", "mnesia:sync_log().") // a declaration is on disk some time after it is answered
			require.NoError(t, err)
			require.NoError(t, outage.end(node))
			_, err = amqp.Dial(node.URL())
			require.Error(t, err, "the node is down")

			require.NoError(t, node.Start())
			d, ok, err := channel(t, node.URL()).Get(outage.name, true)
			require.NoError(t, err)
			require.True(t, ok, "the message survived")
			require.Equal(t, outage.name, string(d.Body))
		})
	}
}

func TestSharedRabbitMQIsOneNode(t *testing.T) {
	first := server.SharedRabbitMQ(t)
	require.Same(t, first, server.SharedRabbitMQ(t))
}

func TestRabbitMQLeavesNothingBehind(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var url string
	t.Run("a test with a node", func(t *testing.T) { url = server.RabbitMQ(t).URL() })
	_, err := amqp.Dial(url)
	require.Error(t, err)
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "rabbitmq-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestRabbitMQCtlTellsWhatWentWrong(t *testing.T) {
	_, err := server.SharedRabbitMQ(t).Ctl("no_such_command")
	require.ErrorContains(t, err, "no_such_command")
}

func publishDurably(t *testing.T, url, queue string) {
	t.Helper()
	ch := channel(t, url)
	// A classic queue: a quorum queue is forgotten by a node that is killed
	// within moments of its declaration.
	_, err := ch.QueueDeclare(queue, true, false, false, false, nil)
	require.NoError(t, err)
	require.NoError(t, ch.Confirm(false))
	confirm, err := ch.PublishWithDeferredConfirm("", queue, true, false,
		amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(queue)})
	require.NoError(t, err)
	require.True(t, confirm.Wait())
}

func channel(t *testing.T, url string) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // the broker may have gone
	ch, err := conn.Channel()
	require.NoError(t, err)
	return ch
}
