package storetest

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/konnektor-go/konnektor/connector/work"
)

// checkRejectedModel plays random histories of rejected messages against a
// plain list.
func checkRejectedModel(t *testing.T, open Open) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		rapid.SyncTest(rt, func(rt *rapid.T) {
			e := &env{Assertions: require.New(rt), ctx: rt.Context(), openStore: open, dir: dir}
			e.open()
			defer e.close()
			h := &rejectedHistory{env: e}
			rt.Repeat(map[string]func(*rapid.T){
				"reject": h.add, "delete": h.delete, "prune": h.prune, "page": h.page,
				"sleep": func(*rapid.T) { time.Sleep(time.Minute) },
			})
			h.Equal(h.kept, append([]work.Rejected(nil), h.listRejected("", 1000)...))
		})
	})
}

type rejectedHistory struct {
	*env

	kept []work.Rejected // the last first
	gone []string        // IDs
	n    int
}

func (h *rejectedHistory) add(*rapid.T) {
	h.n++
	r := work.Rejected{Reason: strconv.Itoa(h.n), Received: now(), Payload: []byte{byte(h.n)}, Size: h.n, Metadata: map[string]string{}}
	h.reject(r)
	r.ID = h.listRejected("", 1)[0].ID
	h.NotContains(h.gone, r.ID)
	h.kept = append([]work.Rejected{r}, h.kept...)
}

// drop takes away what the store deletes, and returns how many that are.
func (h *rejectedHistory) drop(is func(work.Rejected) bool) int {
	var kept []work.Rejected
	for _, r := range h.kept {
		if is(r) {
			h.gone = append(h.gone, r.ID)
		} else {
			kept = append(kept, r)
		}
	}
	dropped := len(h.kept) - len(kept)
	h.kept = kept
	return dropped
}

func (h *rejectedHistory) delete(t *rapid.T) {
	known := append([]string{"", "x"}, h.gone...)
	for _, r := range h.kept {
		known = append(known, r.ID)
	}
	ids := rapid.SliceOfN(rapid.SampledFrom(known), 0, 3).Draw(t, "ids")
	want := h.drop(func(r work.Rejected) bool { return slices.Contains(ids, r.ID) })
	h.Equal(want, h.deleteRejected(ids...))
}

func (h *rejectedHistory) prune(t *rapid.T) {
	before := now().Add(-time.Duration(rapid.IntRange(0, 5).Draw(t, "age")) * time.Minute)
	want := h.drop(func(r work.Rejected) bool { return r.Received.Before(before) })
	h.Equal(want, h.pruneRejected(before, 1000))
}

func (h *rejectedHistory) page(t *rapid.T) {
	place := rapid.IntRange(0, len(h.kept)).Draw(t, "place")
	limit := rapid.IntRange(0, 4).Draw(t, "limit")
	before, want := "", h.kept[place:]
	if place > 0 {
		before = h.kept[place-1].ID
	}
	want = want[:min(limit, len(want))]
	h.Equal(append([]work.Rejected(nil), want...), append([]work.Rejected(nil), h.listRejected(before, limit)...))
	for _, r := range want {
		got, found := h.getRejected(r.ID)
		h.True(found)
		h.Equal(r, got)
	}
}
