package notification

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/konnektor-go/konnektor/entity"
)

const (
	// maxEvent is what every intermediary must forward (CloudEvents 1.0, "Size
	// Limits"), in bytes.
	maxEvent = 64 << 10
	// maxShort is the longest routing key, message id, content type and name of
	// a header in AMQP 0.9.1, in bytes.
	maxShort = 255
)

// letter is a notification that is ready to be sent.
type letter struct {
	topic string
	kind  string // the event's type
	key   entity.Key
	msg   *message.Message
}

func (p *Publisher) letter(ctx context.Context, n Notification) (letter, error) {
	n, err := p.complete(n)
	if err != nil {
		return letter{}, err
	}
	msg, err := p.encode(n)
	if err != nil {
		return letter{}, err
	}
	if err := p.readBack(n, msg); err != nil {
		return letter{}, err
	}
	msg.SetContext(ctx)
	return letter{topic: n.RoutingKey, kind: n.Event.Type(), key: n.Key, msg: msg}, nil
}

// complete returns n with all that was left empty, and checks it. The caller's
// event stays as it is.
func (p *Publisher) complete(n Notification) (Notification, error) {
	if version := n.Event.SpecVersion(); version != "" && version != event.CloudEventsVersionV1 {
		return n, errors.New("specversion: is not 1.0: make the event by event.New()")
	}
	if wrong := slices.Sorted(maps.Keys(n.Event.FieldErrors)); len(wrong) > 0 {
		return n, fmt.Errorf("event: %s was set to a value that CloudEvents do not have: set another", wrong[0])
	}
	c := &event.EventContextV1{}
	if n.Event.Context != nil {
		c = n.Event.Context.AsV1() // a copy
	}
	n.Event = event.Event{Context: c, DataEncoded: n.Event.DataEncoded, DataBase64: n.Event.DataBase64}
	if c.Source.String() == "" {
		c.Source = p.source
	}
	for _, step := range []func(*Notification, *event.EventContextV1) error{
		p.address, checkTimes, copyExtensions, checkTexts, p.checkData, p.identify,
	} {
		if err := step(&n, c); err != nil {
			return n, err
		}
	}
	return n, nil
}

// address fills in what the notification is about, what happened, and where it
// goes to.
func (p *Publisher) address(n *Notification, c *event.EventContextV1) error {
	subject := n.Event.Subject()
	if subject == "" {
		if _, err := checkKey("Key", n.Key); err != nil {
			return fmt.Errorf("%w: set Key, or the event's subject", err)
		}
		if n.Key.Type == "" && p.subject.has("type") {
			return errors.New("Key: has no Type, which the config's Subject needs: set it")
		}
		subject = p.subjectOf(n.Key)
	}
	key, err := KeyOf(subject)
	switch {
	case err != nil:
		return fmt.Errorf("%w: receivers would refuse it", err)
	case n.Key != entity.Key{} && n.Key != key:
		return errors.New("subject: names another entity than Key, by the rule of KeyOf: leave one of the two empty, or correct the config's Subject")
	}
	n.Key, c.Subject = key, &subject
	slots := map[string]string{"type": key.Type, "operation": cmp.Or(n.Operation, operationOf(c.Type))}
	if c.Type == "" {
		if p.kind == nil {
			return errors.New("type: is missing: set the event's, or Type in the PublisherConfig")
		}
		if c.Type, err = p.kind.words("Type", slots); err != nil {
			return err
		}
	}
	if words := strings.Split(c.Type, "."); len(words) > 1 {
		slots["object"] = words[len(words)-2]
	}
	if n.RoutingKey == "" && p.routingKey == nil {
		n.RoutingKey = c.Type
	} else if n.RoutingKey == "" {
		if n.RoutingKey, err = p.routingKey.words("RoutingKey", slots); err != nil {
			return err
		}
	}
	return checkRoutingKey(n.RoutingKey)
}

func (p *Publisher) subjectOf(key entity.Key) string {
	if p.subject == nil {
		return subjectOf(key)
	}
	return p.subject.fill(map[string]string{"type": url.PathEscape(key.Type), "id": strings.ReplaceAll(url.PathEscape(key.ID), ":", "%3A")})
}

func checkTimes(n *Notification, c *event.EventContextV1) error {
	if c.Time != nil && c.Time.IsZero() {
		c.Time = nil
	}
	none := func(at time.Time) bool { return !at.IsZero() && actual(at.UTC()).IsZero() }
	switch {
	case none(n.Event.Time()):
		return errors.New("time: is in a year that stands for no time: leave it out")
	case none(n.NotBefore):
		return errors.New("NotBefore: is in a year that stands for no time: leave it zero")
	}
	return nil
}

// copyExtensions copies them, as the types that JSON can tell apart.
func copyExtensions(_ *Notification, c *event.EventContextV1) error {
	extensions := make(map[string]any, len(c.Extensions))
	for _, name := range slices.Sorted(maps.Keys(c.Extensions)) {
		if known, _ := new(attributes).field([]byte(name)); known != nil || name == "data" || len(name) > maxShort-len("cloudEvents:") ||
			name != strings.ToLower(name) || !event.IsExtensionNameValid(name) {
			return fmt.Errorf("extension: a name is the event's own, too long, or not only of a-z and 0-9: rename it")
		}
		value, err := types.Validate(c.Extensions[name])
		if err != nil {
			return fmt.Errorf("extension %s: is of a type that CloudEvents do not have: make it a text", name)
		}
		switch value.(type) {
		case bool, int32:
		default:
			if value, err = types.Format(value); err != nil || value == "" {
				return fmt.Errorf("extension %s: is empty: leave it out", name)
			}
		}
		extensions[name] = value
	}
	c.Extensions = extensions
	return nil
}

// checkTexts checks every text that becomes an attribute.
func checkTexts(n *Notification, c *event.EventContextV1) error {
	type field struct{ name, value string }
	fields := []field{{"source", c.Source.String()}, {"type", c.Type}, {"subject", n.Event.Subject()}}
	for _, f := range []field{{"id", c.ID}, {"datacontenttype", c.GetDataContentType()}, {"Operation", n.Operation}} {
		if f.value != "" {
			fields = append(fields, f)
		}
	}
	for i, text := range n.Changed {
		fields = append(fields, field{fmt.Sprintf("Changed[%d]", i), text})
	}
	for i, text := range n.Audience {
		fields = append(fields, field{fmt.Sprintf("Audience[%d]", i), text})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Extensions)) {
		if text, ok := c.Extensions[name].(string); ok {
			fields = append(fields, field{"extension " + name, text})
		}
	}
	for _, f := range fields {
		if err := checkText(f.name, f.value); err != nil {
			return err
		}
	}
	return nil
}

func checkText(field, text string) error {
	if !utf8.ValidString(text) {
		return errors.New(field + ": is not valid UTF-8")
	}
	clean, err := plain(field, text)
	switch {
	case strings.ContainsRune(text, utf8.RuneError): // decoders take it for half a character
		return errors.New(field + ": has the replacement character U+FFFD, so it was damaged before: correct it")
	case err != nil:
		return err
	case clean == "":
		return errors.New(field + ": is empty: set it, or leave it out of a list")
	case clean != text:
		return errors.New(field + ": has white space around it: remove that")
	}
	return nil
}

// checkData also sees to it that the data can be written as JSON.
func (p *Publisher) checkData(n *Notification, _ *event.EventContextV1) error {
	e := &n.Event
	if isJSON(e.DataContentType()) {
		if e.DataEncoded = bytes.TrimSpace(e.DataEncoded); string(e.DataEncoded) == "null" {
			e.DataEncoded = nil // which decoders do not tell from none
		}
	}
	if len(e.DataEncoded) == 0 {
		e.DataEncoded, e.DataBase64 = nil, false
		return nil
	}
	if !p.allowData {
		if err := checkThin(e.DataEncoded, e.DataContentType(), DecoderConfig{}.withDefaults().MaxDepth); err != nil {
			return err
		}
	}
	if e.DataBase64 {
		return nil
	}
	if !utf8.Valid(e.DataEncoded) {
		return errors.New("data: is not valid UTF-8: set DataBase64")
	}
	if isJSON(e.DataContentType()) && !json.Valid(e.DataEncoded) {
		return errors.New("data: is not JSON, as datacontenttype says, or its lack: correct one of the two")
	}
	return nil
}

// identify derives an id if there is none.
func (p *Publisher) identify(n *Notification, c *event.EventContextV1) error {
	if c.ID == "" {
		if c.Time == nil && c.Extensions["sequence"] == nil {
			return errors.New(`id: is missing, and so is what it could be derived from: set the event's id, its time, or its extension "sequence"`)
		}
		said, untraced := *n, c.AsV1()
		untraced.Extensions = maps.Clone(c.Extensions)
		delete(untraced.Extensions, "traceparent")
		delete(untraced.Extensions, "tracestate")
		said.Event.Context = untraced
		text, err := structured(said)
		if err != nil {
			return err
		}
		c.ID = delivery{index: -1}.derivedID(text)
	}
	if len(c.ID) > maxShort {
		return fmt.Errorf("id: %d bytes, at most %d: shorten it", len(c.ID), maxShort)
	}
	return nil
}
