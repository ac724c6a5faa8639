package jsondoc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
)

// Doc is a JSON object. Its values are nil, bool, string, [json.Number], []any
// and Doc, the latter as map[string]any.
type Doc = map[string]any

// Of returns the document that v is encoded as: what it names.
func Of(v any) (Doc, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("a %T cannot be encoded as JSON%s", v, at(err))
	}
	d, err := Decode(data)
	if err != nil {
		return nil, fmt.Errorf("a %T is not a JSON object", v)
	}
	return d, nil
}

// at says where an error of encoding/json comes from, without its text, which
// can hold values.
func at(err error) string {
	var typ *json.UnsupportedTypeError
	var marshaler *json.MarshalerError
	var unmarshal *json.UnmarshalTypeError
	switch {
	case errors.As(err, &typ):
		return fmt.Sprintf(": type %v has no JSON", typ.Type)
	case errors.As(err, &marshaler):
		return fmt.Sprintf(": type %v refuses", marshaler.Type)
	case errors.As(err, &unmarshal) && unmarshal.Field != "":
		return fmt.Sprintf(": member %s is no %v", unmarshal.Field, unmarshal.Type)
	case errors.As(err, &unmarshal):
		return fmt.Sprintf(": it is no %v", unmarshal.Type)
	}
	return ""
}

// errNotObject says that there is no JSON object.
var errNotObject = errors.New("not a JSON object")

// Decode reads one JSON object, and nothing after it.
func Decode(data []byte) (Doc, error) {
	v, err := DecodeAny(data)
	if err != nil {
		return nil, err
	}
	d, ok := v.(Doc)
	if !ok {
		return nil, errNotObject
	}
	return d, nil
}

// DecodeAny reads one JSON value, and nothing after it.
func DecodeAny(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, errors.New("not JSON, or not whole")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return v, nil
}

// Into fills *v with what it can hold of the document. Numbers stay as they were
// written where v has an any.
func Into(d Doc, v any) error {
	data, err := json.Marshal(d)
	if err != nil {
		return errors.New("the document cannot be encoded as JSON")
	}
	return Unmarshal(data, v)
}

// Unmarshal is Into for a document that is not decoded.
func Unmarshal(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("the document does not fit %v%s", reflect.TypeOf(v).Elem(), at(err))
	}
	return nil
}

// clone returns a copy of a value that shares nothing with it.
func clone(v any) any {
	switch v := v.(type) {
	case Doc:
		d := make(Doc, len(v))
		for name, m := range v {
			d[name] = clone(m)
		}
		return d
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = clone(e)
		}
		return list
	default:
		return v
	}
}

// isScalar reports whether a value is neither an object nor an array.
func isScalar(v any) bool {
	switch v.(type) {
	case Doc, []any:
		return false
	default:
		return true
	}
}

// isNothing reports whether a value is one of those that stand for no value.
func isNothing(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case []any:
		return len(v) == 0
	case Doc:
		return len(v) == 0
	default:
		return false
	}
}
