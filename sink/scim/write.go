package scim

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/jsondoc"
	"github.com/konnektor-go/konnektor/sink"
)

// operation is one change of a PATCH: RFC 7644, section 3.5.2.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

const patchSchema = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

// operations returns what makes a difference go away.
func (d difference) operations() []operation {
	at := d.name()
	wanted, isList := d.New.([]any)
	switch {
	case len(d.all) > 0 && (isList || isNothing(d.New)):
		p := planValues(d.Path[len(d.Path)-1], d.all, wanted, d.ours)
		return p.operations(at)
	case isNothing(d.New):
		return []operation{{Op: "remove", Path: at}}
	case len(d.Path) == 3 && hasURN(d.Path[0]):
		// Providers lose their way in paths that deep. What is not named of a
		// complex attribute stays.
		return []operation{{Op: "add", Path: path(d.Path[:2]), Value: jsondoc.Doc{d.Path[2]: d.New}}}
	case isNothing(d.Old):
		return []operation{{Op: "add", Path: at, Value: d.New}}
	}
	return []operation{{Op: "replace", Path: at, Value: d.New}}
}

// operations changes only the values that differ, so that one changed member of
// a large group is one small operation. Where a value cannot be told from
// others, the attribute is replaced as a whole.
func (p *plan) operations(at string) []operation {
	if len(p.removed) == len(p.all) && len(p.added) == 0 {
		return []operation{{Op: "remove", Path: at}}
	}
	var ops []operation
	s := p.selectors()
	for _, i := range p.removed {
		filter, _, ok := s.find(i, "value", "type")
		if !ok {
			return []operation{{Op: "replace", Path: at, Value: p.full()}}
		}
		ops = append(ops, operation{Op: "remove", Path: at + filter})
		s.count(p.all[i], -1)
	}
	for _, c := range p.changed {
		filter, by, ok := s.find(c.index, "type", "value")
		if !ok {
			return []operation{{Op: "replace", Path: at, Value: p.full()}}
		}
		have, _ := p.all[c.index].(jsondoc.Doc)
		ops = append(ops, changes(at+filter, by, have, c.want)...)
		s.count(have, -1)
		s.count(merge(have, c.want), 1)
	}
	if len(p.added) > 0 {
		ops = append(ops, operation{Op: "add", Path: at, Value: p.added})
	}
	return ops
}

// changes returns what changes the parts of one value. What it is selected by comes last.
func changes(at, by string, have, want jsondoc.Doc) []operation {
	names := slices.SortedFunc(maps.Keys(want), func(a, b string) int {
		if last := strings.EqualFold(a, by); last != strings.EqualFold(b, by) {
			return map[bool]int{true: 1, false: -1}[last]
		}
		return strings.Compare(a, b)
	})
	var ops []operation
	for _, name := range names {
		_, old := member(have, name)
		d := difference{Difference: jsondoc.Difference{Path: []string{name}, Old: old, New: want[name]}}
		if covered(old, want[name]) {
			continue
		}
		for _, o := range d.operations() {
			o.Path = at + "." + o.Path
			ops = append(ops, o)
		}
	}
	return ops
}

// batches divides operations into requests that change at most size values each.
func batches(ops []operation, size int) [][]operation {
	var all [][]operation
	var batch []operation
	room := size
	for _, o := range ops {
		values, isList := o.Value.([]any)
		for isList && o.Op == "add" && len(values) > room {
			if room > 0 {
				batch = append(batch, operation{Op: o.Op, Path: o.Path, Value: values[:room]})
				values = values[room:]
			}
			all, batch, room = append(all, batch), nil, size
		}
		n := 1
		if isList && o.Op == "add" {
			o.Value, n = values, len(values)
		}
		if n > room {
			all, batch, room = append(all, batch), nil, size
		}
		batch = append(batch, o)
		room -= n
	}
	return append(all, batch)
}

// patch sends what differs.
func (e *Endpoint[T]) patch(ctx context.Context, key entity.Key, r *ref, diffs []difference) error {
	var ops []operation
	for _, d := range diffs {
		ops = append(ops, d.operations()...)
	}
	version := r.version
	for _, batch := range batches(ops, e.client.cfg.PatchSize) {
		a, err := e.about(ctx, key, r.id, request{method: http.MethodPatch, match: version, body: struct {
			Schemas    []string    `json:"schemas"`
			Operations []operation `json:"Operations"`
		}{[]string{patchSchema}, batch}})
		if err != nil {
			return missed(err, batch)
		}
		version = a.version()
	}
	return nil
}

// missed takes a refusal that says no more for what it likely is if a path
// selects a value: the value is not there any more.
func missed(err error, ops []operation) error {
	var e *Error
	if !errors.As(err, &e) || e.Status != http.StatusBadRequest || e.Type != "" ||
		!slices.ContainsFunc(ops, func(o operation) bool { return strings.Contains(o.Path, "[") }) {
		return err
	}
	conflict := *e
	conflict.Reason, conflict.Err = sink.ErrConflict.Error()+", as it seems", sink.ErrConflict
	return &conflict
}

// version returns the entity tag of the resource that an answer holds, "" if it
// tells none.
func (a *answer) version() string {
	if tag := entityTag(a.header.Get("ETag")); tag != "" {
		return tag
	}
	d, err := jsondoc.Decode(a.body)
	if err != nil {
		return ""
	}
	return newRef(d).version
}

// put sends the resource as the provider holds it, but for what differs. Where
// no entity tag keeps it from overwriting what another writer did since it was
// read, it reads once more, right before.
func (e *Endpoint[T]) put(ctx context.Context, key entity.Key, r *ref, diffs []difference) error {
	fixed, err := e.readOnly(ctx)
	if err != nil {
		return err
	}
	if r.version == "" {
		a, err := e.about(ctx, key, r.id, request{method: http.MethodGet})
		if err != nil {
			return err
		}
		now, err := a.document()
		if err != nil {
			return err
		}
		withBooleans(now)
		if len(rules.Compare(now, without(r.doc, "meta"))) > 0 {
			return a.is(sink.ErrConflict)
		}
		r = &ref{id: r.id, doc: now} // it may have more now
	}
	body := merged(r.doc, diffs)
	writable(body, fixed)
	_, v := member(r.doc, "schemas")
	body["schemas"] = e.schemas(v, body)
	_, err = e.about(ctx, key, r.id, request{method: http.MethodPut, match: r.version, body: body})
	return err
}

// merged returns a resource without the differences. The resource itself is not
// changed.
func merged(have jsondoc.Doc, diffs []difference) jsondoc.Doc {
	body := maps.Clone(have)
	for _, d := range diffs {
		at := body
		for _, name := range d.Path[:len(d.Path)-1] {
			held, v := member(at, name)
			inner, _ := v.(jsondoc.Doc)
			if inner = maps.Clone(inner); inner == nil {
				inner = jsondoc.Doc{}
			}
			at[held] = inner
			at = inner
		}
		v := d.New
		if wanted, ok := v.([]any); len(d.all) > 0 && (ok || isNothing(v)) {
			p := planValues(d.Path[len(d.Path)-1], d.all, wanted, d.ours)
			v = p.full()
		}
		set(at, d.Path[len(d.Path)-1], v)
	}
	return body
}

// writable removes the attributes that only the provider writes, and extensions
// that have nothing left.
func writable(body jsondoc.Doc, fixed map[string]bool) {
	for name, v := range body {
		if fixed[strings.ToLower(name)] {
			delete(body, name)
			continue
		}
		inner, ok := v.(jsondoc.Doc)
		if !ok || !hasURN(name) {
			continue
		}
		inner = maps.Clone(inner)
		for n := range inner {
			if fixed[strings.ToLower(name+":"+n)] {
				delete(inner, n)
			}
		}
		if len(inner) == 0 {
			delete(body, name)
			continue
		}
		body[name] = inner
	}
}

// schemas returns the schemas of a resource: those that it has, those it is
// configured to have, and its extensions.
func (e *Endpoint[T]) schemas(held any, d jsondoc.Doc) []string {
	names := slices.Clone(e.client.cfg.Schemas)
	add := func(name string) {
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			names = append(names, name)
		}
	}
	list, _ := held.([]any)
	for _, v := range list {
		if s, ok := v.(string); ok {
			add(s)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d)) {
		if hasURN(name) {
			add(name)
		}
	}
	return names
}
