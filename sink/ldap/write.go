package ldap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
)

// Create adds the entry, with the attributes that have values, its key and what
// its name holds.
func (e *Entries) Create(ctx context.Context, key entity.Key, entry Entry) error {
	s, err := e.client.loaded(ctx)
	if err != nil {
		return err
	}
	w, err := e.wanted(s, key, entry)
	if err != nil {
		return err
	}
	if w.dn == "" {
		return rejected("DN: an attribute of the template {%s} is not named", strings.Join(e.dn.names, "}, {"))
	}
	values, err := e.created(s, key, w)
	if err != nil {
		return err
	}
	// What is too much for one request is written after it.
	var rest []batch
	req := goldap.NewAddRequest(w.dn, nil)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		first := values[name][:min(len(values[name]), batchSize)]
		req.Attribute(name, first)
		rest = append(rest, adding(name, values[name][len(first):])...)
	}
	err = e.client.write(ctx, opAdd, func(conn *goldap.Conn) error { return conn.Add(req) })
	if err != nil {
		return e.notAdded(ctx, s, key, err)
	}
	return e.modify(ctx, w.dn, rest)
}

// created returns the values of a new entry, by name.
func (e *Entries) created(s *schema, key entity.Key, w want) (map[string][]string, error) {
	values := map[string][]string{}
	names := map[string]string{} // by canonical name
	for _, a := range w.attributes {
		if len(a.values) > 0 {
			values[a.name], names[a.canonical] = a.values, a.name
		}
	}
	add := func(name, value string) {
		canonical := s.canonical(name)
		spelled, ok := names[canonical]
		if !ok {
			spelled, names[canonical] = name, name
		}
		m := s.matching(name, BySchema)
		same := func(v string) bool { return m.normal(v) == m.normal(value) }
		if !slices.ContainsFunc(values[spelled], same) {
			values[spelled] = append(slices.Clip(values[spelled]), value)
		}
	}
	_, rdn, _, err := splitDN(w.dn)
	if err != nil {
		return nil, rejected("DN: %w", err)
	}
	for _, a := range rdn {
		add(a.Type, a.Value)
	}
	if e.cfg.ByDN {
		return values, nil
	}
	if t, ok := s.lookup(e.cfg.Key); ok && t.readOnly {
		return nil, rejected("Key: %s is given by the server, so that there can be no new entries", e.cfg.Key)
	}
	value, err := e.keyValue(key)
	if err != nil {
		return nil, err
	}
	add(e.cfg.Key, value)
	return values, nil
}

// notAdded decides why an entry could not be added: it is there, another has its
// name, or the one above it is missing.
func (e *Entries) notAdded(ctx context.Context, s *schema, key entity.Key, err error) error {
	switch resultCode(err) {
	case goldap.LDAPResultEntryAlreadyExists:
		_, found, ferr := e.find(ctx, s, key, []string{"1.1"})
		switch {
		case ferr != nil:
			return ferr
		case found:
			return fmt.Errorf("%w: %w", err, sink.ErrExists)
		}
		return failure.As(failure.Failed, fmt.Errorf("%w: another entry has the name", err))
	case goldap.LDAPResultNoSuchObject:
		if berr := e.client.checkBase(ctx, e.base); berr != nil {
			return berr
		}
		return failure.As(failure.Failed, fmt.Errorf("%w: the entry above it is not there", err))
	}
	return err
}

// resultCode returns the result code of an error of ours, 0 if it has none.
func resultCode(err error) uint16 {
	var server *resultError
	if errors.As(err, &server) {
		return server.code
	}
	return 0
}

// Update renames or moves the entry if fields names "dn", and writes the values
// that differ in the other fields.
func (e *Entries) Update(ctx context.Context, key entity.Key, have sink.Found[Entry], entry Entry, fields []sink.Field) error {
	s, err := e.client.loaded(ctx)
	if err != nil {
		return err
	}
	was, ok := have.Ref.(*state)
	if !ok {
		return rejected("the entry was not read by this target")
	}
	w, err := e.wanted(s, key, entry)
	if err != nil {
		return err
	}
	named := func(name string) bool {
		return slices.ContainsFunc(fields, func(f sink.Field) bool { return f.Name == name })
	}
	if named("dn") && w.dn != "" && !s.sameDN(was.dn, w.dn) {
		if was, err = e.rename(ctx, s, key, was, w); err != nil {
			return err
		}
	}
	w.attributes = slices.DeleteFunc(w.attributes, func(a attribute) bool { return !named(a.name) })
	batches := batchesOf(w, was)
	if len(batches) == 0 {
		return nil
	}
	assertion, err := e.assertion(s, key, w, was)
	if err != nil {
		return err
	}
	batches[0].assertion = assertion
	return e.modify(ctx, was.dn, batches)
}

// rename gives the entry its new name, or another parent, and reads it again: a
// name is also a value of an attribute, and takes the old one's place there,
// unless that is wanted too.
func (e *Entries) rename(ctx context.Context, s *schema, key entity.Key, was *state, w want) (*state, error) {
	rdn, name, parent, err := splitDN(w.dn)
	if err != nil {
		return nil, rejected("DN: %w", err)
	}
	_, old, oldParent, err := splitDN(was.dn)
	if err != nil {
		return nil, failed("rename: the server's DN cannot be read")
	}
	req := goldap.NewModifyDNRequest(was.dn, rdn, !s.keepsName(w, old, name), "")
	if normalDN(parent) != normalDN(oldParent) {
		req.NewSuperior = parent
	}
	filter, err := e.isKeyUnlessByDN(key)
	if err != nil {
		return nil, err
	}
	req.Controls = s.assert(filter)
	err = e.client.write(ctx, opRename, func(conn *goldap.Conn) error { return conn.ModifyDN(req) })
	if err != nil {
		return nil, e.notRenamed(ctx, req.NewSuperior, err)
	}
	now, found, err := e.find(ctx, s, key, w.names())
	if err == nil && !found {
		err = fmt.Errorf("ldap: rename: %w", sink.ErrNotFound)
	}
	return now, err
}

// keepsName reports whether what an entry's old name holds is wanted as well as
// what the new one does.
func (s *schema) keepsName(w want, old, name []*goldap.AttributeTypeAndValue) bool {
	for _, o := range old {
		a := w.find(s.canonical(o.Type))
		if a == nil {
			return false
		}
		same := func(v string) bool { return a.match.normal(v) == a.match.normal(o.Value) }
		inName := func(n *goldap.AttributeTypeAndValue) bool { return s.canonical(n.Type) == a.canonical && same(n.Value) }
		if !slices.ContainsFunc(a.values, same) || slices.ContainsFunc(name, inName) {
			return false
		}
	}
	return true
}

// notRenamed decides what was not found: the entry, or its new parent.
func (e *Entries) notRenamed(ctx context.Context, parent string, err error) error {
	switch resultCode(err) {
	case goldap.LDAPResultNoSuchObject:
		if parent != "" && e.client.checkBase(ctx, parent) != nil {
			return failed("rename: noSuchObject (32): the entry above the new name is not there")
		}
	case goldap.LDAPResultEntryAlreadyExists:
		return failure.As(failure.Failed, fmt.Errorf("%w: another entry has the name", err))
	}
	return err
}

// Delete deletes the entry.
func (e *Entries) Delete(ctx context.Context, key entity.Key, have sink.Found[Entry]) error {
	s, err := e.client.loaded(ctx)
	if err != nil {
		return err
	}
	was, ok := have.Ref.(*state)
	if !ok {
		return rejected("the entry was not read by this target")
	}
	filter, err := e.isKeyUnlessByDN(key)
	if err != nil {
		return err
	}
	req := goldap.NewDelRequest(was.dn, s.assert(filter))
	return e.client.write(ctx, opDelete, func(conn *goldap.Conn) error { return conn.Del(req) })
}

func (e *Entries) isKeyUnlessByDN(key entity.Key) (string, error) {
	if e.cfg.ByDN {
		return "", nil
	}
	return e.isKey(key)
}

// assertion returns a filter for what a modify by difference does not show by
// itself: that the entry is still the key's, that an attribute of one value has
// still none, and that a set has got no other value from another writer who means
// to own it too.
func (e *Entries) assertion(s *schema, key entity.Key, w want, was *state) ([]goldap.Control, error) {
	filter, err := e.isKeyUnlessByDN(key)
	if err != nil {
		return nil, err
	}
	version := false
	for _, a := range w.attributes {
		have := was.attributes[a.canonical]
		switch {
		case a.match.whole || a.class || a.owned != nil:
		case a.match.single && len(have) == 0 && !was.hasOption(a.canonical):
			filter += "(!(" + a.name + "=*))"
		case !a.match.single && (len(have) != 1 || len(a.values) != 1):
			version = true
		}
	}
	if version && was.csn != "" {
		filter += "(" + entryCSN + "=" + goldap.EscapeFilter(was.csn) + ")"
	}
	return s.assert(filter), nil
}

// hasOption reports whether the entry has the attribute with options that are
// not ours, which a filter for its presence would find too.
func (s *state) hasOption(canonical string) bool {
	for name := range s.attributes {
		if strings.HasPrefix(name, canonical+";") {
			return true
		}
	}
	return false
}

// assert returns the control that lets a write happen only if all of the filters
// match (RFC 4528), none if the server does not have it.
func (s *schema) assert(filters string) []goldap.Control {
	if filters == "" || !s.controls[oidAssertion] {
		return nil
	}
	packet, err := goldap.CompileFilter("(&" + filters + ")")
	if err != nil {
		return nil // not for filters of escaped values
	}
	return []goldap.Control{goldap.NewControlString(oidAssertion, true, string(packet.Bytes()))}
}
