package connector

import "context"

// leaseContext is the context of a run. It ends when the lease does, at the
// latest when it is asked: a process that stood still for longer than its lease
// wakes up with work half done, and may go on before any timer of its own has
// told it. So whoever asks Err right before a write, as sink.Ensure does, does
// not write for another's lease.
type leaseContext struct {
	context.Context
	run *run
}

// Err implements context.Context.
func (c leaseContext) Err() error {
	if c.Context.Err() == nil && c.run.left() <= 0 {
		c.run.cancel(errLeaseLost)
	}
	return c.Context.Err()
}
