package scim

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/konnektor-go/konnektor/internal/jsondoc"
	"github.com/konnektor-go/konnektor/sink"
)

// rules compare resources. The order of values has no meaning: RFC 7643, section
// 2.4.
var rules = jsondoc.Rules{Set: func([]string) (by string, ok bool) { return "value", true }}

// difference is one attribute in which a resource is not as wanted.
type difference struct {
	jsondoc.Difference
	// all are the values of a multi-valued attribute, ours and others'; ours
	// are those that Config.Types does not exclude.
	all  []any
	ours func(value any) bool
}

func (d difference) name() string { return path(d.Path) }

// compare returns what differs in have from what want names. It ignores what a
// provider never returns.
func (e *Endpoint[T]) compare(have, want jsondoc.Doc) []difference {
	for name := range want {
		if strings.EqualFold(name, "password") {
			want = without(want, name)
		}
	}
	held := e.aligned(have, want)
	var diffs []difference
	for _, d := range rules.Compare(held, want) {
		d = whole(d, held, want)
		if n := len(diffs); n > 0 && slices.Equal(diffs[n-1].Path, d.Path) {
			continue
		}
		diff := difference{Difference: d, ours: e.ours(d.Path[0])}
		if len(d.Path) == 1 {
			_, v := member(have, d.Path[0])
			diff.all, _ = v.([]any)
		} else {
			diff.all, _ = d.Old.([]any)
		}
		diffs = append(diffs, diff)
	}
	return diffs
}

func without(d jsondoc.Doc, name string) jsondoc.Doc {
	rest := make(jsondoc.Doc, len(d))
	for n, v := range d {
		if n != name {
			rest[n] = v
		}
	}
	return rest
}

// ours returns which values of an attribute are ours.
func (e *Endpoint[T]) ours(name string) func(value any) bool {
	for n, types := range e.client.cfg.Types {
		if !strings.EqualFold(n, name) {
			continue
		}
		return func(value any) bool {
			d, _ := value.(jsondoc.Doc)
			return slices.ContainsFunc(types, func(t string) bool { return strings.EqualFold(t, text(d, "type")) })
		}
	}
	return func(any) bool { return true }
}

// aligned returns the part of have that want names, in want's spelling of the
// names and of what is the same otherwise.
func (e *Endpoint[T]) aligned(have, want jsondoc.Doc) jsondoc.Doc {
	held := make(jsondoc.Doc, len(want))
	for name, w := range want {
		_, h := member(have, name)
		switch h := h.(type) {
		case nil:
			continue
		case []any:
			ours := e.ours(name)
			held[name] = slices.DeleteFunc(slices.Clone(h), func(v any) bool { return !ours(v) })
			continue
		default:
			held[name] = h
		}
		switch w := w.(type) {
		case jsondoc.Doc:
			if d, ok := h.(jsondoc.Doc); ok {
				held[name] = e.aligned(d, w)
			}
		case bool:
			if b, ok := truth(h); ok {
				held[name] = b
			}
		case string:
			if s, ok := h.(string); ok && strings.EqualFold(name, "userName") && strings.EqualFold(s, w) {
				held[name] = w
			}
		}
	}
	return held
}

// whole returns d, or the difference of the attribute that it is a part of, if
// the resource has nothing of that: a part of nothing cannot be changed.
func whole(d jsondoc.Difference, have, want jsondoc.Doc) jsondoc.Difference {
	for i, name := range d.Path[:len(d.Path)-1] {
		have, _ = have[name].(jsondoc.Doc)
		want, _ = want[name].(jsondoc.Doc)
		if len(have) == 0 && !hasURN(name) {
			return jsondoc.Difference{Path: d.Path[:i+1], New: bare(want)}
		}
	}
	return d
}

// bare returns a document without what is wanted to have no value.
func bare(d jsondoc.Doc) jsondoc.Doc {
	b := make(jsondoc.Doc, len(d))
	for name, v := range d {
		if inner, ok := v.(jsondoc.Doc); ok {
			v = bare(inner)
		}
		if !isNothing(v) {
			b[name] = v
		}
	}
	return b
}

// isNothing reports whether a value is one of those that mean none: RFC 7643,
// section 2.5.
func isNothing(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case []any:
		return len(v) == 0
	case jsondoc.Doc:
		return len(v) == 0
	}
	return false
}

// named returns those of the differences that fields names, by the names of
// attributes or of T's fields. A name stands for all below it.
func (e *Endpoint[T]) named(diffs []difference, fields []sink.Field) ([]difference, error) {
	var chosen []difference
	for _, f := range fields {
		name := f.Name
		if n, ok := e.fields[name]; ok {
			name = n
		}
		if !isName(strings.ReplaceAll(name, ".", "_")) && !isURN(name) {
			return nil, fmt.Errorf("scim: fields: %q is no attribute", f.Name)
		}
		for _, d := range diffs {
			if !covers(name, d.name()) || slices.ContainsFunc(chosen, func(c difference) bool { return reflect.DeepEqual(c.Path, d.Path) }) {
				continue
			}
			chosen = append(chosen, d)
		}
	}
	return chosen, nil
}

// covers reports whether a name is that of an attribute, or of one that it is
// part of.
func covers(name, attribute string) bool {
	if len(attribute) < len(name) || !strings.EqualFold(attribute[:len(name)], name) {
		return false
	}
	return len(attribute) == len(name) || attribute[len(name)] == '.' || attribute[len(name)] == ':'
}

// withBooleans writes the booleans that all resources have as booleans. Some
// providers return "True".
func withBooleans(d jsondoc.Doc) {
	for name, v := range d {
		switch v := v.(type) {
		case string:
			if b, ok := truth(v); ok && (strings.EqualFold(name, "active") || strings.EqualFold(name, "primary")) {
				d[name] = b
			}
		case []any:
			for _, element := range v {
				if inner, ok := element.(jsondoc.Doc); ok && len(inner) > 0 {
					withBooleans(inner)
				}
			}
		}
	}
}
