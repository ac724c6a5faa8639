package notification

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/konnektor-go/konnektor/entity"
)

// entityIn finds the entity in the data of an event of the given type, by
// [DecoderConfig.DataFields] and its default.
func (d *decoder) entityIn(data []byte, eventType string) (entity.Key, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || data[0] != '{' || !utf8.Valid(data) {
		return entity.Key{}, errors.New("subject: is missing, and data is no object that could name the entity")
	}
	o, err := readObject(data, d.MaxDepth, nil)
	if err != nil {
		return entity.Key{}, err
	}
	kind, raw, err := d.entityField(o, eventType)
	if err != nil {
		return entity.Key{}, err
	}
	id, err := idOf("data", raw)
	if err != nil {
		return entity.Key{}, err
	}
	return checkKey("data", entity.Key{Type: kind, ID: id})
}

func (d *decoder) entityField(o object, eventType string) (kind string, raw []byte, err error) {
	if len(d.DataFields) > 0 {
		for _, path := range d.DataFields {
			if raw, err = d.follow(o, path); raw != nil || err != nil {
				return kindOf(path), raw, err
			}
		}
		return "", nil, errors.New("data: has none of the DataFields, and there is no subject")
	}
	words := strings.Split(eventType, ".")
	place := make(map[string]int, len(words))
	for i, word := range slices.Backward(words) {
		place[word] = i
	}
	first, several := len(words), false
	for _, m := range o {
		k, ok := cutEnding(string(m.name))
		if !ok || string(m.value) == "null" {
			continue
		}
		if i, ok := place[k]; ok && i < first {
			first, kind, raw = i, k, m.value
		} else if first == len(words) {
			several = raw != nil
			kind, raw = k, m.value
		}
	}
	id := o.get("id")
	switch {
	case first < len(words):
		return kind, raw, nil
	case id != nil:
		return words[max(len(words)-2, 0)], id, nil
	case several:
		return "", nil, errors.New("data: names several entities, and there is no subject: set DataFields")
	case raw != nil:
		return kind, raw, nil
	}
	return "", nil, errors.New("data: has no field that names the entity, and there is no subject: set DataFields")
}

// follow returns the value of a field by its path, nil if there is none.
func (d *decoder) follow(o object, path string) ([]byte, error) {
	name, rest, nested := strings.Cut(path, ".")
	raw := o.get(name)
	switch {
	case !nested:
		return raw, nil
	case len(raw) == 0 || raw[0] != '{':
		return nil, nil
	}
	inner, err := readObject(raw, d.MaxDepth, nil)
	if err != nil {
		return nil, err
	}
	return d.follow(inner, rest)
}

// cutEnding returns the entity's type by the name of a field with an id.
func cutEnding(name string) (kind string, ok bool) {
	for _, ending := range [...]string{"_id", "Id"} {
		if kind, ok = strings.CutSuffix(name, ending); ok && kind != "" {
			return kind, true
		}
	}
	return name, false
}

// kindOf returns the entity's type by the path of the field with its id.
func kindOf(path string) string {
	names := strings.Split(path, ".")
	last := len(names) - 1
	if names[last] == "id" && last > 0 {
		return names[last-1]
	}
	kind, _ := cutEnding(names[last])
	return kind
}
