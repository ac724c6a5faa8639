package testkit

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/konnektor-go/konnektor/notification"
)

// TestBrokerMatchesPatterns compares bindings with all the keys that a pattern
// stands for, written out.
func TestBrokerMatchesPatterns(t *testing.T) {
	words := []string{"a", "b"}
	const longest = 4
	// expand returns every key of up to longest words that p stands for.
	var expand func(p []string, n int) [][]string
	expand = func(p []string, n int) [][]string {
		if len(p) == 0 {
			return [][]string{nil}
		}
		var firsts [][]string
		switch p[0] {
		case "*":
			firsts = [][]string{{"a"}, {"b"}}
		case "#":
			firsts = [][]string{nil}
			for last := firsts; len(last[0]) < n; {
				var next [][]string
				for _, f := range last {
					for _, w := range words {
						next = append(next, append(slices.Clone(f), w))
					}
				}
				firsts, last = append(firsts, next...), next
			}
		default:
			firsts = [][]string{{p[0]}}
		}
		var all [][]string
		for _, f := range firsts {
			if len(f) > n {
				continue
			}
			for _, rest := range expand(p[1:], n-len(f)) {
				all = append(all, append(slices.Clone(f), rest...))
			}
		}
		return all
	}
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "*", "#"}), 1, 4).Draw(t, "pattern")
		key := rapid.SliceOfN(rapid.SampledFrom(words), 1, longest).Draw(t, "key")
		b, err := NewBroker(BrokerConfig{})
		require.NoError(t, err)
		require.NoError(t, b.Bind(q, strings.Join(pattern, ".")))
		err = b.Publish(strings.Join(key, "."), message.NewMessage("1", nil))
		matches := slices.ContainsFunc(expand(pattern, longest), func(k []string) bool { return slices.Equal(k, key) })
		require.Equal(t, matches, err == nil)
		require.Equal(t, matches, b.Len(q) == 1)
	})
}

// history drives a broker at random and knows what must be in its queue.
type history struct {
	t      *rapid.T
	b      *Broker
	subs   []<-chan *message.Message
	cancel []context.CancelFunc
	held   []*message.Message
	open   map[string]bool // published and not acked
	seen   map[string]int  // deliveries
}

func (h *history) step() {
	switch rapid.SampledFrom([]string{
		"publish", "publish", "subscribe", "take", "take", "ack", "ack", "nack", "cut", "unsubscribe", "wait",
	}).Draw(h.t, "step") {
	case "publish":
		m := message.NewMessage("m"+string(rune('A'+len(h.seen))), nil)
		require.NoError(h.t, h.b.Publish("k", m))
		h.open[m.UUID], h.seen[m.UUID] = true, 0
	case "subscribe":
		ctx, cancel := context.WithCancel(h.t.Context())
		out, err := h.b.Subscribe(ctx, q)
		require.NoError(h.t, err)
		h.subs, h.cancel = append(h.subs, out), append(h.cancel, cancel)
	case "take":
		if len(h.subs) > 0 {
			h.take(h.subs[rapid.IntRange(0, len(h.subs)-1).Draw(h.t, "of")])
		}
	case "ack":
		if m := h.pick(); m != nil {
			valid := m.Context().Err() == nil
			if m.Ack() && valid { // false after a nack
				require.True(h.t, h.open[m.UUID], "acked once")
				delete(h.open, m.UUID)
			}
		}
	case "nack":
		if m := h.pick(); m != nil {
			m.Nack()
		}
	case "cut":
		h.b.Cut()
	case "unsubscribe":
		if len(h.cancel) > 0 {
			i := rapid.IntRange(0, len(h.cancel)-1).Draw(h.t, "which")
			h.cancel[i]()
			h.subs, h.cancel = slices.Delete(h.subs, i, i+1), slices.Delete(h.cancel, i, i+1)
		}
	case "wait":
		time.Sleep(3 * time.Second)
	}
}

func (h *history) take(out <-chan *message.Message) {
	select {
	case m := <-out:
		require.True(h.t, h.open[m.UUID], "what was acked does not come again")
		if h.seen[m.UUID] > 0 {
			require.Equal(h.t, "true", m.Metadata[notification.MetaRedelivered])
		}
		h.seen[m.UUID]++
		h.held = append(h.held, m)
	default:
	}
}

func (h *history) pick() *message.Message {
	if len(h.held) == 0 {
		return nil
	}
	return h.held[rapid.IntRange(0, len(h.held)-1).Draw(h.t, "message")]
}

// TestBrokerLosesNothing: whatever happens in whatever order, a message is in
// its queue until it was acked, once.
func TestBrokerLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		noDeadline := struct{ rapid.TB }{t} // a bubble has none, and asking panics
		rapid.Check(noDeadline, func(t *rapid.T) {
			b, err := NewBroker(BrokerConfig{Prefetch: 3, StopTimeout: 5 * time.Second})
			require.NoError(t, err)
			require.NoError(t, b.Bind(q, "#"))
			defer func() { require.NoError(t, b.Close()) }()
			h := &history{t: t, b: b, open: map[string]bool{}, seen: map[string]int{}}
			for range rapid.IntRange(1, 60).Draw(t, "steps") {
				h.step()
				require.Equal(t, len(h.open), b.Len(q))
				require.Equal(t, len(h.seen)-len(h.open), b.Acked())
				synctest.Wait()
			}
			for _, cancel := range h.cancel {
				cancel()
			}
			time.Sleep(6 * time.Second)
			out, err := b.Subscribe(t.Context(), q)
			require.NoError(t, err)
			left := map[string]bool{}
			for range len(h.open) {
				m := <-out
				left[m.UUID] = true
				m.Ack()
			}
			require.Equal(t, h.open, left)
			require.Zero(t, b.Len(q))
			require.Len(t, slices.Collect(maps.Keys(h.seen)), b.Published())
		})
	})
}
