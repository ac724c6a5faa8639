package rabbitmq

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/logtest"
)

func quietPublisher(t *testing.T, url string, config PublisherConfig) *Publisher {
	t.Helper()
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	p, err := NewPublisher(url, config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func letterOf(body string) *message.Message { return message.NewMessage(body, []byte(body)) }

func TestPublisherSendsAgainOnANewConnection(t *testing.T) {
	tests := []struct {
		name string
		bad  answer
	}{
		{"after a nack", nack},
		{"after no answer", silence},
		{"after a hang-up, which says nothing about the message", hangUp},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bad := newPeer(t, func(p *peer) {
				p.answer = func(n int) answer {
					if n == 1 {
						return ack
					}
					return tt.bad
				}
			})
			good := newPeer(t, nil)
			var log logtest.Buffer
			p := quietPublisher(t, "amqp://"+bad.address()+","+good.address(), PublisherConfig{
				ConfirmTimeout: 3 * time.Second, Logger: log.Logger(),
			})
			for i, h := range p.dialer.hosts { // the bad one first
				if h.String() == bad.address() {
					p.dialer.next = i
				}
			}
			require.Equal(t, Idle, p.State().Phase)
			require.NoError(t, p.Publish("key", letterOf("a")))
			require.Equal(t, Ready, p.State().Phase)
			require.Equal(t, bad.address(), p.State().Host)
			require.NoError(t, p.Publish("key", letterOf("b"), letterOf("c")))

			require.Equal(t, good.address(), p.State().Host)
			require.Equal(t, 1, p.State().Reconnects)
			require.Error(t, p.State().LastError)
			require.NotZero(t, p.State().LastErrorAt)
			require.Len(t, bad.all(), 1)
			require.Equal(t, []string{"a", "b"}, bad.all()[0].bodies()[:2])
			require.Len(t, good.all(), 1, "one channel, that never saw the failure")
			require.Equal(t, []string{"b", "c"}, good.all()[0].bodies())
			require.Equal(t, 1, strings.Count(log.String(), "level=WARN"), log.String())
			require.Equal(t, 1, strings.Count(log.String(), "publishing again"), log.String())
		})
	}
}

func TestPublisherGivesUpInTime(t *testing.T) {
	mute := newPeer(t, func(p *peer) { p.answer = func(int) answer { return silence } })
	p := quietPublisher(t, "amqp://"+mute.address(), PublisherConfig{ConfirmTimeout: 2 * time.Second})
	err := p.Publish("key", letterOf("a"))
	require.ErrorIs(t, err, ErrUnconfirmed)
	require.ErrorContains(t, err, "did not confirm it in time")
	require.Equal(t, Connecting, p.State().Phase)
	require.Greater(t, len(mute.all()), 1, "it was sent again")
}

func TestWhatIsPublishedIsPlain(t *testing.T) {
	b := newPeer(t, nil)
	p := quietPublisher(t, "amqp://"+b.address(), PublisherConfig{})
	msg := letterOf("a")
	msg.Metadata.Set("expiration", "1000") // a header, not the property
	msg.Metadata.Set("user_id", "guest")
	require.NoError(t, p.Publish("key", msg))
	properties := b.all()[0].published[0].properties
	const flags = 12 // after class, weight and size
	// Section 4.2.6.1: content type, headers, delivery mode, message id. Bit 8
	// would be the expiration, for which messages behind wait; bit 4 the user id,
	// at which a shovel stops.
	const headers, deliveryMode, messageID = 1 << 13, 1 << 12, 1 << 7
	require.Equal(t, headers|deliveryMode|messageID, int(properties[flags])<<8|int(properties[flags+1]))
}

func TestABlockedPublisherWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := Connection{}.newDialer("amqp://a", "")
		require.NoError(t, err)
		b := &peer{block: "low on memory"}
		l := connected(t, d, b)
		s, err := newSession(t.Context(), l, 10, time.Minute)
		require.NoError(t, err)
		var seen []string
		l.followBlocks(func(reason string) { seen = append(seen, reason) })
		synctest.Wait()
		stop := keepAlive(b)

		// Nothing is sent, and the session stays.
		letters, err := newLetters([]*message.Message{letterOf("a"), letterOf("b")})
		require.NoError(t, err)
		began := time.Now()
		require.NoError(t, s.send("", "queue", letters))
		require.Equal(t, time.Minute, time.Since(began), "once for all")
		for _, l := range letters {
			require.EqualError(t, l.err, "the broker takes no messages now: low on memory")
		}
		require.Empty(t, b.all()[0].bodies())

		// It goes on as soon as the broker does.
		letters, err = newLetters([]*message.Message{letterOf("c")})
		require.NoError(t, err)
		time.AfterFunc(10*time.Second, func() { b.all()[0].send(1, 0, method(10, 61)) })
		began = time.Now()
		require.NoError(t, s.send("", "queue", letters))
		require.NoError(t, letters[0].err)
		require.Equal(t, 10*time.Second, time.Since(began))
		require.Equal(t, []string{"c"}, b.all()[0].bodies())

		// What is under way when it blocks is not sent again.
		b.answer = func(int) answer { return silence }
		letters, err = newLetters([]*message.Message{letterOf("d")})
		require.NoError(t, err)
		time.AfterFunc(time.Second, func() { b.all()[0].send(1, 0, method(10, 60, short("low on disk"))) })
		began = time.Now()
		require.NoError(t, s.send("", "queue", letters))
		require.ErrorIs(t, letters[0].err, ErrUnconfirmed)
		require.ErrorContains(t, letters[0].err, "low on disk")
		require.Equal(t, time.Minute, time.Since(began), "another connection would not help")
		require.NoError(t, l.ctx.Err())

		ctx, cancel := context.WithCancel(t.Context())
		msg := letterOf("e")
		msg.SetContext(ctx)
		letters, err = newLetters([]*message.Message{msg})
		require.NoError(t, err)
		time.AfterFunc(time.Second, cancel)
		require.NoError(t, s.send("", "queue", letters))
		require.ErrorIs(t, letters[0].err, context.Canceled)

		stop()
		s.close()
		b.tasks.Wait()
		require.Equal(t, []string{"low on memory", "", "low on disk", ""}, seen)
	})
}

// keepAlive sends heartbeats on a peer's first connection until stopped.
func keepAlive(b *peer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	b.tasks.Go(func() {
		for pause(ctx, time.Second) == nil {
			b.all()[0].send(8, 0, nil)
		}
	})
	return cancel
}

func TestStateOfABlockedPublisher(t *testing.T) {
	b := newPeer(t, func(p *peer) { p.block = "low on memory" })
	var log logtest.Buffer
	p := quietPublisher(t, "amqp://"+b.address(), PublisherConfig{ConfirmTimeout: 300 * time.Millisecond, Logger: log.Logger()})
	// The broker's word comes with the first connection, and the next call waits.
	require.Eventually(t, func() bool {
		err := p.Publish("queue", letterOf("a"))
		return err != nil && strings.Contains(err.Error(), "the broker takes no messages now: low on memory")
	}, 10*time.Second, time.Millisecond)
	state := p.State()
	require.Equal(t, Blocked, state.Phase)
	require.Equal(t, "low on memory", state.Reason)
	require.Equal(t, b.address(), state.Host)
	b.all()[0].send(1, 0, method(10, 61))
	require.NoError(t, p.Publish("queue", letterOf("b")))
	require.Equal(t, Ready, p.State().Phase)
	require.Empty(t, p.State().Reason)
	require.Len(t, b.all(), 1, "on the same connection")
	require.Equal(t, 1, strings.Count(log.String(), "the broker takes no messages"), log.String())
	require.Equal(t, 1, strings.Count(log.String(), "takes messages again"), log.String())
}

func TestPublisherNoticesALossWhileIdle(t *testing.T) {
	b := newPeer(t, nil)
	var log logtest.Buffer
	p := quietPublisher(t, "amqp://"+b.address(), PublisherConfig{Logger: log.Logger()})
	require.NoError(t, p.Publish("queue", letterOf("a")))
	require.NoError(t, b.all()[0].Close())
	require.Eventually(t, func() bool { return p.State().Phase == Idle }, 10*time.Second, time.Millisecond)
	require.Error(t, p.State().LastError)
	require.NoError(t, p.Publish("queue", letterOf("b")))
	require.Equal(t, Ready, p.State().Phase)
	require.Equal(t, 1, p.State().Reconnects)
	require.Equal(t, []string{"b"}, b.all()[1].bodies())
	require.Equal(t, 1, strings.Count(log.String(), "level=WARN"), log.String())
	require.Equal(t, 1, strings.Count(log.String(), "publishing again"), log.String())
}

// In an outage no call may wait for the attempts of all that came before it.
func TestCallsShareAFailureToConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0 // by one at a time
		p := quietPublisher(t, "amqp://nobody.test", PublisherConfig{Connection: Connection{
			Credentials: func(ctx context.Context) (string, string, error) {
				asked++
				if err := pause(ctx, time.Second); err != nil {
					return "", "", err
				}
				return "", "", errors.New("the vault is closed")
			},
		}})
		hasty, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		require.ErrorIs(t, p.Publish("queue", message.NewMessageWithContext(hasty, "a", nil)), context.DeadlineExceeded)
		time.Sleep(time.Second) // the pause after it

		began := time.Now()
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				if err := p.Publish("queue", letterOf("a")); !strings.Contains(err.Error(), "the vault is closed") {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		require.Equal(t, 2, asked)
		require.Equal(t, time.Second, time.Since(began))
		require.ErrorContains(t, p.Publish("queue", letterOf("a")), "the vault is closed")
		require.Equal(t, 3, asked, "a later call tries for itself")
	})
}

// What ends one caller's attempt is not the others' failure.
func TestACallersEndIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := quietPublisher(t, "amqp://nobody.test", PublisherConfig{Connection: Connection{
			Credentials: func(ctx context.Context) (string, string, error) {
				return "", "", errors.Join(pause(ctx, time.Second), errors.New("the vault is closed"))
			},
		}})
		hasty, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		var callers sync.WaitGroup
		callers.Go(func() { _ = p.Publish("queue", message.NewMessageWithContext(hasty, "a", nil)) })
		synctest.Wait()
		err := p.Publish("queue", letterOf("b"))
		callers.Wait()
		require.ErrorContains(t, err, "the vault is closed")
		require.NotErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestASilentBrokerIsNotWaitedForToClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 3 * time.Second
		p := quietPublisher(t, "amqp://nobody.test", PublisherConfig{ConfirmTimeout: timeout, Connection: Connection{
			Credentials: func(context.Context) (string, string, error) { return "", "", errors.New("the vault is closed") },
		}})
		stop := make(chan struct{})
		b := &peer{answer: func(int) answer { <-stop; return silence }} // it reads no more
		s, err := newSession(t.Context(), connected(t, p.dialer, b), 10, timeout)
		require.NoError(t, err)
		p.now = s
		began := time.Now()
		err = p.Publish("queue", letterOf("a"))
		require.ErrorIs(t, err, ErrUnconfirmed)
		require.ErrorContains(t, err, "the vault is closed", "the new connection")
		require.Less(t, time.Since(began), timeout/3+time.Second, "the pause before it is shorter")
		require.NoError(t, p.Close())
		close(stop)
		b.tasks.Wait()
	})
}

// A session that is still in use after its retirement says nothing about the
// connection that has taken its place.
func TestARetiredSessionDoesNotChangeTheState(t *testing.T) {
	p := quietPublisher(t, "amqp://nobody.test", PublisherConfig{})
	s := &session{link: &link{}, users: 1}
	s.followBlocks(p.status.block)
	p.now = s
	p.retire(s, errRefused)
	p.status.connected("its successor's host")
	s.block(amqp.Blocking{Active: true, Reason: "low on memory"})
	require.Equal(t, Ready, p.State().Phase)
}
