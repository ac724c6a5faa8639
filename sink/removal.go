package sink

import (
	"errors"
	"time"
)

// Removal says what becomes of an entity that the target must not hold any
// more. The zero Removal deletes it.
type Removal[T any] struct {
	// Keep leaves such entities as they are: Remove does nothing.
	Keep bool
	// Disable returns what have looks like disabled, since a time in UTC and
	// whole seconds. Entities are then updated to that instead of deleted. What
	// Disable changes, the mapping must name as well, so that an entity that
	// comes back is enabled again.
	Disable func(have T, since time.Time) T
	// Disabled returns since when have has been disabled, and false if it is
	// not. Without it, since is always now, which must then not be written.
	Disabled func(have T) (since time.Time, ok bool)
	// DeleteAfter is how long an entity stays disabled before it is deleted.
	// Default: for ever. It needs Disabled.
	DeleteAfter time.Duration
}

func (r Removal[T]) validate() error {
	switch {
	case r.Keep && (r.Disable != nil || r.Disabled != nil || r.DeleteAfter != 0):
		return errors.New("Removal.Keep: leaves no room for Disable, Disabled and DeleteAfter; set one or the others")
	case r.Disable == nil && r.Disabled != nil:
		return errors.New("Removal.Disabled: needs Disable")
	case r.DeleteAfter < 0:
		return errors.New("Removal.DeleteAfter: must not be negative")
	case r.DeleteAfter > 0 && r.Disable == nil:
		return errors.New("Removal.DeleteAfter: needs Disable; without it entities are deleted at once")
	case r.DeleteAfter > 0 && r.Disabled == nil:
		return errors.New("Removal.DeleteAfter: needs Disabled, which says since when")
	}
	return nil
}

// plan says what is to become of have: that it is to look like disabled, or be
// deleted if disabled is nil; and when to look again.
func (r Removal[T]) plan(have T, now time.Time) (disabled *T, next time.Time) {
	if r.Disable == nil {
		return nil, time.Time{}
	}
	since := now.UTC().Truncate(time.Second)
	if r.Disabled != nil {
		if at, ok := r.Disabled(have); ok {
			since = at
		}
	}
	if r.DeleteAfter > 0 {
		next = since.Add(r.DeleteAfter)
		if !now.Before(next) {
			return nil, time.Time{}
		}
	}
	want := r.Disable(have, since)
	return &want, next
}
