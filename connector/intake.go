package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cenkalti/backoff/v4"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/notification"
)

// Input is where notifications come from.
type Input struct {
	// Subscriber is any Watermill subscriber. The connector does not close it.
	// Required.
	Subscriber message.Subscriber
	// Topic is what to subscribe to; with RabbitMQ, the name of the queue.
	// Required.
	Topic string
	// Decoder understands the messages. Nil: [notification.Default].
	Decoder notification.Decoder
}

func (in Input) validate() error {
	switch {
	case in.Subscriber == nil:
		return errors.New("Subscriber: must not be nil")
	case in.Topic == "":
		return errors.New("Topic: must not be empty")
	}
	return nil
}

// decoder returns what decodes the input's messages.
func (in Input) decoder() notification.Decoder {
	if in.Decoder == nil {
		return notification.Default()
	}
	return in.Decoder
}

// intake turns the deliveries of one input into marks. A delivery is acked, by a
// nil error, when its marks are committed or when it is stored as rejected.
type intake struct {
	*session

	topic   string
	decoder notification.Decoder

	// A message's handler is called without a context of ours. stopping ends
	// when the connector stops, waiting when its last run has ended.
	stopping, waiting context.Context //nolint:containedctx // see above
}

// handle calls done once, when the message is dealt with. With a durable store it
// does not wait for the commit.
func (in *intake) handle(msg *message.Message, done func(error)) {
	marks, err := in.resolveWhenAvailable(msg)
	switch {
	case err != nil && in.stopping.Err() != nil:
		done(context.Cause(in.stopping))
	case err != nil:
		done(in.reject(msg, err))
	case len(marks) == 0:
		in.meter.notified(in.topic, "irrelevant")
		done(nil)
	case in.waiters != nil || len(marks) > maxBatch:
		done(in.markAndWait(marks))
	default:
		in.marks.Go(marks, func(_ []int64, err error) {
			if err == nil {
				in.meter.notified(in.topic, "marked")
			}
			done(err)
		})
	}
}

// markAndWait returns when the marks are stored and, with a store that is not
// durable, their entities are reconciled.
func (in *intake) markAndWait(marks []work.Mark) error {
	seqs, err := in.storeMarks(marks)
	if err != nil {
		return err
	}
	in.meter.notified(in.topic, "marked")
	if in.waiters == nil {
		return nil
	}
	for i, m := range marks {
		if err := in.waiters.wait(in.waiting, m, seqs[i]); err != nil {
			return err
		}
	}
	return nil
}

// resolveWhenAvailable resolves, and waits for whatever a flow's Keys needs and
// finds unavailable.
func (in *intake) resolveWhenAvailable(msg *message.Message) ([]work.Mark, error) {
	var delays *backoff.ExponentialBackOff
	for {
		marks, err := in.resolve(in.stopping, in.decoder, msg)
		if failure.Of(err) != failure.Unavailable {
			return marks, err
		}
		if delays == nil {
			delays = newBackOff(time.Second, time.Minute)
		}
		in.log.Warn("notification waits", "error", err)
		select {
		case <-in.stopping.Done():
			return nil, err
		case <-time.After(max(delays.NextBackOff(), failure.RetryAfter(err))):
		}
	}
}

// resolve decodes a message and says which entities it marks. A panic of user
// code is an error of the message: repeated, it would panic again.
func (c *Connector) resolve(ctx context.Context, decoder notification.Decoder, msg *message.Message) (marks []work.Mark, err error) {
	defer func() {
		if v := recover(); v != nil {
			marks, err = nil, &panicError{stage: "decode", value: v}
		}
	}()
	ns, err := decoder.Decode(msg)
	if err != nil {
		return nil, err
	}
	for _, n := range ns {
		for _, f := range c.flows {
			if !f.match.Match(n) {
				continue
			}
			keys, err := f.keys(ctx, n)
			if err != nil {
				return nil, fmt.Errorf("flow %q: keys: %w", f.name, err)
			}
			if len(marks)+len(keys) > maxMarks {
				return nil, fmt.Errorf("message: marks more than %d entities; have it published in parts", maxMarks)
			}
			for _, key := range keys {
				if err := key.Validate(); err != nil {
					return nil, fmt.Errorf("flow %q: keys: %w", f.name, err)
				}
				marks = append(marks, markOf(f, n, key))
			}
		}
	}
	return marks, nil
}

// The kinds of the causes that notifications are.
const (
	causeNotification = "notification"
	causeDate         = "date"
)

func markOf(f *flow, n notification.Notification, key entity.Key) work.Mark {
	kind := causeNotification
	if n.NotBefore.After(time.Now()) {
		kind = causeDate
	}
	return work.Mark{
		Flow:     f.name,
		Key:      key,
		Due:      n.NotBefore,
		Priority: work.Live,
		Cause: work.Cause{
			Kind:       kind,
			EventID:    n.Event.ID(),
			Time:       n.Event.Time(),
			RoutingKey: n.RoutingKey,
			Trace:      traceOf(n),
		},
	}
}

// traceOf returns the trace context that a notification carries, by CloudEvents'
// extension for distributed tracing.
func traceOf(n notification.Notification) string {
	trace, _ := n.Event.Extensions()["traceparent"].(string)
	return trace
}

// storeMarks stores marks and returns their Dirty numbers. Many are stored in pieces, so
// that no transaction is long and others get their turn in between.
func (s *session) storeMarks(marks []work.Mark) ([]int64, error) {
	seqs := make([]int64, 0, len(marks))
	for piece := range slices.Chunk(marks, maxBatch) {
		more, err := s.marks.Do(piece)
		if err != nil {
			return nil, err
		}
		seqs = append(seqs, more...)
	}
	return seqs, nil
}

// untilStored repeats a write to the work store until it succeeds or ctx ends. It
// tries once a second in the long run: a connector that stops has a few seconds
// left. It logs an outage of the store once.
func untilStored(ctx context.Context, log *slog.Logger, write func(context.Context) error) error {
	var delays *backoff.ExponentialBackOff
	for failures := 0; ; failures++ {
		err := write(ctx)
		if err == nil {
			if failures > 0 {
				log.Info("work store available again")
			}
			return nil
		}
		if failures == 0 {
			delays = newBackOff(100*time.Millisecond, time.Second)
			if ctx.Err() == nil {
				log.Warn("work store unavailable", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(delays.NextBackOff()):
		}
	}
}
