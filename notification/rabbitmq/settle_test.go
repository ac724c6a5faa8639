package rabbitmq

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// ledger is the broker's side of a channel, and knows what the client may do.
// What breaks a rule is noted, because calls come from other goroutines.
type ledger struct {
	mu     sync.Mutex
	state  map[uint64]string // "in flight", "acked" or "nacked" by the client
	open   map[uint64]bool   // not settled at the broker
	calls  int
	groups int // calls with "multiple"
	sent   []time.Time
	fail   int // the call that fails, and all after it; 0 for none
	faults []string
}

var errDown = errors.New("down")

func newLedger() *ledger { return &ledger{state: map[uint64]string{}, open: map[uint64]bool{}} }

// deliver is called before a tag is handed out.
func (l *ledger) deliver(tag uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state[tag], l.open[tag] = "in flight", true
}

// decide is called before the client settles.
func (l *ledger) decide(tag uint64, ack bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state[tag] = map[bool]string{true: "acked", false: "nacked"}[ack]
}

func (l *ledger) take(tag uint64, want string) {
	switch {
	case !l.open[tag]:
		l.faults = append(l.faults, "unknown delivery tag: the broker closes the channel")
	case l.state[tag] != want:
		l.faults = append(l.faults, "settled as "+want+" what is "+l.state[tag])
	}
	delete(l.open, tag)
}

// call counts a call and says whether it fails.
func (l *ledger) call() error {
	l.calls++
	if l.fail > 0 && l.calls > l.fail {
		l.faults = append(l.faults, "a call after one that failed")
	}
	if l.calls == l.fail {
		return errDown
	}
	l.sent = append(l.sent, time.Now())
	return nil
}

// Ack is as in RabbitMQ: the tag itself must not be settled, even of a group.
func (l *ledger) Ack(tag uint64, multiple bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.call(); err != nil {
		return err
	}
	l.take(tag, "acked")
	if multiple {
		l.groups++
		for lower := range l.open {
			if lower < tag {
				l.take(lower, "acked")
			}
		}
	}
	return nil
}

func (l *ledger) Nack(tag uint64, multiple, requeue bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.call(); err != nil {
		return err
	}
	if multiple || !requeue {
		l.faults = append(l.faults, "a nack of more than one, or for good")
	}
	l.take(tag, "nacked")
	return nil
}

func (l *ledger) Reject(uint64, bool) error { return errors.New("not used") }

// holds reports whether the broker still waits for a tag.
func (l *ledger) holds(tag uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open[tag]
}

// unsent returns what the client has settled and the broker does not know.
func (l *ledger) unsent() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var tags []uint64
	for tag := range l.open {
		if l.state[tag] != "in flight" {
			tags = append(tags, tag)
		}
	}
	return tags
}

// Whatever the order of handing out, acks, nacks, flushes and a failure:
// nothing is settled that was not, and nothing is forgotten.
func TestSettlerAgainstAModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger()
		if rapid.Bool().Draw(t, "fails") {
			l.fail = rapid.IntRange(1, 20).Draw(t, "call that fails")
		}
		prefetch := rapid.SampledFrom([]int{1, 8, 16, 256}).Draw(t, "prefetch")
		s := newSettler(l, prefetch, slog.New(slog.DiscardHandler))
		now := time.Now()
		var tag uint64
		var flying []*flight
		flush := func(all bool) {
			s.flush(now, all)
			require.Empty(t, l.faults)
		}
		settle := func(t *rapid.T, ack bool) {
			if len(flying) == 0 {
				t.Skip("nothing is in flight")
			}
			i := rapid.IntRange(0, len(flying)-1).Draw(t, "which")
			f := flying[i]
			flying = slices.Delete(flying, i, i+1)
			l.decide(f.tag, ack)
			s.settle(f, ack)
		}
		t.Repeat(map[string]func(*rapid.T){
			"hand out": func(t *rapid.T) {
				for range rapid.IntRange(1, 4).Draw(t, "count") {
					tag++
					l.deliver(tag)
					flying = append(flying, s.add(tag))
				}
			},
			"ack":  func(t *rapid.T) { settle(t, true) },
			"nack": func(t *rapid.T) { settle(t, false) },
			"ack the oldest": func(t *rapid.T) {
				for range rapid.IntRange(1, 4).Draw(t, "count") {
					if len(flying) == 0 {
						return
					}
					l.decide(flying[0].tag, true)
					s.settle(flying[0], true)
					flying = flying[1:]
				}
			},
			"flush": func(*rapid.T) { flush(false) },
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 4000).Draw(t, "microseconds")) * time.Microsecond)
			},
			"": func(t *rapid.T) {
				require.Equal(t, len(flying), s.inFlight())
				require.Empty(t, l.faults)
			},
		})

		if rapid.Bool().Draw(t, "wait") {
			// After the bound, a flush leaves nothing that an earlier one saw,
			// however much is still in flight.
			flush(false)
			now = now.Add(ackHold)
			flush(false)
			if !s.broken {
				require.Empty(t, l.unsent())
			}
		}
		flush(true)
		if l.fail == 0 {
			require.Empty(t, l.unsent())
			require.Len(t, l.open, len(flying), "only what is in flight is left")
		}
	})
}

// TestSettlerOfManyGoroutines is about races: of settling, handing out and sending.
func TestSettlerOfManyGoroutines(t *testing.T) {
	t.Parallel()
	l := newLedger()
	s := newSettler(l, 256, slog.New(slog.DiscardHandler))
	stop := make(chan struct{})
	var sender, workers sync.WaitGroup
	sender.Go(func() { s.run(stop) })
	const total = 5000
	flying := make(chan *flight, 256)
	for range 16 {
		workers.Go(func() {
			for f := range flying {
				ack := rand.IntN(20) > 0
				l.decide(f.tag, ack)
				s.settle(f, ack)
			}
		})
	}
	for tag := uint64(1); tag <= total; tag++ {
		l.deliver(tag)
		flying <- s.add(tag)
	}
	close(flying)
	workers.Wait()
	close(stop)
	sender.Wait()
	require.Empty(t, l.faults)
	require.Empty(t, l.open)
	require.Zero(t, s.inFlight())
	require.Less(t, l.calls, total, "nothing was grouped")
	require.Positive(t, l.groups)
}

// settling runs a settler in a bubble and hands out tags 1 to n.
func settling(t *testing.T, prefetch, n int) (*settler, *ledger, []*flight) {
	l := newLedger()
	s := newSettler(l, prefetch, slog.New(slog.DiscardHandler))
	stop := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() { s.run(stop) })
	t.Cleanup(func() {
		close(stop)
		sender.Wait()
		require.Empty(t, l.faults)
		require.Empty(t, l.unsent(), "the end left acks behind")
	})
	var flying []*flight
	for tag := 1; tag <= n; tag++ {
		l.deliver(uint64(tag))
		flying = append(flying, s.add(uint64(tag)))
	}
	return s, l, flying
}

func TestWhenAcksAreSent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		prefetch int
		acks     []int // of the tags 1 to 100
		nacks    []int
		calls    int
		groups   int
		after    time.Duration // of the last call
	}{
		{name: "a lone ack waits a moment", prefetch: 256, acks: []int{1}, calls: 1, after: ackDelay},
		{name: "those of a moment are one call", prefetch: 256, acks: []int{3, 1, 2}, calls: 1, groups: 1, after: ackDelay},
		{name: "a full group does not wait", prefetch: 256, acks: span(1, ackGroup), calls: 1, groups: 1},
		{name: "few in flight do not wait", prefetch: 15, acks: []int{1}, calls: 1},
		{name: "few in flight do not wait for earlier ones", prefetch: 15, acks: []int{2}, calls: 1},
		{name: "a nack does not wait, and takes acks along", prefetch: 256, acks: []int{1, 2}, nacks: []int{3}, calls: 2, groups: 1},
		{name: "earlier ones are waited for", prefetch: 256, acks: []int{2, 3, 5}, calls: 3, after: ackDelay + ackPatience},
		{name: "what is nacked is no gap", prefetch: 256, acks: []int{1, 3}, nacks: []int{2}, calls: 2, groups: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, l, flying := settling(t, tt.prefetch, 100)
				began := time.Now()
				for _, tag := range tt.acks {
					l.decide(uint64(tag), true)
					s.settle(flying[tag-1], true)
				}
				for _, tag := range tt.nacks {
					l.decide(uint64(tag), false)
					s.settle(flying[tag-1], false)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				require.Empty(t, l.unsent())
				require.Equal(t, tt.calls, l.calls)
				require.Equal(t, tt.groups, l.groups)
				require.Equal(t, tt.after, l.sent[len(l.sent)-1].Sub(began))
			})
		})
	}
}

// A message that takes its time does not hold up the others, even if each time
// it is a different one.
func TestNoAckWaitsForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l, flying := settling(t, 256, 100)
		began := time.Now()
		l.decide(100, true)
		s.settle(flying[99], true)
		for i := 0; l.holds(100); i++ { // one after the other becomes the lowest
			l.decide(uint64(i+1), true)
			s.settle(flying[i], true)
			time.Sleep(ackPatience / 2)
			synctest.Wait()
		}
		require.Greater(t, time.Since(began), 2*ackPatience, "it waited for one of them only")
		require.LessOrEqual(t, time.Since(began), ackHold+2*ackDelay+ackPatience/2)
	})
}

// A stuck message costs the others the moment once, not each time.
func TestAStuckMessageIsWaitedForOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l, flying := settling(t, 256, 100)
		for tag := 2; tag <= 50; tag++ {
			l.decide(uint64(tag), true)
			s.settle(flying[tag-1], true)
			settled := time.Now()
			time.Sleep(10 * ackHold)
			synctest.Wait()
			require.Empty(t, l.unsent())
			wait := l.sent[len(l.sent)-1].Sub(settled)
			if tag == 2 {
				require.Equal(t, ackDelay+ackPatience, wait)
			} else {
				require.Equal(t, ackDelay, wait)
			}
		}
	})
}

// span returns from, from+1 and so on to to.
func span(from, to int) []int {
	var all []int
	for i := from; i <= to; i++ {
		all = append(all, i)
	}
	return all
}
