package sink_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/testkit"
)

// login is an account that can be disabled.
type login struct {
	Name     string
	Active   bool
	Disabled sink.Optional[time.Time]
}

var active = login{Name: "ada", Active: true, Disabled: sink.Null[time.Time]()}

func disable(have login, since time.Time) login {
	have.Active, have.Disabled = false, sink.Set(since)
	return have
}

func disabled(have login) (time.Time, bool) { return have.Disabled.Get() }

func logins(t *testing.T, removal sink.Removal[login]) (*testkit.Target[login], sink.Sink[login]) {
	t.Helper()
	target := &testkit.Target[login]{}
	s, err := sink.Ensure(target, sink.EnsureConfig[login]{Removal: removal})
	require.NoError(t, err)
	return target, s
}

func TestRemovalDisables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, s := logins(t, sink.Removal[login]{Disable: disable, Disabled: disabled})
		_, err := s.Apply(t.Context(), key, active)
		require.NoError(t, err)
		since := time.Now().UTC().Truncate(time.Second)

		change, err := s.Remove(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, "disabled(Active, Disabled)", change.String())
		require.Zero(t, change.Next)
		require.Equal(t, login{Name: "ada", Disabled: sink.Set(since)}, target.Snapshot()[key])

		time.Sleep(time.Hour)
		change, err = s.Remove(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, sink.Change{Op: sink.Unchanged}, change, "it stays disabled since then")

		target.Set(key, login{Name: "ada", Active: true, Disabled: sink.Set(since)})
		change, err = s.Remove(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, "disabled(Active)", change.String(), "half enabled by somebody else")

		change, err = s.Apply(t.Context(), key, active)
		require.NoError(t, err)
		require.Equal(t, "updated(Active, Disabled)", change.String())
		require.Equal(t, active, target.Snapshot()[key])
	})
}

func TestRemovalDeletesAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, s := logins(t, sink.Removal[login]{Disable: disable, Disabled: disabled, DeleteAfter: 30 * 24 * time.Hour})
		_, err := s.Apply(t.Context(), key, active)
		require.NoError(t, err)
		day := time.Now().UTC().Truncate(time.Second).Add(30 * 24 * time.Hour)

		change, err := s.Remove(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, sink.Disabled, change.Op)
		require.Equal(t, day, change.Next)

		time.Sleep(time.Until(day) - time.Second)
		change, err = s.Remove(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, sink.Change{Op: sink.Unchanged, Next: day}, change)

		time.Sleep(time.Second)
		change, err = s.Remove(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, sink.Change{Op: sink.Removed}, change)
		require.Empty(t, target.Snapshot())
		change, err = s.Remove(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, sink.Change{}, change)
	})
}

func TestRemovalKeeps(t *testing.T) {
	target, s := logins(t, sink.Removal[login]{Keep: true})
	_, err := s.Apply(t.Context(), key, active)
	require.NoError(t, err)
	change, err := s.Remove(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, sink.Change{}, change)
	require.Equal(t, map[entity.Key]login{key: active}, target.Snapshot())
}

func TestRemovalMisuse(t *testing.T) {
	for _, tt := range []struct {
		name    string
		removal sink.Removal[login]
		err     string
	}{
		{"both", sink.Removal[login]{Keep: true, Disable: disable}, "sink: Removal.Keep: leaves no room for Disable, Disabled and DeleteAfter; set one or the others"},
		{"disabled alone", sink.Removal[login]{Disabled: disabled}, "sink: Removal.Disabled: needs Disable"},
		{"negative", sink.Removal[login]{Disable: disable, DeleteAfter: -1}, "sink: Removal.DeleteAfter: must not be negative"},
		{"never disabled", sink.Removal[login]{DeleteAfter: 1}, "sink: Removal.DeleteAfter: needs Disable; without it entities are deleted at once"},
		{"since when", sink.Removal[login]{Disable: disable, DeleteAfter: 1}, "sink: Removal.DeleteAfter: needs Disabled, which says since when"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := sink.Ensure(&testkit.Target[login]{}, sink.EnsureConfig[login]{Removal: tt.removal})
			require.EqualError(t, err, tt.err)
		})
	}
}
