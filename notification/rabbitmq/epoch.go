package rabbitmq

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
)

var (
	// errStopped is why messages end that were not settled in time.
	errStopped = errors.New("rabbitmq: the subscription has ended")
	// errCancelled is a loss that leaves the channel open.
	errCancelled = errors.New("rabbitmq: the broker cancelled the consumer: the queue was deleted or has moved")
	// errNoDeliveries is a loss whose reason the broker did not give.
	errNoDeliveries = errors.New("rabbitmq: the broker ended the deliveries")
)

// source is what an epoch lives on: one consumer on one channel.
type source struct {
	deliveries <-chan amqp.Delivery
	lost       context.Context // ends with the channel; its cause is the reason
	cancel     func() error    // stops the deliveries, what was delivered stays
	close      func()          // ends the channel, what is not settled is requeued
}

// epoch is the time from one consumer's start to its loss. Delivery tags are
// valid within it only, so an epoch settles its own deliveries and no others.
type epoch struct {
	source
	log *slog.Logger

	// ctx is the parent of the messages' contexts. It ends when nothing can be
	// settled any more; its cause is the reason.
	ctx      context.Context
	end      context.CancelCauseFunc
	inFlight atomic.Int64   // handed out, not settled
	watchers sync.WaitGroup // one for each message in flight
	settled  chan settlement
}

// settlement is what became of a delivery.
type settlement struct {
	amqp.Acknowledger
	tag uint64
	ack bool // or else it is requeued
}

// newEpoch makes an epoch whose messages have the values of ctx, not its end.
func newEpoch(ctx context.Context, s source, prefetch int, log *slog.Logger) *epoch {
	e := &epoch{source: s, log: log, settled: make(chan settlement, prefetch)}
	e.ctx, e.end = context.WithCancelCause(context.WithoutCancel(ctx))
	return e
}

// run hands deliveries to out until ctx ends or the source is lost. In the
// first case it waits for what is in flight, for the grace period at most. It
// returns why it ended, when its goroutines are gone.
func (e *epoch) run(ctx context.Context, out chan<- *message.Message, grace time.Duration) error {
	var tasks sync.WaitGroup
	tasks.Go(e.settle)
	unhook := context.AfterFunc(e.lost, func() { e.end(context.Cause(e.lost)) })
	defer unhook()

	e.handOut(ctx, out)
	if e.ctx.Err() == nil {
		e.drain(grace)
	}
	e.end(errStopped)
	if n := e.inFlight.Load(); n > 0 && e.lost.Err() != nil {
		e.log.Debug("deliveries in flight are void, their late acks are dropped and the broker delivers them again", "count", n)
	}
	e.watchers.Wait()
	close(e.settled)
	tasks.Wait()
	e.close()
	return context.Cause(e.ctx)
}

// handOut hands out deliveries until ctx or the epoch ends.
func (e *epoch) handOut(ctx context.Context, out chan<- *message.Message) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-e.ctx.Done():
			return
		case d, ok := <-e.deliveries:
			if !ok {
				// The reason is on its way by another channel.
				if pause(e.ctx, time.Second) == nil {
					e.end(errNoDeliveries)
				}
				return
			}
			e.handOver(ctx, out, d)
		}
	}
}

// handOver waits until somebody takes the delivery. One that nobody took is
// requeued when the channel closes.
func (e *epoch) handOver(ctx context.Context, out chan<- *message.Message, d amqp.Delivery) {
	msg := fromDelivery(d)
	headers, _ := Headers(msg.Context())
	msgCtx, done := context.WithCancel(context.WithValue(e.ctx, headersKey{}, headers))
	msg.SetContext(msgCtx)
	select {
	case out <- msg:
		e.inFlight.Add(1)
		e.watchers.Go(func() { e.watch(msg, d, done) })
	case <-ctx.Done():
		done()
	case <-e.ctx.Done():
		done()
	}
}

// watch waits until the message is settled or cannot be any more.
func (e *epoch) watch(msg *message.Message, d amqp.Delivery, done context.CancelFunc) {
	s := settlement{Acknowledger: d.Acknowledger, tag: d.DeliveryTag}
	select {
	case <-msg.Acked():
		s.ack = true
	case <-msg.Nacked():
	case <-e.ctx.Done():
		return // which ends the message's context as well, and tells it why
	}
	done()
	e.inFlight.Add(-1)
	e.settled <- s
}

// settle tells the broker. It alone does, so it could do so in groups.
func (e *epoch) settle() {
	for s := range e.settled {
		var err error
		if s.ack {
			err = s.Ack(s.tag, false)
		} else {
			err = s.Nack(s.tag, false, true)
		}
		if err != nil {
			e.log.Debug("a delivery could not be settled, the broker delivers it again", "error", err)
		}
	}
}

// drain stops the deliveries and waits until all in flight are settled, or the
// epoch or the grace period ends.
func (e *epoch) drain(grace time.Duration) {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	if err := e.cancel(); err != nil {
		e.end(err)
		return
	}
	idle := make(chan struct{})
	var waiter sync.WaitGroup
	waiter.Go(func() {
		e.watchers.Wait()
		close(idle)
	})
	select {
	case <-idle:
	case <-e.ctx.Done():
	case <-timer.C:
		e.log.Warn("messages were not settled in time, the broker delivers them again", "count", e.inFlight.Load())
	}
	e.end(errStopped) // lets the watchers go
	waiter.Wait()
}
