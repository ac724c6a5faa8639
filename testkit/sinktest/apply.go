package sinktest

import (
	"context"
	"sync"

	"github.com/konnektor-go/konnektor/sink"
)

func applyCases[T any]() []testCase[T] {
	return []testCase[T]{
		{Name: "what is not there is created", Run: func(e *env[T]) {
			e.absent(0)
			change, writes := e.apply(0, 1)
			e.Equal(sink.Created, change.Op)
			e.Equal(1, writes)
			e.is(0, 1)
			e.absent(1)
		}},
		{Name: "what is equal is not written", Run: func(e *env[T]) {
			for version := 1; version < 3; version++ {
				e.put(version, 0)
				change, writes := e.apply(0, version)
				e.Equal(sink.Change{Op: sink.Unchanged}, change)
				e.Zero(writes)
			}
		}},
		{Name: "what differs is updated", Run: func(e *env[T]) {
			e.put(1, 0, 1)
			change, writes := e.apply(0, 2)
			e.Equal(sink.Updated, change.Op)
			e.NotEmpty(change.Fields)
			e.Equal(1, writes)
			e.is(0, 2)
			e.is(1, 1)
		}},
		{Name: "what the mapping does not name is left alone", Run: func(e *env[T]) {
			e.put(1, 0)
			e.NoError(e.SetForeign(e.Key(0), "theirs"))
			change, writes := e.apply(0, 1)
			e.Equal(sink.Unchanged, change.Op)
			e.Zero(writes)
			e.put(2, 0)
			e.foreign(0, "theirs")
		}},
		{Name: "another writer's attribute, between read and write", Run: func(e *env[T]) {
			e.put(1, 0)
			e.spy.interpose(first(update, func() error { return e.SetForeign(e.Key(0), "theirs") }), nil)
			e.apply(0, 2)
			e.is(0, 2)
			e.foreign(0, "theirs")
		}},
		{Name: "another writer's change, between read and write", Run: func(e *env[T]) {
			e.put(1, 0)
			e.spy.interpose(first(update, func() error { return e.rewrite(0, 3) }), nil)
			e.apply(0, 2)
			e.is(0, 2)
		}},
		{Name: "a create that finds it there", Run: func(e *env[T]) {
			for n, version := range []int{1, 2} {
				e.spy.interpose(first(create, func() error {
					return e.Target.Create(e.t.Context(), e.Key(n), e.Want(n, version))
				}), nil)
				change, _ := e.apply(n, 1)
				e.Equal(map[int]sink.Op{1: sink.Unchanged, 2: sink.Updated}[version], change.Op)
				e.is(n, 1)
			}
		}},
		{Name: "an update that finds nothing", Run: func(e *env[T]) {
			e.put(1, 0)
			e.spy.interpose(first(update, func() error { return e.unmake(0) }), nil)
			change, _ := e.apply(0, 2)
			e.Equal(sink.Created, change.Op)
			e.is(0, 2)
		}},
		{Name: "a dry run writes nothing", Run: dryRun[T]},
		{Name: "two apply the same at once", Run: func(e *env[T]) {
			for round := range 5 {
				e.atOnce(4, func(ctx context.Context, _ int) error {
					_, err := e.sink(sink.Removal[T]{}).Apply(ctx, e.Key(0), e.Want(0, round+1))
					return err
				})
				e.is(0, round+1)
			}
		}},
		{Name: "two apply different states at once", Run: func(e *env[T]) {
			for range 5 {
				e.put(1, 0)
				e.atOnce(2, func(ctx context.Context, k int) error {
					_, err := e.sink(sink.Removal[T]{}).Apply(ctx, e.Key(0), e.Want(0, 2+k))
					return err
				})
				_, isTwo := e.look(e.Key(0), e.Want(0, 2))
				_, isThree := e.look(e.Key(0), e.Want(0, 3))
				e.True(len(isTwo) == 0 || len(isThree) == 0, "one of the two, not a mixture: %v, %v", isTwo, isThree)
			}
		}},
		{Name: "many at once", Run: func(e *env[T]) {
			s := e.sink(sink.Removal[T]{})
			for version := 1; version < 3; version++ {
				e.atOnce(20, func(ctx context.Context, n int) error {
					_, err := s.Apply(ctx, e.Key(n), e.Want(n, version))
					return err
				})
				for n := range 20 {
					e.is(n, version)
				}
			}
		}},
	}
}

// foreign checks the value of the attribute that the mapping does not name.
func (e *env[T]) foreign(n int, want string) {
	e.t.Helper()
	have, err := e.Foreign(e.Key(n))
	e.NoError(err)
	e.Equal(want, have)
}

// rewrite gives the nth entity a version as another writer would.
func (e *env[T]) rewrite(n, version int) error {
	other, err := sink.Ensure(e.Target, e.Ensure)
	if err == nil {
		_, err = other.Apply(e.t.Context(), e.Key(n), e.Want(n, version))
	}
	return err
}

// unmake deletes the nth entity as another writer would.
func (e *env[T]) unmake(n int) error {
	have, found, err := e.Target.Get(e.t.Context(), e.Key(n))
	if err != nil || !found {
		return err
	}
	return e.Target.Delete(e.t.Context(), e.Key(n), have)
}

func dryRun[T any](e *env[T]) {
	e.put(1, 0)
	wet := e.sink(sink.Removal[T]{})
	dry, err := sink.DryRun(wet)
	e.NoError(err)
	for _, call := range []func(sink.Sink[T]) (sink.Change, error){
		func(s sink.Sink[T]) (sink.Change, error) { return s.Apply(e.t.Context(), e.Key(0), e.Want(0, 1)) },
		func(s sink.Sink[T]) (sink.Change, error) { return s.Apply(e.t.Context(), e.Key(0), e.Want(0, 2)) },
		func(s sink.Sink[T]) (sink.Change, error) { return s.Apply(e.t.Context(), e.Key(1), e.Want(1, 1)) },
		func(s sink.Sink[T]) (sink.Change, error) { return s.Remove(e.t.Context(), e.Key(2)) },
		func(s sink.Sink[T]) (sink.Change, error) { return s.Remove(e.t.Context(), e.Key(1)) },
	} {
		before := e.spy.writes()
		planned, err := call(dry)
		e.NoError(err)
		e.Equal(before, e.spy.writes(), "writes of a dry run")
		done, err := call(wet)
		e.NoError(err)
		e.Equal(done.String(), planned.String(), "what is done is what was planned")
	}
	e.is(0, 2)
	e.absent(1)
}

// atOnce runs n calls at the same time.
func (e *env[T]) atOnce(n int, call func(ctx context.Context, k int) error) {
	e.t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for k := range n {
		wg.Go(func() { errs[k] = call(e.t.Context(), k) })
	}
	wg.Wait()
	for _, err := range errs {
		e.NoError(err)
	}
}
