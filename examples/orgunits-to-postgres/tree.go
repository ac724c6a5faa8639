package main

import (
	"context"
	"errors"
	"time"

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/source"
)

// flow is the name of the flow of units.
const flow = "orgunits"

// soon is when a unit is looked at again that waits for the one above it, which
// can be written now. For each further one above it, it takes as long again.
const soon = 250 * time.Millisecond

// tree maps units to rows so that the table is a hierarchy at any time.
type tree struct {
	register source.Source[Unit]
	table    sink.Target[Row]
	store    work.Store
}

// toRow says what the table must hold for a unit, at this moment: what the
// register says, as soon as the unit above it is in its place.
func (t tree) toRow(ctx context.Context, key entity.Key, u Unit) (connector.Desired[Row], error) {
	have, found, err := t.table.Get(ctx, key)
	if err != nil {
		return connector.Desired[Row]{}, err
	}
	if found && same(u.Parent, have.Value.Parent) {
		return connector.Present(Row(u)), nil
	}
	blockers, err := t.blockers(ctx, key, u)
	if err != nil || len(blockers) == 0 {
		return connector.Present(Row(u)), err
	}
	// Until then the table keeps what it has: nothing, or the unit where it was.
	wait := connector.Absent[Row]()
	if found {
		wait = connector.Present(Row{Name: u.Name, Parent: have.Value.Parent})
	}
	next, at, err := t.next(ctx, blockers)
	return wait.Mark(flow, next...).RecheckAt(at), err
}

// next returns which unit is to be written next for one that waits, and when to
// look again. It is an error if that unit cannot be written: to ask for it again
// and again would not help, and errors are repeated with growing delays.
func (t tree) next(ctx context.Context, blockers []entity.Key) (next []entity.Key, at time.Time, err error) {
	at = time.Now().Add(soon * time.Duration(len(blockers)))
	next = blockers[len(blockers)-1:]
	row, _, err := t.store.Get(ctx, flow, next[0])
	switch {
	case err != nil:
		return nil, at, failure.As(failure.Unavailable, err)
	case row.Attempts > 0:
		return nil, at, errors.New("parent: a unit above this one fails; see there")
	case row.Deferrals > 0 && row.Due.After(at):
		return nil, row.Due, nil // the table had no answer for it, so it has a time of its own
	}
	return next, at, nil
}

// ready reports whether a unit can be put below another one: the table has that
// one, and not below the unit itself.
func (t tree) ready(ctx context.Context, unit, parent entity.Key) (bool, error) {
	for seen := map[entity.Key]bool{unit: true}; !seen[parent]; {
		seen[parent] = true
		have, found, err := t.table.Get(ctx, parent)
		if err != nil || !found {
			return false, err
		}
		if have.Value.Parent == nil {
			return true, nil
		}
		parent = above(parent, *have.Value.Parent)
	}
	return false, nil
}

// blockers goes up from a unit, in the register, and returns those above it that
// nothing can be put below yet. The last one can be written now.
func (t tree) blockers(ctx context.Context, unit entity.Key, u Unit) (blockers []entity.Key, err error) {
	key := unit
	for seen := map[entity.Key]bool{unit: true}; u.Parent != nil; seen[key] = true {
		key = above(key, *u.Parent)
		if seen[key] {
			return nil, errors.New("parent: the register has units in a circle, at this one or above it; correct it there")
		}
		if ready, err := t.ready(ctx, unit, key); err != nil || ready {
			return blockers, err
		}
		blockers = append(blockers, key)
		u, err = t.register.Fetch(ctx, source.Request{Key: key, Fresh: true, Flow: flow})
		if failure.Of(err) == failure.Gone {
			return nil, failure.As(failure.Failed, errors.New("parent: the register lacks a unit above this one; correct it there"))
		}
		if err != nil {
			return nil, err
		}
	}
	return blockers, nil
}

// above returns the key of the unit above another one, by its id.
func above(unit entity.Key, id string) entity.Key { return entity.Key{Type: unit.Type, ID: id} }

func same(a, b *string) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }
