package notification

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/konnektor-go/konnektor/entity"
)

// said is what a dialect other than CloudEvents says. What it leaves empty is
// derived from the delivery.
type said struct {
	dialect                              string
	id, source, kind, subject, operation string
	key                                  entity.Key
	time, notBefore                      time.Time
	changed, audience                    []string
}

// notification makes a valid CloudEvent of what was said in body.
func (in delivery) notification(s said, body []byte) (Notification, error) {
	routingKey := usable(in.routingKey)
	if s.id == "" {
		s.id = in.derivedID(body)
	}
	context, err := contextOf(
		s.id,
		cmp.Or(s.source, usable(in.exchange), "unknown"),
		cmp.Or(s.kind, routingKey, s.dialect),
		s.subject, s.time)
	if err != nil {
		return Notification{}, err
	}
	return Notification{
		Event:      event.Event{Context: context},
		Key:        s.key,
		NotBefore:  s.notBefore,
		Changed:    s.changed,
		Audience:   s.audience,
		Operation:  cmp.Or(s.operation, operationOf(s.kind, in.routingKey)),
		RoutingKey: in.routingKey,
	}, nil
}

// derivedID returns the message id that the transport has, or else a hash of
// all that makes up the delivery. Both stay the same when the broker delivers
// the message again.
func (in delivery) derivedID(body []byte) string {
	if id := usable(in.messageID); id != "" {
		if in.index >= 0 {
			id += "/" + strconv.Itoa(in.index)
		}
		return id
	}
	hash := sha256.New()
	for _, part := range []string{in.exchange, in.routingKey, strconv.Itoa(in.index)} {
		hash.Write([]byte(part + "\x00"))
	}
	hash.Write(body)
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// usable returns s if it can stand in an event's attribute, else "".
func usable(s string) string {
	if strings.TrimSpace(s) == "" || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return ""
	}
	return s
}
