package jsondoc

import (
	"encoding/json"
	"slices"
	"strconv"
)

// coversSet reports whether each wanted element has one of its own in have that
// covers it. Both have as many.
func (r Rules) coversSet(path []string, by string, have, want []any) bool {
	if slices.ContainsFunc(want, func(w any) bool { return label(w, by) == "" }) {
		by = "" // some do not name it
	}
	// Only elements with the same label can match: in a group of thousands that
	// leaves one for each.
	candidates := map[string][]int{}
	for i, h := range have {
		l := label(h, by)
		candidates[l] = append(candidates[l], i)
	}
	taken := make(map[int]int, len(want)) // by which wanted element one of have is
	for i := range want {
		if !r.match(path, i, have, want, by, candidates, taken, map[int]bool{}) {
			return false
		}
	}
	return true
}

// match finds an element of have for the wanted element i, and moves the
// wanted elements before it to others where they stand in the way.
func (r Rules) match(path []string, i int, have, want []any, by string,
	candidates map[string][]int, taken map[int]int, tried map[int]bool,
) bool {
	for _, c := range candidates[label(want[i], by)] {
		if tried[c] || !r.covers(path, have[c], want[i]) {
			continue
		}
		tried[c] = true
		other, ok := taken[c]
		if !ok || r.match(path, other, have, want, by, candidates, taken, tried) {
			taken[c] = i
			return true
		}
	}
	return false
}

// label returns the same for all elements that may be equal: the value of a
// scalar, or of the member that tells objects apart.
func label(element any, by string) string {
	if d, ok := element.(Doc); ok && by != "" {
		return label(d[by], "")
	}
	switch v := element.(type) {
	case string:
		return "string " + v
	case json.Number:
		return "number " + normal(string(v))
	case bool:
		return strconv.FormatBool(v)
	default:
		return ""
	}
}
