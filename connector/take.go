package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// take subscribes to all inputs and handles their messages until ctx ends.
func (s *session) take(takeCtx, waitCtx context.Context, inputs []Input) error {
	ctx, cancel := context.WithCancelCause(takeCtx)
	defer cancel(nil)
	subscriptions, err := subscribe(ctx, func() { cancel(nil) }, inputs)
	if err != nil {
		return fmt.Errorf("connector %q: %w", s.name, err)
	}
	var taking sync.WaitGroup
	for i, input := range inputs {
		in := &intake{session: s, topic: input.Topic, decoder: input.decoder(), stopping: ctx, waiting: waitCtx}
		r := &receivers{intake: in, messages: subscriptions[i]}
		r.ended = func() { cancel(fmt.Errorf("connector %q: input %d: has ended", s.name, i)) }
		r.handler = r.wrapped(s.cfg.Middleware)
		taking.Go(r.run)
	}
	taking.Wait()
	if takeCtx.Err() == nil {
		return context.Cause(ctx)
	}
	return nil
}

// subscribe subscribes to all inputs, or cancels ctx and leaves none.
func subscribe(ctx context.Context, cancel func(), inputs []Input) ([]<-chan *message.Message, error) {
	subscriptions := make([]<-chan *message.Message, len(inputs))
	for i, input := range inputs {
		messages, err := input.Subscriber.Subscribe(ctx, input.Topic)
		if err != nil {
			cancel()
			for _, subscribed := range subscriptions[:i] {
				refuse(subscribed)
			}
			return nil, fmt.Errorf("input %d: %w", i, err)
		}
		subscriptions[i] = messages
	}
	return subscriptions, nil
}

func refuse(messages <-chan *message.Message) {
	for msg := range messages {
		msg.Nack()
	}
}

// receivers are the goroutines that handle the messages of one input. One of
// them waits for a message at any time, however long others take with theirs.
type receivers struct {
	*intake

	messages <-chan *message.Message
	ended    func()              // to be called when the messages end
	handler  message.HandlerFunc // nil: no middleware

	waiting atomic.Int64 // for a message
	going   sync.WaitGroup
	pending sync.WaitGroup // messages that are not settled
}

// run returns when the messages have ended, or it has stopped, and all are
// settled.
func (r *receivers) run() {
	r.waiting.Add(1)
	r.going.Go(r.receive)
	r.going.Wait()
	refuse(r.messages)
	r.pending.Wait()
}

// receive handles messages, until it has had none for a while and others wait for
// one. It counts as waiting when it is called.
func (r *receivers) receive() {
	idle := time.NewTimer(keepIdle)
	defer idle.Stop()
	for {
		select {
		case <-r.stopping.Done():
			return
		case msg, open := <-r.messages:
			if !open {
				r.ended()
				return
			}
			r.pending.Add(1)
			if r.waiting.Add(-1) == 0 {
				r.waiting.Add(1)
				r.going.Go(r.receive)
			}
			r.deliver(msg)
			r.waiting.Add(1)
		case <-idle.C:
			if r.dismiss() {
				return
			}
			continue // the last one sleeps until there is a message
		}
		idle.Reset(keepIdle)
	}
}

// dismiss reports whether a receiver that waits may end, because others wait too.
func (r *receivers) dismiss() bool {
	for {
		n := r.waiting.Load()
		if n <= 1 {
			return false
		}
		if r.waiting.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// errNoHandling is what comes of a message when user code ends its goroutine.
var errNoHandling = errors.New("the handling of the message ended its goroutine (runtime.Goexit)")

// deliver has a message handled and settled. It does not always wait for that.
func (r *receivers) deliver(msg *message.Message) {
	handled := false
	defer func() { // also when user code ends the goroutine
		if !handled {
			r.settle(msg, errNoHandling)
		}
	}()
	if r.handler == nil {
		r.handle(msg, func(err error) { r.settle(msg, err) })
		handled = true
		return
	}
	err := r.callHandler(msg)
	handled = true
	r.settle(msg, err)
}

// settle acks a message, or has it delivered again.
func (r *receivers) settle(msg *message.Message, err error) {
	defer r.pending.Done()
	if err == nil {
		msg.Ack()
		return
	}
	if r.stopping.Err() == nil {
		r.log.Error("message goes back", "error", err)
	}
	msg.Nack()
}

// wrapped returns what handles a message within the middleware, nil if there is
// none.
func (r *receivers) wrapped(middleware []message.HandlerMiddleware) message.HandlerFunc {
	if len(middleware) == 0 {
		return nil
	}
	var handler message.HandlerFunc = func(msg *message.Message) ([]*message.Message, error) {
		done := make(chan error, 1)
		r.handle(msg, func(err error) { done <- err })
		return nil, <-done
	}
	for _, wrap := range slices.Backward(middleware) {
		handler = wrap(handler)
	}
	return handler
}

// callHandler calls the middleware. A panic in it is an error of the message.
func (r *receivers) callHandler(msg *message.Message) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{stage: "middleware", value: v}
		}
	}()
	produced, err := r.handler(msg)
	if err == nil && len(produced) > 0 {
		return errors.New("middleware: makes messages, and a connector publishes none: publish them there")
	}
	return err
}
