package connector_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// act is one thing that happens in a history.
type act struct {
	Kind   string
	Entity int           // which entity
	N      int           // how often, how many, or after how many steps
	D      time.Duration // for how long, or when
}

func (a act) String() string { return fmt.Sprintf("%s(%d, %d, %v)", a.Kind, a.Entity, a.N, a.D) }

// kinds are the acts of histories; those that stand more than once are more
// likely.
var kinds = []string{
	"change", "change", "change", "change", "change", "remove", "future", "notify", "team", "team", "tide",
	"sleep", "sleep",
	"source down", "target down", "store down",
	"entity fails", "answer lost",
	"crash", "crash", "cut", "start", "stop", "freeze",
}

const entities = 5

var anyHistory = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) act {
	return act{
		Kind:   rapid.SampledFrom(kinds).Draw(t, "kind"),
		Entity: rapid.IntRange(0, entities-1).Draw(t, "entity"),
		N:      rapid.IntRange(1, 12).Draw(t, "n"),
		D:      time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond,
	}
}), 5, 40)

// TestHistories plays random histories of changes, repeated, late and reordered
// notifications, outages, crashes at any step, lost connections, and several
// instances that come and go on one work store. After each it checks what the
// package promises, see [history.check].
func TestHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		acts := anyHistory.Draw(t, "history")
		rapid.SyncTest(t, func(t *rapid.T) {
			if err := playHistory(t.Context(), acts, nil); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// TestHistoriesCatchBugs plants a bug for each promise and expects that a
// history catches it: a test that cannot fail proves nothing.
func TestHistoriesCatchBugs(t *testing.T) {
	for _, bug := range bugs {
		t.Run(bug.name, func(t *testing.T) {
			var err error
			seed := 0
			caught := func() bool { return err != nil && strings.Contains(err.Error(), bug.caught) }
			for ; seed < 500 && !caught(); seed++ { // it may break other promises as well
				synctest.Test(t, func(t *testing.T) {
					err = playHistory(t.Context(), anyHistory.Example(seed), bug.plant)
				})
			}
			require.ErrorContains(t, err, bug.caught, "after %d histories", seed)
			t.Logf("caught by history %d: %.200s", seed, err)
		})
	}
}
