package testkit

import (
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
	broker    *Broker
	queueName string
	owner     *connection // nil: the broker itself
	ctx       context.Context
	out       chan *message.Message
	wake      chan struct{} // holds one signal: unacked changed
	stop      chan struct{} // closed by Close
	done      chan struct{} // closed when run has ended

	// Under broker.mu.

	queue    *queue // nil while it is deleted; then nothing is unacked
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

	// Under broker.mu.

	given bool // the subscriber has it
	lost  bool // its ack is, with the connection
}

func (b *Broker) subscribe(ctx context.Context, queueName string, owner *connection) (<-chan *message.Message, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || owner != nil && owner.closed {
		return nil, errClosed
	}
	q := b.queues[queueName]
	if q == nil {
		return nil, errNoQueue
	}
	s := &subscription{
		broker: b, queue: q, queueName: queueName, owner: owner, ctx: ctx,
		out:  make(chan *message.Message),
		wake: make(chan struct{}, 1),
		stop: make(chan struct{}),
		done: make(chan struct{}),
	}
	b.subs = append(b.subs, s)
	q.subs = append(q.subs, s)
	b.dispatchLocked(q)
	go s.run() // stop waits for it, or nobody has to: it ends with ctx
	return s.out, nil
}

// stop ends subscriptions and waits until they have ended.
func (b *Broker) stop(which func(*subscription) bool) {
	var ended []*subscription
	b.mu.Lock()
	for _, s := range b.subs {
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

// dispatchLocked does what is due in the queue now: see dispatchAtLocked.
func (b *Broker) dispatchLocked(q *queue) {
	b.dispatchAtLocked(q, time.Now())
	b.wakeLocked()
}

// dispatchAtLocked takes in what was delayed until now, moves dead letters on
// that were stuck, and assigns the queue's messages to its subscribers, which
// take turns; one that holds Prefetch messages is passed over. What has expired
// is not assigned.
func (b *Broker) dispatchAtLocked(q *queue, now time.Time) {
	for len(q.delayed) > 0 && q.delayed[0].when.Before(now) {
		m := q.delayed[0]
		q.delayed = shift(q.delayed)
		b.arriveLocked(q, m)
	}
	for len(q.stuck) > 0 && q.stuck[0].when.Before(now) {
		m := q.stuck[0]
		q.stuck = shift(q.stuck)
		b.moveLocked(q, m)
	}
	for m := q.head(); m != nil; m = q.head() {
		if !m.expires.IsZero() && m.expires.Before(now) {
			q.pop()
			b.deadLetterLocked(q, m, expired)
			continue
		}
		s := q.subscriber(b.cfg.Prefetch)
		if s == nil {
			return
		}
		q.pop()
		d := &delivery{sub: s, stored: m, again: m.returns > 0, msg: m.delivery(q.quorum)}
		// The subscription's values, but not its end: what was delivered can
		// be handled to its end.
		both := values{context.WithoutCancel(s.ctx), d.msg.Context()}
		d.ctx, d.cancel = context.WithCancelCause(both)
		d.msg.SetContext(d.ctx)
		s.unacked = append(s.unacked, d)
		s.signal()
	}
}

// subscriber returns whose turn it is, nil if nobody has room.
func (q *queue) subscriber(prefetch int) *subscription {
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
	s.broker.subs = slices.DeleteFunc(s.broker.subs, func(o *subscription) bool { return o == s })
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
	if q := s.queue; q != nil {
		q.subs = slices.DeleteFunc(q.subs, func(o *subscription) bool { return o == s })
	}
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
	b.cutLocked(func(o *subscription) bool { return o == s })
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
	if f := &d.stored.fault; f.CutOnDelivery && d.ctx.Err() == nil {
		f.CutOnDelivery = false
		b.cutLocked(func(s *subscription) bool { return s == d.sub })
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
	for _, s := range b.subs {
		s.sweepLocked()
	}
}

func (s *subscription) sweepLocked() {
	for _, d := range slices.Clone(s.unacked) {
		s.broker.settleLocked(d)
	}
}

// settleLocked acts on the subscriber's answer, if there is one and the
// delivery is not over.
func (b *Broker) settleLocked(d *delivery) {
	if d.ctx.Err() != nil || d.lost {
		return
	}
	q, f := d.sub.queue, &d.stored.fault
	this := func(s *subscription) bool { return s == d.sub }
	select {
	case <-d.msg.Acked():
		if f.CutBeforeAck {
			f.CutBeforeAck, d.lost = false, true
			b.cutLocked(this)
			return
		}
		d.overLocked()
		b.acked++
		if f.CutAfterAck {
			b.cutLocked(this)
		}
	case <-d.msg.Nacked():
		d.overLocked()
		b.giveBackLocked(q, d.stored, true)
	default:
		return
	}
	b.dispatchLocked(q)
}

// overLocked ends a delivery that was answered.
func (d *delivery) overLocked() {
	d.cancel(nil)
	d.sub.unacked = slices.DeleteFunc(d.sub.unacked, func(o *delivery) bool { return o == d })
	d.sub.signal()
}

// cutLocked loses the connections of some subscribers: what was answered before
// counts, the rest returns to the queue, connection by connection.
func (b *Broker) cutLocked(which func(*subscription) bool) {
	for _, s := range b.subs {
		if which(s) {
			s.sweepLocked()
		}
	}
	var back []*delivery
	for _, s := range b.subs {
		if which(s) {
			back = append(back, s.forgetLocked()...)
		}
	}
	for _, d := range back {
		b.giveBackLocked(d.sub.queue, d.stored, false)
	}
	for _, q := range b.queues {
		b.dispatchAtLocked(q, time.Now())
	}
	b.wakeLocked()
}

// forgetLocked ends all that the subscription holds and returns it. The caller
// knows what becomes of it.
func (s *subscription) forgetLocked() []*delivery {
	all := s.unacked
	for _, d := range all {
		d.cancel(errTakenBack)
	}
	s.unacked = nil
	s.signal()
	return all
}
