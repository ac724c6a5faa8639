package ldap

import (
	"slices"
	"strconv"
	"strings"

	"github.com/konnektor-go/konnektor/entity"
)

// want is an Entry that was looked at.
type want struct {
	dn         string // "" where the entry is left where it is
	attributes []attribute
}

// attribute is one that is ours, with its wanted values.
type attribute struct {
	name, canonical string
	values          []string
	match           matching
	owned           func(string) bool // nil: all
	bits            uint32
	class           bool // it is objectClass: what others want remains
}

// names returns the attributes to read.
func (w want) names() []string {
	names := make([]string, 0, len(w.attributes))
	for _, a := range w.attributes {
		names = append(names, a.name)
	}
	if len(names) == 0 {
		return []string{"1.1"} // none
	}
	return names
}

func (w want) find(canonical string) *attribute {
	i := slices.IndexFunc(w.attributes, func(a attribute) bool { return a.canonical == canonical })
	if i < 0 {
		return nil
	}
	return &w.attributes[i]
}

// wanted looks at an Entry.
func (e *Entries) wanted(s *schema, key entity.Key, entry Entry) (want, error) {
	var w want
	for name, values := range entry.Attributes {
		if !isName(name) {
			return w, rejected("Attributes: holds a name that is none")
		}
		a := e.attribute(s, name, values)
		if w.find(a.canonical) != nil {
			return w, rejected("Attributes: %s is named twice", a.canonical)
		}
		w.attributes = append(w.attributes, a)
	}
	if len(e.cfg.Classes) > 0 {
		w.addClasses(e.attribute(s, "objectClass", e.cfg.Classes))
	}
	slices.SortFunc(w.attributes, func(a, b attribute) int { return strings.Compare(a.name, b.name) })
	if err := e.checkKey(s, key, w); err != nil {
		return w, err
	}
	dn, err := e.wantedDN(s, key, entry, w)
	w.dn = dn
	return w, err
}

func (e *Entries) attribute(s *schema, name string, values []string) attribute {
	a := attribute{name: name, canonical: s.canonical(name)}
	a.class = a.canonical == "objectclass"
	var v Values
	for other, configured := range e.cfg.Values {
		if s.canonical(other) == a.canonical {
			v = configured
		}
	}
	a.match, a.owned, a.bits = s.matching(name, v.Match), v.Owned, v.Bits
	if a.class {
		a.match.normal, a.match.spelling = fold, false
	}
	if v.Placeholder != "" {
		values = append([]string{v.Placeholder}, values...)
	}
	a.values = a.match.set(values)
	if p := v.Placeholder; p != "" && a.owned != nil {
		owned := a.owned
		a.owned = func(value string) bool { return owned(value) || a.match.normal(value) == a.match.normal(p) }
	}
	return a
}

func (w *want) addClasses(classes attribute) {
	if have := w.find(classes.canonical); have != nil {
		have.values = have.match.set(append(have.values, classes.values...))
		return
	}
	w.attributes = append(w.attributes, classes)
}

// checkKey refuses to take its key from an entry, which would then not be found
// again.
func (e *Entries) checkKey(s *schema, key entity.Key, w want) error {
	a := w.find(s.canonical(e.cfg.Key))
	if a == nil || e.cfg.ByDN {
		return nil
	}
	value, err := e.keyValue(key)
	if err != nil {
		return err
	}
	same := func(v string) bool { return a.match.normal(v) == a.match.normal(value) }
	if !slices.ContainsFunc(a.values, same) {
		return rejected("Attributes: %s must hold the key", a.name)
	}
	return nil
}

// wantedDN returns where the entry is to be, "" if the Entry does not name an
// attribute of the template.
func (e *Entries) wantedDN(s *schema, key entity.Key, entry Entry, w want) (string, error) {
	if entry.DN != "" {
		found, _ := e.dn.dn(func(string) (string, error) { return key.ID, nil }) // "" is no entry's
		switch {
		case e.cfg.ByDN && normalDN(entry.DN) != normalDN(found):
			return "", rejected("DN: must be the one that entries are found by")
		case !isDN(entry.DN):
			return "", rejected("DN: is not one")
		case !isBelow(normalDN(entry.DN), normalDN(e.base)):
			return "", rejected("DN: must be below the base, or the entry would not be found again")
		}
		return entry.DN, nil
	}
	for _, name := range e.dn.names {
		if name != "id" && w.find(s.canonical(name)) == nil {
			return "", nil
		}
	}
	return e.dn.dn(func(name string) (string, error) {
		if name == "id" {
			return key.ID, nil
		}
		// The first in the order of the mapping: a set has none.
		for spelled, values := range entry.Attributes {
			if s.canonical(spelled) == s.canonical(name) && len(values) > 0 {
				return values[0], nil
			}
		}
		return "", nil
	})
}

// set returns the values without those that are the same as one before.
func (m matching) set(values []string) []string {
	seen := make(map[string]bool, len(values))
	set := make([]string, 0, len(values))
	for _, v := range values {
		if n := m.normal(v); !seen[n] {
			seen[n] = true
			set = append(set, v)
		}
	}
	return set
}

// difference is what makes an attribute as it is wanted.
type difference struct {
	respell       [][2]string // the same value to the server, but not to people
	add, remove   []string
	whole         bool     // the server cannot tell its values apart
	replace, have []string // all values then
}

func (d difference) none() bool {
	return len(d.respell)+len(d.add)+len(d.remove) == 0
}

// differs compares what an attribute has with what is wanted of it.
func (a attribute) differs(have []string) difference {
	if a.bits != 0 {
		return a.differsInBits(have)
	}
	d := difference{whole: a.match.whole, replace: a.values, have: have}
	wanted := make(map[string]string, len(a.values))
	for _, v := range a.values {
		wanted[a.match.normal(v)] = v
	}
	there := make(map[string]bool, len(have))
	for _, h := range have {
		n := a.match.normal(h)
		there[n] = true
		w, ok := wanted[n]
		switch {
		case ok && w != h && a.match.spelling:
			d.respell = append(d.respell, [2]string{h, w})
		case !ok && !a.class && (a.owned == nil || a.owned(h)):
			d.remove = append(d.remove, h)
		}
	}
	for _, w := range a.values {
		if !there[a.match.normal(w)] {
			d.add = append(d.add, w)
		}
	}
	return d
}

// differsInBits compares the bits that are ours.
func (a attribute) differsInBits(have []string) difference {
	whole := a
	whole.bits = 0
	if len(have) != 1 || len(a.values) != 1 {
		return whole.differs(have)
	}
	h, err := strconv.ParseInt(have[0], 10, 64)
	w, werr := strconv.ParseInt(a.values[0], 10, 64)
	if err != nil || werr != nil {
		return whole.differs(have)
	}
	ours := int64(a.bits)
	whole.values = []string{strconv.FormatInt(h&^ours|w&ours, 10)}
	return whole.differs(have)
}

// sameDN reports whether an entry is where it is wanted: its parent is the same
// to the server, and its name also to people.
func (s *schema) sameDN(have, wanted string) bool {
	_, h, hparent, err := splitDN(have)
	if err != nil {
		return false
	}
	_, w, wparent, err := splitDN(wanted)
	if err != nil || len(h) != len(w) || normalDN(hparent) != normalDN(wparent) {
		return false
	}
	for _, a := range w {
		m := s.matching(a.Type, BySchema)
		same := false
		for _, b := range h {
			same = same || s.canonical(a.Type) == s.canonical(b.Type) &&
				m.normal(a.Value) == m.normal(b.Value) && (!m.spelling || a.Value == b.Value)
		}
		if !same {
			return false
		}
	}
	return true
}
