package sink_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
)

// TestEnsureProperty lets another writer act before any operation, and loses
// answers: whenever Ensure reports success the target is as wanted, and once
// things are quiet, one more call makes it so and the next writes nothing.
func TestEnsureProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.Custom(func(t *rapid.T) person {
			return person{
				Name:  rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "name"),
				Email: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "email"),
			}
		})
		m := newMemory(nil)
		noisy := true
		m.before = func(string) error {
			if !noisy {
				return nil
			}
			switch rapid.IntRange(0, 5).Draw(t, "other writer") {
			case 0:
				m.rows[key] = some.Draw(t, "written by the other")
			case 1:
				delete(m.rows, key)
			}
			return nil
		}
		m.after = func(string) error {
			if noisy && rapid.IntRange(0, 9).Draw(t, "loses the answer") == 0 {
				return errLost
			}
			return nil
		}
		s, err := sink.Ensure[person](m, sink.EnsureConfig[person]{})
		require.NoError(t, err)

		// wanted is nil where the entity is to be absent.
		ensure := func(wanted *person) (sink.Change, error) {
			if wanted == nil {
				return s.Remove(t.Context(), key)
			}
			return s.Apply(t.Context(), key, *wanted)
		}
		state := func(wanted *person) map[entity.Key]person {
			if wanted == nil {
				return map[entity.Key]person{}
			}
			return map[entity.Key]person{key: *wanted}
		}
		var wanted *person
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			wanted = nil
			if rapid.Bool().Draw(t, "present") {
				p := some.Draw(t, "wanted")
				wanted = &p
			}
			m.calls = nil
			change, err := ensure(wanted)
			require.LessOrEqual(t, len(m.calls), 8, "tries are bounded")
			if err == nil {
				require.Equal(t, state(wanted), m.rows, "after %v", change)
			}
		}
		noisy = false
		_, err = ensure(wanted)
		require.NoError(t, err)
		require.Equal(t, state(wanted), m.rows)
		m.calls = nil
		change, err := ensure(wanted)
		require.NoError(t, err)
		require.Equal(t, sink.Change{Op: sink.Unchanged}, change)
		require.Zero(t, m.writes())
	})
}
