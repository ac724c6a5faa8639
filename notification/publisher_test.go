package notification_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/notification"
)

const iga = "https://iga.uio.no"

// outbox keeps what is published, and answers by the function if there is one.
type outbox struct {
	answer func(topic string, msg *message.Message) error

	mu   sync.Mutex
	sent []*message.Message // as they arrive
}

func (o *outbox) Publish(topic string, msgs ...*message.Message) error {
	if len(msgs) != 1 {
		return fmt.Errorf("%d messages in a call", len(msgs))
	}
	if o.answer != nil {
		if err := o.answer(topic, msgs[0]); err != nil {
			return err
		}
	}
	msg := message.NewMessage(msgs[0].UUID, msgs[0].Payload)
	msg.Metadata = maps.Clone(msgs[0].Metadata)
	msg.Metadata[notification.MetaRoutingKey] = topic
	msg.Metadata[notification.MetaMessageID] = msg.UUID
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent = append(o.sent, msg)
	return nil
}

func (o *outbox) Close() error { return nil }

// last returns the message that was published last, and what it says.
func (o *outbox) last(tb require.TestingT) (*message.Message, notification.Notification) {
	require.NotEmpty(tb, o.sent)
	msg := o.sent[len(o.sent)-1]
	ns, err := notification.Default().Decode(msg)
	require.NoError(tb, err)
	require.Len(tb, ns, 1)
	return msg, ns[0]
}

func publisher(tb require.TestingT, config notification.PublisherConfig) (*notification.Publisher, *outbox) {
	out := &outbox{}
	p, err := notification.NewPublisher(out, iga, config)
	require.NoError(tb, err)
	return p, out
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 5000, time.FixedZone("", 3600))

// change returns a notification with what is needed and no more.
func change(change func(n *notification.Notification)) notification.Notification {
	e := event.New()
	e.SetType("no.uio.iga.person.update")
	e.SetTime(noon)
	n := notification.Notification{Event: e, Key: entity.Key{Type: "persons", ID: "90017"}}
	if change != nil {
		change(&n)
	}
	return n
}

// reason returns why the only notification of a call was refused.
func reason(tb require.TestingT, err error) error {
	var failed *notification.PublishError
	require.ErrorAs(tb, err, &failed)
	require.Len(tb, failed.Failed, 1)
	require.Error(tb, failed.Failed[0])
	return failed.Failed[0]
}

func TestNewPublisherRefuses(t *testing.T) {
	_, err := notification.NewPublisher(nil, iga, notification.PublisherConfig{})
	require.EqualError(t, err, "to: is nil: give a publisher, such as one of package rabbitmq")
	for _, source := range []string{"", " ", "?", "%zz", iga + " ", "a\nb"} {
		_, err = notification.NewPublisher(&outbox{}, source, notification.PublisherConfig{})
		require.EqualError(t, err, `source: is not a URI: give one, such as "https://iga.uio.no"`, source)
	}
	for _, test := range []struct {
		want   string
		config notification.PublisherConfig
	}{
		{"Type: has other braces than {type}, {operation}", notification.PublisherConfig{Type: "no.{id}"}},
		{"Type: has a control character in it", notification.PublisherConfig{Type: "no.\x00"}},
		{"Type: has a } without a {", notification.PublisherConfig{Type: "no.}"}},
		{"Subject: has other braces than {type}, {id}", notification.PublisherConfig{Subject: "/persons/{id"}},
		{"Subject: has a query or a fragment", notification.PublisherConfig{Subject: "/persons?id={id}"}},
		{"Subject: does not name the entity by the rule of KeyOf: ", notification.PublisherConfig{Subject: "/persons/{id}.json"}},
		{"Subject: does not name the entity by the rule of KeyOf: ", notification.PublisherConfig{Subject: "/persons"}},
		{"Subject: does not name the entity by the rule of KeyOf: ", notification.PublisherConfig{Subject: "/{type}/x/{id}"}},
		{"RoutingKey: has other braces than {type}, {object}, {operation}", notification.PublisherConfig{RoutingKey: "no.{id}"}},
		{"RoutingKey: is not of words with dots between them", notification.PublisherConfig{RoutingKey: "no.uio.#"}},
		{"RoutingKey: is not of words with dots between them", notification.PublisherConfig{RoutingKey: "no..{type}"}},
		{"RoutingKey: 301 bytes, at most 255: shorten it", notification.PublisherConfig{RoutingKey: strings.Repeat("x", 300) + "{type}"}},
		{"HeaderPrefix: is none of CloudEvents' AMQP binding", notification.PublisherConfig{HeaderPrefix: "ce-"}},
	} {
		p, err := notification.NewPublisher(&outbox{}, iga, test.config)
		require.ErrorContains(t, err, test.want)
		require.True(t, strings.HasPrefix(err.Error(), test.want))
		require.Nil(t, p)
	}
}

func TestPublishStructured(t *testing.T) {
	p, out := publisher(t, notification.PublisherConfig{})
	n := change(func(n *notification.Notification) {
		n.Event.SetID("e-1")
		n.Event.SetExtension("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		n.Event.SetExtension("sequence", 17)
		n.NotBefore = time.Date(2026, 12, 1, 0, 0, 0, 0, time.FixedZone("", 3600))
		n.Changed = []string{"name.familyName", "urn:x:User:name"}
		n.Audience = []string{"AD_account"}
		n.Operation = "rename"
	})
	require.NoError(t, p.Publish(t.Context(), n))
	msg, _ := out.last(t)
	require.JSONEq(t, `{"specversion":"1.0","id":"e-1","source":"https://iga.uio.no","type":"no.uio.iga.person.update",
		"subject":"/persons/90017","time":"2026-11-23T11:00:00.000005Z","sequence":17,
		"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","notbefore":"2026-11-30T23:00:00Z",
		"changedattributes":"[\"name.familyName\",\"urn:x:User:name\"]","audience":"[\"AD_account\"]","operation":"rename"}`, string(msg.Payload))
	require.Equal(t, message.Metadata{
		"amqp.content_type": "application/cloudevents+json", "amqp.routing_key": "no.uio.iga.person.update", "amqp.message_id": "e-1",
	}, msg.Metadata)
	require.Equal(t, "e-1", msg.UUID)
	require.Empty(t, n.Event.Source(), "the caller's event stays as it is")
	require.Len(t, n.Event.Extensions(), 2)
}

func TestPublishBinary(t *testing.T) {
	for _, prefix := range []string{"cloudEvents:", "cloudEvents_"} {
		p, out := publisher(t, notification.PublisherConfig{HeaderPrefix: prefix})
		n := change(func(n *notification.Notification) {
			n.Event.SetID("e-1")
			n.Event.SetExtension("test", true)
			require.NoError(t, n.Event.SetData("application/json", map[string]any{"attributes": []string{"name"}}))
			n.Audience = []string{"a b"}
		})
		require.NoError(t, p.Publish(t.Context(), n))
		n.Event.DataEncoded[0] = 'x' // it is the caller's
		msg, _ := out.last(t)
		require.JSONEq(t, `{"attributes":["name"]}`, string(msg.Payload))
		require.Equal(t, message.Metadata{
			prefix + "specversion": "1.0", prefix + "id": "e-1", prefix + "source": iga, prefix + "type": "no.uio.iga.person.update",
			prefix + "subject": "/persons/90017", prefix + "time": "2026-11-23T11:00:00.000005Z",
			prefix + "test": "true", prefix + "audience": `["a b"]`,
			"amqp.content_type": "application/json", "amqp.routing_key": "no.uio.iga.person.update", "amqp.message_id": "e-1",
		}, msg.Metadata)
	}
}

// The routing keys of the domain, and what is derived for subject and type.
func TestPublishFillsIn(t *testing.T) {
	for _, test := range []struct {
		name                    string
		config                  notification.PublisherConfig
		n                       func(n *notification.Notification)
		subject, kind, key, did string
	}{
		{
			name:    "nothing but the entity and the operation",
			config:  notification.PublisherConfig{Type: "no.uio.iga.{type}.{operation}", RoutingKey: "no.uio.iga.production.{type}.{operation}"},
			n:       func(n *notification.Notification) { n.Event.SetType(""); n.Operation = "update" },
			subject: "/persons/90017", kind: "no.uio.iga.persons.update", key: "no.uio.iga.production.persons.update", did: "update",
		},
		{
			name:    "kilde.type.objekt.hendelse",
			config:  notification.PublisherConfig{RoutingKey: "cerebrum.event.{object}.{operation}", Subject: "https://cerebrum-uio.uio.no/api/v2/{type}/{id}"},
			n:       func(n *notification.Notification) { n.Event.SetType("no.uio.cerebrum.account.modify") },
			subject: "https://cerebrum-uio.uio.no/api/v2/persons/90017", kind: "no.uio.cerebrum.account.modify",
			key: "cerebrum.event.account.modify", did: "modify",
		},
		{
			name:   "the notification's own routing key, subject and operation",
			config: notification.PublisherConfig{RoutingKey: "x.{type}"},
			n: func(n *notification.Notification) {
				n.RoutingKey, n.Operation, n.Key = "a.b", "delete", entity.Key{}
				n.Event.SetSubject("personer/90017")
			},
			subject: "personer/90017", kind: "no.uio.iga.person.update", key: "a.b", did: "delete",
		},
		{
			name:    "a URN, with what is special in it escaped",
			config:  notification.PublisherConfig{Subject: "urn:{type}:{id}"},
			n:       func(n *notification.Notification) { n.Key = entity.Key{Type: "iga:persons", ID: "a:b/c?d#e%f"} },
			subject: "urn:iga:persons:a%3Ab%2Fc%3Fd%23e%25f", kind: "no.uio.iga.person.update", key: "no.uio.iga.person.update", did: "update",
		},
		{
			name:    "a key without a type",
			n:       func(n *notification.Notification) { n.Key.Type = "" },
			subject: "/90017", kind: "no.uio.iga.person.update", key: "no.uio.iga.person.update", did: "update",
		},
		{
			name:    "an operation that only the routing key tells",
			n:       func(n *notification.Notification) { n.Event.SetType("person"); n.RoutingKey = "a.Deleted" },
			subject: "/persons/90017", kind: "person", key: "a.Deleted", did: "Deleted",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := change(test.n)
			p, out := publisher(t, test.config)
			require.NoError(t, p.Publish(t.Context(), n))
			msg, got := out.last(t)
			require.Equal(t, test.subject, got.Event.Subject())
			require.Equal(t, test.kind, got.Event.Type())
			require.Equal(t, test.key, msg.Metadata[notification.MetaRoutingKey])
			require.Equal(t, test.did, got.Operation)
			require.Equal(t, iga, got.Event.Source())
			if n.Key == (entity.Key{}) {
				n.Key = entity.Key{Type: "personer", ID: "90017"}
			}
			require.Equal(t, n.Key, got.Key)
		})
	}
}

func TestPublishRefuses(t *testing.T) {
	const secret = "Kari5599"
	config := notification.PublisherConfig{Subject: "/{type}/{id}", RoutingKey: "no.{type}.{operation}"}
	set := func(name string, value any) func(n *notification.Notification) {
		return func(n *notification.Notification) {
			n.Event.Context.(*event.EventContextV1).Extensions = map[string]any{name: value}
		}
	}
	for _, test := range []struct {
		want string
		edit func(n *notification.Notification)
	}{
		{"specversion: is not 1.0", func(n *notification.Notification) { n.Event = event.New("0.3") }},
		{"event: time was set to a value", func(n *notification.Notification) { n.Event.FieldErrors = map[string]error{"time": errors.New(secret)} }},
		{"event: 78258 bytes, at most 65536", func(n *notification.Notification) { n.Changed = slices.Repeat([]string{secret}, 6000) }},
		{"id: is missing, and so is what it could be derived from", func(n *notification.Notification) { n.Event.SetTime(time.Time{}) }},
		{"id: 260 bytes, at most 255", func(n *notification.Notification) { n.Event.SetID(strings.Repeat("x", 260)) }},
		{"id: has white space around it", func(n *notification.Notification) { n.Event.Context.(*event.EventContextV1).ID = secret + " " }},
		{"id: is not valid UTF-8", func(n *notification.Notification) { n.Event.SetID(secret + "\xff") }},
		{"event: source was set to a value", func(n *notification.Notification) { n.Event.SetSource("%zz" + secret) }},
		{"type: is missing: set the event's", func(n *notification.Notification) { n.Event.SetType("") }},
		{"type: has a control character in it", func(n *notification.Notification) { n.Event.SetType(secret + ".\x01.update"); n.RoutingKey = "a" }},
		{"time: is in a year that stands for no time", func(n *notification.Notification) { n.Event.SetTime(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)) }},
		{"NotBefore: is in a year that stands for no time", func(n *notification.Notification) { n.NotBefore = time.Date(12026, 12, 31, 0, 0, 0, 0, time.UTC) }},
		{"Key: ID: must not be empty: set Key, or the event's subject", func(n *notification.Notification) { n.Key = entity.Key{} }},
		{"Key: has a dot segment", func(n *notification.Notification) { n.Key.ID = ".." }},
		{"Key: has no Type, which the config's Subject needs", func(n *notification.Notification) { n.Key.Type = "" }},
		{"subject: names another entity than Key", func(n *notification.Notification) { n.Event.SetSubject("/persons/" + secret) }},
		{"subject: has a query or a fragment: receivers would refuse it", func(n *notification.Notification) { n.Event.SetSubject("/persons?id=" + secret) }},
		{"Changed[1]: is empty", func(n *notification.Notification) { n.Changed = []string{secret, ""} }},
		{"Audience[0]: is not valid UTF-8", func(n *notification.Notification) { n.Audience = []string{secret + "\xff"} }},
		{"Operation: has a control character in it", func(n *notification.Notification) { n.Operation = secret + "\n" + secret; n.RoutingKey = "a" }},
		{"RoutingKey: the notification's {operation} is not one word", func(n *notification.Notification) { n.Operation = "a." + secret }},
		{"RoutingKey: the notification's {type} is not one word", func(n *notification.Notification) { n.Key.Type = "#" }},
		{"RoutingKey: 256 bytes, at most 255", func(n *notification.Notification) { n.RoutingKey = strings.Repeat("x", 256) }},
		{"RoutingKey: is not of words", func(n *notification.Notification) { n.RoutingKey = secret + ".*" }},
		{"RoutingKey: is not of words", func(n *notification.Notification) { n.RoutingKey = secret + "..a" }},
		{"RoutingKey: is not of words", func(n *notification.Notification) { n.RoutingKey = secret + " a" }},
		{"extension: a name is the event's own", set("Upper", "x")},
		{"extension: a name is the event's own", set("id", "x")},
		{"extension: a name is the event's own", set("data", "x")},
		{"extension: a name is the event's own", set(strings.Repeat("x", 255), "x")},
		{"extension: a name is the event's own", set("a-b", "x")},
		{"extension x: is empty", set("x", "")},
		{"extension x: has the replacement character U+FFFD", set("x", secret+"\ufffd")},
		{"extension x: has white space around it", set("x", secret+" ")},
		{"extension x: is of a type that CloudEvents do not have", set("x", []string{secret})},
		{"Operation: would not be read back as it is", set("operation", secret)},
		{"NotBefore: would not be read back as it is", set("notbefore", "2026-12-01")},
		{"extension operation: stands beside the notification's own field: leave one of the two out", func(n *notification.Notification) {
			n.Operation = "rename"
			n.Event.SetExtension("operation", secret)
		}},
		{"datacontenttype: would not be read back as it is", func(n *notification.Notification) { n.Event.SetDataContentType(secret + "; x") }},
		{"dataschema: would not be read back as it is", func(n *notification.Notification) {
			n.Event.Context.(*event.EventContextV1).DataSchema = types.ParseURI(secret)
		}},
	} {
		t.Run(test.want, func(t *testing.T) {
			p, out := publisher(t, config)
			err := reason(t, p.Publish(t.Context(), change(test.edit)))
			require.ErrorContains(t, err, test.want)
			require.True(t, strings.HasPrefix(err.Error(), test.want))
			require.NotContains(t, err.Error(), secret)
			require.Empty(t, out.sent)
		})
	}
}

func TestPublishDerivesStableIDs(t *testing.T) {
	const pinned = "73b2d21ed4e317f88f92a1829f2e00a8"
	id := func(config notification.PublisherConfig, edit func(n *notification.Notification)) string {
		p, out := publisher(t, config)
		require.NoError(t, p.Publish(t.Context(), change(edit)))
		msg, n := out.last(t)
		require.Equal(t, msg.UUID, n.Event.ID())
		return msg.UUID
	}
	require.Equal(t, pinned, id(notification.PublisherConfig{}, nil), "an id is the same in every version")
	for name, again := range map[string]string{
		"mode":        id(notification.PublisherConfig{HeaderPrefix: "cloudEvents:"}, nil),
		"routing key": id(notification.PublisherConfig{RoutingKey: "a.b"}, nil),
		"zone":        id(notification.PublisherConfig{}, func(n *notification.Notification) { n.Event.SetTime(noon.UTC()) }),
		"trace": id(notification.PublisherConfig{}, func(n *notification.Notification) {
			n.Event.SetExtension("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
			n.Event.SetExtension("tracestate", "a=b")
		}),
	} {
		require.Equal(t, pinned, again, name)
	}
	var keyed []string // the routing key tells an operation, the type does not
	for _, key := range []string{"a.b", "a.delete"} {
		keyed = append(keyed, id(notification.PublisherConfig{RoutingKey: key}, func(n *notification.Notification) { n.Event.SetType("person") }))
	}
	require.Equal(t, keyed[0], keyed[1])

	seen := map[string]string{pinned: "the first"}
	for name, edit := range map[string]func(n *notification.Notification){
		"entity":     func(n *notification.Notification) { n.Key.ID = "90018" },
		"time":       func(n *notification.Notification) { n.Event.SetTime(noon.Add(time.Nanosecond)) },
		"type":       func(n *notification.Notification) { n.Event.SetType("no.uio.iga.person.delete") },
		"source":     func(n *notification.Notification) { n.Event.SetSource("https://other.uio.no") },
		"operation":  func(n *notification.Notification) { n.Operation = "rename" },
		"changed":    func(n *notification.Notification) { n.Changed = []string{"a"} },
		"audience":   func(n *notification.Notification) { n.Audience = []string{"a"} },
		"not before": func(n *notification.Notification) { n.NotBefore = noon },
		"sequence":   func(n *notification.Notification) { n.Event.SetExtension("sequence", "2") },
		"sequence, no time": func(n *notification.Notification) {
			n.Event.SetTime(time.Time{})
			n.Event.SetExtension("sequence", "2")
		},
		"data": func(n *notification.Notification) { n.Event.DataEncoded = []byte(`{"person_id":1}`) },
	} {
		other := id(notification.PublisherConfig{}, edit)
		require.NotContains(t, seen, other, name)
		seen[other] = name
	}
	require.Equal(t, "e-1", id(notification.PublisherConfig{}, func(n *notification.Notification) { n.Event.SetID("e-1") }))
}

func TestPublishSaysWhichFailed(t *testing.T) {
	down := errors.New("no queue is bound")
	p, out := publisher(t, notification.PublisherConfig{})
	out.answer = func(topic string, _ *message.Message) error {
		if topic == "nowhere" {
			return down
		}
		return nil
	}
	events := make([]notification.Notification, 15)
	for i := range events {
		events[i] = change(func(n *notification.Notification) {
			n.Key.ID = fmt.Sprint(i)
			switch {
			case i == 1:
				n.Key.ID = ""
			case i == 4 || i >= 6:
				n.RoutingKey = "nowhere"
			}
		})
	}
	err := p.Publish(t.Context(), events...)
	require.EqualError(t, p.Publish(t.Context(), events[:6]...), "notification: publish: 2 of 6 notifications failed; "+
		"[1]: Key: ID: must not be empty: set Key, or the event's subject; [4]: no.uio.iga.person.update: no queue is bound")
	require.ErrorIs(t, err, down)
	require.ErrorContains(t, err, "; [13]: no.uio.iga.person.update: no queue is bound; and 1 more")
	require.NotContains(t, err.Error(), "[14]")
	var failed *notification.PublishError
	require.ErrorAs(t, err, &failed)
	require.ElementsMatch(t, []int{1, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14}, slices.Collect(maps.Keys(failed.Failed)))
	require.Len(t, out.sent, 8, "the others were published, in both calls")
	require.Equal(t, failure.Rejected, failure.Of(failed.Failed[1]))
	require.Equal(t, failure.Unavailable, failure.Of(failed.Failed[4]))
	require.Equal(t, failure.Unavailable, failure.Of(err), "to publish all again can help")

	require.NoError(t, p.Publish(t.Context()))
}

func TestPublishHonoursTheContext(t *testing.T) {
	p, out := publisher(t, notification.PublisherConfig{})
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("the run is over")
	out.answer = func(_ string, msg *message.Message) error {
		require.NoError(t, msg.Context().Err())
		cancel(over)
		return context.Cause(msg.Context())
	}
	n := change(nil)
	err := p.Publish(ctx, n, n, n) // one entity, so one after the other
	require.ErrorIs(t, err, over)
	require.ErrorContains(t, err, "3 of 3 notifications failed")
	require.Empty(t, out.sent)
}

// Events of one entity keep their order, each waits for the one before. Those of
// others do not wait, up to a limit.
func TestPublishOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const entities, each = 250, 3
		p, out := publisher(t, notification.PublisherConfig{})
		var mu sync.Mutex
		calls, most := 0, 0
		out.answer = func(string, *message.Message) error {
			mu.Lock()
			calls++
			most = max(most, calls)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			calls--
			mu.Unlock()
			return nil
		}
		var events []notification.Notification
		for i := range entities * each {
			events = append(events, change(func(n *notification.Notification) {
				n.Key.ID = fmt.Sprint(i % entities)
				n.Event.SetID(fmt.Sprint(i))
			}))
		}
		start := time.Now()
		require.NoError(t, p.Publish(t.Context(), events...))
		require.Equal(t, 9*time.Second, time.Since(start), "100, 100 and 50 entities at a time, three events of each")
		require.Equal(t, 100, most)
		last := map[string]int{}
		for _, msg := range out.sent {
			n, err := notification.Default().Decode(msg)
			require.NoError(t, err)
			var number int
			_, err = fmt.Sscan(msg.UUID, &number)
			require.NoError(t, err)
			require.GreaterOrEqual(t, number, last[n[0].Key.ID])
			last[n[0].Key.ID] = number
		}
		require.Len(t, last, entities)
	})
}

func TestPublishConcurrently(t *testing.T) {
	p, out := publisher(t, notification.PublisherConfig{})
	n := change(func(n *notification.Notification) { n.Event.SetExtension("x", "y"); n.Changed = []string{"a"} })
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			if err := p.Publish(t.Context(), n, n); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	require.Len(t, out.sent, 16)
	for _, msg := range out.sent {
		require.Equal(t, out.sent[0].UUID, msg.UUID)
	}
}

// BenchmarkPublish is what publishing costs without a broker, reading back
// included.
func BenchmarkPublish(b *testing.B) {
	for name, prefix := range map[string]string{"structured": "", "binary": "cloudEvents:"} {
		b.Run(name, func(b *testing.B) {
			p, out := publisher(b, notification.PublisherConfig{HeaderPrefix: prefix})
			n := change(func(n *notification.Notification) { n.Changed = []string{"name"} })
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Publish(b.Context(), n); err != nil {
					b.Fatal(err)
				}
				out.sent = nil
			}
		})
	}
}
