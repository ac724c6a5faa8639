package connector

import (
	"fmt"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/failure"
)

// maxHops is how many flows a change may come through by fan-out. Real ones take
// one or two; more is a circle.
const maxHops = 8

// checkMarks returns an error if what a mapping marks cannot be marked.
func (c *Connector) checkMarks(lease work.Lease, marks []target) error {
	if len(marks) > 0 && lease.Cause.Hops >= maxHops {
		return rejectMark("came through %d flows: do flows mark each other in a circle?", lease.Cause.Hops)
	}
	if len(marks) > maxMarks {
		return rejectMark("%d entities, at most %d can be marked", len(marks), maxMarks)
	}
	for _, m := range marks {
		if c.flow(m.flow) == nil {
			return rejectMark("flow %q: this connector has none of that name", m.flow)
		}
		if err := m.key.Validate(); err != nil {
			return rejectMark("flow %q: %w", m.flow, err)
		}
	}
	return nil
}

func rejectMark(format string, args ...any) error {
	return failure.As(failure.Rejected, fmt.Errorf("map: Mark: "+format, args...))
}

// marksOf returns the marks that a run makes in other flows. They are live if
// the run's own cause was.
func marksOf(lease work.Lease, targets []target) []work.Mark {
	if len(targets) == 0 {
		return nil
	}
	cause := lease.Cause
	cause.Kind = "fan-out"
	cause.Hops++
	priority := work.Live
	if lease.Priority <= work.Bulk {
		priority = work.Bulk
	}
	marks := make([]work.Mark, len(targets))
	for i, t := range targets {
		marks[i] = work.Mark{Flow: t.flow, Key: t.key, Priority: priority, Cause: cause}
	}
	return marks
}
