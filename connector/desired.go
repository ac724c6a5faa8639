package connector

import (
	"slices"
	"time"

	"github.com/konnektor-go/konnektor/entity"
)

// Desired is a mapping's answer: what the target must hold. Make it with
// Present or Absent; the zero Desired is refused, so that a forgotten answer
// removes nobody.
type Desired[T any] struct {
	value   T
	verdict verdict
	recheck []time.Time
	marks   []target
}

// target is an entity of another flow that a mapping marks.
type target struct {
	flow string
	key  entity.Key
}

type verdict int

const (
	unsaid verdict = iota
	present
	absent
)

// Present says that the target must hold v.
func Present[T any](v T) Desired[T] { return Desired[T]{value: v, verdict: present} }

// Absent says that the source has the entity but the target must not.
func Absent[T any]() Desired[T] { return Desired[T]{verdict: absent} }

// RecheckAt says when the answer would differ though nothing changes in the
// source: a start date, an end date. The entity is reconciled again then. Of
// several times, the earliest that is to come when the run begins counts; the
// zero time and 9999-12-31 count as none. Every run computes it afresh, so a
// corrected date corrects itself.
func (d Desired[T]) RecheckAt(times ...time.Time) Desired[T] {
	d.recheck = slices.Concat(d.recheck, times) // never shared with another copy
	return d
}

// Mark says that entities of another flow of the connector may differ now, too:
// those who hold a position that has changed. They are reconciled as if a
// notification had come for each. The marks are stored together with the outcome
// of this run, also if its write fails for this entity alone; while the target
// is unavailable they wait with it. More than 500 are stored before the outcome,
// in pieces, so that a crash may repeat them; with more than 100,000 the entity
// is parked.
//
// Marks must end somewhere: flows that mark each other in a circle fail with an
// error after some rounds.
func (d Desired[T]) Mark(flow string, keys ...entity.Key) Desired[T] {
	d.marks = slices.Clip(d.marks) // what is appended is never shared with another copy
	for _, k := range keys {
		d.marks = append(d.marks, target{flow, k})
	}
	return d
}

// Value returns what the target must hold, and false if it must not hold the
// entity.
func (d Desired[T]) Value() (T, bool) { return d.value, d.verdict == present }

// Recheck returns the earliest of the times given to RecheckAt that comes after
// now, zero if there is none.
func (d Desired[T]) Recheck(now time.Time) time.Time {
	var next time.Time
	for _, t := range d.recheck {
		if t.After(now) && t.Year() < 9999 && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}
