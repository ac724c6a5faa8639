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

// report is what a reconcile that succeeded did.
type report struct {
	change  sink.Change
	present bool
	recheck time.Time
}

// reconcile makes the target equal to the source for one entity.
func (f Flow[S, T]) reconcile(ctx context.Context, req source.Request) (report, error) {
	timeout := orDefault(f.Timeout, time.Minute)
	state, err := stage(ctx, "fetch", timeout, func(ctx context.Context) (S, error) {
		return f.Source.Fetch(ctx, req)
	})
	var want Desired[T]
	switch {
	case err == nil:
		want, err = stage(ctx, "map", timeout, func(ctx context.Context) (Desired[T], error) {
			return f.Map(ctx, req.Key, state)
		})
		if err == nil && want.verdict == unsaid {
			err = failure.As(failure.Rejected, errors.New("map: returned neither Present nor Absent"))
		}
	case failure.Of(err) == failure.Gone:
		want, err = Absent[T](), nil
	}
	if err != nil {
		return report{}, err
	}
	value, present := want.Value()
	change, err := stage(ctx, "write", timeout, func(ctx context.Context) (sink.Change, error) {
		if present {
			return f.Sink.Apply(ctx, req.Key, value)
		}
		return f.Sink.Remove(ctx, req.Key)
	})
	return report{change, present, want.recheck}, err
}

// stage runs one step of a reconcile with a time limit and turns a panic of
// user code into an error of the entity.
func stage[R any](ctx context.Context, name string, timeout time.Duration, step func(context.Context) (R, error)) (result R, err error) {
	if ctx.Err() != nil {
		return result, context.Cause(ctx)
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	returned := false
	defer func() {
		if returned {
			return
		}
		err = &panicError{stage: name, value: recover(), stack: debug.Stack()}
	}()
	result, err = step(stageContext{limited, ctx})
	returned = true
	switch {
	case err == nil:
		return result, nil
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return result, context.Cause(ctx) // stopped from outside
	case name != "map" && limited.Err() != nil && failure.Of(err) == failure.Failed:
		return result, failure.As(failure.Unavailable, fmt.Errorf("%s: no answer within %v: %w", name, timeout, err))
	case name != "fetch" && failure.Of(err) == failure.Gone:
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
