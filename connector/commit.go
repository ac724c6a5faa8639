package connector

import (
	"github.com/konnektor-go/konnektor/connector/work"
)

// commit stores an outcome, also when the run was stopped. It does not wait: over
// is called with what is stored.
func (l *loop) commit(r *run, rep report, outcome work.Outcome, over func(work.Outcome)) {
	if len(outcome.Marks) <= maxBatch {
		l.commitOutcome(r, rep, outcome, over)
		return
	}
	l.ending.Go(func() { // the marks before the outcome: a crash in between repeats the run
		_, err := l.storeMarks(outcome.Marks)
		if outcome.Marks = nil; err == nil {
			l.commitOutcome(r, rep, outcome, over)
			return
		}
		l.notStored(r, err)
		over(work.Outcome{})
	})
}

func (l *loop) commitOutcome(r *run, rep report, outcome work.Outcome, over func(work.Outcome)) {
	l.outcomes.Go(outcome, func(refused, err error) {
		switch {
		case err != nil:
			l.notStored(r, err)
			over(work.Outcome{})
		case refused != nil:
			l.log.Warn("outcome refused by the work store", "entity", l.hasher.Hash(r.lease.Key), "transaction", r.tx, "error", refused)
			l.markAgain(r, rep, func() { over(work.Outcome{}) })
		default:
			l.settled(r, outcome)
			over(outcome)
		}
	})
}

func (l *loop) notStored(r *run, err error) {
	l.unstored.Add(1)
	l.log.Error("outcome not stored; the entity will be reconciled again", "entity", l.hasher.Hash(r.lease.Key), "error", err)
}

// markAgain marks the entity of a run that lost its lease while it was writing:
// its write may have come after that of the run that took over, with an older
// state. It does not wait: over is called when that is stored.
func (l *loop) markAgain(r *run, rep report, over func()) {
	if rep.stage != writing {
		over()
		return
	}
	cause := r.lease.Cause
	cause.Kind = "lost lease"
	l.marks.Go([]work.Mark{{Flow: l.flow.name, Key: r.lease.Key, Priority: work.Live, Cause: cause}}, func(_ []int64, err error) {
		if err != nil {
			l.unstored.Add(1)
			l.log.Error("not marked again; the target may hold an older state", "entity", l.hasher.Hash(r.lease.Key), "error", err)
		}
		over()
	})
}
