package connector_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/sink"
)

// gone is what the name of a disabled entry begins with; the time follows.
const gone = "disabled since "

// TestWhatIsDisabledIsDeletedInTime lets somebody leave: the entry is disabled
// at once, and deleted thirty days later without any notification, unless the
// person comes back.
func TestWhatIsDisabledIsDeletedInTime(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		var err error
		w.flow.Sink, err = sink.Ensure(w.target, sink.EnsureConfig[entry]{Removal: sink.Removal[entry]{
			Disable: func(_ entry, since time.Time) entry { return entry{gone + since.Format(time.RFC3339)} },
			Disabled: func(have entry) (time.Time, bool) {
				since, err := time.Parse(gone+time.RFC3339, have.Name)
				return since, err == nil
			},
			DeleteAfter: 30 * 24 * time.Hour,
		}})
		require.NoError(t, err)
		stop := w.start()
		for _, id := range []string{"1", "2"} {
			w.register.set(id, person{Name: "Ada"})
			w.notify(id)
		}
		settle()
		for _, id := range []string{"1", "2"} {
			w.register.remove(id)
			w.notify(id)
		}
		settle()
		since := gone + time.Now().UTC().Truncate(time.Second).Format(time.RFC3339)
		require.Equal(t, map[string]string{"1": since, "2": since}, w.inTarget())

		time.Sleep(10 * 24 * time.Hour)
		w.notify("1") // about something else: the time counts on
		w.register.set("2", person{Name: "Ada"})
		w.notify("2")
		time.Sleep(20*24*time.Hour + time.Minute)
		require.Equal(t, map[string]string{"2": "Ada"}, w.inTarget())
		require.NoError(t, stop())
	})
}
