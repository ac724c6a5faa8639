package republish_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/republish"
)

func TestPublishesChangesOnly(t *testing.T) {
	w := newWorld(&republish.Memory{})
	s := w.sink(t, republish.Config{})
	ctx := t.Context()

	change, err := s.Apply(ctx, key, row{Name: "a"})
	require.NoError(t, err)
	require.Equal(t, sink.Created, change.Op)
	requireTold(t, w, sink.Created)
	require.Equal(t, []string{"load", "read", "store", "read", "write", "publish", "store"}, w.steps)

	w.steps = nil
	change, err = s.Apply(ctx, key, row{Name: "a"})
	require.NoError(t, err)
	require.Equal(t, sink.Change{}, change)
	require.Equal(t, []string{"load", "read"}, w.steps)

	change, err = s.Apply(ctx, key, row{Name: "b"})
	require.NoError(t, err)
	require.Equal(t, []sink.Field{{Name: "Name", Old: "a", New: "b"}}, change.Fields)
	change, err = s.Remove(ctx, key)
	require.NoError(t, err)
	require.Equal(t, sink.Removed, change.Op)
	_, err = s.Remove(ctx, key)
	require.NoError(t, err)
	require.Len(t, w.told, 3)
	require.Equal(t, sink.Updated, w.told[1].Op)
	require.Equal(t, sink.Removed, w.told[2].Op)
	require.True(t, w.told[1].Time.After(w.told[0].Time))

	dry, err := sink.DryRun[row](s)
	require.NoError(t, err)
	w.steps = nil
	change, err = dry.Apply(ctx, key, row{Name: "b"})
	require.NoError(t, err)
	require.Equal(t, sink.Created, change.Op)
	require.Equal(t, []string{"read"}, w.steps)
}

// TestEveryStep gives each step of a change each fault, and then tries again, by
// the same instance and by another.
func TestEveryStep(t *testing.T) {
	db := sqlite(t, filepath.Join(t.TempDir(), "journal.db"))
	for kind := refused; kind <= after; kind++ {
		for step := 1; step <= 7; step++ {
			for _, wanted := range []*row{{Name: "b"}, nil} {
				t.Run(fmt.Sprint(kind, " ", step, " ", wanted == nil), func(t *testing.T) {
					w := newWorld(openSQL(t, db, t.Name()))
					w.rows[key] = row{Name: "a"}
					call := func() (sink.Change, error) {
						s := w.sink(t, republish.Config{})
						if wanted == nil {
							return s.Remove(t.Context(), key)
						}
						return s.Apply(t.Context(), key, *wanted)
					}
					w.next = cut(step, kind)
					_, err := call()
					require.Equal(t, failure.Unavailable, failure.Of(err), "%v", err)
					w.dead, w.next = false, func(string) fault { return none }
					_, err = call()
					require.NoError(t, err)
					require.Equal(t, 1, w.changes)
					require.Equal(t, 1, w.seen, "it is published after the change")
					require.LessOrEqual(t, len(w.told), 2)
					if len(w.told) == 2 {
						require.Equal(t, w.told[0], w.told[1], "duplicates can be told")
						require.True(t, step == 6 && kind != refused && kind != before || step == 7 && kind != lost && kind != after, "published twice")
					}
					n := len(w.told)
					_, err = call()
					require.NoError(t, err)
					require.Len(t, w.told, n, "nothing is owed any more")
				})
			}
		}
	}
}

// refusing is a sink whose writes are refused for good, after some of them was
// done.
type refusing struct {
	sink.Sink[row]

	partly func()
}

func (r refusing) DryRun() sink.Sink[row] {
	dry, err := sink.DryRun(r.Sink)
	if err != nil {
		panic(err)
	}
	return dry
}

func (r refusing) Apply(context.Context, entity.Key, row) (sink.Change, error) {
	r.partly()
	return sink.Change{}, failure.As(failure.Rejected, errors.New("refused"))
}

func TestRejected(t *testing.T) {
	for _, tc := range []struct {
		name   string
		owed   bool // from before
		partly func(w *world)
		told   int
	}{
		{"nothing was written", false, func(*world) {}, 0},
		{"something was written", false, func(w *world) { w.rows[key] = row{Name: "b"} }, 1},
		{"something was owed", true, func(*world) {}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(&republish.Memory{})
			w.rows[key] = row{Name: "a"}
			inner, err := sink.Ensure[row](w, sink.EnsureConfig[row]{})
			require.NoError(t, err)
			if tc.owed {
				_, err = w.journal.Store(t.Context(), key, republish.Entry{Pending: true, Op: sink.Updated})
				require.NoError(t, err)
			}
			s, err := republish.New[row](refusing{inner, func() { tc.partly(w) }}, w, w.publish, republish.Config{})
			require.NoError(t, err)
			_, err = s.Apply(t.Context(), key, row{Name: "b", Mail: "c"})
			require.EqualError(t, err, "refused")
			require.Equal(t, failure.Rejected, failure.Of(err))
			require.Len(t, w.told, tc.told)
			e, err := w.journal.Load(t.Context(), key)
			require.NoError(t, err)
			require.False(t, e.Pending, "nothing is owed")
		})
	}
}

func TestPublishErrors(t *testing.T) {
	for _, tc := range []struct {
		name  string
		err   error
		class failure.Class
	}{
		{"any", errors.New("x"), failure.Unavailable},
		{"an outage", failure.UnavailableFor(time.Minute, errors.New("x")), failure.Unavailable},
		{"its own", failure.As(failure.Rejected, errors.New("x")), failure.Rejected},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(&republish.Memory{})
			inner, err := sink.Ensure[row](w, sink.EnsureConfig[row]{})
			require.NoError(t, err)
			s, err := republish.New(inner, w, func(context.Context, republish.Publication) error { return tc.err }, republish.Config{})
			require.NoError(t, err)
			for range 2 { // it stays owed
				_, err = s.Apply(t.Context(), key, row{Name: "a"})
				require.EqualError(t, err, "republish: not published yet: x")
				require.Equal(t, tc.class, failure.Of(err))
				require.Equal(t, failure.RetryAfter(tc.err), failure.RetryAfter(err))
			}
			require.Equal(t, 1, w.changes)
		})
	}
}

func TestCancelledBeforePublishing(t *testing.T) {
	w := newWorld(&republish.Memory{})
	s := w.sink(t, republish.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	w.next = func(step string) fault {
		if step == "write" {
			cancel()
		}
		return none
	}
	_, err := s.Apply(ctx, key, row{Name: "a"})
	require.Equal(t, failure.Unavailable, failure.Of(err))
	require.Empty(t, w.told)
	_, err = s.Apply(t.Context(), key, row{Name: "a"})
	require.NoError(t, err)
	requireTold(t, w, sink.Created)
}

// TestOverlap has another instance, whose lease ran out, in the middle of a call.
func TestOverlap(t *testing.T) {
	for step := range 8 {
		w := newWorld(&republish.Memory{})
		one, two := w.sink(t, republish.Config{}), w.sink(t, republish.Config{})
		n, busy := 0, false
		w.next = func(string) fault {
			if !busy {
				if n++; n == step {
					busy = true
					_, err := two.Apply(t.Context(), key, row{Name: "two"})
					require.NoError(t, err)
					busy = false
				}
			}
			return none
		}
		_, err := one.Apply(t.Context(), key, row{Name: "one"})
		require.NoError(t, err, "step %d", step)
		require.Equal(t, w.changes, w.seen, "step %d: a publication came after each change", step)
		_, err = one.Apply(t.Context(), key, w.rows[key])
		require.NoError(t, err)
		e, err := w.journal.Load(t.Context(), key)
		require.NoError(t, err)
		require.False(t, e.Pending, "step %d", step)
	}
}

func TestBrake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := newWorld(&republish.Memory{})
		s := w.sink(t, republish.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		n := 0
		apply := func() sink.Change {
			n++
			change, err := s.Apply(t.Context(), key, row{Name: fmt.Sprint(n)})
			require.NoError(t, err)
			return change
		}
		for range 5 {
			require.Zero(t, apply().Next)
		}
		require.Len(t, w.told, 5)
		for i, p := range w.told[1:] {
			require.True(t, p.Time.After(w.told[i].Time), "no two have the same time")
		}
		minute := time.Now().Add(time.Minute)
		for range 3 { // these are one publication
			require.Equal(t, minute.UTC(), apply().Next.UTC())
		}
		require.Len(t, w.told, 5)
		require.Equal(t, 1, bytes.Count(log.Bytes(), []byte("held back")))
		require.NotContains(t, log.String(), key.ID)
		require.Contains(t, log.String(), "for=1m0s")

		// Another instance, called when it was asked for, finds nothing to do.
		time.Sleep(time.Until(minute))
		change, err := w.sink(t, republish.Config{}).Apply(t.Context(), key, row{Name: fmt.Sprint(n)})
		require.NoError(t, err)
		require.Equal(t, sink.Change{}, change)
		require.Len(t, w.told, 6)
		require.Equal(t, w.changes, w.seen)

		require.Equal(t, 2*time.Minute, time.Until(apply().Next), "the next hold is longer")
		require.Equal(t, 2, bytes.Count(log.Bytes(), []byte("held back")))
		time.Sleep(2 * time.Minute)
		require.Zero(t, apply().Next)
		require.Len(t, w.told, 7)

		other := entity.Key{Type: "persons", ID: "2"}
		change, err = s.Apply(t.Context(), other, row{Name: "x"})
		require.NoError(t, err)
		require.Zero(t, change.Next, "others are not held")

		time.Sleep(8 * time.Minute)
		for range 5 {
			require.Zero(t, apply().Next, "who was quiet is forgiven")
		}
		require.Equal(t, time.Minute, time.Until(apply().Next))
	})
}

func TestNoBrake(t *testing.T) {
	w := newWorld(&republish.Memory{})
	s := w.sink(t, republish.Config{Limit: -1})
	for n := range 100 {
		change, err := s.Apply(t.Context(), key, row{Name: fmt.Sprint(n)})
		require.NoError(t, err)
		require.Zero(t, change.Next)
	}
	require.Len(t, w.told, 100)
}

// bare is a sink that cannot tell what it would do.
type bare struct{ sink.Sink[row] }

func TestNewRefuses(t *testing.T) {
	good := sink.Discard[row]{}
	publish := func(context.Context, republish.Publication) error { return nil }
	for _, tc := range []struct {
		name    string
		sink    sink.Sink[row]
		journal republish.Journal
		publish republish.Publish
		cfg     republish.Config
		want    string
	}{
		{"no sink", nil, &republish.Memory{}, publish, republish.Config{}, "republish: s: must not be nil"},
		{"no journal", good, nil, publish, republish.Config{}, "republish: journal: must not be nil"},
		{"no publish", good, &republish.Memory{}, nil, republish.Config{}, "republish: publish: must not be nil"},
		{"no dry run", bare{good}, &republish.Memory{}, publish, republish.Config{}, "republish: s: sink: unsupported operation: republish_test.bare has no method DryRun"},
		{"a negative window", good, &republish.Memory{}, publish, republish.Config{Window: -1}, "republish: Window: must not be negative"},
		{"a short hold", good, &republish.Memory{}, publish, republish.Config{MaxHold: time.Second}, "republish: MaxHold: must not be shorter than Window"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := republish.New(tc.sink, tc.journal, tc.publish, tc.cfg)
			require.ErrorContains(t, err, tc.want)
		})
	}
}
