package connector

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/source"
)

// The stages of a reconcile.
const (
	fetching = "fetch"
	mapping  = "map"
	writing  = "write"
)

// report is what a reconcile did, as far as it came.
type report struct {
	stage   string // the last one that began
	change  sink.Change
	present bool
	value   any // that was applied, if present
	recheck time.Time
	marks   []target
}

// reconcile makes the target equal to the source for one entity.
func (f Flow[S, T]) reconcile(ctx context.Context, r *run, req source.Request) (rep report, err error) {
	rep.stage = fetching
	state, err := stage(ctx, fetching, f.Timeout, r, func(ctx context.Context) (S, error) {
		return f.Source.Fetch(ctx, req)
	})
	var want Desired[T]
	switch {
	case err == nil:
		rep.stage = mapping
		want, err = stage(ctx, mapping, f.Timeout, r, func(ctx context.Context) (Desired[T], error) {
			return f.Map(ctx, req.Key, state)
		})
		if err == nil && want.verdict == unsaid {
			err = failure.As(failure.Rejected, errors.New("map: returned neither Present nor Absent"))
		}
		if err == nil {
			err = r.checkMarks(r.lease, want.marks)
		}
	case failure.Of(err) == failure.Gone:
		want, err = Absent[T](), nil
	}
	if err != nil {
		return rep, err
	}
	value, present := want.Value()
	rep.stage, rep.recheck, rep.marks = writing, want.Recheck(r.begun), want.marks
	rep.change, err = stage(ctx, writing, f.Timeout, r, func(ctx context.Context) (sink.Change, error) {
		if present {
			return f.Sink.Apply(ctx, req.Key, value)
		}
		return f.Sink.Remove(ctx, req.Key)
	})
	rep.recheck = earliest(rep.recheck, rep.change.Next)
	if rep.present = present && err == nil; rep.present {
		rep.value = value
	}
	return rep, err
}

// earliest returns the earlier of two times, of which zero is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// stage runs one step of a reconcile with a time limit and turns a panic of
// user code into an error of the entity.
func stage[R any](ctx context.Context, name string, timeout time.Duration, r *run, step func(context.Context) (R, error)) (result R, err error) {
	if ctx.Err() != nil {
		return result, context.Cause(ctx)
	}
	observed, span := r.observeStage(ctx, name)
	limited := newStageContext(observed, ctx, timeout)
	defer limited.end()
	returned := false
	defer func() {
		if !returned {
			err = &panicError{stage: name, value: recover(), stack: debug.Stack()}
		}
		r.observedStage(observed, span, name, err)
	}()
	result, err = step(limited)
	returned = true
	switch {
	case err == nil:
		return result, nil
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return result, context.Cause(ctx) // stopped from outside
	case name != mapping && limited.Err() != nil && failure.Of(err) == failure.Failed:
		return result, failure.As(failure.Unavailable, fmt.Errorf("%s: no answer within %v: %w", name, timeout, err))
	case name != fetching && failure.Of(err) == failure.Gone:
		// Only the source can prove that an entity is gone.
		return result, failure.As(failure.Failed, fmt.Errorf("%s: %w", name, err))
	}
	return result, fmt.Errorf("%s: %w", name, err)
}

// errNoAnswer is the outcome of user code that ended its goroutine.
var errNoAnswer = errors.New("the reconcile ended its goroutine (runtime.Goexit)")

// panicError is a panic in user code. Its text holds the panic's value only if
// that comes from the runtime: any other may hold personal data.
type panicError struct {
	stage string
	value any
	stack []byte
}

func (e *panicError) Error() string {
	if v, ok := e.value.(runtime.Error); ok {
		return fmt.Sprintf("%s: panic: %v", e.stage, v)
	}
	return fmt.Sprintf("%s: panic with a %T", e.stage, e.value)
}
