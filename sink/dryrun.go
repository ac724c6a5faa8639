package sink

import (
	"errors"
	"fmt"
)

// DryRunner is an optional interface of a [Sink] that can tell what it would
// do. The sinks of [Ensure] have it.
//
// For implementers: the Sink that DryRun returns goes the same way as the
// original up to the first write, and returns the same Change, but writes
// nothing.
type DryRunner[T any] interface {
	DryRun() Sink[T]
}

// DryRun returns a Sink that does all that s does but the writes. It returns an
// error if s is not a [DryRunner].
func DryRun[T any](s Sink[T]) (Sink[T], error) {
	if d, ok := s.(DryRunner[T]); ok {
		return d.DryRun(), nil
	}
	return nil, fmt.Errorf("sink: %w: %T has no method DryRun", errors.ErrUnsupported, s)
}
