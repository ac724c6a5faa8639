package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/notification"
)

// reject stores a message that cannot be used. While the store is unavailable
// the delivery stays unacked.
func (in *intake) reject(msg *message.Message, reason error) error {
	in.log.Error("message rejected", "reason", reason, "bytes", len(msg.Payload))
	rejected := []work.Rejected{{
		Received:   time.Now(),
		Reason:     reason.Error(),
		Topic:      in.topic,
		RoutingKey: msg.Metadata.Get(notification.MetaRoutingKey),
		UUID:       msg.UUID,
		Metadata:   msg.Metadata,
		Payload:    msg.Payload[:min(len(msg.Payload), in.cfg.MaxRejected)],
		Size:       len(msg.Payload),
	}}
	err := untilStored(in.stopping, in.log, func(ctx context.Context) error {
		return in.cfg.Store.Reject(ctx, rejected)
	})
	if err == nil {
		in.meter.notified(in.topic, "rejected")
	}
	return err
}

// Rejected returns messages that could not be used, with the reasons, the last
// first and at most limit. With before, the ID of a message, it returns those
// that were rejected before it. Payload and Metadata may hold personal data.
//
// It may be called at any time, like Replay and Discard.
func (c *Connector) Rejected(ctx context.Context, before string, limit int) ([]work.Rejected, error) {
	rejected, err := c.cfg.Store.ListRejected(ctx, before, limit)
	if err != nil {
		return nil, fmt.Errorf("connector %q: rejected: %w", c.name, err)
	}
	return rejected, nil
}

// Replay takes in rejected messages once more, after whatever was wrong with
// them or with the connector was mended: it decodes each and marks what it is
// about, as if it had just come, and then deletes it. One that cannot be used
// still is kept as it is; the error says which, each with its reason, and the
// others are done all the same.
//
// A message is decoded as one of the input with its topic: one of inputs, which
// are those that Run gets (Subscriber may be nil), or else of those that the
// last Run got. One from no such input is an error: another decoder than its own
// could take it for something else. The middleware is left out, as what it
// makes of a message is what was stored.
func (c *Connector) Replay(ctx context.Context, ids []string, inputs ...Input) error {
	c.mu.Lock()
	inputs = slices.Concat(inputs, c.inputs)
	c.mu.Unlock()
	var errs []error
	replayed := 0
	for _, id := range ids {
		if err := c.replay(ctx, id, inputs); err != nil {
			errs = append(errs, fmt.Errorf("connector %q: replay %q: %w", c.name, id, err))
			continue
		}
		replayed++
	}
	c.signal() // also after errors: a message may be marked and not deleted
	c.cfg.Logger.Info("rejected messages replayed", "connector", c.name, "messages", replayed, "failed", len(errs))
	return errors.Join(errs...)
}

// replay marks first and deletes then, so that a crash in between repeats the
// marks, which does no harm, and loses nothing.
func (c *Connector) replay(ctx context.Context, id string, inputs []Input) error {
	rejected, found, err := c.cfg.Store.GetRejected(ctx, id)
	switch {
	case err != nil:
		return err
	case !found:
		return errors.New("ID: no message is kept under it, any more or yet")
	case rejected.Cut():
		return fmt.Errorf("Payload: %d of %d bytes were kept; have it published again, with a larger MaxRejected if it is rejected once more",
			len(rejected.Payload), rejected.Size)
	}
	decoder, err := decoderFor(rejected.Topic, inputs)
	if err != nil {
		return err
	}
	msg := message.NewMessage(orDefault(rejected.UUID, watermill.NewUUID()), rejected.Payload)
	msg.SetContext(ctx)
	for name, value := range rejected.Metadata {
		msg.Metadata.Set(name, value)
	}
	marks, err := c.resolve(ctx, decoder, msg)
	if err != nil {
		return err
	}
	for piece := range slices.Chunk(marks, maxBatch) {
		if _, err := c.cfg.Store.Mark(ctx, piece); err != nil {
			return err
		}
	}
	_, err = c.cfg.Store.DeleteRejected(ctx, []string{id})
	return err
}

func decoderFor(topic string, inputs []Input) (notification.Decoder, error) {
	if topic == "" { // stored by a version that did not note it
		return notification.Default(), nil
	}
	for _, in := range inputs {
		if in.Topic == topic {
			return in.decoder(), nil
		}
	}
	return nil, fmt.Errorf("Topic: no input has %q; give the inputs that Run gets", topic)
}

// Discard deletes rejected messages and returns how many there were.
func (c *Connector) Discard(ctx context.Context, ids ...string) (int, error) {
	n, err := c.cfg.Store.DeleteRejected(ctx, ids)
	if err != nil {
		return 0, fmt.Errorf("connector %q: discard: %w", c.name, err)
	}
	c.cfg.Logger.Info("rejected messages discarded", "connector", c.name, "messages", n)
	return n, nil
}
