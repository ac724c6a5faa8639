package notification

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cloudevents/sdk-go/v2/event"
)

func (p *Publisher) encode(n Notification) (msg *message.Message, err error) {
	if p.prefix != "" {
		msg, err = p.binary(n)
	} else {
		var text []byte
		text, err = structured(n)
		msg = message.NewMessage(n.Event.ID(), text)
		msg.Metadata[MetaContentType] = event.ApplicationCloudEventsJSON
	}
	if err != nil {
		return nil, err
	}
	size := len(msg.Payload)
	for name, value := range msg.Metadata {
		size += len(name) + len(value)
	}
	if size > maxEvent {
		return nil, fmt.Errorf("event: %d bytes, at most %d: shorten its texts and lists, or leave data out", size, maxEvent)
	}
	return msg, nil
}

// structured writes n in CloudEvents' JSON format. The SDK writes the attributes
// only: of data, it takes some types that end with "+json" for text.
func structured(n Notification) ([]byte, error) {
	c := n.Event.Context.AsV1()
	c.Extensions = maps.Clone(c.Extensions)
	if err := n.addExtensions(c.Extensions); err != nil {
		return nil, err
	}
	text, err := event.Event{Context: c}.MarshalJSON()
	data := n.Event.DataEncoded
	if err != nil || data == nil {
		return text, err
	}
	field := "data"
	if n.Event.DataBase64 {
		field = "data_base64"
		data, _ = json.Marshal(data) // bytes and texts always can be
	} else if !isJSON(c.GetDataContentType()) {
		data, _ = json.Marshal(string(data))
	}
	text = append(text[:len(text)-1], `,"`+field+`":`...)
	return append(append(text, data...), '}'), nil
}

// binary writes n by CloudEvents' AMQP binding, with texts for all headers.
func (p *Publisher) binary(n Notification) (*message.Message, error) {
	c := n.Event.Context.AsV1()
	headers := maps.Clone(c.Extensions)
	if err := n.addExtensions(headers); err != nil {
		return nil, err
	}
	msg := message.NewMessage(c.ID, bytes.Clone(n.Event.DataEncoded))
	for name, value := range headers {
		msg.Metadata[p.prefix+name] = fmt.Sprint(value)
	}
	for name, value := range map[string]string{
		"specversion": event.CloudEventsVersionV1, "id": c.ID, "type": c.Type,
		"source": c.GetSource(), "subject": c.GetSubject(), "dataschema": c.GetDataSchema(),
	} {
		if value != "" {
			msg.Metadata[p.prefix+name] = value
		}
	}
	if c.Time != nil {
		msg.Metadata[p.prefix+"time"] = c.Time.String()
	}
	if contentType := c.GetDataContentType(); len(contentType) > maxShort {
		return nil, fmt.Errorf("datacontenttype: %d bytes, at most %d: shorten it", len(contentType), maxShort)
	} else if contentType != "" {
		msg.Metadata[MetaContentType] = contentType
	}
	return msg, nil
}

// readBack decodes a message as its receivers will, and reports what they would
// not find as it was.
func (p *Publisher) readBack(sent Notification, msg *message.Message) error {
	arrived := message.NewMessage(msg.UUID, msg.Payload)
	arrived.Metadata = maps.Clone(msg.Metadata)
	arrived.Metadata[MetaRoutingKey], arrived.Metadata[MetaMessageID] = sent.RoutingKey, msg.UUID
	ns, err := p.decoder.Decode(arrived)
	if err != nil {
		return fmt.Errorf("%w: receivers would refuse it", err)
	}
	sent.Operation = cmp.Or(sent.Operation, operationOf(sent.Event.Type(), sent.RoutingKey))
	if field := difference(sent, ns[0]); field != "" {
		return errors.New(field + ": would not be read back as it is: give another value, or leave it out")
	}
	return nil
}

// difference returns the name of a field in which two notifications differ, ""
// if there is none. The same time in another zone is the same.
func difference(a, b Notification) string {
	same := func(x, y map[string]any) bool {
		return maps.EqualFunc(x, y, func(x, y any) bool { return fmt.Sprint(x) == fmt.Sprint(y) })
	}
	for _, f := range []struct {
		name string
		same bool
	}{
		{"id", a.Event.ID() == b.Event.ID()},
		{"source", a.Event.Source() == b.Event.Source()},
		{"type", a.Event.Type() == b.Event.Type()},
		{"subject", a.Event.Subject() == b.Event.Subject() && a.Key == b.Key},
		{"time", a.Event.Time().Equal(b.Event.Time())},
		{"datacontenttype", a.Event.DataContentType() == b.Event.DataContentType()},
		{"dataschema", a.Event.DataSchema() == b.Event.DataSchema()},
		{"data", bytes.Equal(a.Event.DataEncoded, b.Event.DataEncoded)},
		{"NotBefore", a.NotBefore.Equal(b.NotBefore)},
		{"Changed", slices.Equal(a.Changed, b.Changed)},
		{"Audience", slices.Equal(a.Audience, b.Audience)},
		{"Operation", a.Operation == b.Operation},
		{"extensions", same(a.Event.Extensions(), b.Event.Extensions())},
	} {
		if !f.same {
			return f.name
		}
	}
	return ""
}
