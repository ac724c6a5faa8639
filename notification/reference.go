package notification

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cloudevents/sdk-go/v2/event"
)

// decodeReference reads a bare reference, "accounts/123456": nothing but the
// entity. What a CloudEvent must have besides is derived from the delivery, the
// same way each time.
func decodeReference(msg *message.Message) ([]Notification, error) {
	ref := string(bytes.TrimSpace(msg.Payload))
	if !isReference(ref) {
		return nil, ErrUnknown
	}
	key, err := KeyOf(ref)
	if err != nil {
		return nil, err
	}
	routingKey := msg.Metadata.Get(MetaRoutingKey)
	e := event.New()
	e.SetID(cmp.Or(msg.Metadata.Get(MetaMessageID), derivedID(routingKey, ref)))
	e.SetType(cmp.Or(routingKey, "reference"))
	e.SetSource(cmp.Or(msg.Metadata.Get(MetaExchange), "unknown"))
	e.SetSubject(ref)
	return []Notification{{Event: e, Key: key, RoutingKey: routingKey}}, nil
}

// isReference tells a reference from other text: one word with a type in it.
func isReference(s string) bool {
	return len(s) <= 2048 &&
		(strings.Contains(s, "/") || strings.HasPrefix(strings.ToLower(s), "urn:")) &&
		!strings.ContainsAny(s, "{}[]<>\"") &&
		!strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}

func derivedID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}
