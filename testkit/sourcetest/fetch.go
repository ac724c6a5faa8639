package sourcetest

import (
	"context"
	"sync"
	"time"

	"github.com/konnektor-go/konnektor/failure"
)

func sourceCases[S any]() []testCase[S] {
	return []testCase[S]{
		{Name: "an entity that exists", Run: func(e *env[S]) {
			e.put(1, 0, 1)
			e.put(2, 1)
			e.is(1, 0, true)
			e.is(2, 1, true)
			e.is(1, 0, false)
		}},
		{Name: "a fresh read is past all caches", Run: func(e *env[S]) {
			e.put(1, 0)
			for version := 2; version < 5; version++ {
				_, err := e.fetch(e.t.Context(), 0, false)
				e.NoError(err)
				e.put(version, 0)
				e.is(version, 0, true)
			}
			e.NoError(e.Delete(e.Key(0)))
			_, err := e.fetch(e.t.Context(), 0, true)
			e.Equal(failure.Gone, failure.Of(err))
		}},
		{Name: "a fresh read begins after it was called", Run: freshWhileAnotherGoesOn[S]},
		{Name: "gone with proof", Run: func(e *env[S]) {
			e.put(1, 0, 1)
			e.fails(2, failure.Gone)
			e.NoError(e.Delete(e.Key(0)))
			_, err := e.fetch(e.t.Context(), 0, true)
			e.Equal(failure.Gone, failure.Of(err), "%v", err)
			e.is(1, 1, true)
			e.put(2, 0)
			e.is(2, 0, true)
		}},
		{Name: "an outage is not the entity's fault", Run: trouble[S](func(e *env[S]) func(bool) { return e.Down }, failure.Unavailable)},
		{Name: "something else that answers proves nothing", Run: trouble[S](func(e *env[S]) func(bool) { return e.Away }, failure.Unavailable)},
		{Name: "a refusal of everybody is an outage", Run: trouble[S](func(e *env[S]) func(bool) { return e.Refuse }, failure.Unavailable)},
		{Name: "an answer that is no state proves nothing", Run: trouble[S](func(e *env[S]) func(bool) { return e.Garble }, failure.Unavailable, failure.Failed)},
		{Name: "cancelled before", Run: func(e *env[S]) {
			e.put(1, 0)
			ctx, cancel := context.WithCancel(e.t.Context())
			cancel()
			_, err := e.fetch(ctx, 0, true)
			e.ErrorIs(err, context.Canceled)
			e.notAbout(err)
		}},
		{Name: "cancelled meanwhile", Run: func(e *env[S]) {
			ctx, cancel := context.WithCancel(e.t.Context())
			defer cancel()
			err := e.interrupted(ctx, cancel)
			e.ErrorIs(err, context.Canceled)
			e.notAbout(err)
		}},
		{Name: "a deadline that passes", Run: func(e *env[S]) {
			ctx, cancel := context.WithTimeout(e.t.Context(), 50*time.Millisecond)
			defer cancel()
			err := e.interrupted(ctx, func() {})
			e.ErrorIs(err, context.DeadlineExceeded)
			e.notAbout(err)
		}},
		{Name: "many at once", Run: manyAtOnce[S]},
	}
}

// notAbout checks that an error decides nothing about an entity.
func (e *env[S]) notAbout(err error) {
	e.t.Helper()
	e.NotContains([]failure.Class{failure.Gone, failure.Rejected}, failure.Of(err), "%v", err)
}

// trouble checks that everybody's fetches fail in these ways while the trouble
// lasts, whether the entity exists or not, and that all is well afterwards.
func trouble[S any](makes func(e *env[S]) func(bool), classes ...failure.Class) func(e *env[S]) {
	return func(e *env[S]) {
		e.put(1, 0)
		makes(e)(true)
		_, err := e.fetch(e.t.Context(), 0, true)
		e.Error(err)
		e.Contains(classes, failure.Of(err), "%v", err)
		_, err = e.fetch(e.t.Context(), 1, true)
		e.Error(err)
		e.NotEqual(failure.Rejected, failure.Of(err), "%v", err)
		makes(e)(false)
		e.is(1, 0, true)
		e.fails(1, failure.Gone)
	}
}

// freshWhileAnotherGoesOn changes an entity while a read is under way: that one
// cannot serve who asks now.
func freshWhileAnotherGoesOn[S any](e *env[S]) {
	e.put(1, 0)
	arrived, release := e.Hold()
	let := sync.OnceFunc(release)
	defer let()
	first, second := make(chan error, 1), make(chan error, 1)
	var version int
	go func() { // ends when the read does
		_, err := e.Source.Fetch(e.t.Context(), e.request(0))
		first <- err
	}()
	soon(e, arrived, "Hold: no read arrived")
	e.put(2, 0)
	go func() { // ends when the read does
		state, err := e.Source.Fetch(e.t.Context(), e.request(0))
		if err == nil {
			version = e.Version(state)
		}
		second <- err
	}()
	soon(e, arrived, "Hold: the second read has not arrived: does it wait for the first?")
	let()
	e.NoError(soon(e, first, "the first read does not end"))
	e.NoError(soon(e, second, "the second read does not end"))
	e.Equal(2, version, "the read that began after the change")
}

// interrupted fetches from a source that does not answer, and returns the error
// that comes of it when the context ends.
func (e *env[S]) interrupted(ctx context.Context, end func()) error {
	e.t.Helper()
	e.put(1, 0)
	arrived, release := e.Hold()
	defer release()
	done := make(chan error, 1)
	go func() { // ends with ctx
		_, err := e.Source.Fetch(ctx, e.request(0))
		done <- err
	}()
	soon(e, arrived, "Hold: no read arrived")
	end()
	err := soon(e, done, "the read does not end, though its context has")
	e.silent(err, 0)
	return err
}

func manyAtOnce[S any](e *env[S]) {
	const keys, readers = 5, 8
	for n := range keys {
		e.put(n+1, n)
	}
	var wg sync.WaitGroup
	got := make(chan [2]int, keys*readers)
	failed := make(chan error, keys*readers)
	for range readers {
		wg.Go(func() {
			for n := range keys {
				state, err := e.Source.Fetch(e.t.Context(), e.request(n))
				if err != nil {
					failed <- err
					continue
				}
				got <- [2]int{n + 1, e.Version(state)}
			}
		})
	}
	wg.Wait()
	close(failed)
	for err := range failed {
		e.NoError(err)
	}
	close(got)
	for pair := range got {
		e.Equal(pair[0], pair[1], "the state of another entity")
	}
}
