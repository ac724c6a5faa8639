package connector

import (
	"context"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
)

// take subscribes to all inputs and handles their messages until ctx ends.
func (s *session) take(takeCtx, waitCtx context.Context, inputs []Input) error {
	ctx, cancel := context.WithCancelCause(takeCtx)
	defer cancel(nil)
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: s.cfg.StopTimeout}, logAdapter{s.log})
	if err != nil {
		return fmt.Errorf("connector %q: %w", s.name, err)
	}
	router.AddMiddleware(s.cfg.Middleware...)
	in := &intake{session: s, crew: newCrew(), stopping: ctx, waiting: waitCtx}
	defer in.crew.end()
	subscriptions, err := subscribe(ctx, func() { cancel(nil) }, inputs)
	if err != nil {
		return fmt.Errorf("connector %q: %w", s.name, err)
	}
	// The Router is not stopped by its context but by the end of its messages:
	// while it stops, it must not be given any more.
	routing, stopRouting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRouting()
	var forwarding sync.WaitGroup
	defer forwarding.Wait()
	for i, input := range inputs {
		messages := make(chan *message.Message)
		forwarding.Go(func() {
			defer stopRouting()
			forward(ctx, subscriptions[i], messages)
			cancel(fmt.Errorf("connector %q: input %d: has ended", s.name, i))
		})
		router.AddConsumerHandler(fmt.Sprintf("%d %s", i, input.Topic), input.Topic, subscription(messages), in.handler(input))
	}
	if err := router.Run(routing); err != nil {
		return fmt.Errorf("connector %q: %w", s.name, err)
	}
	if takeCtx.Err() == nil {
		return context.Cause(ctx)
	}
	return nil
}

// subscription is a subscriber that has subscribed already. Watermill's Router
// leaves a goroutine behind when a subscriber refuses, and closes subscribers,
// which are the caller's.
type subscription <-chan *message.Message

func (s subscription) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	return s, nil
}

func (subscription) Close() error { return nil }

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

// forward passes messages on until ctx ends, and gives back what comes after.
func forward(ctx context.Context, from <-chan *message.Message, to chan<- *message.Message) {
	defer refuse(from)
	defer close(to)
	for {
		select {
		case msg, open := <-from:
			if !open {
				return
			}
			select {
			case to <- msg:
			case <-ctx.Done():
				msg.Nack()
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func refuse(messages <-chan *message.Message) {
	for msg := range messages {
		msg.Nack()
	}
}
