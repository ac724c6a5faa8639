package connector_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/notification"
)

// TestASlowMessageHoldsUpNobody has a hundred messages resolved that take an hour
// each, and one after them that does not.
func TestASlowMessageHoldsUpNobody(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.flow.Keys = func(_ context.Context, n notification.Notification) ([]entity.Key, error) {
			if n.Key.ID != "quick" {
				time.Sleep(time.Hour)
			}
			return []entity.Key{n.Key}, nil
		}
		w.register.set("quick", person{Name: "Kari"})
		stop := w.start()
		w.notify(ids(0, 100)...)
		settle()
		w.notify("quick")
		settle()
		require.Equal(t, map[string]string{"quick": "Kari"}, w.inTarget())
		require.Equal(t, 100, w.broker.Len(queue))
		require.Greater(t, receivers(), 100)
		time.Sleep(2 * time.Hour)
		require.Zero(t, w.broker.Len(queue))
		require.Equal(t, 101, w.register.total())
		require.Equal(t, 1, receivers(), "goroutines end that have nothing to do")
		require.NoError(t, stop())
	})
}

// receivers returns how many goroutines wait for messages or handle one.
func receivers() int {
	stacks := make([]byte, 8<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return bytes.Count(stacks, []byte("connector.(*receivers).receive("))
}

// TestMiddlewareThatFails has each message come again, as often as it must.
func TestMiddlewareThatFails(t *testing.T) {
	for _, tc := range []struct {
		name string
		fail func() ([]*message.Message, error)
		want string // in the log
	}{
		{"error", func() ([]*message.Message, error) { return nil, errors.New("not now") }, "not now"},
		{"panic", func() ([]*message.Message, error) { panic("66012345678") }, "middleware: panic with a string"},
		{"Goexit", func() ([]*message.Message, error) { runtime.Goexit(); return nil, nil }, "runtime.Goexit"},
		{"messages", func() ([]*message.Message, error) { return message.Messages{{}}, nil }, "a connector publishes none"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				calls := 0
				w.cfg.Middleware = []message.HandlerMiddleware{func(next message.HandlerFunc) message.HandlerFunc {
					return func(msg *message.Message) ([]*message.Message, error) {
						if calls++; calls <= 3 {
							return tc.fail()
						}
						return next(msg)
					}
				}}
				w.register.set("1", person{Name: "Kari"})
				stop := w.start()
				w.notify("1")
				settle()
				require.Equal(t, 4, calls)
				require.Equal(t, map[string]string{"1": "Kari"}, w.inTarget())
				require.Zero(t, w.broker.Len(queue))
				require.Contains(t, w.log.String(), tc.want)
				require.NotContains(t, w.log.String(), "66012345678")
				require.NoError(t, stop())
			})
		})
	}
}

func TestTheFirstMiddlewareIsOutermost(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		var order []string
		for i := range 3 {
			w.cfg.Middleware = append(w.cfg.Middleware, func(next message.HandlerFunc) message.HandlerFunc {
				return func(msg *message.Message) ([]*message.Message, error) {
					order = append(order, fmt.Sprint("in ", i))
					defer func() { order = append(order, fmt.Sprint("out ", i)) }()
					return next(msg)
				}
			})
		}
		stop := w.start()
		w.notify("1")
		settle()
		require.NoError(t, stop())
		require.Equal(t, []string{"in 0", "in 1", "in 2", "out 2", "out 1", "out 0"}, order)
	})
}
