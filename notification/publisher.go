package notification

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cloudevents/sdk-go/v2/types"
	"golang.org/x/sync/errgroup"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
)

// maxCalls is how many events of a call are published at a time: those of
// different entities, each by a call of its own. Where a broker confirms, more
// brings little.
const maxCalls = 100

// PublisherConfig says what a [Publisher] adds to notifications, and how it
// writes them. The zero value works, for events that have a type.
//
// Type, Subject and RoutingKey are texts with slots in braces, which are filled
// in from each notification: {type} and {id} are those of its Key, {operation} is
// its Operation or else what its event's type ends with, {object} is the last
// word but one of its event's type.
type PublisherConfig struct {
	// Type is the type of events that have none: "no.uio.iga.person.{operation}".
	// Its slots are {type} and {operation}.
	Type string
	// Subject is the subject of events that have none, a path, a URL or a URN:
	// "https://iga.uio.no/api/v2/{type}/{id}". Its slots are {type} and {id}. By
	// default "/{type}/{id}", or "/{id}" for a Key without a type.
	Subject string
	// RoutingKey is the routing key, Watermill's topic, of notifications that have
	// none: "no.uio.iga.production.{type}.{operation}". Its slots are {type},
	// {object} and {operation}; an id is personal data and does not belong there.
	// By default it is the event's type.
	RoutingKey string
	// HeaderPrefix, "cloudEvents:" or, for receivers that cannot read a colon,
	// "cloudEvents_", turns on CloudEvents' binary mode: attributes are headers
	// with this prefix. By default events are written in structured JSON.
	HeaderPrefix string
	// AllowData lets events hold data of any kind. By default data may name the
	// entity and what changed, and nothing else, see [Publisher.Publish].
	AllowData bool
}

// Publisher publishes notifications as CloudEvents, see the package comment for
// what it promises. It may be used concurrently.
type Publisher struct {
	to                        message.Publisher
	source                    types.URIRef
	kind, subject, routingKey form
	prefix                    string
	allowData                 bool
	decoder                   Decoder
}

// NewPublisher returns a publisher of notifications over any of Watermill's
// publishers. Source is that of events that have none, a URI such as
// "https://iga.uio.no". To stays the caller's, who closes it. An error starts with
// the name of the parameter or the field.
func NewPublisher(to message.Publisher, source string, config PublisherConfig) (*Publisher, error) {
	if to == nil {
		return nil, errors.New("to: is nil: give a publisher, such as one of package rabbitmq")
	}
	u, err := url.Parse(source)
	if err != nil || strings.TrimSpace(source) != source || u.Host+u.Path+u.Opaque == "" {
		return nil, errors.New(`source: is not a URI: give one, such as "https://iga.uio.no"`)
	}
	p := &Publisher{
		to: to, source: types.URIRef{URL: *u},
		prefix: config.HeaderPrefix, allowData: config.AllowData, decoder: Default(),
	}
	if p.kind, err = parseForm("Type", config.Type, "type", "operation"); err != nil {
		return nil, err
	}
	if p.subject, err = parseForm("Subject", config.Subject, "type", "id"); err != nil {
		return nil, err
	}
	if p.routingKey, err = parseForm("RoutingKey", config.RoutingKey, "type", "object", "operation"); err != nil {
		return nil, err
	}
	if err := p.validate(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Publisher) validate() error {
	trial := map[string]string{"type": "t", "id": "i", "object": "o", "operation": "o"}
	if p.kind != nil {
		if err := checkText("Type", p.kind.fill(trial)); err != nil {
			return err
		}
	}
	if p.subject != nil {
		key, err := keyIn("Subject", p.subject.fill(trial))
		if err != nil {
			return err
		}
		if key.ID != "i" || p.subject.has("type") && !strings.HasSuffix(key.Type, "t") {
			return errors.New(`Subject: does not name the entity by the rule of KeyOf: end it with {id}, after {type} if it has that, as "/api/{type}/{id}"`)
		}
	}
	if p.routingKey != nil {
		if err := checkRoutingKey(p.routingKey.fill(trial)); err != nil {
			return err
		}
	}
	if p.prefix != "" && p.prefix != "cloudEvents:" && p.prefix != "cloudEvents_" {
		return errors.New(`HeaderPrefix: is none of CloudEvents' AMQP binding: give "cloudEvents:" or "cloudEvents_", or leave it out for structured JSON`)
	}
	return nil
}

// Publish publishes notifications and returns when the publisher below has taken
// all of them. Any notification that a [Decoder] of this package returns can be
// published; of one that is made by hand, this much is needed:
//
//   - The entity: Key, or the event's subject.
//   - An event type, unless the config has one. It is best a reverse-DNS name
//     that ends in what happened: "no.uio.iga.person.update".
//   - What makes the change recognisable when it is published again: the event's
//     id, or its time, or its extension "sequence". Without an id, it is derived
//     from all that is published but traceparent and tracestate. Give an id of your
//     own if several changes of an entity can be alike and happen in one instant,
//     or if the time differs between attempts to publish one change.
//
// Everything else that is left empty is filled in from the config, or derived as
// a [Decoder] does, or left out. NotBefore, Changed, Audience and an Operation
// that the event's type does not end with become the extension attributes
// notbefore (RFC 3339), changedattributes and audience (JSON arrays) and
// operation.
//
// A notification is thin: receivers look the entity up. So the event's data, if
// any, must be a JSON object of fields that name entities ("id", "person_id",
// "personId"; in objects within it too) and of SCIM's "attributes", an array of
// names of attributes. Other data is refused unless the config allows it.
//
// An event is refused if it is not valid by CloudEvents 1.0, larger than 64 KiB,
// has an id or a routing key of more than 255 bytes, or would not be read back as
// it is. The error is a [*PublishError]. The other events are published all the same.
func (p *Publisher) Publish(ctx context.Context, notifications ...Notification) error {
	failed := make([]error, len(notifications))
	letters := make([]letter, len(notifications))
	var entities [][]int // the indexes of each one's letters, in order
	place := map[entity.Key]int{}
	for i, n := range notifications {
		var err error
		if letters[i], err = p.letter(ctx, n); err != nil {
			failed[i] = failure.As(failure.Rejected, err)
			continue
		}
		at, there := place[letters[i].key]
		if !there {
			at = len(entities)
			place[letters[i].key] = at
			entities = append(entities, nil)
		}
		entities[at] = append(entities[at], i)
	}
	var calls errgroup.Group
	calls.SetLimit(maxCalls)
	for _, indexes := range entities {
		calls.Go(func() error {
			for _, i := range indexes {
				failed[i] = p.send(ctx, letters[i])
			}
			return nil
		})
	}
	_ = calls.Wait() // errors are in failed
	return newPublishError(failed)
}

func (p *Publisher) send(ctx context.Context, l letter) error {
	err := context.Cause(ctx)
	if err == nil {
		err = p.to.Publish(l.topic, l.msg)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", l.kind, err)
	if failure.Of(err) == failure.Failed {
		return failure.As(failure.Unavailable, err)
	}
	return err
}

// PublishError says which notifications of a call of [Publisher.Publish] were not
// published, or, where the publisher below cannot tell, perhaps were. All others
// were published. [errors.Is] and [errors.As] look into all of its errors.
type PublishError struct {
	// Failed has the reasons by the notification's index in the call. One that
	// starts with a field's name is about the notification itself, and publishing it
	// again is useless: it is failure.Rejected. One of the publisher below starts
	// with the event's type. It is failure.Unavailable, unless that publisher said
	// otherwise.
	Failed map[int]error

	of int
}

func newPublishError(failed []error) error {
	e := &PublishError{Failed: map[int]error{}, of: len(failed)}
	for i, err := range failed {
		if err != nil {
			e.Failed[i] = err
		}
	}
	if len(e.Failed) == 0 {
		return nil
	}
	return e
}

// Error names the first ten notifications by their indexes, and their reasons.
func (e *PublishError) Error() string {
	const most = 10
	var b strings.Builder
	fmt.Fprintf(&b, "notification: publish: %d of %d notifications failed", len(e.Failed), e.of)
	for place, i := range slices.Sorted(maps.Keys(e.Failed)) {
		if place == most {
			fmt.Fprintf(&b, "; and %d more", len(e.Failed)-most)
			break
		}
		fmt.Fprintf(&b, "; [%d]: %s", i, e.Failed[i])
	}
	return b.String()
}

// Unwrap returns all reasons, those first after which publishing again can help:
// package failure takes the class of the whole from the first.
func (e *PublishError) Unwrap() []error {
	var again, rejected []error
	for _, i := range slices.Sorted(maps.Keys(e.Failed)) {
		if err := e.Failed[i]; failure.Of(err) == failure.Rejected {
			rejected = append(rejected, err)
		} else {
			again = append(again, err)
		}
	}
	return append(again, rejected...)
}
