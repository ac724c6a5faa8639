package rabbitmq

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/konnektor-go/konnektor/notification"
)

const (
	// watermillUUID is the header in which watermill-amqp keeps the UUID.
	watermillUUID = "_watermill_message_uuid"
	deliveryCount = "x-delivery-count"

	// maxShort is the longest short string of AMQP 0.9.1, section 4.2.5.3, in
	// bytes. The client library cuts longer ones without a word.
	maxShort = 255
	// maxHeaders bounds all headers of a message, in bytes. They must fit in
	// one frame, 128 KiB by default; a broker that gets a larger one closes the
	// connection, and with it the other messages under way.
	maxHeaders = 64 << 10
)

type headersKey struct{}

// Headers returns the AMQP headers of the delivery that a message of a
// [Subscriber] came in, with their types, by the message's context. It is false
// for messages from elsewhere. The table is shared: do not change it.
func Headers(ctx context.Context) (amqp.Table, bool) {
	headers, ok := ctx.Value(headersKey{}).(amqp.Table)
	return headers, ok
}

// fromDelivery makes a message of a delivery. The message's context is ctx with
// the headers.
func fromDelivery(ctx context.Context, d amqp.Delivery) *message.Message {
	msg, headers := convert(d)
	msg.SetContext(context.WithValue(ctx, headersKey{}, headers))
	return msg
}

// convert makes a message of a delivery, see the package comment, and returns the
// delivery's headers too. It takes any delivery: what cannot be used is left out.
func convert(d amqp.Delivery) (*message.Message, amqp.Table) {
	headers := trusted(d)
	msg := message.NewMessage(uuidOf(d), d.Body)
	for name, value := range headers {
		if name != watermillUUID && !notification.ReservedMeta(name) {
			msg.Metadata[name] = text(value)
		}
	}
	set := func(key, value string) {
		if value != "" {
			msg.Metadata[key] = value
		}
	}
	set(notification.MetaRoutingKey, d.RoutingKey)
	set(notification.MetaExchange, d.Exchange)
	set(notification.MetaContentType, d.ContentType)
	set(notification.MetaMessageID, d.MessageId)
	if d.Redelivered {
		msg.Metadata[notification.MetaRedelivered] = "true"
	}
	return msg, headers
}

// trusted returns the delivery's headers without a delivery count that the
// broker did not make. A publisher can write one, and a shovel brings that of
// another queue along; the broker's own comes with redeliveries only.
func trusted(d amqp.Delivery) amqp.Table {
	if _, ok := d.Headers[deliveryCount]; !ok || d.Redelivered {
		return d.Headers
	}
	headers := maps.Clone(d.Headers)
	delete(headers, deliveryCount)
	return headers
}

// uuidOf returns the message id, or else what watermill-amqp wrote, or else a
// new UUID.
func uuidOf(d amqp.Delivery) string {
	if usable(d.MessageId) {
		return d.MessageId
	}
	if id, ok := d.Headers[watermillUUID].(string); ok && usable(id) {
		return id
	}
	return watermill.NewUUID()
}

// usable reports whether id can stand in logs and stores.
func usable(id string) bool {
	return id != "" && len(id) <= maxShort && utf8.ValidString(id) &&
		!strings.ContainsFunc(id, unicode.IsControl)
}

// text returns a header's value as a string. No type is refused.
func text(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		if utf8.Valid(v) {
			return string(v)
		}
		return base64.StdEncoding.EncodeToString(v)
	case float32:
		return strconv.FormatFloat(float64(v), 'f', -1, 32)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case amqp.Decimal:
		return decimal(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	case amqp.Table, []any:
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(plain(v)); err != nil {
			return "" // cannot be: plain leaves nothing that JSON lacks
		}
		return strings.TrimSuffix(b.String(), "\n")
	default: // bool and the integers
		return fmt.Sprint(v)
	}
}

// plain returns a value with which encoding/json can do something sensible.
func plain(value any) any {
	switch v := value.(type) {
	case amqp.Table:
		object := make(map[string]any, len(v))
		for name, field := range v {
			object[name] = plain(field)
		}
		return object
	case []any:
		array := make([]any, len(v))
		for i, field := range v {
			array[i] = plain(field)
		}
		return array
	case float32:
		return plain(float64(v))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return text(v)
		}
		return v
	case amqp.Decimal:
		return json.Number(text(v))
	case []byte, time.Time: // JSON's own form of a time ends with the year 9999
		return text(v)
	default:
		return v
	}
}

// decimal returns v.Value / 10^v.Scale exactly.
func decimal(v amqp.Decimal) string {
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(v.Scale)), nil)
	return new(big.Rat).SetFrac(big.NewInt(int64(v.Value)), scale).FloatString(int(v.Scale))
}

// toPublishing makes a persistent publishing of a message, see the package
// comment. Its errors say what AMQP cannot carry.
func toPublishing(msg *message.Message) (amqp.Publishing, error) {
	if msg == nil {
		return amqp.Publishing{}, errors.New("message: nil: leave it out")
	}
	headers, size := make(amqp.Table, len(msg.Metadata)+1), 0
	for name, value := range msg.Metadata {
		if notification.ReservedMeta(name) || brokers(name) || name == watermillUUID {
			continue
		}
		if len(name) > maxShort {
			return amqp.Publishing{}, fmt.Errorf("message.Metadata: a key has %d bytes, a header's name at most %d: shorten it", len(name), maxShort)
		}
		headers[name] = value
		size += len(name) + len(value)
	}
	if size > maxHeaders {
		return amqp.Publishing{}, fmt.Errorf("message.Metadata: %d bytes, at most %d: put large values in the payload", size, maxHeaders)
	}
	p := amqp.Publishing{
		Headers:      headers,
		ContentType:  msg.Metadata.Get(notification.MetaContentType),
		MessageId:    msg.UUID,
		DeliveryMode: amqp.Persistent,
		Body:         msg.Payload,
	}
	if p.MessageId == "" {
		p.MessageId = msg.Metadata.Get(notification.MetaMessageID)
	}
	if len(p.MessageId) > maxShort {
		return amqp.Publishing{}, fmt.Errorf("message.UUID: %d bytes, at most %d: shorten it", len(p.MessageId), maxShort)
	}
	if len(p.ContentType) > maxShort {
		return amqp.Publishing{}, fmt.Errorf("message.Metadata: the content type has %d bytes, at most %d: shorten it", len(p.ContentType), maxShort)
	}
	return p, nil
}

// brokers reports whether a header belongs to the broker: it writes the history
// of a delivery into some, and reads further routing keys from others. Metadata
// of a received message must not be taken for them when it is published again,
// and they would be of the wrong type, for which the broker closes the channel.
func brokers(name string) bool {
	switch name {
	case deliveryCount, "x-death", "CC", "BCC":
		return true
	default:
		return strings.HasPrefix(name, "x-first-death-") || strings.HasPrefix(name, "x-last-death-")
	}
}
