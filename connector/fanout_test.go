package connector_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/testkit"
)

// ofType matches notifications about entities of one type.
func ofType(name string) notification.Filter {
	return notification.FilterFunc(func(n notification.Notification) bool { return n.Key.Type == name })
}

type position struct{ holders []string }

// positions is a flow whose entities are held by people, who have to be looked
// at when the position changes.
func (w *world) positions(target sink.Target[position], held func(id string) []string) connector.Flow[position, position] {
	w.t.Helper()
	s, err := sink.Ensure(target, sink.EnsureConfig[position]{Diff: func(position, position) []sink.Field { return nil }})
	require.NoError(w.t, err)
	return connector.Flow[position, position]{
		Name:  "positions",
		Match: ofType("positions"),
		Source: source.Func[position](func(_ context.Context, req source.Request) (position, error) {
			return position{held(req.Key.ID)}, nil
		}),
		Map: func(_ context.Context, _ entity.Key, p position) (connector.Desired[position], error) {
			want := connector.Present(p)
			for _, id := range p.holders {
				want = want.Mark("people", key(id))
			}
			return want, nil
		},
		Sink: s,
	}
}

func TestFanOut(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for _, id := range []string{"1", "2", "3"} {
			w.register.set(id, person{Name: "old " + id})
		}
		w.flow.Match = ofType("persons")
		positions := &testkit.Target[position]{}
		stop := w.start(w.positions(positions, func(string) []string { return []string{"1", "2"} }))
		w.notify("1", "2", "3")
		settle()
		for _, id := range []string{"1", "2", "3"} {
			w.register.set(id, person{Name: "new " + id})
		}
		w.publish("positions/7")
		settle()
		require.Equal(t, map[string]string{"1": "new 1", "2": "new 2", "3": "old 3"}, w.inTarget())
		cause := w.row("1").Cause
		require.Equal(t, "fan-out", cause.Kind)
		require.Equal(t, 1, cause.Hops)
		require.NotEmpty(t, cause.EventID, "it is known which notification it was")

		// A write that fails for the position alone does not keep its holders.
		positions.Fail(func(testkit.Call) error { return failure.As(failure.Rejected, errors.New("422")) })
		w.register.set("1", person{Name: "newer"})
		w.publish("positions/7")
		settle()
		require.Equal(t, "newer", w.inTarget()["1"])
		require.NoError(t, stop())
	})
}

// TestFanOutIsStoredWithTheOutcome crashes between the two, if there is such a
// moment.
func TestFanOutIsStoredWithTheOutcome(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.register.set("1", person{Name: "Kari"})
		store := &flaky{Store: w.cfg.Store}
		w.cfg.Store = store
		w.flow.Match = ofType("persons")
		stop := w.start(w.positions(&testkit.Target[position]{}, func(string) []string {
			store.broken.Store(true) // until the outcome, and longer
			return []string{"1"}
		}))
		w.publish("positions/7")
		time.Sleep(time.Minute)
		require.Empty(t, w.inTarget())
		store.broken.Store(false)
		time.Sleep(10 * time.Second)
		require.Equal(t, map[string]string{"1": "Kari"}, w.inTarget())
		require.NoError(t, stop())
	})
}

func TestFanOutThatCannotBe(t *testing.T) {
	for _, tc := range []struct {
		name string
		mark func(connector.Desired[entry]) connector.Desired[entry]
		want string
	}{
		{"no such flow", func(d connector.Desired[entry]) connector.Desired[entry] { return d.Mark("peple", key("2")) },
			`map: Mark: flow "peple": this connector has none of that name`},
		{"no key", func(d connector.Desired[entry]) connector.Desired[entry] { return d.Mark("people", entity.Key{}) },
			`map: Mark: flow "people": `},
		{"too many", func(d connector.Desired[entry]) connector.Desired[entry] { return d.Mark("people", many(100_001)...) },
			"map: Mark: 100001 entities, at most 100000 can be marked"},
		{"in a circle", func(d connector.Desired[entry]) connector.Desired[entry] { return d.Mark("people", key("1")) },
			"map: Mark: came through 8 flows: do flows mark each other in a circle?"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.flow.Map = func(ctx context.Context, k entity.Key, p person) (connector.Desired[entry], error) {
					d, err := toEntry(ctx, k, p)
					return tc.mark(d), err
				}
				w.register.set("1", person{Name: "Kari"})
				stop := w.start()
				w.notify("1")
				settle()
				row := w.row("1")
				require.Equal(t, work.Parked, row.State)
				require.Contains(t, row.Summary, tc.want)
				require.NotContains(t, w.log.String(), "persons/1")
				require.NoError(t, stop())
			})
		})
	}
}
