package rabbitmq

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
)

// A flight is a context like those of package context, whenever somebody asks it
// first, and so are its children.
func TestFlightIsAContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	for _, tt := range []struct {
		name       string
		land, lose bool
		err, cause error
	}{
		{name: "in flight"},
		{name: "landed", land: true, err: context.Canceled, cause: context.Canceled},
		{name: "lost", lose: true, err: context.Canceled, cause: errCut},
	} {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, asked before: %t", tt.name, before), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					epoch, lose := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
					headers := amqp.Table{"h": "v"}
					f := newFlight(epoch, amqp.Delivery{DeliveryTag: 7, Headers: headers})
					ctx := f.msg.Context()
					var children []context.Context
					ask := func() {
						withValue := context.WithValue(ctx, key{}, "child's")
						child, cancel := context.WithCancel(withValue)
						t.Cleanup(cancel)
						after, done := context.WithCancelCause(context.Background())
						context.AfterFunc(ctx, func() { done(context.Cause(ctx)) })
						children = append(children, ctx, withValue, child, after)
					}
					if before {
						ask()
					}
					if tt.land {
						f.land()
					}
					if tt.lose {
						lose(errCut)
					}
					ask()
					synctest.Wait()
					for i, c := range children {
						require.Equal(t, tt.err, c.Err(), i)
						require.Equal(t, tt.cause, context.Cause(c), i)
						require.Equal(t, tt.err != nil, closed(c.Done()), i)
					}
					require.Equal(t, "value", ctx.Value(key{}))
					got, ok := Headers(children[2])
					require.True(t, ok)
					require.Equal(t, headers, got)
					lose(nil)
					f.land()
					require.Error(t, ctx.Err())
				})
			})
		}
	}
}

// What ended by landing keeps its reason when the epoch is lost after that.
func TestALandedFlightIsNotLost(t *testing.T) {
	t.Parallel()
	epoch, lose := context.WithCancelCause(t.Context())
	f := newFlight(epoch, amqp.Delivery{})
	child, cancel := context.WithCancel(f)
	defer cancel()
	f.land()
	lose(errCut)
	require.Equal(t, context.Canceled, context.Cause(f))
	require.Equal(t, context.Canceled, context.Cause(child))
}

// Handlers make contexts with timeouts of it.
func TestChildrenOfAFlightNeedNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 100 {
		_, cancel := context.WithCancel(newFlight(t.Context(), amqp.Delivery{}))
		t.Cleanup(cancel)
	}
	require.Less(t, runtime.NumGoroutine(), before+100)
}

func TestFlightOfManyGoroutines(t *testing.T) {
	t.Parallel()
	for range 200 {
		f := newFlight(t.Context(), amqp.Delivery{})
		var askers sync.WaitGroup
		for range 4 {
			askers.Go(func() {
				<-f.Done()
				if f.Err() == nil {
					t.Error("done without an error")
				}
			})
		}
		f.land()
		askers.Wait()
	}
}
