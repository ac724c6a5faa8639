package storetest

import (
	"strconv"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

func (e *env) reject(rejected ...work.Rejected) { e.NoError(e.s.Reject(e.ctx, rejected)) }

func (e *env) listRejected(before string, limit int) []work.Rejected {
	all, err := e.s.ListRejected(e.ctx, before, limit)
	e.NoError(err)
	return all
}

func (e *env) getRejected(id string) (work.Rejected, bool) {
	r, found, err := e.s.GetRejected(e.ctx, id)
	e.NoError(err)
	return r, found
}

func (e *env) deleteRejected(ids ...string) int {
	n, err := e.s.DeleteRejected(e.ctx, ids)
	e.NoError(err)
	return n
}

func (e *env) pruneRejected(before time.Time, limit int) int {
	n, err := e.s.PruneRejected(e.ctx, before, limit)
	e.NoError(err)
	return n
}

// rejectNumbered stores messages with the numbers as reasons, two at a time.
func (e *env) rejectNumbered(n int) {
	for i := 0; i < n; i += 2 {
		e.reject(work.Rejected{Reason: strconv.Itoa(i)}, work.Rejected{Reason: strconv.Itoa(i + 1)})
	}
}

func reasons(all []work.Rejected) []string {
	texts := []string{}
	for _, r := range all {
		texts = append(texts, r.Reason)
	}
	return texts
}

var rejectedCases = []testCase{
	{"Reject/lists the last first", func(e *env) {
		e.Empty(e.listRejected("", 10))
		e.rejectNumbered(12) // IDs of one digit and of two
		all := e.listRejected("", 20)
		e.Len(all, 12)
		seen := make(map[string]bool)
		for i, r := range all {
			e.Equal(strconv.Itoa(11-i), r.Reason)
			e.NotEmpty(r.ID)
			e.False(seen[r.ID])
			seen[r.ID] = true
		}
		e.Equal(all[:2], e.listRejected("", 2))
		e.Empty(e.listRejected("", 0))
		e.Empty(e.listRejected("", -1))
	}},
	{"Reject/lists page by page", func(e *env) {
		e.rejectNumbered(12)
		all := e.listRejected("", 20)
		var paged []work.Rejected
		for before := ""; ; {
			page := e.listRejected(before, 5)
			if len(page) == 0 {
				break
			}
			paged = append(paged, page...)
			before = page[len(page)-1].ID
		}
		e.Equal(all, paged)
		e.Equal(1, e.deleteRejected(all[4].ID))
		e.Equal(all[5:10], e.listRejected(all[4].ID, 5), "after one that is deleted")
		e.Empty(e.listRejected(all[11].ID, 5))
		e.Empty(e.listRejected("no ID", 0))
	}},
	{"Reject/keeps the whole message", func(e *env) {
		odd := "\x00\xff{'\"ø🙂"
		want := work.Rejected{
			Received: now(), Reason: "not JSON", Topic: "from_a", RoutingKey: "no.uio.æ", UUID: "u-1",
			Payload: []byte(odd), Size: 1 << 20,
			Metadata: map[string]string{"a": "1", "": "", "ø\"": "\n🙂", "b": "\xff" + odd, "c": odd, "d": "\x00AAAA", "\xfe": "\xfe", "\xff": ""},
		}
		e.reject(want, work.Rejected{})
		all := e.listRejected("", 10)
		e.Len(all, 2)
		want.ID = all[1].ID
		e.Equal(want, all[1])
		e.True(all[1].Cut())
		e.Empty(all[0].Payload)
		e.Empty(all[0].Metadata)
		e.Zero(all[0].Received)
		e.False(all[0].Cut())
		for _, r := range all {
			got, found := e.getRejected(r.ID)
			e.True(found)
			e.Equal(r, got)
		}
	}},
	{"Reject/gives no ID twice", func(e *env) {
		e.rejectNumbered(4)
		old := e.listRejected("", 10)
		e.Equal(1, e.deleteRejected(old[0].ID))
		e.rejectNumbered(2)
		for _, r := range old[1:] {
			e.Equal(1, e.deleteRejected(r.ID))
		}
		for _, r := range e.listRejected("", 10) {
			e.Equal(1, e.deleteRejected(r.ID))
			old = append(old, r)
		}
		e.rejectNumbered(2)
		for _, r := range e.listRejected("", 10) {
			for _, o := range old {
				e.NotEqual(o.ID, r.ID)
			}
		}
	}},
	{"GetRejected/finds nothing under other IDs", func(e *env) {
		e.rejectNumbered(2)
		id := e.listRejected("", 1)[0].ID
		for _, other := range []string{"", "x", " " + id, "+" + id, "0" + id, id + "0", "-1"} {
			r, found := e.getRejected(other)
			e.False(found, "%q", other)
			e.Zero(r)
			e.Zero(e.deleteRejected(other), "%q", other)
		}
	}},
	{"DeleteRejected/deletes those and no others", func(e *env) {
		e.rejectNumbered(6)
		all := e.listRejected("", 10)
		e.Equal(2, e.deleteRejected(all[1].ID, "x", all[4].ID, all[1].ID))
		e.Equal([]string{"5", "3", "2", "0"}, reasons(e.listRejected("", 10)))
		_, found := e.getRejected(all[1].ID)
		e.False(found)
		e.Zero(e.deleteRejected(all[1].ID, all[4].ID))
	}},
	{"PruneRejected/deletes what is older", func(e *env) {
		for i, at := range []time.Time{now(), now().Add(-time.Millisecond), {}, now().Add(time.Hour)} {
			e.reject(work.Rejected{Reason: strconv.Itoa(i), Received: at})
		}
		e.Zero(e.pruneRejected(now().Add(-time.Millisecond), 10))
		e.Zero(e.pruneRejected(time.Time{}, 10))
		e.Equal(1, e.pruneRejected(now(), 10))
		e.Equal([]string{"3", "2", "0"}, reasons(e.listRejected("", 10)))
		e.Equal(2, e.pruneRejected(now().Add(2*time.Hour), 10))
		e.Equal([]string{"2"}, reasons(e.listRejected("", 10)), "one without a time stays")
	}},
	{"PruneRejected/deletes no more than the limit", func(e *env) {
		for range 5 {
			e.reject(work.Rejected{Received: now()})
		}
		after := now().Add(time.Second)
		e.Zero(e.pruneRejected(after, 0))
		e.Zero(e.pruneRejected(after, -1))
		e.Equal(2, e.pruneRejected(after, 2))
		e.Len(e.listRejected("", 10), 3)
		e.Equal(3, e.pruneRejected(after, 4))
		e.Zero(e.pruneRejected(after, 4))
	}},
}
