package testkit

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
)

type meta struct{ Tags []string }

type account struct {
	meta
	Name  string
	Mails []string
	Boss  *string
	Extra map[string]any
	Since time.Time
}

var (
	k1 = entity.Key{Type: "persons", ID: "1"}
	k2 = entity.Key{Type: "persons", ID: "2"}

	_ sink.Target[account] = (*Target[account])(nil)
)

func sample() account {
	boss := "Ola"
	return account{
		meta:  meta{Tags: []string{"t"}},
		Name:  "Kari",
		Mails: []string{"kari@x"},
		Boss:  &boss,
		Extra: map[string]any{"list": []any{"a"}},
		Since: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
	}
}

// spoil changes everything that a careless copy would share.
func spoil(a account) {
	a.Tags[0], a.Mails[0], *a.Boss = "x", "x", "x"
	list, _ := a.Extra["list"].([]any)
	list[0] = "x"
	a.Extra["more"] = true
}

func field(names ...string) []sink.Field {
	fields := make([]sink.Field, len(names))
	for i, n := range names {
		fields[i].Name = n
	}
	return fields
}

// had is a state as it was read.
func had[T any](v T) sink.Found[T] { return sink.Found[T]{Value: v} }

func TestTargetContract(t *testing.T) {
	ctx := t.Context()
	var target Target[account]
	_, found, err := target.Get(ctx, k1)
	require.NoError(t, err)
	require.False(t, found)
	require.ErrorIs(t, target.Update(ctx, k1, had(sample()), sample(), nil), sink.ErrNotFound)
	require.ErrorIs(t, target.Delete(ctx, k1, had(sample())), sink.ErrNotFound)
	require.NoError(t, target.Create(ctx, k1, sample()))
	require.ErrorIs(t, target.Create(ctx, k1, sample()), sink.ErrExists)

	have, found, err := target.Get(ctx, k1)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, had(sample()), have)

	want := have.Value
	want.Name, want.Mails = "Kari N", []string{"kari@y"}
	require.NoError(t, target.Update(ctx, k1, have, want, field("Name", "Mails")))
	require.Equal(t, map[entity.Key]account{k1: want}, target.Snapshot())
	require.ErrorIs(t, target.Update(ctx, k1, have, want, field("Name")), sink.ErrConflict, "have is out of date")

	target.Set(k2, account{Name: "by hand"})
	require.ErrorIs(t, target.Delete(ctx, k1, have), sink.ErrConflict, "have is out of date")
	require.NoError(t, target.Delete(ctx, k1, had(want)))
	require.Equal(t, map[entity.Key]account{k2: {Name: "by hand"}}, target.Snapshot())
	target.Unset(k2)
	require.Empty(t, target.Snapshot())

	log := target.Log()
	require.Len(t, log, 3, "neither reads nor refusals nor what others did")
	for i, w := range []Write[account]{
		{Op: "create", Key: k1, After: sample()},
		{Op: "update", Key: k1, Before: sample(), After: want},
		{Op: "delete", Key: k1, Before: want},
	} {
		require.False(t, log[i].Time.IsZero())
		w.Time = log[i].Time
		require.Equal(t, w, log[i])
	}
	require.Zero(t, target.Overlaps())
}

func TestTargetWithEnsure(t *testing.T) {
	ctx := t.Context()
	var target Target[account]
	s, err := sink.Ensure(&target, sink.EnsureConfig[account]{})
	require.NoError(t, err)
	for _, want := range []sink.Op{sink.Created, sink.Unchanged} {
		change, err := s.Apply(ctx, k1, sample())
		require.NoError(t, err)
		require.Equal(t, want, change.Op)
	}
	want := sample()
	want.Tags = nil
	change, err := s.Apply(ctx, k1, want)
	require.NoError(t, err)
	require.Equal(t, "updated(Tags)", change.String())
	require.Equal(t, want, target.Snapshot()[k1])
	require.Len(t, target.Log(), 2)
}

func TestTargetUpdatesFields(t *testing.T) {
	for _, tc := range []struct {
		name   string
		fields []sink.Field
		want   account
	}{
		{name: "one", fields: field("Name"), want: account{Name: "new", Mails: []string{"old"}}},
		{name: "embedded", fields: field("Tags"), want: account{Name: "old", Mails: []string{"old"}, meta: meta{Tags: []string{"new"}}}},
		{name: "none", want: account{Name: "old", Mails: []string{"old"}}},
		{name: "unknown name", fields: field("Name", "mail"), want: account{Name: "new", meta: meta{Tags: []string{"new"}}}},
		{name: "unexported", fields: field("meta"), want: account{Name: "new", meta: meta{Tags: []string{"new"}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			have := account{Name: "old", Mails: []string{"old"}}
			want := account{Name: "new", meta: meta{Tags: []string{"new"}}}
			var values Target[account]
			values.Set(k1, have)
			require.NoError(t, values.Update(t.Context(), k1, had(have), want, tc.fields))
			require.Equal(t, tc.want, values.Snapshot()[k1])

			var pointers Target[*account]
			pointers.Set(k1, &have)
			require.NoError(t, pointers.Update(t.Context(), k1, had(&have), &want, tc.fields))
			require.Equal(t, tc.want, *pointers.Snapshot()[k1])
			require.Equal(t, "old", pointers.Log()[0].Before.Name)
			require.Equal(t, "old", have.Name, "the caller's value is left alone")
		})
	}
	t.Run("map", func(t *testing.T) {
		var target Target[map[string]any]
		target.Set(k1, map[string]any{"a": 1, "b": 1, "c": 1, "d": 1})
		have, _, err := target.Get(t.Context(), k1)
		require.NoError(t, err)
		require.NoError(t, target.Update(t.Context(), k1, have, map[string]any{"a": 2, "b": nil, "d": 2}, field("a", "b")))
		require.Equal(t, map[string]any{"a": 2, "c": 1, "d": 1}, target.Snapshot()[k1])
	})
	t.Run("neither", func(t *testing.T) {
		var target Target[string]
		target.Set(k1, "old")
		require.NoError(t, target.Update(t.Context(), k1, had("old"), "new", field("value")))
		require.Equal(t, "new", target.Snapshot()[k1])
	})
}

func TestTargetCopies(t *testing.T) {
	for _, tc := range []struct {
		name  string
		clone func(account) account
	}{
		{name: "by default"},
		{name: "by Clone", clone: func(account) account { return sample() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx := t.Context()
			target := Target[account]{Clone: tc.clone}
			in := sample()
			require.NoError(t, target.Create(ctx, k1, in))
			spoil(in)
			out, _, err := target.Get(ctx, k1)
			require.NoError(t, err)
			require.Equal(t, had(sample()), out)
			spoil(out.Value)
			spoil(target.Snapshot()[k1])
			spoil(target.Log()[0].After)

			in = sample()
			require.NoError(t, target.Update(ctx, k1, had(sample()), in, field("Mails", "Boss", "Extra", "Tags")))
			spoil(in)
			require.Equal(t, sample(), target.Snapshot()[k1])
			in = sample()
			target.Set(k1, in)
			spoil(in)
			require.Equal(t, sample(), target.Snapshot()[k1])
			for _, w := range target.Log() {
				require.Equal(t, sample(), w.After)
			}
		})
	}
}

func TestTargetFailures(t *testing.T) {
	ctx := t.Context()
	errBefore, errAfter := errors.New("down"), errors.New("lost")
	ops := map[string]func(*Target[account]) error{
		"get":    func(a *Target[account]) error { _, _, err := a.Get(ctx, k1); return err },
		"create": func(a *Target[account]) error { return a.Create(ctx, k1, account{Name: "new"}) },
		"update": func(a *Target[account]) error {
			return a.Update(ctx, k1, had(sample()), account{Name: "new"}, field("Name"))
		},
		"delete": func(a *Target[account]) error { return a.Delete(ctx, k1, had(sample())) },
	}
	for op, call := range ops {
		t.Run(op, func(t *testing.T) {
			var target Target[account]
			if op != "create" {
				target.Set(k1, sample())
			}
			before := target.Snapshot()
			fails := func(err error) func(Call) error {
				return func(c Call) error {
					require.Equal(t, Call{Op: op, Key: k1}, c)
					return err
				}
			}
			target.Fail(fails(errBefore))
			target.FailAfter(func(Call) error { return errors.New("not asked after a failure") })
			require.ErrorIs(t, call(&target), errBefore)
			require.Equal(t, before, target.Snapshot())
			require.Empty(t, target.Log())

			target.Fail(nil)
			target.FailAfter(fails(errAfter))
			require.ErrorIs(t, call(&target), errAfter)
			if op != "get" {
				require.NotEqual(t, before, target.Snapshot(), "the answer was lost, not the write")
				require.Len(t, target.Log(), 1)
				require.Equal(t, op, target.Log()[0].Op)
			}
			target.FailAfter(nil)
			if op == "get" {
				require.NoError(t, call(&target))
			}
		})
	}
}

func TestTargetLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := Target[string]{Latency: 4 * time.Second}
		start := time.Now()
		require.NoError(t, target.Create(t.Context(), k1, "a"))
		require.Equal(t, 4*time.Second, time.Since(start))
		require.Equal(t, 2*time.Second, target.Log()[0].Time.Sub(start), "half-way")

		for _, tc := range []struct {
			after   time.Duration
			written bool
		}{{after: 0}, {after: time.Second}, {after: 3 * time.Second, written: true}} {
			ctx, cancel := context.WithTimeout(t.Context(), tc.after)
			start = time.Now()
			require.ErrorIs(t, target.Create(ctx, k2, "b"), context.DeadlineExceeded)
			cancel()
			require.Equal(t, tc.after, time.Since(start), "it gives up at once")
			require.Equal(t, tc.written, target.Snapshot()[k2] == "b")
			_, found, err := target.Get(ctx, k1)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.False(t, found)
		}
	})
}

func TestTargetOverlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := Target[string]{Latency: time.Second}
		begin := func(key entity.Key) chan struct{} {
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _, _ = target.Get(t.Context(), key)
			}()
			synctest.Wait()
			return done
		}
		one, two := begin(k1), begin(k2)
		<-one
		<-two
		require.Zero(t, target.Overlaps(), "different keys")
		<-begin(k1)
		require.Zero(t, target.Overlaps(), "one after the other")
		one, two = begin(k1), begin(k1)
		require.Equal(t, 1, target.Overlaps())
		<-one
		<-two
		<-begin(k1)
		require.Equal(t, 1, target.Overlaps())
	})
}
