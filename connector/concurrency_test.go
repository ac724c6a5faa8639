package connector_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/source"
)

// TestOneAtATime sends 10,000 notifications about 50 entities, of which the
// first few are much busier, through 16 workers.
func TestOneAtATime(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		const notifications, entities = 10_000, 50
		watch := &watched{Source: w.register, running: make(map[string]int)}
		w.flow.Source = watch
		w.flow.Workers = 16
		w.register.latency = 3 * time.Millisecond
		w.target.Latency = 2 * time.Millisecond
		all := ids(0, entities)
		for _, id := range all {
			w.register.set(id, person{Name: "first"})
		}
		stop := w.start()
		random := rand.New(rand.NewPCG(1, 2))
		for i := range notifications {
			id := all[min(random.IntN(entities), random.IntN(entities))]
			w.register.set(id, person{Name: fmt.Sprint("version ", i)})
			w.notify(id)
			if i%10 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		require.Zero(t, w.broker.Len(queue))
		require.Zero(t, watch.overlaps, "never two reconciles of one entity at once")
		require.Zero(t, w.target.Overlaps())
		for _, id := range all {
			require.Equal(t, w.register.people[id].Name, w.inTarget()[id])
		}
		require.Less(t, w.register.total(), notifications, "notifications are coalesced")
		t.Logf("%d notifications about %d entities cost %d reconciles, %d writes, at most %d at once",
			notifications, entities, w.register.total(), len(w.target.Log()), watch.most)
		require.Greater(t, watch.most, 8, "the workers do work side by side")
		require.NoError(t, stop())
	})
}

// watched is a source that sees whether two reconciles of one entity overlap.
type watched struct {
	source.Source[person]

	mu       sync.Mutex
	running  map[string]int
	overlaps int
	most     int
}

func (s *watched) Fetch(ctx context.Context, req source.Request) (person, error) {
	s.enter(req.Key.ID)
	defer s.leave(req.Key.ID)
	return s.Source.Fetch(ctx, req)
}

func (s *watched) enter(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[id] > 0 {
		s.overlaps++
	}
	s.running[id]++
	s.most = max(s.most, len(s.running))
}

func (s *watched) leave(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[id]--; s.running[id] == 0 {
		delete(s.running, id)
	}
}
