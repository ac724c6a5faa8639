package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// units is a register's data, the parents by the units' ids: "" at the top.
type units map[string]string

// isBelow reports whether a unit is another one or below it, and false if it is
// in a circle, or below what is not there.
func (u units) isBelow(id, other string) bool {
	for range u {
		if id == other {
			return true
		}
		parent, there := u[id]
		if !there {
			return false
		}
		id = parent
	}
	return id == other
}

// rows is what the table must hold for the units that have a way to the top.
func (u units) rows() map[string]string {
	rows := make(map[string]string)
	for id, parent := range u {
		if u.isBelow(id, "") {
			rows[id] = "Unit <"
			if parent != "" {
				rows[id] += " " + parent
			}
		}
	}
	return rows
}

// someUnits draws a hierarchy.
func someUnits(t *rapid.T) units {
	u := units{}
	for n := range rapid.IntRange(1, 12).Draw(t, "units") {
		parent := rapid.IntRange(0, n).Draw(t, "parent")
		u[fmt.Sprint(n+1)] = ""
		if parent > 0 {
			u[fmt.Sprint(n+1)] = fmt.Sprint(parent)
		}
	}
	return u
}

func (u units) ids() []string {
	var ids []string
	for n := range u {
		ids = append(ids, n)
	}
	return ids
}

// someOrder draws an order of notifications, in which each unit comes at least
// once.
func someOrder(t *rapid.T, u units) []string {
	var sorted []string
	for n := range len(u) {
		sorted = append(sorted, fmt.Sprint(n+1))
	}
	more := rapid.SliceOfN(rapid.SampledFrom(sorted), 0, 5).Draw(t, "more")
	return rapid.Permutation(append(sorted, more...)).Draw(t, "order")
}

// TestAnyOrder loads random hierarchies by notifications in random orders. The
// table becomes equal to the register, and nobody fails on the way.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := someUnits(t)
		order := someOrder(t, u)
		rapid.SyncTest(t, func(t *rapid.T) {
			w := newWorld(t)
			defer w.start(t.Context())()
			for id, parent := range u {
				w.put(id, "Unit", parent)
			}
			w.notify(order...)
			pass(time.Minute)
			require.Equal(t, u.rows(), w.rows())
			require.Empty(t, w.log.String(), "no attempt was spent")
			require.Zero(t, w.table.circles)
		})
	})
}

// TestAnyHistory changes random hierarchies: units move, also into circles and
// below what is not there, go and come back. What is right in the register is
// right in the table an hour later, and all of it some time after the register is.
func TestAnyHistory(t *testing.T) {
	type change struct{ id, parent string }
	rapid.Check(t, func(t *rapid.T) {
		u := someUnits(t)
		first := someOrder(t, u)
		ids := rapid.SampledFrom(append(first, "13"))
		changes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) change {
			to := rapid.OneOf(ids, rapid.SampledFrom([]string{"", "gone"})).Draw(t, "to")
			return change{ids.Draw(t, "id"), to}
		}), 1, 12).Draw(t, "changes")
		pauses := rapid.SliceOfN(rapid.Bool(), len(changes), len(changes)).Draw(t, "pauses")
		rapid.SyncTest(t, func(t *rapid.T) {
			w := newWorld(t)
			defer w.start(t.Context())()
			set := func(id, parent string) {
				if parent == "gone" {
					delete(u, id)
					w.remove(id)
				} else {
					u[id] = parent
					w.put(id, "Unit", parent)
				}
			}
			for id, parent := range u {
				set(id, parent)
			}
			w.notify(first...)
			var changed []string
			for i, c := range changes {
				set(c.id, c.parent)
				if changed = append(changed, c.id); pauses[i] {
					w.notify(changed...)
					changed = nil
				}
			}
			w.notify(changed...)
			pass(time.Hour)
			require.Zero(t, w.table.circles)
			have := w.rows()
			for id, row := range u.rows() {
				require.Equal(t, row, have[id], id)
			}

			// Somebody puts the register in order.
			for _, id := range u.ids() {
				if _, right := u.rows()[id]; !right {
					set(id, "")
					w.notify(id)
				}
			}
			pass(12 * time.Hour) // what failed for an hour has a delay of about one; one may wait for others
			require.Equal(t, u.rows(), w.rows())
			require.Zero(t, w.table.circles)
		})
	})
}
