//go:build integration

package rabbitmq

import (
	"maps"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
)

// TestQuestionsMakeNoQueue is for a queue that is deleted while Check asks.
func TestQuestionsMakeNoQueue(t *testing.T) {
	d, err := Connection{}.newDialer(server.SharedRabbitMQ(t).URL(), "")
	require.NoError(t, err)
	l, err := d.dial(t.Context())
	require.NoError(t, err)
	defer l.close()
	const queue = "asked for, and missing"
	known := amqp.Table{"x-delivery-limit": int64(5), "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
	for _, question := range []amqp.Table{askType(), askRest()} {
		for _, more := range []amqp.Table{{}, known} {
			maps.Copy(question, more)
			err := aside(t.Context(), l, "ask", func(ch *amqp.Channel) error {
				_, err := ch.QueueDeclare(queue, true, false, false, false, question)
				return err
			})
			require.ErrorContains(t, err, "PRECONDITION_FAILED - invalid arg")
			err = aside(t.Context(), l, "look", func(ch *amqp.Channel) error {
				_, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
				return err
			})
			require.Equal(t, amqp.NotFound, codeOf(err))
		}
	}
	_, err = argumentsOf(t.Context(), l, queue)
	require.Error(t, err)
}
