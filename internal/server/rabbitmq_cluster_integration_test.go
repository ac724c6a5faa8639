//go:build integration

package server_test

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
)

func TestRabbitMQClusterSurvivesItsNodes(t *testing.T) {
	nodes := server.RabbitMQCluster(t)
	const queue = "survivor"
	ch := channel(t, nodes[0].URL())
	_, err := ch.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
	require.NoError(t, err)
	require.NoError(t, ch.Confirm(false))
	confirm, err := ch.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{Body: []byte("x")})
	require.NoError(t, err)
	require.True(t, confirm.Wait())
	leader, err := server.RabbitMQLeader(nodes, queue)
	require.NoError(t, err)
	require.Same(t, nodes[0], leader, "a queue is led by the node that it was declared on")

	require.NoError(t, leader.Kill())
	require.Eventually(t, func() bool {
		// Each time anew: a get before the election ends the connection.
		conn, err := amqp.Dial(nodes[1].URL())
		if err != nil {
			return false
		}
		defer conn.Close()
		ch, err := conn.Channel()
		if err != nil {
			return false
		}
		d, ok, err := ch.Get(queue, true)
		return err == nil && ok && string(d.Body) == "x"
	}, time.Minute, 100*time.Millisecond)

	require.NoError(t, leader.Start())
	require.NoError(t, server.WaitForCluster(nodes))

	require.NoError(t, nodes[2].Freeze())
	require.NoError(t, nodes[2].Thaw())
	_, err = amqp.Dial(nodes[2].URL())
	require.NoError(t, err)
	require.NoError(t, nodes[2].Kill())
	require.ErrorContains(t, nodes[2].Freeze(), "does not run")
}

func TestRabbitMQPortalCopiesToTheConsumer(t *testing.T) {
	node := server.RabbitMQConfig{Plugins: []string{"rabbitmq_shovel"}}.Start(t)
	p, err := node.Portal("hr", "ldap")
	require.NoError(t, err)
	provider := channel(t, node.URLFor("hr", "hr", p.ProviderVhost))
	require.NoError(t, provider.PublishWithContext(t.Context(), p.Outgoing, "key", true, false, amqp.Publishing{Body: []byte("x")}))
	consumer := channel(t, node.URLFor("ldap", "ldap", p.ConsumerVhost))
	require.Eventually(t, func() bool {
		d, ok, err := consumer.Get(p.From, true)
		return err == nil && ok && d.RoutingKey == "key"
	}, time.Minute, 100*time.Millisecond)
}
