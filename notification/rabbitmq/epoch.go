package rabbitmq

import (
	"context"
	"errors"
	"log/slog"
	"sync"
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
	host       string // that the channel is on
	deliveries <-chan amqp.Delivery
	channel    amqp.Acknowledger
	lost       context.Context // ends with the channel; its cause is the reason
	flush      func() error    // returns when the queue has done all that was sent before
	close      func()          // ends the channel, what is not settled is requeued
}

// epoch is the time from one consumer's start to its loss. Delivery tags are
// valid within it only, so an epoch settles its own deliveries and no others.
type epoch struct {
	source
	log *slog.Logger

	// ctx is the parent of the messages' contexts. It ends when nothing can be
	// settled any more; its cause is the reason.
	ctx     context.Context
	end     context.CancelCauseFunc
	settler *settler
}

// newEpoch makes an epoch whose messages have the values of ctx, not its end.
func newEpoch(ctx context.Context, s source, prefetch int, log *slog.Logger) *epoch {
	e := &epoch{source: s, log: log, settler: newSettler(s.channel, prefetch, log)}
	e.ctx, e.end = context.WithCancelCause(context.WithoutCancel(ctx))
	return e
}

// run hands deliveries to out until ctx ends or the source is lost. In the
// first case it waits for what is in flight, for the grace period at most. It
// returns why it ended, when its goroutines are gone.
func (e *epoch) run(ctx context.Context, out chan *message.Message, grace time.Duration) error {
	var tasks sync.WaitGroup
	settled := make(chan struct{})
	tasks.Go(func() {
		defer close(settled)
		e.settler.run(e.ctx)
	})
	unhook := context.AfterFunc(e.lost, func() { e.end(context.Cause(e.lost)) })
	defer unhook()

	e.handOut(ctx, out)
	takeBack(out)
	e.drain(settled, grace)
	tasks.Wait()
	if e.lost.Err() == nil {
		// A quorum queue takes acks in its own time, and RabbitMQ forgets those
		// that wait when the channel closes: it delivers the messages again.
		if err := e.flush(); err != nil {
			e.log.Debug("the last acks may be lost, the broker delivers their messages again", "error", err)
		}
	}
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
			if !e.handOver(ctx, out, d) {
				return
			}
		}
	}
}

// handOver waits for room for the delivery, and reports whether there was any.
// What nobody took is requeued when the channel closes. Nothing after it may be
// handed out, because a group of acks would settle it too.
func (e *epoch) handOver(ctx context.Context, out chan<- *message.Message, d amqp.Delivery) bool {
	f := newFlight(e.ctx, d)
	select {
	case out <- f.msg:
		e.settler.add(f)
		return true
	case <-ctx.Done():
	case <-e.ctx.Done():
	}
	return false
}

// takeBack takes what nobody has taken yet. It is requeued, in its order, when the
// channel closes.
func takeBack(out <-chan *message.Message) {
	for {
		select {
		case msg := <-out:
			msg.Context().(*flight).back.Store(true) //nolint:forcetypeassert // nobody else had it
		default:
			return
		}
	}
}

// drain waits until all in flight are settled, or the epoch or the grace period
// ends. The consumer stays, although nothing more is handed out: a cancelled one
// is replaced at once where consumers take turns, and its successor would work on
// the next messages while ours are still in flight. The end of the channel hands
// over, and then nothing is in flight.
func (e *epoch) drain(settled <-chan struct{}, grace time.Duration) {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	close(e.settler.last)
	select {
	case <-settled:
	case <-timer.C:
	}
	e.end(errStopped)
	<-settled
	switch n := e.settler.inFlight(); {
	case n == 0:
	case e.lost.Err() != nil:
		e.log.Debug("deliveries in flight are void, their late acks are dropped and the broker delivers them again", "count", n)
	default:
		e.log.Warn("messages were not settled in time, the broker delivers them again", "count", n)
	}
}
