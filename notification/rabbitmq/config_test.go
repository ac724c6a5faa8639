package rabbitmq

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
)

const secret = "s3cr3t"

func TestMisuseIsAnErrorOfTheConstructors(t *testing.T) {
	const good = "amqp://user:" + secret + "@127.0.0.1:5672/"
	type subscriber = SubscriberConfig
	type publisher = PublisherConfig
	tests := []struct {
		name   string
		url    string
		config any
		want   string
	}{
		{"no url", "", subscriber{}, "url: empty"},
		{"other scheme", "http://user:" + secret + "@host/", subscriber{}, "url: not an AMQP address"},
		{"no scheme", "user:" + secret + "@host", publisher{}, "url: not an AMQP address"},
		{"unescaped password", "amqp://user:" + secret + "/x@host/", subscriber{}, "url: not an AMQP address"},
		{"bad escape", "amqp://user:" + secret + "%zz@host/", publisher{}, "url: not an AMQP address"},
		{"white space", "amqp://user:" + secret + " @host/", subscriber{}, "url: not an AMQP address"},
		{"port", "amqp://user:" + secret + "@host:70000/", subscriber{}, "url: not an AMQP address"},
		{"parameter", good + "?heartbeat=" + secret, publisher{}, "url: not an AMQP address"},
		{"TLS without encryption", good, subscriber{Connection: Connection{TLS: &tls.Config{}}}, "Connection.TLS: set for a URL that starts with amqp"},
		{"publisher's TLS", good, publisher{Connection: Connection{ServerName: "x"}}, "Connection.TLS: set for a URL that starts with amqp"},
		{"name", good, subscriber{Name: strings.Repeat("x", 201)}, "Name: 201 bytes, at most 200"},
		{"prefetch", good, subscriber{Prefetch: -1}, "Prefetch: -1: give 1 to 65535, or 0 for 256"},
		{"large prefetch", good, subscriber{Prefetch: 65536}, "Prefetch: 65536: give"},
		{"stop timeout", good, subscriber{StopTimeout: -time.Second}, "StopTimeout: -1s: give a positive duration"},
		{"exchange", good, publisher{Exchange: strings.Repeat("x", 256)}, "Exchange: 256 bytes, at most 255"},
		{"window", good, publisher{Window: -1}, "Window: -1: give 1 to 65535, or 0 for 100"},
		{"large window", good, publisher{Window: 65536}, "Window: 65536: give"},
		{"confirm timeout", good, publisher{ConfirmTimeout: -1}, "ConfirmTimeout: -1ns: give a positive duration"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var err error
			switch config := tt.config.(type) {
			case subscriber:
				_, err = NewSubscriber(tt.url, config)
			case publisher:
				_, err = NewPublisher(tt.url, config)
			}
			require.ErrorContains(t, err, "rabbitmq: "+tt.want)
			require.NotContains(t, err.Error(), secret)
		})
	}
}

func TestZeroConfigsWork(t *testing.T) {
	s, err := NewSubscriber("amqps://user:"+secret+"@mq.example.no/vhost", SubscriberConfig{})
	require.NoError(t, err)
	require.Equal(t, 256, s.config.Prefetch)
	require.Equal(t, 30*time.Second, s.config.StopTimeout)
	require.NotNil(t, s.config.Logger)
	require.NotEmpty(t, s.dialer.name)
	require.NoError(t, s.Close())

	p, err := NewPublisher("amqp://127.0.0.1", PublisherConfig{})
	require.NoError(t, err)
	require.Equal(t, 100, p.config.Window)
	require.Equal(t, 30*time.Second, p.config.ConfirmTimeout)
	require.NotNil(t, p.config.Logger)
	require.NoError(t, p.Publish("queue"), "nothing to publish needs no broker")
	require.NoError(t, p.Close())
}

func TestMisuseOfSubscribe(t *testing.T) {
	s, err := NewSubscriber("amqp://127.0.0.1", SubscriberConfig{})
	require.NoError(t, err)
	for _, topic := range []string{"", strings.Repeat("x", 256)} {
		_, err = s.Subscribe(t.Context(), topic)
		require.ErrorContains(t, err, "topic: ")
	}
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "closing twice is harmless")
	_, err = s.Subscribe(t.Context(), "queue")
	require.ErrorIs(t, err, ErrClosed)
}

func TestMisuseOfPublish(t *testing.T) {
	toQueues, err := NewPublisher("amqp://127.0.0.1", PublisherConfig{})
	require.NoError(t, err)
	msg := message.NewMessage("m", nil)
	require.ErrorContains(t, toQueues.Publish("", msg), "topic: 0 bytes: give a routing key")
	require.ErrorContains(t, toQueues.Publish(strings.Repeat("x", 256), msg), "topic: 256 bytes: give a routing key")
	require.ErrorContains(t, toQueues.Publish("queue", msg, nil), "message 2 of 2: message: nil")
	require.NoError(t, toQueues.Close())
	require.ErrorIs(t, toQueues.Publish("queue", msg), ErrClosed)
}

func TestPublishWithoutABrokerFailsAtOnceAndWithoutCredentials(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := nobody.Addr().String()
	require.NoError(t, nobody.Close())
	p, err := NewPublisher("amqp://user:"+secret+"@"+address, PublisherConfig{})
	require.NoError(t, err)
	err = p.Publish("queue", message.NewMessage("m", nil))
	require.ErrorContains(t, err, "1 of 1 messages failed")
	require.ErrorContains(t, err, "connect to "+address)
	require.NotErrorIs(t, err, ErrUnconfirmed, "it was not sent")
	require.NotContains(t, err.Error(), secret)

	// The next attempt pauses first, as long as the context allows.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	msg := message.NewMessageWithContext(ctx, "m", nil)
	require.ErrorIs(t, p.Publish("queue", msg), context.Canceled)
	require.NoError(t, p.Close())
}

func TestDialGivesUpOnASilentBroker(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	d, err := Connection{}.newDialer("amqp://user:"+secret+"@"+silent.Addr().String(), "")
	require.NoError(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { // accept, read, say nothing
		conn, err := silent.Accept()
		if err == nil {
			_, _ = conn.Read(make([]byte, 1))
			cancel(ErrClosed)
			_, _ = conn.Read(make([]byte, 1000)) // until the client hangs up
			_ = conn.Close()
		}
	}()
	_, err = d.dial(ctx)
	require.ErrorIs(t, err, ErrClosed)
	require.NotContains(t, err.Error(), secret)
}
