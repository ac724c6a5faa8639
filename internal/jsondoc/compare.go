package jsondoc

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/konnektor-go/konnektor/sink"
)

// Rules says how documents are compared. The zero Rules works, and compares all
// arrays in order.
type Rules struct {
	// Set reports whether the array at a path is a set: its order does not
	// matter. By is the member that tells its elements apart, such as "value"; if
	// it is empty, the elements are told apart by all that is wanted of them.
	Set func(path []string) (by string, ok bool)
}

// Difference is one attribute in which a document is not as wanted.
type Difference struct {
	// Path leads to the attribute through the objects that hold it.
	Path []string
	// Old is nil if it is not there. New is nil if it is to have no value.
	Old, New any
}

// Name returns the path with dots between: "name.givenName". Members whose name
// holds a dot make it ambiguous, so it is for people.
func (d Difference) Name() string { return strings.Join(d.Path, ".") }

// Compare returns what differs in have from what want names, in alphabetical
// order. An object is compared by its members; what is no object where one is
// wanted, and an array, differ as a whole.
func (r Rules) Compare(have, want Doc) []Difference {
	return r.compare(nil, have, want)
}

// Diff is Compare with the differences as fields.
func (r Rules) Diff(have, want Doc) []sink.Field {
	return Fields(r.Compare(have, want))
}

// Fields returns the differences as fields, named by their paths.
func Fields(diffs []Difference) []sink.Field {
	var fields []sink.Field
	for _, d := range diffs {
		fields = append(fields, sink.Field{Name: d.Name(), Old: d.Old, New: d.New})
	}
	return fields
}

func (r Rules) compare(path []string, have, want Doc) []Difference {
	var diffs []Difference
	for _, name := range slices.Sorted(maps.Keys(want)) {
		h, w := have[name], want[name]
		p := append(slices.Clip(path), name)
		wanted, ok := w.(Doc)
		held, isDoc := h.(Doc)
		switch {
		case ok && len(wanted) > 0 && (isDoc || isNothing(h)):
			diffs = append(diffs, r.compare(p, held, wanted)...)
		case !r.covers(p, h, w):
			diffs = append(diffs, Difference{Path: p, Old: h, New: bare(w)})
		}
	}
	return diffs
}

// bare returns a wanted value without what is wanted to have none: of what is
// to be written as a whole, null members are left out.
func bare(v any) any {
	switch v := v.(type) {
	case Doc:
		d := make(Doc, len(v))
		for name, m := range v {
			if m != nil {
				d[name] = bare(m)
			}
		}
		return d
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = bare(e)
		}
		return list
	default:
		return v
	}
}

// covers reports whether have is all that want names.
func (r Rules) covers(path []string, have, want any) bool {
	switch w := want.(type) {
	case Doc:
		h, ok := have.(Doc)
		if !ok && !isNothing(have) {
			return false
		}
		for name, m := range w {
			p := path
			if !isScalar(m) { // only there a path is asked for
				p = append(slices.Clip(path), name)
			}
			if !r.covers(p, h[name], m) {
				return false
			}
		}
		return true
	case []any:
		h, ok := have.([]any)
		if !ok {
			return len(w) == 0 && isNothing(have)
		}
		return r.coversList(path, h, w)
	case nil:
		return isNothing(have)
	case json.Number:
		h, ok := have.(json.Number)
		return ok && equalNumbers(h, w)
	default: // a string or a bool
		return have == want
	}
}

func (r Rules) coversList(path []string, have, want []any) bool {
	if len(have) != len(want) {
		return false
	}
	if r.Set != nil {
		if by, ok := r.Set(path); ok {
			return r.coversSet(path, by, have, want)
		}
	}
	for i, w := range want {
		if !r.covers(path, have[i], w) {
			return false
		}
	}
	return true
}
