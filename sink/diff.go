package sink

import (
	"fmt"
	"math/big"
	"reflect"
	"slices"
)

// Diff returns the fields in which have is not as want says. T is a struct or
// a map with strings as keys.
//
//   - Of a struct it compares the exported fields, in their order and by their
//     names; those of embedded structs count as the struct's own.
//   - Of a map it compares the keys of want, in alphabetical order; other keys
//     of have are none of its business. A key that is nil in want is wanted
//     absent: it equals one that is not there.
//
// Values are equal as follows:
//   - A type with a method Equal for its own type is compared by it; so are
//     times, whatever their zones.
//   - A nil slice equals an empty one, and a nil map an empty one, since most
//     targets cannot tell them apart. The order of a slice matters.
//   - A pointer equals another if both are nil, or what they point to is equal.
//   - Inside an any, numbers are equal if their values are, whatever their
//     types, and so are strings, slices and maps: what was read as JSON has
//     other types than what was built in Go.
//   - An [Optional] is compared as far as want names it: left alone, it equals
//     anything; null, it equals what has no value.
//   - NaN equals NaN.
func Diff[T any](have, want T) []Field {
	h, w := reflect.ValueOf(have), reflect.ValueOf(want)
	if !w.IsValid() || !h.IsValid() { // an interface type that holds nil
		if w.IsValid() == h.IsValid() {
			return nil
		}
		return []Field{{Name: "value", Old: have, New: want}}
	}
	switch {
	case w.Kind() == reflect.Struct && h.Type() == w.Type():
		return diffStruct(h, w)
	case isStringMap(w.Type()) && h.Type() == w.Type():
		return diffMap(h, w)
	case equal(h, w):
		return nil
	}
	return []Field{{Name: "value", Old: have, New: want}}
}

// diffable returns an error if Diff has no fields to compare in a T.
func diffable[T any]() error {
	t := reflect.TypeFor[T]()
	switch {
	case isStringMap(t):
		return nil
	case t.Kind() != reflect.Struct:
		return fmt.Errorf("T: is %v, not a struct or a map with strings as keys; set Diff", t)
	case countFields(t) == 0:
		return fmt.Errorf("T: %v has no exported fields to compare; set Diff", t)
	}
	return nil
}

func isStringMap(t reflect.Type) bool {
	return t.Kind() == reflect.Map && t.Key().Kind() == reflect.String
}

// flattens reports whether the fields of an embedded struct count as the outer
// struct's own.
func flattens(f reflect.StructField) bool {
	return f.Anonymous && f.Type.Kind() == reflect.Struct && !hasEqual(f.Type)
}

func countFields(t reflect.Type) int {
	n := 0
	for f := range t.Fields() {
		switch {
		case flattens(f):
			n += countFields(f.Type)
		case f.IsExported():
			n++
		}
	}
	return n
}

func diffStruct(have, want reflect.Value) []Field {
	var fields []Field
	for f, w := range want.Fields() {
		h := have.FieldByIndex(f.Index)
		switch {
		case flattens(f):
			fields = append(fields, diffStruct(h, w)...)
		case f.IsExported() && !equal(h, w):
			fields = append(fields, Field{Name: f.Name, Old: h.Interface(), New: w.Interface()})
		}
	}
	return fields
}

func diffMap(have, want reflect.Value) []Field {
	keys := want.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int {
		switch {
		case a.String() < b.String():
			return -1
		case a.String() > b.String():
			return 1
		}
		return 0
	})
	var fields []Field
	for _, k := range keys {
		h, w := have.MapIndex(k), want.MapIndex(k)
		if isNil(w) && (!h.IsValid() || isNil(h)) || h.IsValid() && equal(h, w) {
			continue
		}
		f := Field{Name: k.String(), New: w.Interface()}
		if h.IsValid() {
			f.Old = h.Interface()
		}
		fields = append(fields, f)
	}
	return fields
}

func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer, reflect.Map, reflect.Slice:
		return v.IsNil()
	default:
		return false
	}
}

// hasEqual reports whether t has a method Equal(t) bool.
func hasEqual(t reflect.Type) bool {
	m, ok := t.MethodByName("Equal")
	return ok && m.Type.NumIn() == 2 && m.Type.In(1) == t &&
		m.Type.NumOut() == 1 && m.Type.Out(0).Kind() == reflect.Bool
}

// equal compares a, which is there, with b, which is wanted, as Diff says. Their types may differ where they
// come out of an interface.
func equal(a, b reflect.Value) bool {
	if want, ok := optionalOf(b); ok {
		return equalOptional(a, want)
	}
	if a.Kind() == reflect.Interface || b.Kind() == reflect.Interface {
		return equalAny(a, b)
	}
	if a.Type() == b.Type() {
		switch {
		case a.Kind() == reflect.Pointer && (a.IsNil() || b.IsNil()):
			return a.IsNil() && b.IsNil()
		case hasEqual(a.Type()):
			return a.MethodByName("Equal").Call([]reflect.Value{b})[0].Bool()
		}
	}
	switch {
	case isNumber(a) && isNumber(b):
		return equalNumbers(a, b)
	case isList(a) && isList(b):
		return equalLists(a, b)
	case a.Kind() != b.Kind():
		return false
	}
	switch a.Kind() {
	case reflect.String:
		return a.String() == b.String()
	case reflect.Bool:
		return a.Bool() == b.Bool()
	case reflect.Map:
		return equalMaps(a, b)
	case reflect.Pointer:
		return a.Type() == b.Type() && equal(a.Elem(), b.Elem())
	case reflect.Struct:
		return a.Type() == b.Type() && equalStructs(a, b)
	default:
		return reflect.DeepEqual(a.Interface(), b.Interface())
	}
}

// optional is an Optional of any type.
type optional interface {
	IsZero() bool
	Any() any
	optional()
}

func optionalOf(v reflect.Value) (optional, bool) {
	if v.Kind() != reflect.Struct || !v.CanInterface() {
		return nil, false
	}
	return reflect.TypeAssert[optional](v)
}

// equalOptional compares what is there with what is wanted of it.
func equalOptional(have reflect.Value, want optional) bool {
	if want.IsZero() {
		return true
	}
	var value any
	if o, ok := optionalOf(have); ok {
		value = o.Any()
	} else if have.CanInterface() {
		value = have.Interface()
	}
	if value == nil || want.Any() == nil {
		return value == nil && want.Any() == nil
	}
	return equal(reflect.ValueOf(value), reflect.ValueOf(want.Any()))
}

// equalAny compares what interfaces hold.
func equalAny(a, b reflect.Value) bool {
	if a.Kind() == reflect.Interface {
		a = a.Elem()
	}
	if b.Kind() == reflect.Interface {
		b = b.Elem()
	}
	if !a.IsValid() || !b.IsValid() {
		return a.IsValid() == b.IsValid()
	}
	return equal(a, b)
}

func isList(v reflect.Value) bool { return v.Kind() == reflect.Slice || v.Kind() == reflect.Array }

func equalLists(a, b reflect.Value) bool {
	if a.Len() != b.Len() {
		return false
	}
	for i := range a.Len() {
		if !equal(a.Index(i), b.Index(i)) {
			return false
		}
	}
	return true
}

func equalMaps(a, b reflect.Value) bool {
	if a.Len() != b.Len() || a.Type().Key() != b.Type().Key() {
		return false
	}
	for k, v := range a.Seq2() {
		w := b.MapIndex(k)
		if !w.IsValid() || !equal(v, w) {
			return false
		}
	}
	return true
}

// equalStructs compares the fields, if all can be read; a struct that hides
// some means itself as a whole.
func equalStructs(a, b reflect.Value) bool {
	for f := range a.Type().Fields() {
		if !f.IsExported() {
			return reflect.DeepEqual(a.Interface(), b.Interface())
		}
	}
	for f, v := range a.Fields() {
		if !equal(v, b.FieldByIndex(f.Index)) {
			return false
		}
	}
	return true
}

func isNumber(v reflect.Value) bool { return v.CanInt() || v.CanUint() || v.CanFloat() }

func equalNumbers(a, b reflect.Value) bool {
	switch {
	case a.CanInt() && b.CanInt():
		return a.Int() == b.Int()
	case a.CanUint() && b.CanUint():
		return a.Uint() == b.Uint()
	case a.CanFloat() && b.CanFloat():
		return a.Float() == b.Float() || a.Float() != a.Float() && b.Float() != b.Float()
	}
	x, y := exactly(a), exactly(b)
	return x != nil && y != nil && x.Cmp(y) == 0
}

// exactly returns a number without loss, and nil for NaN.
func exactly(v reflect.Value) *big.Float {
	switch {
	case v.CanInt():
		return new(big.Float).SetInt64(v.Int())
	case v.CanUint():
		return new(big.Float).SetUint64(v.Uint())
	case v.Float() != v.Float():
		return nil
	}
	return big.NewFloat(v.Float())
}
