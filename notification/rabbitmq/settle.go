package rabbitmq

import (
	"context"
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
	// ackDelay is how long an ack waits for others, while messages come and go.
	ackDelay = 500 * time.Microsecond
	// lookDelay is the longest time until a message is looked at again that is
	// handled for long: a quarter more than the time before.
	lookDelay = 8 * time.Millisecond
	// lookMany is how many are looked at in ackDelay at most; with more in flight
	// it takes longer. To look at one costs some ten nanoseconds.
	lookMany = 512
	// fewInFlight is the prefetch below which acks do not wait, because they would
	// keep new messages away.
	fewInFlight = 32
	// ackPatience is how long acks wait in addition for an earlier message that
	// keeps them from being sent as a group. Handlers seldom finish quite in
	// order; one that takes longer than that must not hold up the rest.
	ackPatience = 3 * time.Millisecond
	// ackHold bounds the wait for earlier messages, of which each can be a new one.
	ackHold = 10 * time.Millisecond
)

// settler settles the deliveries of one channel. Nobody else does. It looks from
// time to time which messages were acked or nacked. All that tells it is a channel
// in each of them, and a goroutine for each that waits there costs a microsecond,
// of the ten that a message takes.
//
// An ack for "multiple" settles everything up to its tag, so it must be sent only
// when nothing up to there is in flight. It is, because
//   - tags are added in their order, and one is added when it is handed out;
//   - an ack is due only after its tag was added and has left those in flight, so
//     all lower ones had been added by then;
//   - of the acks due, only those below the lowest tag in flight or taken back are
//     grouped, and the group's own tag is one of them. A tag below it has left
//     those in flight, so it was acked or nacked;
//   - nacks are sent before acks, one after the other on the same channel;
//   - after an error nothing more is sent: the nack before a group may be missing.
type settler struct {
	channel amqp.Acknowledger
	few     bool // in flight: acks do not wait
	full    int  // so many handed out are looked at without waiting
	log     *slog.Logger
	some    chan struct{} // something was handed out
	many    chan struct{} // full were handed out
	last    chan struct{} // to be closed when nothing more is handed out

	mu    sync.Mutex
	added []*flight // handed out since the last look, by tag

	// The rest belongs to the goroutine that runs.
	flying    []*flight     // in flight when looked at last, by tag
	wait      time.Duration // until the next look
	held      []uint64      // acks that wait for earlier messages
	heldSince time.Time
	back      uint64 // the lowest tag that was taken back
	low       uint64 // the lowest tag in flight, as seen last
	lowSince  time.Time
	broken    bool // the channel has failed
}

func newSettler(channel amqp.Acknowledger, prefetch int, log *slog.Logger) *settler {
	return &settler{
		channel: channel, log: log, few: prefetch < fewInFlight, full: max(2, prefetch/4),
		back: math.MaxUint64,
		some: make(chan struct{}, 1), many: make(chan struct{}, 1), last: make(chan struct{}),
	}
}

// add notes a delivery that was handed out. Calls are in the order of tags.
func (s *settler) add(f *flight) {
	s.mu.Lock()
	s.added = append(s.added, f)
	added := len(s.added)
	s.mu.Unlock()
	switch added {
	case 1:
		signal(s.some)
	case s.full:
		signal(s.many)
	}
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is signalled already
	}
}

// inFlight returns how many deliveries were neither acked nor nacked when run
// returned.
func (s *settler) inFlight() int { return len(s.flying) }

// run sends what is due until ctx ends, or all were settled after the last was
// handed out.
func (s *settler) run(ctx context.Context) {
	defer func() { s.flush(time.Now(), true) }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	last := s.last
	for {
		s.flush(time.Now(), false)
		var some, acked, nacked <-chan struct{}
		var look <-chan time.Time
		switch {
		case len(s.flying)+len(s.held) > 0:
			timer.Reset(s.wait)
			look = timer.C
			if s.few {
				acked, nacked = s.flying[0].msg.Acked(), s.flying[0].msg.Nacked()
			}
		case last == nil:
			return
		default:
			some = s.some
		}
		select {
		case <-some:
		case <-s.many:
		case <-acked:
		case <-nacked:
		case <-look:
		case <-last:
			last = nil
		case <-ctx.Done():
			return
		}
	}
}

// flush sends what is due at this time, and all of it if asked to.
func (s *settler) flush(now time.Time, all bool) {
	if len(s.held) == 0 {
		s.heldSince = now
	}
	s.sweep()
	if len(s.held) == 0 {
		return
	}
	low := s.back
	if len(s.flying) > 0 {
		low = min(low, s.flying[0].tag)
	}
	if s.low != low {
		s.low, s.lowSince = low, now
	}
	s.sendGroup(low)
	stuck := now.Sub(s.lowSince) >= ackPatience || now.Sub(s.heldSince) >= ackHold
	if all || stuck || s.few {
		for _, tag := range s.held {
			s.ack(tag, false)
		}
		s.held = s.held[:0]
	}
}

// sweep takes what was settled out of what is in flight. It sends the nacks, and
// puts the acks to those held.
func (s *settler) sweep() {
	s.mu.Lock()
	changed := len(s.added) > 0
	s.flying = append(s.flying, s.added...)
	clear(s.added)
	s.added = s.added[:0]
	s.mu.Unlock()
	flying := s.flying[:0]
	for _, f := range s.flying {
		switch {
		case closed(f.msg.Acked()):
			s.held = append(s.held, f.tag)
		case closed(f.msg.Nacked()):
			if !s.broken {
				s.sent(s.channel.Nack(f.tag, false, true))
			}
		case f.back.Load():
			s.back = min(s.back, f.tag)
		default:
			flying = append(flying, f)
			continue
		}
		f.land()
		changed = true
	}
	clear(s.flying[len(flying):])
	s.flying = flying
	if changed || len(s.held) > 0 {
		s.wait = ackDelay
	} else {
		s.wait = min(s.wait+s.wait/4, lookDelay)
	}
	s.wait = max(s.wait, ackDelay*time.Duration(len(flying))/lookMany)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
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
