package sinktest

import (
	"context"
	"errors"
	"time"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
)

func faultCases[T any]() []testCase[T] {
	return []testCase[T]{
		{Name: "a create whose answer is lost", Run: func(e *env[T]) { lost(e, create, 1, 1) }},
		{Name: "an update whose answer is lost", Run: func(e *env[T]) {
			e.put(1, 0)
			lost(e, update, 2, 1)
		}},
		{Name: "a removal whose answer is lost", Run: func(e *env[T]) {
			e.put(1, 0)
			e.lose(remove)
			_, err := e.sink(sink.Removal[T]{}).Remove(e.t.Context(), e.Key(0))
			e.ErrorIs(err, errLost)
			change, writes := e.remove(0)
			e.Equal(sink.Unchanged, change.Op)
			e.Zero(writes)
			e.absent(0)
		}},
		{Name: "an outage is not the entity's fault", Run: trouble[T](func(e *env[T]) func(bool) { return e.Down })},
		{Name: "a refusal of everybody is an outage", Run: trouble[T](func(e *env[T]) func(bool) { return e.Refuse })},
		{Name: "what the target refuses for good is rejected", Run: func(e *env[T]) {
			e.put(1, 0, 1)
			for _, n := range []int{0, 2} {
				_, err := e.sink(sink.Removal[T]{}).Apply(e.t.Context(), e.Key(n), e.Refused(n))
				e.silent(err, n)
				e.Equal(failure.Rejected, failure.Of(err), "%v", err)
			}
			e.is(0, 1)
			e.is(1, 1)
			e.absent(2)
		}},
		{Name: "several that match are an error of the entity", Run: func(e *env[T]) {
			e.put(1, 0, 1)
			e.NoError(e.Duplicate(e.Key(0)))
			before := e.spy.writes()
			s := e.sink(sink.Removal[T]{})
			_, err := s.Apply(e.t.Context(), e.Key(0), e.Want(0, 2))
			e.ambiguous(err)
			_, err = s.Remove(e.t.Context(), e.Key(0))
			e.ambiguous(err)
			e.Equal(before, e.spy.writes(), "which of them is meant, only people can say")
			e.put(2, 1)
		}},
		{Name: "cancelled before", Run: func(e *env[T]) {
			e.put(1, 0)
			ctx, cancel := context.WithCancel(e.t.Context())
			cancel()
			reads, writes := e.spy.reads(), e.spy.writes()
			e.interrupted(ctx)
			e.Equal(reads, e.spy.reads())
			e.Equal(writes, e.spy.writes())
			e.is(0, 1)
		}},
		{Name: "cancelled between read and write", Run: func(e *env[T]) {
			e.put(1, 0)
			ctx, cancel := context.WithCancel(e.t.Context())
			defer cancel()
			e.spy.interpose(nil, first(read, func() error { cancel(); return nil }))
			_, err := e.sink(sink.Removal[T]{}).Apply(ctx, e.Key(0), e.Want(0, 2))
			e.stopped(err)
			e.Zero(e.spy.writes())
			e.is(0, 1)
		}},
		{Name: "cancelled in the read", Run: func(e *env[T]) { interruptedIn(e, read) }},
		{Name: "cancelled in the write", Run: func(e *env[T]) { interruptedIn(e, update) }},
		{Name: "a deadline that has passed", Run: func(e *env[T]) {
			e.put(1, 0)
			ctx, cancel := context.WithDeadline(e.t.Context(), time.Now().Add(-time.Second))
			defer cancel()
			e.interrupted(ctx)
			e.is(0, 1)
		}},
	}
}

var errLost = failure.As(failure.Unavailable, errors.New("sinktest: the answer was lost"))

// lose loses the answer of the first operation of a kind.
func (e *env[T]) lose(op string) {
	e.spy.interpose(nil, first(op, func() error { return errLost }))
}

// lost applies a version of the first entity, loses the answer, and expects that
// it is found the next time, and made so often in all.
func lost[T any](e *env[T], op string, version, times int) {
	e.lose(op)
	_, err := e.sink(sink.Removal[T]{}).Apply(e.t.Context(), e.Key(0), e.Want(0, version))
	e.ErrorIs(err, errLost)
	change, writes := e.apply(0, version)
	e.Equal(sink.Unchanged, change.Op, "what was written is found")
	e.Zero(writes)
	e.Equal(times, e.spy.writes())
	e.is(0, version)
}

// trouble checks that everybody's calls are met with Unavailable while the
// trouble lasts, and that all is well afterwards.
func trouble[T any](of func(e *env[T]) func(bool)) func(e *env[T]) {
	return func(e *env[T]) {
		set := of(e)
		e.put(1, 0)
		set(true)
		s := e.sink(sink.Removal[T]{})
		ctx, cancel := context.WithTimeout(e.t.Context(), time.Minute)
		defer cancel()
		for n := range 2 {
			_, err := s.Apply(ctx, e.Key(n), e.Want(n, 2))
			e.unavailable(err, n)
			_, err = s.Remove(ctx, e.Key(n))
			e.unavailable(err, n)
		}
		set(false)
		e.is(0, 1)
		e.absent(1)
		e.put(2, 0, 1)
	}
}

func (e *env[T]) unavailable(err error, n int) {
	e.t.Helper()
	e.silent(err, n)
	e.Equal(failure.Unavailable, failure.Of(err), "%v", err)
}

func (e *env[T]) ambiguous(err error) {
	e.t.Helper()
	e.ErrorIs(err, sink.ErrAmbiguous)
	e.silent(err, 0)
	e.Equal(failure.Failed, failure.Of(err), "%v", err)
}

// interrupted expects that neither call does anything in a context that ended.
func (e *env[T]) interrupted(ctx context.Context) {
	e.t.Helper()
	s := e.sink(sink.Removal[T]{})
	_, err := s.Apply(ctx, e.Key(0), e.Want(0, 2))
	e.stopped(err)
	_, err = s.Remove(ctx, e.Key(0))
	e.stopped(err)
}

// stopped checks the error of a call whose context ended: it decides nothing
// about the entity.
func (e *env[T]) stopped(err error) {
	e.t.Helper()
	e.silent(err, 0)
	e.Equal(failure.Unavailable, failure.Of(err), "%v", err)
}

// interruptedIn ends the context right before an operation, which goes on with
// it: it must return, and leave the entity as it was or as it was to become.
func interruptedIn[T any](e *env[T], op string) {
	e.put(1, 0)
	ctx, cancel := context.WithCancel(e.t.Context())
	defer cancel()
	e.spy.interpose(first(op, func() error { cancel(); return nil }), nil)
	if _, err := e.sink(sink.Removal[T]{}).Apply(ctx, e.Key(0), e.Want(0, 2)); err != nil {
		e.stopped(err)
	}
	e.spy.interpose(nil, nil)
	_, isOld := e.look(e.Key(0), e.Want(0, 1))
	_, isNew := e.look(e.Key(0), e.Want(0, 2))
	e.True(len(isOld) == 0 || len(isNew) == 0, "the old state or the new, not a mixture: %v, %v", isOld, isNew)
	e.put(3, 0, 1)
}
