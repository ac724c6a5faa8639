package sink

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// Optional is an attribute that a mapping may leave to the target, clear, or
// set. An empty value is a value like any other.
//
//   - The zero Optional names nothing: what the target holds is left alone.
//   - Null wants the attribute to have no value.
//   - Set(v) wants it to be v.
//
// In JSON, null stands for Null; give the field the option omitzero, so that
// what is left alone is left out.
type Optional[V any] struct {
	value V
	state optionalState
}

type optionalState uint8

const (
	left optionalState = iota
	null
	set
)

// Set returns an attribute that is to be v.
func Set[V any](v V) Optional[V] { return Optional[V]{value: v, state: set} }

// Null returns an attribute that is to have no value.
func Null[V any]() Optional[V] { return Optional[V]{state: null} }

// Get returns the value, and false if there is none.
func (o Optional[V]) Get() (V, bool) { return o.value, o.state == set }

// IsZero reports whether the attribute is left to the target.
func (o Optional[V]) IsZero() bool { return o.state == left }

// Any returns the value, nil if there is none.
func (o Optional[V]) Any() any {
	if o.state != set {
		return nil
	}
	return o.value
}

// Assign makes it Null if v is nil, and Set(v) if v is a V. It is for targets
// that learn by reflection what to read.
func (o *Optional[V]) Assign(v any) error {
	if v == nil {
		*o = Null[V]()
		return nil
	}
	value, ok := v.(V)
	if !ok {
		return fmt.Errorf("sink: a %T is no %v", v, reflect.TypeFor[V]())
	}
	*o = Set(value)
	return nil
}

func (Optional[V]) optional() {}

// String never shows the value.
func (o Optional[V]) String() string {
	return [...]string{left: "left alone", null: "null", set: "set"}[o.state]
}

// MarshalJSON returns the value's JSON, null if there is none.
func (o Optional[V]) MarshalJSON() ([]byte, error) {
	if o.state != set {
		return []byte("null"), nil
	}
	return json.Marshal(o.value)
}

// UnmarshalJSON reads null as Null, and anything else as a value.
func (o *Optional[V]) UnmarshalJSON(data []byte) error {
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		*o = Null[V]()
		return nil
	}
	var v V
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	*o = Set(v)
	return nil
}
