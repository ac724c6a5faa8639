package connector

import "time"

// Desired is a mapping's answer: what the target must hold. Make it with
// Present or Absent; the zero Desired is refused, so that a forgotten answer
// removes nobody.
type Desired[T any] struct {
	value   T
	verdict verdict
	recheck time.Time
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
// several times, the earliest counts; times that have passed, the zero time and
// 9999-12-31 count as none. Every run computes it afresh, so a corrected date
// corrects itself.
func (d Desired[T]) RecheckAt(t time.Time) Desired[T] {
	if !t.After(time.Now()) || t.Year() >= 9999 {
		return d
	}
	if d.recheck.IsZero() || t.Before(d.recheck) {
		d.recheck = t
	}
	return d
}

// Value returns what the target must hold, and false if it must not hold the
// entity.
func (d Desired[T]) Value() (T, bool) { return d.value, d.verdict == present }

// Recheck returns the time given to RecheckAt, zero if there is none.
func (d Desired[T]) Recheck() time.Time { return d.recheck }
