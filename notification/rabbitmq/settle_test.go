package rabbitmq

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
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

// handOut makes a flight and adds it.
func handOut(ctx context.Context, s *settler, tag uint64) *flight {
	f := newFlight(ctx, amqp.Delivery{DeliveryTag: tag})
	s.add(f)
	return f
}

// settle does what a handler does.
func (l *ledger) settle(f *flight, ack bool) {
	l.decide(f.tag, ack)
	if ack {
		f.msg.Ack()
	} else {
		f.msg.Nack()
	}
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
			require.Equal(t, len(flying), s.inFlight())
		}
		settle := func(t *rapid.T, ack bool) {
			if len(flying) == 0 {
				t.Skip("nothing is in flight")
			}
			i := rapid.IntRange(0, len(flying)-1).Draw(t, "which")
			f := flying[i]
			flying = slices.Delete(flying, i, i+1)
			l.settle(f, ack)
		}
		t.Repeat(map[string]func(*rapid.T){
			"hand out": func(t *rapid.T) {
				for range rapid.IntRange(1, 4).Draw(t, "count") {
					tag++
					l.deliver(tag)
					flying = append(flying, handOut(context.Background(), s, tag))
				}
			},
			"ack":  func(t *rapid.T) { settle(t, true) },
			"nack": func(t *rapid.T) { settle(t, false) },
			"ack the oldest": func(t *rapid.T) {
				for range rapid.IntRange(1, 4).Draw(t, "count") {
					if len(flying) == 0 {
						return
					}
					l.settle(flying[0], true)
					flying = flying[1:]
				}
			},
			"flush": func(*rapid.T) { flush(false) },
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 4000).Draw(t, "microseconds")) * time.Microsecond)
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
	var sender, workers sync.WaitGroup
	sender.Go(func() { s.run(t.Context()) })
	const total = 5000
	flying := make(chan *flight, 256)
	for range 16 {
		workers.Go(func() {
			for f := range flying {
				l.settle(f, rand.IntN(20) > 0)
			}
		})
	}
	for tag := uint64(1); tag <= total; tag++ {
		l.deliver(tag)
		flying <- handOut(t.Context(), s, tag)
	}
	close(flying)
	workers.Wait()
	close(s.last)
	sender.Wait()
	require.Empty(t, l.faults)
	require.Empty(t, l.open)
	require.Zero(t, s.inFlight())
	require.Less(t, l.calls, total, "nothing was grouped")
	require.Positive(t, l.groups)
}

// settling runs a settler in a bubble and hands out tags 1 to n.
func settling(t *testing.T, prefetch, n int) (*ledger, []*flight) {
	l := newLedger()
	s := newSettler(l, prefetch, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	var sender sync.WaitGroup
	sender.Go(func() { s.run(ctx) })
	t.Cleanup(func() {
		stop()
		sender.Wait()
		require.Empty(t, l.faults)
		require.Empty(t, l.unsent(), "the end left acks behind")
	})
	var flying []*flight
	for tag := 1; tag <= n; tag++ {
		l.deliver(uint64(tag))
		flying = append(flying, handOut(ctx, s, uint64(tag)))
	}
	synctest.Wait() // it has seen them
	return l, flying
}

func TestWhenAcksAreSent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		prefetch int
		acks     []int // of the tags 1 to 5
		nacks    []int
		calls    int
		groups   int
		after    time.Duration // of the last call
	}{
		{name: "a lone ack waits a moment", prefetch: 256, acks: []int{1}, calls: 1, after: ackDelay},
		{name: "those of a moment are one call", prefetch: 256, acks: []int{3, 1, 2}, calls: 1, groups: 1, after: ackDelay},
		{name: "few in flight do not wait", prefetch: fewInFlight - 1, acks: []int{1}, calls: 1},
		{name: "few in flight do not wait for earlier ones", prefetch: fewInFlight - 1, acks: []int{2}, calls: 1, after: ackDelay},
		{name: "few in flight: nor does a nack", prefetch: 1, nacks: []int{1}, calls: 1},
		{name: "a nack is sent before the acks", prefetch: 256, acks: []int{1, 2}, nacks: []int{3}, calls: 2, groups: 1, after: ackDelay},
		{name: "earlier ones are waited for", prefetch: 256, acks: []int{2, 3, 5}, calls: 3, after: ackDelay + ackPatience},
		{name: "what is nacked is no gap", prefetch: 256, acks: []int{1, 3}, nacks: []int{2}, calls: 2, groups: 1, after: ackDelay},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, flying := settling(t, tt.prefetch, 5)
				began := time.Now()
				for _, tag := range tt.acks {
					l.settle(flying[tag-1], true)
				}
				for _, tag := range tt.nacks {
					l.settle(flying[tag-1], false)
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
		l, flying := settling(t, 256, 100)
		began := time.Now()
		l.settle(flying[99], true)
		for i := 0; l.holds(100); i++ { // one after the other becomes the lowest
			l.settle(flying[i], true)
			time.Sleep(ackPatience / 2)
			synctest.Wait()
		}
		require.Greater(t, time.Since(began), 2*ackPatience, "it waited for one of them only")
		require.LessOrEqual(t, time.Since(began), ackHold+2*ackDelay+ackPatience/2)
	})
}

// A message that is handled for long, and others that come to nothing in the
// meantime, cost few looks, and its ack waits little in proportion.
func TestLooksBecomeRarer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, flying := settling(t, 256, 2)
		for i, handled := range []time.Duration{4 * time.Millisecond, time.Hour} {
			time.Sleep(handled)
			settled := time.Now()
			l.settle(flying[i], true)
			time.Sleep(2 * lookDelay)
			synctest.Wait()
			require.Empty(t, l.unsent())
			require.LessOrEqual(t, l.sent[i].Sub(settled), min(handled/4+ackDelay, lookDelay))
			require.Error(t, flying[i].Err(), "its context goes on")
		}
	})
}

// Looking takes no more of the processor if very many are in flight.
func TestLooksAtManyAreRarer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const many = 20 * lookMany
		l, flying := settling(t, 65535, many)
		began := time.Now()
		for i := range 10 { // in order, as the looks go on
			l.settle(flying[i], true)
			time.Sleep(10 * ackDelay)
		}
		time.Sleep(100 * ackDelay)
		synctest.Wait()
		require.Empty(t, l.unsent())
		require.InDelta(t, 100/20, l.calls, 1, "looks")
		require.LessOrEqual(t, l.sent[len(l.sent)-1].Sub(began), 120*ackDelay)
	})
}

// So many that were handed out are looked at without waiting: with a small
// prefetch the broker would wait too.
func TestAGroupHandedOutIsLookedAt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		s := newSettler(l, 64, slog.New(slog.DiscardHandler))
		var sender sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		sender.Go(func() { s.run(ctx) })
		defer sender.Wait()
		defer stop()
		began := time.Now()
		l.deliver(1)
		first := handOut(t.Context(), s, 1) // so that it is not idle
		synctest.Wait()
		var group []*flight
		for tag := uint64(2); tag <= 1+64/4; tag++ {
			l.deliver(tag)
			group = append(group, handOut(t.Context(), s, tag))
			l.settle(group[len(group)-1], true)
			synctest.Wait()
			require.Equal(t, len(group) == 64/4, group[0].Err() != nil, "%d handed out", len(group))
		}
		require.Zero(t, time.Since(began))
		l.settle(first, true)
	})
}

// The end does not wait for the next look, nor for earlier messages.
func TestTheEndSendsWhatIsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		s := newSettler(l, 256, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		var sender sync.WaitGroup
		sender.Go(func() { s.run(ctx) })
		l.deliver(1)
		handOut(ctx, s, 1)
		l.deliver(2)
		second := handOut(ctx, s, 2)
		synctest.Wait()
		l.settle(second, true)
		stop()
		sender.Wait()
		require.Empty(t, l.faults)
		require.Empty(t, l.unsent())
		require.Equal(t, 1, s.inFlight())
	})
}

// A stuck message costs the others the moment once, not each time.
func TestAStuckMessageIsWaitedForOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, flying := settling(t, 1000, 100)
		for tag := 2; tag <= 50; tag++ {
			l.settle(flying[tag-1], true)
			settled := time.Now()
			time.Sleep(10 * ackHold)
			synctest.Wait()
			require.Empty(t, l.unsent())
			wait := l.sent[len(l.sent)-1].Sub(settled)
			if tag == 2 {
				require.Equal(t, ackDelay+ackPatience, wait)
			} else {
				require.LessOrEqual(t, wait, lookDelay)
			}
		}
	})
}
