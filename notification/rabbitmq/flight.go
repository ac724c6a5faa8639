package rabbitmq

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
)

// flight is a delivery in flight: handed out, not settled. It is the context of
// its message as well: that of the epoch with the headers, until it is landed.
// What ends with it is made when somebody asks for it, because most handlers do
// not, and it costs more than the rest of a flight.
type flight struct {
	context.Context // the epoch's

	tag     uint64
	msg     *message.Message
	headers amqp.Table
	back    atomic.Bool // nobody took it, and nobody will

	mu     sync.Mutex
	landed bool
	own    context.Context // ends with the flight or the epoch; nil if nobody asked
	cancel context.CancelFunc
}

func newFlight(ctx context.Context, d amqp.Delivery) *flight {
	f := &flight{Context: ctx, tag: d.DeliveryTag}
	f.msg, f.headers = convert(d)
	f.msg.SetContext(f)
	return f
}

// land ends the message's context.
func (f *flight) land() {
	f.mu.Lock()
	f.landed = true
	cancel := f.cancel
	f.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// context returns the part of the flight that ends.
func (f *flight) context() context.Context {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.own == nil {
		f.own, f.cancel = context.WithCancel(f.Context)
		if f.landed {
			f.cancel()
		}
	}
	return f.own
}

func (f *flight) Done() <-chan struct{} { return f.context().Done() }

func (f *flight) Err() error { return f.context().Err() }

// Value is how package context finds what ends, and then its children need no
// goroutine. It calls Done or Err before.
func (f *flight) Value(key any) any {
	if key == (headersKey{}) {
		return f.headers
	}
	f.mu.Lock()
	own := f.own
	f.mu.Unlock()
	if own == nil {
		own = f.Context
	}
	return own.Value(key)
}
