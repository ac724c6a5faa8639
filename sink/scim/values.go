package scim

import (
	"encoding/json"
	"maps"
	"strings"

	"github.com/konnektor-go/konnektor/internal/jsondoc"
)

// plan says how the values of a multi-valued attribute become the wanted ones.
type plan struct {
	all     []any // what the provider holds, others' values too
	removed []int // indices into all
	changed []pair
	added   []any
}

// pair is a value that stays, but not as it is.
type pair struct {
	index int // into all
	want  jsondoc.Doc
}

// planValues decides which values are kept, changed, removed and added. Two are
// the same if they have the same value, or else if they alone have their type.
// The values of others stay as they are.
func planValues(attribute string, all, want []any, ours func(any) bool) plan {
	p := plan{all: all}
	free := map[string][]int{} // ours that are not paired, by their label
	for i, v := range all {
		if ours(v) {
			free[label(v)] = append(free[label(v)], i)
		}
	}
	for _, same := range []func(have, want any) bool{covered, compatible} {
		want = p.pair(want, free, same)
	}
	if !strings.EqualFold(attribute, "members") { // one cannot become another: RFC 7643, section 4.2
		want = p.pairByType(want, free)
	}
	p.added = want
	for i := range all { // in their order
		for _, j := range free[label(all[i])] {
			if i == j {
				p.removed = append(p.removed, i)
			}
		}
	}
	return p
}

// pair pairs wanted values with free ones of the same label, and returns the
// rest.
func (p *plan) pair(want []any, free map[string][]int, same func(have, want any) bool) []any {
	var rest []any
	for _, w := range want {
		l := label(w)
		found := false
		for n, i := range free[l] {
			if same(p.all[i], w) {
				free[l] = append(free[l][:n:n], free[l][n+1:]...)
				p.keep(i, w)
				found = true
				break
			}
		}
		if !found {
			rest = append(rest, w)
		}
	}
	return rest
}

func (p *plan) keep(i int, want any) {
	if w, ok := want.(jsondoc.Doc); ok && !covered(p.all[i], want) {
		p.changed = append(p.changed, pair{i, w})
	}
}

// pairByType pairs what is left by types that only one on each side has.
func (p *plan) pairByType(want []any, free map[string][]int) []any {
	have, wanted := map[string]int{}, map[string]int{}
	at := map[string]int{}
	for _, indices := range free {
		for _, i := range indices {
			t := typeOf(p.all[i])
			have[t]++
			at[t] = i
		}
	}
	for _, w := range want {
		wanted[typeOf(w)]++
	}
	var rest []any
	for _, w := range want {
		t := typeOf(w)
		if t == "" || have[t] != 1 || wanted[t] != 1 {
			rest = append(rest, w)
			continue
		}
		i := at[t]
		l := label(p.all[i])
		for n, j := range free[l] {
			if i == j {
				free[l] = append(free[l][:n:n], free[l][n+1:]...)
				break
			}
		}
		p.keep(i, w)
	}
	return rest
}

// label returns what values are found by: the same for all that can be the same.
func label(v any) string {
	switch v := v.(type) {
	case jsondoc.Doc:
		_, inner := member(v, "value")
		return label(inner)
	case string:
		return v
	case json.Number:
		return v.String()
	default:
		return ""
	}
}

func typeOf(v any) string {
	d, _ := v.(jsondoc.Doc)
	return strings.ToLower(text(d, "type"))
}

// covered reports whether a value is all that another names.
func covered(have, want any) bool {
	h, w := jsondoc.Doc{"v": have}, jsondoc.Doc{"v": want}
	return len(rules.Compare(h, w)) == 0
}

// compatible reports whether two with the same label can be the same value.
func compatible(have, want any) bool {
	if label(want) == "" {
		return false
	}
	t, u := typeOf(have), typeOf(want)
	return t == "" || u == "" || t == u
}

// full returns all the values as they will be.
func (p *plan) full() []any {
	gone := map[int]bool{}
	for _, i := range p.removed {
		gone[i] = true
	}
	changed := map[int]jsondoc.Doc{}
	for _, c := range p.changed {
		changed[c.index] = c.want
	}
	var list []any
	for i, v := range p.all {
		switch w, ok := changed[i]; {
		case gone[i]:
		case ok:
			h, _ := v.(jsondoc.Doc)
			list = append(list, merge(h, w))
		default:
			list = append(list, v)
		}
	}
	for _, v := range p.added {
		if d, ok := v.(jsondoc.Doc); ok {
			v = bare(d)
		}
		list = append(list, v)
	}
	return list
}

// merge returns a value with what is wanted of it.
func merge(have, want jsondoc.Doc) jsondoc.Doc {
	merged := maps.Clone(have)
	for name, v := range want {
		set(merged, name, v)
	}
	return merged
}

// set gives a member a value, or none.
func set(d jsondoc.Doc, name string, v any) {
	held, _ := member(d, name)
	if isNothing(v) {
		delete(d, held)
		return
	}
	d[held] = v
}

// selectors finds values by what they alone have.
type selectors struct {
	all    []any
	counts map[string]map[string]int // how many have a value, and a type
}

func (p *plan) selectors() selectors {
	s := selectors{all: p.all, counts: map[string]map[string]int{"value": {}, "type": {}}}
	for _, v := range p.all {
		s.count(v, 1)
	}
	return s
}

// count counts a value that comes, or one that goes.
func (s selectors) count(v any, n int) {
	d, _ := v.(jsondoc.Doc)
	for name, counts := range s.counts {
		counts[strings.ToLower(text(d, name))] += n
	}
}

// find returns the filter that selects a value by one of its parts, and which;
// false if there is none.
func (s selectors) find(i int, parts ...string) (filter, by string, ok bool) {
	d, _ := s.all[i].(jsondoc.Doc)
	for _, name := range parts {
		if v := text(d, name); isPlain(v) && s.counts[name][strings.ToLower(v)] == 1 {
			return "[" + name + ` eq "` + v + `"]`, name, true
		}
	}
	return "", "", false
}

// isPlain reports whether a string can stand in the filter of a path without an
// escape, whoever reads it. What cannot is never sent there.
func isPlain(s string) bool {
	return s != "" && len(s) <= 256 && !strings.ContainsFunc(s, func(r rune) bool {
		return !isLetter(r) && (r < '0' || r > '9') && !strings.ContainsRune("-_.@:+=", r)
	})
}
