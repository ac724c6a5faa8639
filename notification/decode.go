package notification

import (
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"
)

// ErrUnknown is returned by a Decoder for a message that is not of its dialect.
var ErrUnknown = errors.New("message: not a known dialect of notifications")

// Decoder understands one dialect of notifications.
//
// For implementers:
//   - It recognises its dialect by the content; the content type is often wrong
//     or missing. What it does not recognise is ErrUnknown, and the next decoder
//     has its turn; any other error rejects the message.
//   - It returns all notifications of the message, at least one, or an error.
//   - It is called concurrently, must not change the message nor keep its bytes.
//   - Its errors hold nothing of the message but names of fields.
type Decoder interface {
	Decode(msg *message.Message) ([]Notification, error)
}

// DecoderFunc is a Decoder made of a function.
type DecoderFunc func(msg *message.Message) ([]Notification, error)

// Decode calls f.
func (f DecoderFunc) Decode(msg *message.Message) ([]Notification, error) { return f(msg) }

// Decoders tries one after the other until one knows the dialect. An own
// dialect goes in front of the others:
//
//	notification.Decoders{mine, notification.Default()}
type Decoders []Decoder

// Decode implements Decoder.
func (d Decoders) Decode(msg *message.Message) ([]Notification, error) {
	for _, one := range d {
		ns, err := one.Decode(msg)
		if errors.Is(err, ErrUnknown) {
			continue
		}
		if err == nil && len(ns) == 0 {
			return nil, fmt.Errorf("%T: returned neither a notification nor an error", one)
		}
		return ns, err
	}
	return nil, ErrUnknown
}
