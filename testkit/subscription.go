package testkit

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// errTakenBack is why the context of a message ends that was not settled.
var errTakenBack = errors.New("broker: the message was taken back: the connection was lost or the subscription has ended")

// values is a context with the values of another one besides its own.
type values struct {
	context.Context
	more context.Context
}

func (c values) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.more.Value(key)
}

// subscription feeds one subscriber. Its run goroutine gives out what the broker
// assigned to it; the broker assigns as many as Prefetch allows.
type subscription struct {
	broker *Broker
	queue  *queue
	owner  *connection // nil: the broker itself
	ctx    context.Context
	out    chan *message.Message
	wake   chan struct{} // holds one signal: unacked changed
	stop   chan struct{} // closed by Close
	done   chan struct{} // closed when run has ended

	// Under broker.mu.

	stopping bool
	unacked  []*delivery // in the order of delivery, those not yet given out last
}

// delivery is one message assigned to one subscription, until it is over:
// acked, nacked or taken back. Its context ends then.
type delivery struct {
	sub    *subscription
	stored *stored
	msg    *message.Message
	ctx    context.Context
	cancel context.CancelCauseFunc
	again  bool // marked as redelivered

	given bool // under broker.mu: the subscriber has it
}

func (b *Broker) subscribe(ctx context.Context, queueName string, owner *connection) (<-chan *message.Message, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || owner != nil && owner.closed {
		return nil, errClosed
	}
	q := b.queues[queueName]
	if q == nil {
		return nil, errors.New("queueName: there is no such queue, call Bind first")
	}
	s := &subscription{
		broker: b, queue: q, owner: owner, ctx: ctx,
		out:  make(chan *message.Message),
		wake: make(chan struct{}, 1),
		stop: make(chan struct{}),
		done: make(chan struct{}),
	}
	b.subs[s] = struct{}{}
	q.subs = append(q.subs, s)
	b.dispatchLocked(q)
	go s.run() // stop waits for it, or nobody has to: it ends with ctx
	return s.out, nil
}

// stop ends subscriptions and waits until they have ended.
func (b *Broker) stop(which func(*subscription) bool) {
	var ended []*subscription
	b.mu.Lock()
	for s := range b.subs {
		if which(s) {
			ended = append(ended, s)
			if !s.stopping {
				s.stopping = true
				close(s.stop)
			}
		}
	}
	b.mu.Unlock()
	for _, s := range ended {
		<-s.done
	}
}

// dispatchLocked assigns the queue's messages to its subscribers, which take
// turns; one that holds Prefetch messages is passed over.
func (b *Broker) dispatchLocked(q *queue) {
	for len(q.ready) > 0 {
		s := q.nextLocked(b.cfg.Prefetch)
		if s == nil {
			return
		}
		m := q.ready[0]
		q.ready[0] = nil
		q.ready = q.ready[1:]
		d := &delivery{sub: s, stored: m, again: m.returns > 0, msg: m.delivery()}
		// The subscription's values, but not its end: what was delivered can
		// be handled to its end.
		both := values{context.WithoutCancel(s.ctx), d.msg.Context()}
		d.ctx, d.cancel = context.WithCancelCause(both)
		d.msg.SetContext(d.ctx)
		s.unacked = append(s.unacked, d)
		s.signal()
	}
}

func (q *queue) nextLocked(prefetch int) *subscription {
	for range q.subs {
		q.turn %= len(q.subs)
		s := q.subs[q.turn]
		q.turn++
		if len(s.unacked) < prefetch {
			return s
		}
	}
	return nil
}

func (s *subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *subscription) run() {
	defer close(s.done)
	var watchers sync.WaitGroup
	s.giveOut(&watchers)
	s.drain()
	close(s.out)
	watchers.Wait()

	s.broker.mu.Lock()
	delete(s.broker.subs, s)
	s.broker.mu.Unlock()
}

// giveOut hands messages to the subscriber until the subscription ends.
func (s *subscription) giveOut(watchers *sync.WaitGroup) {
	for s.ctx.Err() == nil {
		d := s.next()
		if d == nil {
			select {
			case <-s.wake:
			case <-s.stop:
				return
			case <-s.ctx.Done():
				return
			}
			continue
		}
		select {
		case s.out <- d.msg:
			s.broker.given(d)
			watchers.Go(d.watch)
		case <-d.ctx.Done(): // taken back
		case <-s.stop:
			return
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *subscription) next() *delivery {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	for _, d := range s.unacked {
		if !d.given {
			return d
		}
	}
	return nil
}

// drain waits until all that was given out is settled, or StopTimeout is over,
// and returns the rest to the queue.
func (s *subscription) drain() {
	b := s.broker
	b.mu.Lock()
	s.stopping = true
	s.queue.subs = slices.DeleteFunc(s.queue.subs, func(o *subscription) bool { return o == s })
	b.mu.Unlock()

	timeout := time.NewTimer(b.cfg.StopTimeout)
	defer timeout.Stop()
	for waiting := true; waiting && s.inFlight(); {
		select {
		case <-s.wake:
		case <-timeout.C:
			waiting = false
		}
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweepLocked()
	s.takeBackLocked()
	b.dispatchLocked(s.queue)
}

func (s *subscription) inFlight() bool {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	return slices.ContainsFunc(s.unacked, func(d *delivery) bool { return d.given })
}

// given notes that the subscriber has d. It may have been taken back meanwhile.
func (b *Broker) given(d *delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d.given = true
	b.delivered++
	if d.again {
		b.again++
	}
}

// watch waits for the subscriber's answer.
func (d *delivery) watch() {
	select {
	case <-d.msg.Acked():
	case <-d.msg.Nacked():
	case <-d.ctx.Done():
		return
	}
	b := d.sub.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settleLocked(d)
}

// sweepLocked settles what was answered and not yet noticed by watch, so that
// an ack counts as soon as it was given.
func (b *Broker) sweepLocked() {
	for s := range b.subs {
		for _, d := range slices.Clone(s.unacked) {
			b.settleLocked(d)
		}
	}
}

// settleLocked acts on the subscriber's answer, if there is one and the
// delivery is not over.
func (b *Broker) settleLocked(d *delivery) {
	if d.ctx.Err() != nil {
		return
	}
	q := d.sub.queue
	select {
	case <-d.msg.Acked():
		b.acked++
	case <-d.msg.Nacked():
		b.seq++
		d.stored.seq = b.seq
		d.stored.returns++
		q.ready = append(q.ready, d.stored)
	default:
		return
	}
	d.cancel(nil)
	d.sub.unacked = slices.DeleteFunc(d.sub.unacked, func(o *delivery) bool { return o == d })
	d.sub.signal()
	b.dispatchLocked(q)
}

// takeBackLocked returns all that the subscription holds to its place in the
// queue. The caller dispatches.
func (s *subscription) takeBackLocked() {
	if len(s.unacked) == 0 {
		return
	}
	for _, d := range s.unacked {
		d.cancel(errTakenBack)
		d.stored.returns++
		s.queue.ready = append(s.queue.ready, d.stored)
	}
	s.unacked = nil
	slices.SortFunc(s.queue.ready, func(x, y *stored) int { return cmp.Compare(x.seq, y.seq) })
	s.signal()
}
