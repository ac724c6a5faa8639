package ldap

import (
	"context"
	"slices"

	goldap "github.com/go-ldap/ldap/v3"
)

// batchSize is how many values one request adds or removes at most. Servers
// bound the size of a request, and Active Directory that of a transaction.
const batchSize = 1000

// batch is what one modify request writes.
type batch struct {
	changes   []goldap.Change
	values    int
	assertion []goldap.Control
}

// batchesOf returns the requests that make an entry as it is wanted, one but for
// very many values. Old spellings give way to new ones first; then values are
// added, and at last removed, so that a group whose class demands a member always
// has one.
func batchesOf(w want, was *state) []batch {
	var list batches
	var differences []difference
	for _, a := range w.attributes {
		differences = append(differences, a.differs(was.attributes[a.canonical]))
	}
	for i, a := range w.attributes {
		d := differences[i]
		if d.none() {
			continue
		}
		if d.whole {
			list.put(goldap.ReplaceAttribute, a.name, d.replaced(a)...)
			continue
		}
		for _, r := range d.respell {
			list.room(2)
			list.put(goldap.DeleteAttribute, a.name, r[0])
			list.put(goldap.AddAttribute, a.name, r[1])
		}
		if a.match.single {
			// One request must do both, the removal first.
			list.room(len(d.remove) + len(d.add))
			list.put(goldap.DeleteAttribute, a.name, d.remove...)
			list.put(goldap.AddAttribute, a.name, d.add...)
		}
	}
	for _, op := range []uint{goldap.AddAttribute, goldap.DeleteAttribute} {
		for i, a := range w.attributes {
			d := differences[i]
			if d.whole || a.match.single {
				continue
			}
			values := d.add
			if op == goldap.DeleteAttribute {
				values = d.remove
			}
			list.put(op, a.name, values...)
		}
	}
	return list
}

// replaced returns all the values of an attribute whose values the server cannot
// tell apart: those that are wanted, and those that are not ours.
func (d difference) replaced(a attribute) []string {
	values := d.replace
	for _, h := range d.have {
		if a.owned != nil && !a.owned(h) {
			values = append(slices.Clip(values), h)
		}
	}
	return values
}

type batches []batch

// room begins a new request if n more values do not fit into the last.
func (b *batches) room(n int) {
	if len(*b) == 0 || (*b)[len(*b)-1].values+n > batchSize {
		*b = append(*b, batch{})
	}
}

// put adds values to the requests. A replacement goes into one request.
func (b *batches) put(op uint, name string, values ...string) {
	if op == goldap.ReplaceAttribute {
		b.room(len(values))
		last := &(*b)[len(*b)-1]
		last.changes = append(last.changes, goldap.Change{Operation: op, Modification: goldap.PartialAttribute{Type: name, Vals: values}})
		last.values += len(values)
		return
	}
	for len(values) > 0 {
		b.room(1)
		last := &(*b)[len(*b)-1]
		n := min(len(values), batchSize-last.values)
		last.changes = append(last.changes, goldap.Change{Operation: op, Modification: goldap.PartialAttribute{Type: name, Vals: values[:n]}})
		last.values += n
		values = values[n:]
	}
}

// adding returns the requests that add values to an attribute.
func adding(name string, values []string) []batch {
	var list batches
	list.put(goldap.AddAttribute, name, values...)
	return list
}

// modify sends the requests one after the other.
func (e *Entries) modify(ctx context.Context, dn string, batches []batch) error {
	for _, b := range batches {
		req := goldap.ModifyRequest{DN: dn, Changes: b.changes, Controls: b.assertion}
		if err := e.client.write(ctx, opModify, func(conn *goldap.Conn) error { return conn.Modify(&req) }); err != nil {
			return err
		}
	}
	return nil
}
