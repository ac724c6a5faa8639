package sourcetest

import (
	"context"
	"time"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source"
)

// population is how many entities a listing has: some pages.
const population = 25

func listerCases[S any]() []testCase[S] {
	return []testCase[S]{
		{Name: "everything is listed", Run: func(e *env[S]) {
			e.populate()
			got := e.list(e.t.Context(), source.ListRequest{})
			e.NoError(got.err)
			e.True(got.complete)
			e.lists(got, population)
			last := got.pages[len(got.pages)-1]
			e.Equal(population, last.Listed, "Listed")
			e.Zero(last.Skipped, "Skipped")
			e.Contains([]int{-1, population}, last.Total, "Total")
		}},
		{Name: "what is new is listed, and what is gone is not", Run: func(e *env[S]) {
			e.populate()
			e.list(e.t.Context(), source.ListRequest{}) // fills caches
			e.NoError(e.Delete(e.Key(population - 1)))
			e.lists(e.list(e.t.Context(), source.ListRequest{}), population-1)
			e.put(population, population-1)
			e.lists(e.list(e.t.Context(), source.ListRequest{}), population)
		}},
		{Name: "a listing is resumed after any page", Run: func(e *env[S]) {
			e.populate()
			whole := e.list(e.t.Context(), source.ListRequest{})
			e.Greater(len(whole.pages), 1, "the pages must be smaller")
			listed := 0
			for _, p := range whole.pages[:len(whole.pages)-1] {
				e.NotEmpty(p.Resume)
				listed += len(p.Items)
				rest := e.list(e.t.Context(), source.ListRequest{Resume: p.Resume})
				e.NoError(rest.err)
				e.True(rest.complete)
				e.Equal(whole.keys[listed:], rest.keys)
				e.Equal(population, rest.pages[len(rest.pages)-1].Listed, "Listed counts what came before")
			}
		}},
		{Name: "an outage makes no listing complete", Run: listTrouble[S](func(e *env[S]) func(bool) { return e.Down }, failure.Unavailable)},
		{Name: "something else that answers makes no listing complete", Run: listTrouble[S](func(e *env[S]) func(bool) { return e.Away }, failure.Unavailable)},
		{Name: "a refusal makes no listing complete", Run: listTrouble[S](func(e *env[S]) func(bool) { return e.Refuse }, failure.Unavailable)},
		{Name: "an answer that is no page makes no listing complete", Run: listTrouble[S](func(e *env[S]) func(bool) { return e.Garble }, failure.Unavailable, failure.Failed)},
		{Name: "cancelled", Run: func(e *env[S]) {
			e.populate()
			ctx, cancel := context.WithCancel(e.t.Context())
			defer cancel()
			var last error
			for page, err := range e.Lister.List(ctx, source.ListRequest{}) {
				e.False(page.Complete)
				cancel()
				last = err
			}
			e.ErrorIs(last, context.Canceled)
			e.NotEqual(failure.Gone, failure.Of(last))
		}},
		{Name: "modified since", Run: func(e *env[S]) {
			e.populate()
			got := e.list(e.t.Context(), source.ListRequest{ModifiedSince: time.Now().Add(-time.Hour)})
			e.False(got.complete, "it is not everything")
			if got.err == nil {
				e.lists(got, population)
			} else {
				e.Equal(failure.Rejected, failure.Of(got.err), "%v", got.err)
			}
		}},
		{Name: "a foreign Resume is refused", Run: func(e *env[S]) {
			e.populate()
			got := e.list(e.t.Context(), source.ListRequest{Resume: "no such place"})
			e.Error(got.err)
			e.Empty(got.keys)
		}},
	}
}

// populate makes the entities exist, each in a version of its own.
func (e *env[S]) populate() {
	e.t.Helper()
	e.NotNil(e.Lister, "Harness.Lister")
	for n := range population {
		e.put(n+1, n)
	}
}

type listing[S any] struct {
	keys     []entity.Key
	pages    []source.Page[S]
	complete bool
	err      error
}

// list collects a listing, and checks what holds for all.
func (e *env[S]) list(ctx context.Context, req source.ListRequest) listing[S] {
	e.t.Helper()
	var all listing[S]
	for page, err := range e.Lister.List(ctx, req) {
		e.NoError(all.err, "the error is the last")
		e.False(all.complete, "the complete page is the last")
		if err != nil {
			for n := range population {
				e.silent(err, n)
			}
			e.NotEqual(failure.Gone, failure.Of(err), "a listing proves nothing about an entity")
			e.Empty(page.Items, "an error comes alone")
			e.False(page.Complete)
			all.err = err
			continue
		}
		e.False(page.Complete && page.Resume != "", "nothing comes after a complete page")
		for _, item := range page.Items {
			all.keys = append(all.keys, item.Key)
		}
		all.pages = append(all.pages, page)
		all.complete = page.Complete
	}
	return all
}

// lists checks that a listing has the first entities, and no others.
func (e *env[S]) lists(got listing[S], number int) {
	e.t.Helper()
	e.NoError(got.err)
	var want []entity.Key
	versions := map[entity.Key]int{}
	for n := range number {
		want = append(want, e.Key(n))
		versions[e.Key(n)] = n + 1
	}
	e.ElementsMatch(want, got.keys)
	for _, p := range got.pages {
		for _, item := range p.Items {
			if item.State != nil {
				e.Equal(versions[item.Key], e.Version(*item.State), "the state of another entity, or an old one")
			}
		}
	}
}

// listTrouble checks that a listing fails while the trouble lasts, from the
// beginning and in the middle, and that it can be resumed afterwards.
func listTrouble[S any](makes func(e *env[S]) func(bool), classes ...failure.Class) func(e *env[S]) {
	return func(e *env[S]) {
		e.populate()
		makes(e)(true)
		got := e.list(e.t.Context(), source.ListRequest{})
		e.Error(got.err)
		e.Contains(classes, failure.Of(got.err), "%v", got.err)
		e.Empty(got.keys)
		makes(e)(false)

		var keys []entity.Key
		var resume string
		var broken error
		for page, err := range e.Lister.List(e.t.Context(), source.ListRequest{}) {
			if err != nil {
				broken = err
				break
			}
			e.False(page.Complete, "the pages must be smaller")
			for _, item := range page.Items {
				keys = append(keys, item.Key)
			}
			resume = page.Resume
			makes(e)(true)
		}
		e.Error(broken)
		e.NotErrorIs(broken, source.ErrIncomplete, "there is a better reason: %v", broken)
		e.Contains(classes, failure.Of(broken), "%v", broken)
		makes(e)(false)
		rest := e.list(e.t.Context(), source.ListRequest{Resume: resume})
		e.NoError(rest.err)
		e.True(rest.complete)
		rest.keys = append(keys, rest.keys...)
		e.lists(rest, population)
	}
}
