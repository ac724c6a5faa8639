package connector_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
)

// eventFor sends a CloudEvent for a date.
func (w *world) eventFor(at, notBefore time.Time, id string) {
	w.t.Helper()
	text := `{"specversion":"1.0","id":"e2","source":"s","type":"person.update","subject":"persons/` + id + `",` +
		`"time":"` + at.UTC().Format(time.RFC3339Nano) + `","notbefore":"` + notBefore.UTC().Format(time.RFC3339Nano) + `"}`
	require.NoError(w.t, w.broker.Publish("k", message.NewMessage(watermill.NewUUID(), []byte(text))))
}

// TestLag checks what konnektor.lag counts: of runs for notifications, the time
// since then.
func TestLag(t *testing.T) {
	const week = 7 * 24 * time.Hour
	for _, tc := range []struct {
		name string
		play func(w *world)
		want float64 // seconds
	}{
		{"a notification", func(w *world) { w.event(time.Now().Add(-time.Minute), "1") }, 80},
		{"a notification without a time", func(w *world) { w.notify("1") }, 0},
		{"a date that the mapping named", func(w *world) {
			w.register.set("1", person{Name: "Kari", Start: time.Now().Add(3 * week)})
			w.event(time.Now().Add(-time.Minute), "1")
			time.Sleep(4 * week)
			require.NotEmpty(w.t, w.inTarget())
		}, 80},
		{"a retry", func(w *world) {
			w.register.setDown(errors.New("not now"))
			w.event(time.Now().Add(-time.Minute), "1")
			w.register.setDown(nil)
			time.Sleep(week)
			require.NotEmpty(w.t, w.inTarget())
		}, 160},
		{"a notification for a date", func(w *world) {
			w.eventFor(time.Now().Add(-time.Minute), time.Now().Add(3*week), "1")
			time.Sleep(4 * week)
			require.NotEmpty(w.t, w.inTarget())
		}, 20},
		{"an operator", func(w *world) {
			w.event(time.Now().Add(-time.Minute), "1")
			time.Sleep(time.Minute)
			cause := work.Cause{Kind: "operator", Time: time.Now().Add(-time.Hour)}
			_, err := w.cfg.Store.Mark(w.t.Context(), []work.Mark{{Flow: "people", Key: key("1"), Cause: cause}})
			require.NoError(w.t, err)
			w.notify("2")
		}, 80},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				read := w.metered()
				w.register.latency = 20 * time.Second
				w.register.set("1", person{Name: "Kari"})
				stop := w.start()
				tc.play(w)
				time.Sleep(time.Minute)
				require.InDelta(t, tc.want, read("lag", "flow=people"), 13, "20 % of a minute is jitter")
				require.NoError(t, stop())
			})
		})
	}
}
