package rabbitmq

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
)

var errCut = errors.New("cut")

// fakeBroker stands for all epochs of a subscription.
type fakeBroker struct {
	log  bytes.Buffer
	stop context.CancelFunc
	sub  *subscription
	done chan struct{} // closed when the subscription's run has returned

	mu     sync.Mutex
	events []string // what the epochs did, in order: "1 ack 3", "1 flush", "1 close"
	epochs []*fakeEpoch
	down   error // why opening fails, nil if it works
	tries  []time.Time
}

// fakeEpoch is one consumer of a fake broker.
type fakeEpoch struct {
	broker     *fakeBroker
	number     int
	deliveries chan amqp.Delivery
	lose       context.CancelCauseFunc
	tag        uint64
}

// deliver puts messages into the client's buffer of deliveries.
func (e *fakeEpoch) deliver(bodies ...string) {
	for _, body := range bodies {
		e.tag++
		e.deliveries <- amqp.Delivery{Acknowledger: e, DeliveryTag: e.tag, Body: []byte(body)}
	}
}

// cut ends the epoch as the client library does.
func (e *fakeEpoch) cut(reason error) {
	e.lose(reason)
	close(e.deliveries)
}

func (e *fakeEpoch) note(what string) {
	e.broker.mu.Lock()
	defer e.broker.mu.Unlock()
	e.broker.events = append(e.broker.events, fmt.Sprintf("%d %s", e.number, what))
}

func (e *fakeEpoch) Ack(tag uint64, multiple bool) error {
	upTo := ""
	if multiple {
		upTo = "up to "
	}
	e.note(fmt.Sprintf("ack %s%d", upTo, tag))
	return nil
}

func (e *fakeEpoch) Nack(tag uint64, multiple, requeue bool) error {
	e.note(fmt.Sprintf("nack %d requeue=%t", tag, requeue))
	return nil
}

func (e *fakeEpoch) Reject(uint64, bool) error { return errors.New("not used") }

func newFakeBroker(ctx context.Context, down error) *fakeBroker {
	b := &fakeBroker{down: down, done: make(chan struct{})}
	ctx, b.stop = context.WithCancel(ctx)
	b.sub = &subscription{
		open:   b.open,
		out:    make(chan *message.Message),
		grace:  30 * time.Second,
		status: newTracker("queue", Connecting),
		log:    slog.New(slog.NewTextHandler(&b.log, nil)),
	}
	go func() {
		defer close(b.done)
		b.sub.run(ctx)
	}()
	synctest.Wait()
	return b
}

func (b *fakeBroker) open(ctx context.Context) (*epoch, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries = append(b.tries, time.Now())
	if b.down != nil {
		return nil, b.down
	}
	e := &fakeEpoch{broker: b, number: len(b.epochs) + 1, deliveries: make(chan amqp.Delivery, 100)}
	b.epochs = append(b.epochs, e)
	var lost context.Context
	lost, e.lose = context.WithCancelCause(context.Background())
	return newEpoch(ctx, source{
		host:       "fake",
		deliveries: e.deliveries, channel: e, lost: lost,
		flush: func() error { e.note("flush"); return nil },
		close: func() { e.note("close"); e.lose(errLinkClosed) },
	}, 100, b.sub.log), nil
}

func (b *fakeBroker) epoch(number int) *fakeEpoch {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.epochs[number-1]
}

func (b *fakeBroker) repair(reason error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = reason
}

// take returns what happened since the last call, once everything is quiet and
// no ack waits for others.
func (b *fakeBroker) take() []string {
	time.Sleep(lookDelay + ackHold + 2*ackDelay)
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	events := b.events
	b.events = nil
	return events
}

// next returns the next message, which must be there or come in time.
func (b *fakeBroker) next(t *testing.T, body string) *message.Message {
	t.Helper()
	select {
	case msg, ok := <-b.sub.out:
		require.True(t, ok, "the output is closed")
		require.Equal(t, body, string(msg.Payload))
		return msg
	case <-time.After(time.Hour):
		require.Fail(t, "no message")
		return nil
	}
}

// end checks that the subscription has ended and everything is gone.
func (b *fakeBroker) end(t *testing.T) {
	t.Helper()
	b.stop()
	for range b.sub.out {
	}
	<-b.done
}

func TestMessagesAreInFlightTogetherAndSettledOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(t.Context(), nil)
		b.epoch(1).deliver("a", "b", "c")
		first, second, third := b.next(t, "a"), b.next(t, "b"), b.next(t, "c")
		require.Empty(t, b.take())

		third.Ack()
		require.Equal(t, []string{"1 ack 3"}, b.take())
		require.Error(t, third.Context().Err(), "it is settled")
		require.NoError(t, first.Context().Err())
		first.Nack()
		require.Equal(t, []string{"1 nack 1 requeue=true"}, b.take())
		second.Ack()
		require.Equal(t, []string{"1 ack 2"}, b.take())
		b.end(t)
	})
}

func TestALossEndsMessagesAndDropsLateAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(t.Context(), nil)
		b.epoch(1).deliver("a", "b")
		old := b.next(t, "a")
		b.epoch(1).cut(errCut)
		require.Equal(t, []string{"1 close"}, b.take())
		require.ErrorIs(t, context.Cause(old.Context()), errCut)

		time.Sleep(time.Minute)
		synctest.Wait()
		b.epoch(2).deliver("a again")
		again := b.next(t, "a again") // "b" was not handed out either: it comes again
		require.True(t, old.Ack(), "nothing tells the handler off")
		require.Empty(t, b.take(), "the late ack settled something")
		again.Ack()
		require.Equal(t, []string{"2 ack 1"}, b.take())
		b.end(t)
	})
}

func TestEndedDeliveriesAreNoMessages(t *testing.T) {
	for _, reason := range []error{errCancelled, nil} {
		t.Run(fmt.Sprint(reason), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newFakeBroker(t.Context(), nil)
				if reason != nil {
					b.epoch(1).lose(reason)
				}
				close(b.epoch(1).deliveries) // a receiver gets empty deliveries for ever
				time.Sleep(time.Minute)
				synctest.Wait()
				b.epoch(2).deliver("x")
				b.next(t, "x").Ack()
				want := reason
				if want == nil {
					want = errNoDeliveries
				}
				require.Contains(t, b.log.String(), want.Error())
				b.end(t)
			})
		})
	}
}

// What was not handed out may be below the tag of a group of acks, so nothing
// after it is handed out either.
func TestNothingIsHandedOutAfterAGap(t *testing.T) {
	for range 2000 {
		deliveries := make(chan amqp.Delivery, 3)
		for tag := range uint64(cap(deliveries)) {
			deliveries <- amqp.Delivery{DeliveryTag: tag + 1, Body: fmt.Append(nil, tag+1)}
		}
		e := newEpoch(t.Context(), source{deliveries: deliveries}, 100, slog.New(slog.DiscardHandler))
		out := make(chan *message.Message)
		var task sync.WaitGroup
		task.Go(func() {
			defer close(out)
			e.handOut(t.Context(), out)
		})
		task.Go(func() { e.end(errCancelled) })
		for range rand.IntN(10) {
			runtime.Gosched()
		}
		want := 0
		for msg := range out {
			want++
			require.Equal(t, strconv.Itoa(want), string(msg.Payload))
		}
		task.Wait()
	}
}

func TestConnectingIsTriedForEverWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(t.Context(), errCut)
		time.Sleep(24 * time.Hour)
		b.mu.Lock()
		require.Less(t, len(b.tries), 24*3600*2/5+20, "a hot loop")
		require.Greater(t, len(b.tries), 24*3600/8, "it gave up")
		first := b.tries[1].Sub(b.tries[0])
		require.True(t, 100*time.Millisecond <= first && first <= time.Second, "%s", first)
		delays := map[time.Duration]bool{}
		for i := 20; i < len(b.tries); i++ {
			delay := b.tries[i].Sub(b.tries[i-1])
			require.True(t, 5*time.Second/2 <= delay && delay <= 15*time.Second/2, "%s", delay)
			delays[delay] = true
		}
		require.Greater(t, len(delays), 100, "no jitter: all clients come back together")
		b.mu.Unlock()
		require.Equal(t, 1, strings.Count(b.log.String(), "level="), b.log.String())
		require.Contains(t, b.log.String(), `level=WARN msg="not consuming, will try until it works" error=cut`)

		b.repair(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 1, strings.Count(b.log.String(), "level=INFO msg=consuming host=fake"), b.log.String())
		b.epoch(1).deliver("x")
		b.next(t, "x").Ack()

		// After a good time the next loss is treated as the first.
		b.epoch(1).cut(errCut)
		time.Sleep(time.Second)
		synctest.Wait()
		b.epoch(2).deliver("y")
		b.next(t, "y").Ack()
		require.Equal(t, 4, strings.Count(b.log.String(), "level="), b.log.String())
		b.end(t)
	})
}

func TestABrokerThatKeepsLosingUsIsNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(t.Context(), nil)
		for number := 1; number <= 20; number++ {
			b.epoch(number).cut(errCut)
			time.Sleep(30 * time.Second)
			synctest.Wait()
			b.mu.Lock()
			require.Len(t, b.epochs, number+1)
			b.mu.Unlock()
		}
		b.end(t)
	})
}

func TestStopLetsMessagesInFlightFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		b := newFakeBroker(context.WithValue(t.Context(), key{}, "value"), nil)
		b.epoch(1).deliver("a", "b", "c")
		first, second := b.next(t, "a"), b.next(t, "b")
		b.stop()
		require.Empty(t, b.take(), "another consumer must not start while messages are in flight")
		select {
		case <-b.sub.out:
			require.Fail(t, "a message or the end of the output")
		default:
		}
		require.NoError(t, first.Context().Err(), "it can still be settled")
		require.Equal(t, "value", first.Context().Value(key{}))

		time.Sleep(29 * time.Second)
		first.Ack()
		require.Equal(t, []string{"1 ack 1"}, b.take())
		second.Nack()
		require.Equal(t, []string{"1 nack 2 requeue=true", "1 flush", "1 close"}, b.take(), "the third goes back by the close")
		_, open := <-b.sub.out
		require.False(t, open)
		<-b.done
	})
}

func TestStopTimeoutEndsWhatWasNotSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(t.Context(), nil)
		b.epoch(1).deliver("a")
		msg := b.next(t, "a")
		began := time.Now()
		b.stop()
		<-b.done
		require.Equal(t, 30*time.Second, time.Since(began))
		require.Equal(t, []string{"1 flush", "1 close"}, b.take())
		require.ErrorIs(t, context.Cause(msg.Context()), errStopped)
		msg.Ack()
		require.Empty(t, b.take())
		require.Contains(t, b.log.String(), "messages were not settled in time")
	})
}

func TestALossDuringAStopEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(t.Context(), nil)
		b.epoch(1).deliver("a")
		msg := b.next(t, "a")
		b.stop()
		synctest.Wait()
		began := time.Now()
		b.epoch(1).cut(errCut)
		<-b.done
		require.Zero(t, time.Since(began))
		require.ErrorIs(t, context.Cause(msg.Context()), errCut)
	})
}

func TestStopWhileNobodyReadsOrNothingIsConnected(t *testing.T) {
	for _, down := range []error{nil, errCut} {
		t.Run(fmt.Sprintf("down: %v", down), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newFakeBroker(t.Context(), down)
				if down == nil {
					b.epoch(1).deliver("a", "b")
				}
				synctest.Wait()
				b.stop()
				<-b.done
				_, open := <-b.sub.out
				require.False(t, open)
			})
		})
	}
}
