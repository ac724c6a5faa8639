package storetest

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

var writeCases = []testCase{
	{"Write/nothing is nothing", func(e *env) {
		e.mark()
		e.finishAll()
		errs, err := e.s.Renew(e.ctx, nil, time.Hour)
		e.NoError(err)
		e.Empty(errs)
		e.reject()
		e.Zero(e.deleteRejected())
	}},
	{"Write/arguments and results are not shared", func(e *env) {
		marks := []work.Mark{mark("1"), markAt("1", time.Hour)}
		e.mark(mark("1"))
		fingerprint := []byte("f")
		e.finishAll(work.Outcome{Lease: e.leaseOnly("1"), Result: work.Done, Fingerprint: fingerprint, Marks: marks})
		clear(marks)
		clear(fingerprint)
		payload, metadata := []byte("payload"), map[string]string{"a": "1"}
		e.reject(work.Rejected{Payload: payload, Metadata: metadata})
		clear(payload)
		clear(metadata)
		for range 2 {
			for _, row := range []work.Row{e.row("1"), e.list(work.Due, 1)[0]} {
				e.Equal([]time.Time{now().Add(time.Hour)}, row.Later)
				e.Equal("f", string(row.Fingerprint))
				clear(row.Later)
				clear(row.Fingerprint)
			}
			listed := e.listRejected("", 1)[0]
			got, _ := e.getRejected(listed.ID)
			for _, r := range []work.Rejected{listed, got} {
				e.Equal("payload", string(r.Payload))
				e.Equal(map[string]string{"a": "1"}, r.Metadata)
				clear(r.Payload)
				clear(r.Metadata)
			}
			stats := e.stats()
			e.Equal(1, stats[flow][work.Due].Rows)
			clear(stats[flow])
		}
	}},
	{"Write/an ended context stores nothing", checkEndedContext},
	{"Write/a context that ends during a call gives all or nothing", checkAllOrNothing},
}

func checkEndedContext(e *env) {
	e.mark(mark("1"), mark("2"))
	e.reject(work.Rejected{Reason: "kept", Received: now()})
	kept := e.listRejected("", 10)
	l := e.lease(1, time.Hour)[0]
	leased, other := l.Key.ID, "1"
	if leased == other {
		other = "2"
	}
	wantLeased, wantOther := e.row(leased), e.row(other)

	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	_, err := e.s.Mark(ctx, []work.Mark{mark("1"), mark("3")})
	e.ErrorIs(err, context.Canceled)
	_, err = e.s.Lease(ctx, work.LeaseRequest{Flow: flow, Owner: owner, N: 10, TTL: time.Hour})
	e.ErrorIs(err, context.Canceled)
	_, err = e.s.Renew(ctx, []work.Lease{l}, 2*time.Hour)
	e.ErrorIs(err, context.Canceled)
	_, err = e.s.Finish(ctx, []work.Outcome{{Lease: l, Result: work.Done, Marks: []work.Mark{mark("3")}}})
	e.ErrorIs(err, context.Canceled)
	e.ErrorIs(e.s.Reject(ctx, []work.Rejected{{}}), context.Canceled)
	_, err = e.s.NextDue(ctx, flow)
	e.ErrorIs(err, context.Canceled)
	_, found, err := e.s.Get(ctx, flow, key("1"))
	e.ErrorIs(err, context.Canceled)
	e.False(found)
	_, err = e.s.List(ctx, work.Query{Flow: flow, State: work.Due, Limit: 1})
	e.ErrorIs(err, context.Canceled)
	_, err = e.s.Upcoming(ctx, flow, work.Upcoming{}, 1)
	e.ErrorIs(err, context.Canceled)
	_, err = e.s.Stats(ctx)
	e.ErrorIs(err, context.Canceled)
	_, err = e.s.ParkedGroups(ctx, flow)
	e.ErrorIs(err, context.Canceled)
	_, err = e.s.PruneIdle(ctx, now().Add(time.Hour), 10)
	e.ErrorIs(err, context.Canceled)
	_, err = e.s.PruneParked(ctx, now().Add(time.Hour), 10)
	e.ErrorIs(err, context.Canceled)
	_, err = e.s.Forget(ctx, key(other))
	e.ErrorIs(err, context.Canceled)
	_, err = e.s.ListRejected(ctx, "", 1)
	e.ErrorIs(err, context.Canceled)
	_, found, err = e.s.GetRejected(ctx, kept[0].ID)
	e.ErrorIs(err, context.Canceled)
	e.False(found)
	_, err = e.s.DeleteRejected(ctx, []string{kept[0].ID})
	e.ErrorIs(err, context.Canceled)
	_, err = e.s.PruneRejected(ctx, now().Add(time.Hour), 10)
	e.ErrorIs(err, context.Canceled)

	e.Equal(wantLeased, e.row(leased))
	e.Equal(wantOther, e.row(other))
	_, found, err = e.s.Get(e.ctx, flow, key("3"))
	e.NoError(err)
	e.False(found)
	e.Equal(kept, e.listRejected("", 10))
}

// checkAllOrNothing cancels calls at moments that the scheduler chooses.
func checkAllOrNothing(e *env) {
	const size = 200
	marks := make([]work.Mark, size)
	for i := range marks {
		marks[i] = mark(strconv.Itoa(i))
	}
	stored := int64(0)
	for range 10 {
		ctx, cancel := context.WithCancel(e.ctx)
		var wg sync.WaitGroup
		wg.Go(cancel)
		_, err := e.s.Mark(ctx, marks)
		wg.Wait()
		if err == nil {
			stored++
		} else {
			e.ErrorIs(err, context.Canceled)
		}
		// The store works on, and the batch is there or is not.
		for _, seq := range e.mark(marks...) {
			e.Equal(stored+1, seq)
		}
		stored++
	}
}
