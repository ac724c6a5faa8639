package testkit

import (
	"reflect"

	"github.com/konnektor-go/konnektor/sink"
)

// detach replaces the pointers, slices and maps in v by copies, all the way
// down, but for those in unexported fields. v must be addressable.
func detach(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			c := reflect.New(v.Type().Elem())
			c.Elem().Set(v.Elem())
			detach(c.Elem())
			v.Set(c)
		}
	case reflect.Interface:
		if !v.IsNil() {
			v.Set(detached(v.Elem()))
		}
	case reflect.Slice:
		if !v.IsNil() {
			c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			reflect.Copy(c, v)
			v.Set(c)
		}
		detachItems(v)
	case reflect.Array:
		detachItems(v)
	case reflect.Map:
		if !v.IsNil() {
			c := reflect.MakeMapWithSize(v.Type(), v.Len())
			for k, e := range v.Seq2() {
				c.SetMapIndex(k, detached(e))
			}
			v.Set(c)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			// An embedded struct has exported fields of its own.
			if f.IsExported() || f.Anonymous && f.Type.Kind() == reflect.Struct {
				detach(v.Field(i))
			}
		}
	}
}

func detachItems(v reflect.Value) {
	for i := range v.Len() {
		detach(v.Index(i))
	}
}

func detached(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	detach(c)
	return c
}

// merge returns have with the given fields taken from want. Fields are those of
// a struct, or of what a pointer to one points to, or the keys of a map, where
// nil means that the key shall be absent. If T is neither, or if a field is not
// found, the update concerns the whole value. It may change have.
func merge[T any](have, want T, fields []sink.Field) T {
	h, w := reflect.ValueOf(&have).Elem(), reflect.ValueOf(&want).Elem()
	for h.Kind() == reflect.Pointer || h.Kind() == reflect.Interface {
		if h.IsNil() || w.IsNil() || h.Elem().Type() != w.Elem().Type() {
			return want
		}
		h, w = h.Elem(), w.Elem()
	}
	for _, f := range fields {
		var found bool
		switch {
		case h.Kind() == reflect.Struct:
			found = mergeField(h, w, f.Name)
		case h.Kind() == reflect.Map && h.Type().Key().Kind() == reflect.String && !h.IsNil():
			name := reflect.ValueOf(f.Name).Convert(h.Type().Key())
			v := w.MapIndex(name)
			if v.Kind() == reflect.Interface && v.IsNil() {
				v = reflect.Value{}
			}
			h.SetMapIndex(name, v)
			found = true
		}
		if !found {
			return want
		}
	}
	return have
}

func mergeField(have, want reflect.Value, name string) bool {
	f, found := have.Type().FieldByName(name)
	if !found || !f.IsExported() || !have.CanSet() {
		return false
	}
	to, err := have.FieldByIndexErr(f.Index) // fails within an embedded nil pointer
	if err != nil {
		return false
	}
	from, err := want.FieldByIndexErr(f.Index)
	if err != nil {
		return false
	}
	to.Set(from)
	return true
}
