package sink_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
)

func TestDryRun(t *testing.T) {
	for _, tt := range []struct {
		name   string
		have   map[entity.Key]person
		remove bool
		change string
	}{
		{name: "creates", change: "created"},
		{name: "updates", have: map[entity.Key]person{key: oldAda}, change: "updated(Email)"},
		{name: "leaves", have: map[entity.Key]person{key: ada}, change: "unchanged"},
		{name: "removes", have: map[entity.Key]person{key: ada}, remove: true, change: "removed"},
		{name: "has nothing to remove", remove: true, change: "unchanged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory(tt.have)
			s := ensured(t, m)
			dry, err := sink.DryRun(s)
			require.NoError(t, err)
			do := func(s sink.Sink[person]) sink.Change {
				if tt.remove {
					change, err := s.Remove(t.Context(), key)
					require.NoError(t, err)
					return change
				}
				change, err := s.Apply(t.Context(), key, ada)
				require.NoError(t, err)
				return change
			}
			planned := do(dry)
			require.Equal(t, tt.change, planned.String())
			require.Equal(t, []string{"get"}, m.calls)
			require.Equal(t, planned, do(s), "what is done is what was planned")
		})
	}
}

func TestDryRunUnsupported(t *testing.T) {
	_, err := sink.DryRun[person](sink.Discard[person]{})
	require.NoError(t, err, "it never writes")
	_, err = sink.DryRun[person](struct{ sink.Sink[person] }{})
	require.ErrorIs(t, err, errors.ErrUnsupported)
}
