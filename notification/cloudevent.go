package notification

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cloudevents/sdk-go/v2/event"
)

// decodeCloudEvent reads a CloudEvent 1.0 in structured JSON. The SDK's own
// parser is not used: it lets trailing garbage pass and refuses a whole event
// for one large number.
func decodeCloudEvent(msg *message.Message) ([]Notification, error) {
	body := bytes.TrimSpace(msg.Payload)
	if len(body) == 0 || body[0] != '{' {
		return nil, ErrUnknown
	}
	var attrs map[string]json.RawMessage
	if err := json.Unmarshal(body, &attrs); err != nil {
		return nil, jsonError(err)
	}
	if _, ok := attrs["specversion"]; !ok {
		return nil, ErrUnknown
	}
	e, err := eventOf(attrs)
	if err != nil {
		return nil, err
	}
	n := Notification{Event: e, RoutingKey: msg.Metadata.Get(MetaRoutingKey)}
	if n.Key, err = KeyOf(e.Subject()); err != nil {
		return nil, err
	}
	return []Notification{n}, nil
}

// jsonError keeps what was wrong and where, and drops what the message said.
func jsonError(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("message: is not valid JSON at byte %d", syntax.Offset)
	}
	return errors.New("message: is not valid JSON")
}

func eventOf(attrs map[string]json.RawMessage) (event.Event, error) {
	e := event.New()
	version, err := text(attrs, "specversion")
	if err != nil {
		return e, err
	}
	if version != "1.0" {
		return e, errors.New("specversion: is not 1.0")
	}
	for _, f := range []struct {
		name     string
		required bool
		set      func(string)
	}{
		{"id", true, e.SetID},
		{"source", true, e.SetSource},
		{"type", true, e.SetType},
		{"subject", false, e.SetSubject},
		{"datacontenttype", false, e.SetDataContentType},
		{"dataschema", false, e.SetDataSchema},
	} {
		value, err := text(attrs, f.name)
		if err != nil {
			return e, err
		}
		if value == "" && f.required {
			return e, fmt.Errorf("%s: is missing or empty", f.name)
		}
		if value != "" {
			f.set(value)
		}
	}
	if err := setTimeAndData(&e, attrs); err != nil {
		return e, err
	}
	setExtensions(&e, attrs)
	for field := range e.FieldErrors {
		return e, fmt.Errorf("%s: is not valid in a CloudEvent", field)
	}
	return e, nil
}

func setTimeAndData(e *event.Event, attrs map[string]json.RawMessage) error {
	value, err := text(attrs, "time")
	if err != nil {
		return err
	}
	if value != "" {
		t, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return errors.New("time: is not an RFC 3339 timestamp")
		}
		e.SetTime(t)
	}
	if data, ok := attrs["data"]; ok {
		e.DataEncoded = bytes.Clone(data)
	}
	if encoded, err := text(attrs, "data_base64"); err != nil {
		return err
	} else if encoded != "" {
		if e.DataEncoded != nil {
			return errors.New("data_base64: stands beside data")
		}
		if e.DataEncoded, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return errors.New("data_base64: is not base64")
		}
		e.DataBase64 = true
	}
	return nil
}

var notExtensions = map[string]bool{
	"specversion": true, "id": true, "source": true, "type": true, "subject": true, "time": true,
	"datacontenttype": true, "dataschema": true, "data": true, "data_base64": true,
}

// setExtensions keeps every further attribute that a CloudEvent can hold. An
// extension that is out of form is dropped: it does not change what the
// notification is about.
func setExtensions(e *event.Event, attrs map[string]json.RawMessage) {
	for name := range attrs {
		if notExtensions[name] {
			continue
		}
		if value, err := text(attrs, name); err == nil && isAlphanumeric(name) {
			e.SetExtension(strings.ToLower(name), value)
		}
	}
}

func isAlphanumeric(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// text returns an attribute as text, "" if it is missing or null. A number or
// a bool is taken as it is written, since sloppy producers send ids so.
func text(attrs map[string]json.RawMessage, name string) (string, error) {
	raw := attrs[name]
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return "", nil
	case raw[0] == '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case raw[0] == '{' || raw[0] == '[':
		return "", fmt.Errorf("%s: is not text", name)
	default:
		return string(raw), nil
	}
}
