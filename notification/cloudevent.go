package notification

import (
	"bytes"
	"encoding/base64"
	"errors"
	"maps"
	"mime"
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

// attributes are those of a CloudEvent, as text.
type attributes struct {
	version, id, source, kind, subject, time, contentType, schema string

	extensions map[string]any
}

// field returns where a standard attribute is kept, and its name.
func (a *attributes) field(name []byte) (value *string, known string) {
	switch string(name) {
	case "specversion":
		return &a.version, "specversion"
	case "id":
		return &a.id, "id"
	case "source":
		return &a.source, "source"
	case "type":
		return &a.kind, "type"
	case "subject":
		return &a.subject, "subject"
	case "time":
		return &a.time, "time"
	case "datacontenttype":
		return &a.contentType, "datacontenttype"
	case "dataschema":
		return &a.schema, "dataschema"
	}
	return nil, ""
}

// extend keeps a further attribute if a CloudEvent can hold it. One that is out
// of form is dropped: it does not change what the notification is about.
func (a *attributes) extend(name, value string) {
	name = strings.ToLower(name)
	if known, _ := a.field([]byte(name)); known != nil || name == "data" || !event.IsExtensionNameValid(name) {
		return
	}
	if clean, err := plain("", value); err == nil && clean != "" {
		if a.extensions == nil {
			a.extensions = map[string]any{}
		}
		a.extensions[name] = clean
	}
}

// checkContentType drops a content type that is none. The data then counts as
// what it is without one.
func (a *attributes) checkContentType() {
	if a.contentType == "" {
		return
	}
	if _, _, err := mime.ParseMediaType(a.contentType); err != nil {
		a.contentType = ""
	}
}

// looksLikeCloudEvent also takes one whose producer forgot the version.
func looksLikeCloudEvent(o object) bool {
	return o.get("specversion") != nil ||
		o.get("id") != nil && o.get("source") != nil && o.get("type") != nil
}

// structured reads a CloudEvent in structured JSON.
func (d *decoder) structured(in delivery, o object) ([]Notification, error) {
	var a attributes
	var data, encoded []byte
	for i := range o {
		m := &o[i]
		value, known := a.field(m.name)
		switch {
		case string(m.value) == "null":
		case value == &a.version && string(m.value) == `"1.0"`:
			a.version = "1.0" // as nearly always
		case value != nil && m.simple:
			*value = string(m.value[1 : len(m.value)-1])
		case value != nil:
			var err error
			if *value, err = textOf(known, m.value); err != nil {
				return nil, err
			}
		case string(m.name) == "data":
			data = m.value
		case string(m.name) == "data_base64":
			encoded = m.value
		default:
			if text, err := textOf("", m.value); err == nil {
				a.extend(string(m.name), text)
			}
		}
	}
	a.checkContentType()
	var raw bytes.Buffer
	isBase64, err := readData(&raw, data, encoded, isJSON(a.contentType))
	if err != nil {
		return nil, err
	}
	ns, err := d.cloudEvent(in, &a, raw.Bytes())
	if err != nil {
		return nil, err
	}
	ns[0].Event.DataEncoded, ns[0].Event.DataBase64 = raw.Bytes(), isBase64
	return ns, nil
}

// readData writes the data of an event in structured JSON to raw (CloudEvents
// JSON format 1.0, section 3.1).
func readData(raw *bytes.Buffer, data, encoded []byte, inJSON bool) (isBase64 bool, err error) {
	text, err := textOf("data_base64", encoded)
	switch {
	case err != nil:
		return false, err
	case text != "":
		if data != nil {
			return false, errors.New("data_base64: stands beside data")
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return false, errors.New("data_base64: is not base64")
		}
		raw.Write(b)
		return true, nil
	case !inJSON && len(data) > 0 && data[0] == '"':
		raw.Write(unquote(data))
	default:
		raw.Write(data)
	}
	return false, nil
}

// isJSON reports whether data of that type stands in a structured event as it
// is. Without a type, data is JSON.
func isJSON(contentType string) bool {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	media = strings.TrimSpace(media)
	return media == "" || media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json")
}

// prefixes of headers in binary mode: those of the AMQP binding 1.0.2, and what
// producers use besides.
var prefixes = [...]string{"cloudEvents:", "cloudEvents_", "ce-", "ce_"}

// binaryHeaders returns the attributes that the headers hold, nil if they are
// not those of a CloudEvent.
func binaryHeaders(headers message.Metadata) (*attributes, error) {
	var found map[string]string
	for header, value := range headers {
		if header == "" || header[0]|0x20 != 'c' {
			continue // most
		}
		for _, prefix := range prefixes {
			if len(header) <= len(prefix) || !strings.EqualFold(header[:len(prefix)], prefix) {
				continue
			}
			if found == nil {
				found = map[string]string{}
			}
			name := strings.ToLower(header[len(prefix):])
			if before, twice := found[name]; twice && before != value {
				return nil, errors.New("message: has two headers for one attribute, and they differ")
			}
			found[name] = value
		}
	}
	if found["specversion"] == "" && found["type"] == "" {
		return nil, nil //nolint:nilnil // no event, and nothing wrong
	}
	a := &attributes{}
	for _, name := range slices.Sorted(maps.Keys(found)) { // the same reason each time
		value := found[name]
		if !utf8.ValidString(value) {
			return nil, errors.New("message: has a header that is not valid UTF-8")
		}
		known, field := a.field([]byte(name))
		if known == nil {
			a.extend(name, value)
			continue
		}
		var err error
		if *known, err = plain(field, value); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// binary reads a CloudEvent in binary mode: attributes are headers, data is the
// body.
func (d *decoder) binary(in delivery, a *attributes, msg *message.Message) ([]Notification, error) {
	if t := usable(msg.Metadata.Get(MetaContentType)); a.contentType == "" && !strings.HasPrefix(strings.ToLower(t), "application/cloudevents") {
		a.contentType = t
	}
	a.checkContentType()
	data := bytes.Clone(bytes.TrimPrefix(msg.Payload, byteOrderMark))
	ns, err := d.cloudEvent(in, a, data)
	if err != nil || len(data) == 0 {
		return ns, err
	}
	e := &ns[0].Event
	e.DataEncoded = data
	// What cannot stand in structured JSON as it is must be written in base64.
	e.DataBase64 = !utf8.Valid(data)
	if isJSON(a.contentType) && !e.DataBase64 {
		s := scanner{text: data, depth: d.MaxDepth}
		s.space()
		e.DataBase64 = s.value() != nil || s.end() != nil
	}
	return ns, nil
}

// cloudEvent makes a notification of attributes. The data only serves to find
// the entity if there is no subject.
func (d *decoder) cloudEvent(in delivery, a *attributes, data []byte) ([]Notification, error) {
	// Later versions of 1.x may only add (CloudEvents 1.0, section 3.1.1).
	if a.version != "" && a.version != "1" && !strings.HasPrefix(a.version, "1.") {
		return nil, errors.New("specversion: is not 1.0")
	}
	switch "" {
	case a.id:
		return nil, errors.New("id: is missing or empty")
	case a.source:
		return nil, errors.New("source: is missing or empty")
	case a.kind:
		return nil, errors.New("type: is missing or empty")
	}
	at, err := instant("time", a.time)
	if err != nil {
		return nil, err
	}
	var key entity.Key
	if a.subject != "" {
		key, err = KeyOf(a.subject)
	} else if key, err = d.entityIn(data, a.kind); err == nil {
		a.subject = subjectOf(key)
	}
	if err != nil {
		return nil, err
	}
	context, err := contextOf(a.id, a.source, a.kind, a.subject, at)
	if err != nil {
		return nil, err
	}
	context.Extensions = a.extensions
	if a.contentType != "" {
		contentType := a.contentType
		context.DataContentType = &contentType
	}
	if a.schema != "" {
		if u, err := url.Parse(a.schema); err == nil && u.IsAbs() {
			context.DataSchema = &types.URI{URL: *u}
		}
	}
	n := Notification{
		Event:      event.Event{Context: context},
		Key:        key,
		Operation:  operationOf(a.kind, in.routingKey),
		RoutingKey: in.routingKey,
	}
	n.takeExtensions(context, d.Location, d.MaxDepth)
	return []Notification{n}, nil
}

// contextOf makes the attributes of an event. It does what the SDK's setters do
// and never differs from its Validate; they look at everything twice.
func contextOf(id, source, kind, subject string, at time.Time) (*event.EventContextV1, error) {
	// One allocation for what the context points to.
	c := &struct {
		event.EventContextV1
		subject string
		time    types.Timestamp
	}{subject: subject, time: types.Timestamp{Time: at}}
	u, err := url.Parse(source)
	if err != nil {
		u = &url.URL{Path: source} // any text becomes a URI reference by escaping
	}
	if u.Path == "" && u.Host == "" && u.Opaque == "" && strings.TrimSpace(u.String()) == "" {
		return nil, errors.New("source: is missing or empty")
	}
	c.ID, c.Source.URL, c.Type, c.Subject = id, *u, kind, &c.subject
	if !at.IsZero() {
		c.Time = &c.time
	}
	return &c.EventContextV1, nil
}

// operationOf returns the last word of the first of the names that ends by
// saying what happened, as it is written.
func operationOf(names ...string) string {
	for _, name := range names {
		word := name
		for i := len(name) - 1; i >= 0; i-- {
			if c := name[i]; c == '.' || c == ':' || c == '/' {
				word = name[i+1:]
				break
			}
		}
		switch strings.ToLower(word) {
		case "create", "created", "add", "added",
			"update", "updated", "modify", "modified", "change", "changed",
			"delete", "deleted", "remove", "removed",
			"activate", "activated", "deactivate", "deactivated":
			return word
		}
	}
	return ""
}
