package notification

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/konnektor-go/konnektor/calendar"
)

// MaxSize is the size of the largest message that is decoded by default, in
// bytes. Notifications are thin: a few hundred bytes.
const MaxSize = 1 << 20

// DecoderConfig says how [NewDecoder]'s decoder reads messages. The zero value
// works.
type DecoderConfig struct {
	// MaxSize is the size of the largest message that is decoded, in bytes.
	// Default [MaxSize].
	MaxSize int
	// MaxDepth is how deep the objects and arrays of a message may nest.
	// Default 32.
	MaxDepth int
	// MaxBatch is how many notifications a batch may hold. Default 10,000.
	MaxBatch int
	// Location is where dates hold that name no zone, in dialects whose dates
	// are local. Default Europe/Oslo, also on machines without a time zone
	// database.
	Location *time.Location
	// DataFields are the fields of a CloudEvent's data that can name the entity
	// if there is no subject, such as "person_id" or, nested, "person.id". The
	// first that is there is used. The field's name without its ending "_id" or
	// "Id" is the key's type; for "id", it is the name of the object around it.
	// Default: for each word of the event's type, from the first on, the field
	// of that name with such an ending ("person_id" in an event of type
	// "person.update"); then "id", with the last word but one of the event's type
	// as the key's type; then the only field with such an ending.
	DataFields []string
}

func (c DecoderConfig) withDefaults() DecoderConfig {
	if c.MaxSize == 0 {
		c.MaxSize = MaxSize
	}
	if c.MaxDepth == 0 {
		c.MaxDepth = 32
	}
	if c.MaxBatch == 0 {
		c.MaxBatch = 10_000
	}
	if c.Location == nil {
		c.Location = calendar.Oslo()
	}
	c.DataFields = slices.Clone(c.DataFields)
	return c
}

func (c DecoderConfig) validate() error {
	switch {
	case c.MaxSize < 0:
		return errors.New("MaxSize: must not be negative")
	case c.MaxDepth < 0:
		return errors.New("MaxDepth: must not be negative")
	case c.MaxBatch < 0:
		return errors.New("MaxBatch: must not be negative")
	}
	for i, path := range c.DataFields {
		if slices.Contains(strings.Split(path, "."), "") {
			return fmt.Errorf(`DataFields[%d]: must be the name of a field, or names with dots between them: "person_id", "person.id"`, i)
		}
	}
	return nil
}

// NewDecoder returns a decoder of all dialects that this package knows, see the
// package comment. An own dialect goes in front of it, see [Decoders].
func NewDecoder(config DecoderConfig) (Decoder, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	return &decoder{config.withDefaults()}, nil
}

// Default returns [NewDecoder]'s decoder for the zero DecoderConfig.
func Default() Decoder { return &decoder{DecoderConfig{}.withDefaults()} }

type decoder struct{ DecoderConfig }

// delivery is what is known of one notification besides its text.
type delivery struct {
	routingKey, exchange, messageID string
	// index is the place in a batch, -1 outside of one.
	index int
	// size is the length of the whole message, in bytes.
	size int
}

var byteOrderMark = []byte("\ufeff")

// Decode implements Decoder.
func (d *decoder) Decode(msg *message.Message) ([]Notification, error) {
	if len(msg.Payload) > d.MaxSize {
		return nil, fmt.Errorf("message: %d bytes, at most %d are read", len(msg.Payload), d.MaxSize)
	}
	in := delivery{
		routingKey: msg.Metadata.Get(MetaRoutingKey),
		exchange:   msg.Metadata.Get(MetaExchange),
		messageID:  msg.Metadata.Get(MetaMessageID),
		index:      -1,
		size:       len(msg.Payload),
	}
	body := bytes.TrimSpace(bytes.TrimPrefix(msg.Payload, byteOrderMark))
	if headers, err := binaryHeaders(msg.Metadata); err != nil {
		return nil, err
	} else if headers != nil && !d.isCloudEvent(body) {
		return d.binary(in, headers, msg)
	}
	switch {
	case len(body) == 0:
		return nil, errors.New("message: is empty")
	case !utf8.Valid(body):
		return nil, errors.New("message: is not valid UTF-8")
	case body[0] == '[':
		return d.batch(in, body)
	default:
		return d.text(in, body)
	}
}

// isCloudEvent reports whether body is a CloudEvent by itself, so that headers
// of another only repeat it.
func (d *decoder) isCloudEvent(body []byte) bool {
	if len(body) == 0 || body[0] != '{' || !utf8.Valid(body) {
		return false
	}
	o, err := readObject(body, d.MaxDepth, nil)
	return err == nil && o.get("specversion") != nil
}

// text decodes a text that is no array.
func (d *decoder) text(in delivery, body []byte) ([]Notification, error) {
	switch body[0] {
	case '{':
		return d.object(in, body)
	case '"':
		if err := checkString(body); err != nil {
			return nil, err
		}
		ref, err := textOf("message", body)
		if err != nil {
			return nil, err
		}
		return one(d.reference(in, ref))
	default:
		return one(d.reference(in, string(body)))
	}
}

func (d *decoder) object(in delivery, body []byte) ([]Notification, error) {
	var buf [16]member
	o, err := readObject(body, d.MaxDepth, buf[:0])
	if err != nil {
		return nil, err
	}
	switch {
	case looksLikeCloudEvent(o):
		return d.structured(in, o)
	case looksLikeSCIM(o):
		return d.scim(in, o, body)
	case looksLikeClaims(o):
		return one(d.claims(in, o, body))
	case looksLikeDFO(o):
		return one(d.dfo(in, o, body))
	default:
		return nil, ErrUnknown
	}
}

// batch decodes an array of any of the dialects. One bad element refuses all:
// a message is rejected as a whole or not at all, and none is lost unseen.
func (d *decoder) batch(in delivery, body []byte) ([]Notification, error) {
	elements, err := readArray(body, d.MaxDepth)
	if err != nil {
		return nil, err
	}
	switch n := len(elements); {
	case n == 0:
		return nil, errors.New("message: is a batch of nothing")
	case n > d.MaxBatch:
		return nil, fmt.Errorf("message: is a batch of %d, at most %d are read", n, d.MaxBatch)
	}
	all := make([]Notification, 0, len(elements))
	for i, element := range elements {
		if element[0] != '{' && element[0] != '"' {
			return nil, fmt.Errorf("[%d]: is neither an object nor a text", i)
		}
		in.index = i
		ns, err := d.text(in, element)
		switch {
		case errors.Is(err, ErrUnknown): // it says that of the whole message
			return nil, fmt.Errorf("[%d]: is of no known dialect", i)
		case err != nil:
			return nil, fmt.Errorf("[%d].%w", i, err)
		}
		all = append(all, ns...)
	}
	return all, nil
}

func one(n Notification, err error) ([]Notification, error) {
	if err != nil {
		return nil, err
	}
	return []Notification{n}, nil
}
