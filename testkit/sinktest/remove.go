package sinktest

import (
	"time"

	"github.com/konnektor-go/konnektor/sink"
)

func removeCases[T any]() []testCase[T] {
	return []testCase[T]{
		{Name: "what is there is removed", Run: func(e *env[T]) {
			e.put(1, 0, 1)
			change, writes := e.remove(0)
			e.Equal(sink.Removed, change.Op)
			e.Equal(1, writes)
			e.absent(0)
			e.is(1, 1)
			e.put(2, 0)
		}},
		{Name: "what is not there is not removed", Run: func(e *env[T]) {
			e.put(1, 0, 1)
			e.remove(0)
			for _, n := range []int{0, 2} {
				change, writes := e.remove(n)
				e.Equal(sink.Change{Op: sink.Unchanged}, change)
				e.Zero(writes)
			}
			e.is(1, 1)
		}},
		{Name: "a removal that finds nothing", Run: func(e *env[T]) {
			e.put(1, 0, 1)
			e.spy.interpose(first(remove, func() error { return e.unmake(0) }), nil)
			change, _ := e.remove(0)
			e.Equal(sink.Unchanged, change.Op)
			e.absent(0)
			e.is(1, 1)
		}},
		{Name: "a removal of what another writer changes", Run: func(e *env[T]) {
			e.put(1, 0)
			e.spy.interpose(first(remove, func() error { return e.rewrite(0, 2) }), nil)
			change, _ := e.remove(0)
			e.Equal(sink.Removed, change.Op)
			e.absent(0)
		}},
		{Name: "to keep", Run: func(e *env[T]) {
			e.put(1, 0)
			before := e.spy.writes()
			change, err := e.sink(sink.Removal[T]{Keep: true}).Remove(e.t.Context(), e.Key(0))
			e.NoError(err)
			e.Equal(sink.Change{Op: sink.Unchanged}, change)
			e.Equal(before, e.spy.writes())
			e.is(0, 1)
		}},
		{Name: "to disable", Run: disables[T]},
		{Name: "to disable and delete after a time", Run: deletesAfter[T]},
	}
}

func disables[T any](e *env[T]) {
	if e.Removal.Disable == nil {
		e.missing("Removal.Disable")
	}
	e.put(1, 0, 1)
	s := e.sink(sink.Removal[T]{Disable: e.Removal.Disable, Disabled: e.Removal.Disabled})
	change, err := s.Remove(e.t.Context(), e.Key(0))
	e.NoError(err)
	e.Equal(sink.Disabled, change.Op)
	e.NotEmpty(change.Fields)
	found, _ := e.look(e.Key(0), e.Want(0, 1))
	e.True(found, "what is disabled is there")

	before := e.spy.writes()
	change, err = s.Remove(e.t.Context(), e.Key(0))
	e.NoError(err)
	e.Equal(sink.Unchanged, change.Op)
	change, err = s.Remove(e.t.Context(), e.Key(2))
	e.NoError(err)
	e.Equal(sink.Unchanged, change.Op)
	e.Equal(before, e.spy.writes())

	change, err = s.Apply(e.t.Context(), e.Key(0), e.Want(0, 1))
	e.NoError(err)
	e.Equal(sink.Updated, change.Op, "what comes back is enabled: Want names what Disable changes")
	e.is(0, 1)
	e.is(1, 1)
}

func deletesAfter[T any](e *env[T]) {
	if e.Removal.Disabled == nil {
		e.missing("Removal.Disabled")
	}
	e.put(1, 0)
	removal := sink.Removal[T]{Disable: e.Removal.Disable, Disabled: e.Removal.Disabled, DeleteAfter: time.Hour}
	earliest := time.Now().Truncate(time.Second).Add(time.Hour)
	change, err := e.sink(removal).Remove(e.t.Context(), e.Key(0))
	e.NoError(err)
	e.Equal(sink.Disabled, change.Op)
	e.False(change.Next.Before(earliest), "%v is before %v", change.Next, earliest)

	again, err := e.sink(removal).Remove(e.t.Context(), e.Key(0))
	e.NoError(err)
	e.Equal(sink.Unchanged, again.Op)
	e.True(again.Next.Equal(change.Next), "%v is not %v: it is disabled since the same time", again.Next, change.Next)

	removal.Disabled = func(have T) (time.Time, bool) { // as if the time had come
		since, ok := e.Removal.Disabled(have)
		return since.Add(-time.Hour), ok
	}
	change, err = e.sink(removal).Remove(e.t.Context(), e.Key(0))
	e.NoError(err)
	e.Equal(sink.Removed, change.Op)
	e.absent(0)
}
