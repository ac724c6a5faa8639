package rabbitmq

import (
	"log/slog"
	"math"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Acks that are due together are sent together, because to the broker a group
// costs little more than one of them. These are the bounds of that; measure with
// BenchmarkDrain before you change them.
const (
	// ackDelay is how long an ack waits for others at most.
	ackDelay = time.Millisecond
	// ackGroup is how many are sent without waiting for more. With fewer messages
	// in flight it is less, because acks that wait keep new messages away.
	ackGroup = 16
	// ackPatience is how long acks wait in addition for an earlier message that
	// keeps them from being sent as a group. Handlers seldom finish quite in
	// order; one that takes longer than that must not hold up the rest.
	ackPatience = 3 * time.Millisecond
	// ackHold bounds the wait for earlier messages, of which each can be a new one.
	ackHold = 10 * time.Millisecond
)

// flight is a delivery in flight: handed out, not settled.
type flight struct {
	tag        uint64
	prev, next *flight // by tag, in the settler's ring
}

// settler settles the deliveries of one channel. Nobody else does.
//
// An ack for "multiple" settles everything up to its tag, so it must be sent only
// when nothing up to there is in flight. It is, because
//   - tags are added in their order, and one is added when it is handed out;
//   - an ack is due only after its tag was added and has left the ring, so all
//     lower ones had been added by then;
//   - of the acks due, only those below the lowest tag in the ring are grouped,
//     and the group's own tag is one of them. A tag below it has left the ring, so
//     it was acked or nacked;
//   - nacks are sent before acks, one after the other on the same channel;
//   - after an error nothing more is sent: the nack before a group may be missing.
type settler struct {
	channel amqp.Acknowledger
	group   int // how many acks are sent without waiting for more
	log     *slog.Logger
	some    chan struct{} // something is due
	full    chan struct{} // there is no reason to wait for more

	mu     sync.Mutex
	flying flight // the ring's anchor: next is the lowest tag, prev the highest
	count  int    // in the ring
	acks   []uint64
	nacks  []uint64

	// The rest belongs to the goroutine that sends.
	held      []uint64 // acks that wait for earlier messages
	heldSince time.Time
	low       uint64 // the lowest tag in flight, as seen last
	lowSince  time.Time
	broken    bool // the channel has failed
}

func newSettler(channel amqp.Acknowledger, prefetch int, log *slog.Logger) *settler {
	s := &settler{
		channel: channel, log: log,
		group: max(1, min(prefetch/8, ackGroup)),
		some:  make(chan struct{}, 1), full: make(chan struct{}, 1),
	}
	s.flying.prev, s.flying.next = &s.flying, &s.flying
	return s
}

// add notes a delivery that was handed out. Calls are in the order of tags.
func (s *settler) add(tag uint64) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &flight{tag: tag, prev: s.flying.prev, next: &s.flying}
	f.prev.next, f.next.prev = f, f
	s.count++
	return f
}

// settle makes a delivery's ack or nack due, once.
func (s *settler) settle(f *flight, ack bool) {
	s.mu.Lock()
	f.prev.next, f.next.prev = f.next, f.prev
	s.count--
	if ack {
		s.acks = append(s.acks, f.tag)
	} else {
		s.nacks = append(s.nacks, f.tag)
	}
	due := len(s.acks) + len(s.nacks)
	s.mu.Unlock()
	if due == 1 {
		signal(s.some)
	}
	if due >= s.group || !ack {
		signal(s.full)
	}
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is signalled already
	}
}

// inFlight returns how many deliveries are neither acked nor nacked.
func (s *settler) inFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// run sends what is due until stop is closed, and then all the rest.
func (s *settler) run(stop <-chan struct{}) {
	defer func() { s.flush(time.Now(), true) }()
	timer := time.NewTimer(ackDelay)
	defer timer.Stop()
	for {
		if len(s.held) == 0 {
			select {
			case <-s.some:
			case <-stop:
				return
			}
		}
		timer.Reset(ackDelay)
		select {
		case <-timer.C:
		case <-s.full:
		case <-stop:
			return
		}
		s.flush(time.Now(), false)
	}
}

// flush sends what is due at this time, and all of it if asked to.
func (s *settler) flush(now time.Time, all bool) {
	s.mu.Lock()
	nacks, acks, low := s.nacks, s.acks, uint64(math.MaxUint64)
	s.nacks, s.acks = nil, nil
	if s.count > 0 {
		low = s.flying.next.tag
	}
	s.mu.Unlock()
	if s.broken {
		return // the broker delivers it all again
	}
	for _, tag := range nacks {
		if !s.broken {
			s.sent(s.channel.Nack(tag, false, true))
		}
	}
	s.hold(now, low, acks)
	s.sendGroup(low)
	stuck := now.Sub(s.lowSince) >= ackPatience || now.Sub(s.heldSince) >= ackHold
	if all || stuck || s.group == 1 {
		for _, tag := range s.held {
			s.ack(tag, false)
		}
		s.held = s.held[:0]
	}
}

// hold adds acks to those that wait, and notes since when there are any and since
// when they wait for that tag.
func (s *settler) hold(now time.Time, low uint64, acks []uint64) {
	if len(s.held) == 0 {
		s.heldSince = now
	}
	s.held = append(s.held, acks...)
	if s.low != low {
		s.low, s.lowSince = low, now
	}
}

// sendGroup sends the acks below low, the lowest tag in flight, by one.
func (s *settler) sendGroup(low uint64) {
	rest, group, highest := s.held[:0], 0, uint64(0)
	for _, tag := range s.held {
		if tag < low {
			group++
			highest = max(highest, tag)
		} else {
			rest = append(rest, tag)
		}
	}
	s.held = rest
	if group > 0 {
		s.ack(highest, group > 1)
	}
}

func (s *settler) ack(tag uint64, multiple bool) {
	if !s.broken {
		s.sent(s.channel.Ack(tag, multiple))
	}
}

// sent takes the outcome of sending.
func (s *settler) sent(err error) {
	if err != nil && !s.broken {
		s.broken = true
		s.log.Debug("deliveries could not be settled, the broker delivers them again", "error", err)
	}
}
