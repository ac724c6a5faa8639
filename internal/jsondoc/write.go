package jsondoc

import "slices"

// Merge returns have with what want names, for a PUT of the whole document: as
// a merge patch does, RFC 7396, but that what covers the wanted already stays as
// it is. Neither is changed. In an array that is not as wanted, its elements are
// replaced with all that they hold.
func (r Rules) Merge(have, want Doc) Doc {
	merged, _ := clone(have).(Doc)
	if merged == nil {
		merged = Doc{}
	}
	r.merge(nil, merged, want)
	return merged
}

func (r Rules) merge(path []string, have, want Doc) {
	for name, w := range want {
		p := append(slices.Clip(path), name)
		wanted, isDoc := w.(Doc)
		held, ok := have[name].(Doc)
		switch {
		case isDoc && ok:
			r.merge(p, held, wanted)
		case r.covers(p, have[name], w):
		case w == nil:
			delete(have, name)
		default:
			have[name] = clone(bare(w))
		}
	}
}

// Patch returns the merge patch, RFC 7396, that makes the differences go away
// and holds nothing else.
func Patch(diffs []Difference) Doc {
	patch := Doc{}
	for _, d := range diffs {
		if len(d.Path) == 0 {
			continue
		}
		at := patch
		for _, name := range d.Path[:len(d.Path)-1] {
			inner, ok := at[name].(Doc)
			if !ok {
				inner = Doc{}
				at[name] = inner
			}
			at = inner
		}
		at[d.Path[len(d.Path)-1]] = clone(d.New)
	}
	return patch
}
