package connector

import (
	"github.com/konnektor-go/konnektor/connector/work"
)

// commit stores the outcome, also when the run was stopped. It does not wait.
func (r *run) commit() {
	if len(r.outcome.Marks) <= maxBatch {
		r.commitOutcome()
		return
	}
	r.ending.Go(func() { // the marks before the outcome: a crash in between repeats the run
		_, err := r.storeMarks(r.outcome.Marks)
		if r.outcome.Marks = nil; err == nil {
			r.commitOutcome()
			return
		}
		r.notStored(err)
		r.over("")
	})
}

func (r *run) commitOutcome() {
	r.outcomes.Go(r, func(refused, err error) {
		switch {
		case err != nil:
			r.notStored(err)
			r.over("")
		case refused != nil:
			r.log.Warn("outcome refused by the work store", "entity", r.hasher.Hash(r.lease.Key), "transaction", r.tx, "error", refused)
			r.markAgain()
		default:
			r.settled()
			r.over(r.outcome.Result)
		}
	})
}

// settled tells those who wait for it that the outcome is stored.
func (r *run) settled() {
	if r.waiters != nil {
		r.waiters.settled(r.lease, r.begun, r.outcome.Result)
	}
	if len(r.outcome.Marks) > 0 {
		r.session.signal() // also the other flows
	}
}

func (r *run) notStored(err error) {
	r.unstored.Add(1)
	r.log.Error("outcome not stored; the entity will be reconciled again", "entity", r.hasher.Hash(r.lease.Key), "error", err)
}

// markAgain marks the entity of a run that lost its lease while it was writing:
// its write may have come after that of the run that took over, with an older
// state. It does not wait.
func (r *run) markAgain() {
	if r.rep.stage != writing {
		r.over("")
		return
	}
	cause := r.lease.Cause
	cause.Kind = "lost lease"
	r.marks.Go([]work.Mark{{Flow: r.flow.name, Key: r.lease.Key, Priority: work.Live, Cause: cause}}, func(_ []int64, err error) {
		if err != nil {
			r.unstored.Add(1)
			r.log.Error("not marked again; the target may hold an older state", "entity", r.hasher.Hash(r.lease.Key), "error", err)
		}
		r.over("")
	})
}
