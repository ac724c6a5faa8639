package connector_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/source"
)

// noRenewals is a store that does not renew, and takes its time to say so.
type noRenewals struct {
	work.Store
	takes time.Duration
}

func (s noRenewals) Renew(context.Context, []work.Lease, time.Duration) ([]error, error) {
	time.Sleep(s.takes) // whatever its context says
	return nil, errors.New("down")
}

// TestARunEndsBeforeAnotherTakesItsEntity has leases that cannot be renewed, at
// all moments between two attempts.
func TestARunEndsBeforeAnotherTakesItsEntity(t *testing.T) {
	for _, offset := range []time.Duration{0, time.Second, 7 * time.Second, 12 * time.Second, 18 * time.Second} {
		for _, takes := range []time.Duration{0, 9 * time.Second, 15 * time.Second} {
			t.Run(fmt.Sprint(offset, takes), func(t *testing.T) {
				bubble(t, func(t *testing.T, w *world) {
					w.cfg.Store = noRenewals{w.cfg.Store, takes}
					w.checkNoOverlap(t, offset)
				})
			})
		}
	}
}

// checkNoOverlap lets the first run of an entity hang until it is cancelled, and
// checks that a second one begins when it has ended.
func (w *world) checkNoOverlap(t *testing.T, offset time.Duration) {
	t.Helper()
	w.flow.Timeout = 2 * time.Hour
	var begun, ended, overlaps atomic.Int64
	w.flow.Source = source.Func[person](func(ctx context.Context, _ source.Request) (person, error) {
		if begun.Add(1) != ended.Load()+1 {
			overlaps.Add(1)
		}
		if begun.Load() == 1 {
			<-ctx.Done()
		}
		ended.Add(1)
		return person{}, ctx.Err()
	})
	stop := w.start()
	time.Sleep(offset)
	w.notify("1")
	time.Sleep(5 * time.Minute)
	require.Equal(t, int64(2), begun.Load())
	require.Zero(t, overlaps.Load(), "a run began before the one before had ended")
	require.NoError(t, stop())
}
