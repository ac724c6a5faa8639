package connector

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A stage's context ends as one by context.WithTimeout does, whether somebody
// waits for it from the beginning, late, or never.
func TestStageContext(t *testing.T) {
	type name struct{}
	cause := errors.New("the run ends")
	watch := map[string]func(ctx context.Context) context.Context{
		"itself": func(ctx context.Context) context.Context { return ctx },
		"waited for": func(ctx context.Context) context.Context {
			ctx.Done()
			return ctx
		},
		"child": func(ctx context.Context) context.Context {
			ctx, cancel := context.WithCancel(ctx)
			t.Cleanup(cancel)
			return ctx
		},
	}
	for what, of := range watch {
		for _, c := range []struct {
			name string
			end  func(stop context.CancelCauseFunc, stage *stageContext)
			err  error
		}{
			{"its time is over", func(context.CancelCauseFunc, *stageContext) { time.Sleep(time.Minute) }, context.DeadlineExceeded},
			{"the run ends", func(stop context.CancelCauseFunc, _ *stageContext) { stop(cause) }, context.Canceled},
			{"the stage ends", func(_ context.CancelCauseFunc, stage *stageContext) { stage.end() }, context.Canceled},
		} {
			t.Run(what+", "+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					run, stop := context.WithCancelCause(context.WithValue(t.Context(), name{}, "x"))
					defer stop(nil)
					stage := newStageContext(run, run, time.Minute)
					defer stage.end()
					ctx := of(stage)
					require.Equal(t, "x", ctx.Value(name{}))
					until, limited := ctx.Deadline()
					require.True(t, limited)
					require.Equal(t, time.Minute, time.Until(until))
					require.NoError(t, ctx.Err())
					c.end(stop, stage)
					synctest.Wait()
					require.ErrorIs(t, ctx.Err(), c.err)
					select {
					case <-ctx.Done():
					default:
						require.Fail(t, "not done")
					}
					if c.name == "the run ends" {
						require.ErrorIs(t, context.Cause(ctx), cause)
					}
				})
			})
		}
	}
}
