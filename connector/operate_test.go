package connector_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
)

// parked starts a connector in which n entities of each reason are parked, until
// mended. What stops it is returned.
func (w *world) parked(n int, reasons ...string) (mended *atomic.Bool, stop func() error) {
	w.t.Helper()
	mended = new(atomic.Bool)
	w.flow.Map = func(ctx context.Context, k entity.Key, p person) (connector.Desired[entry], error) {
		if mended.Load() {
			return toEntry(ctx, k, p)
		}
		return connector.Desired[entry]{}, failure.As(failure.Rejected, fmt.Errorf("%s, in line %s", p.Name, k.ID))
	}
	stop = w.start()
	for i := range n {
		for j, reason := range reasons {
			id := fmt.Sprint(10*i + j)
			w.register.set(id, person{Name: reason})
			w.notify(id)
		}
	}
	settle()
	return mended, stop
}

func (w *world) groups() []work.ParkedGroup {
	w.t.Helper()
	groups, err := w.cfg.Store.ParkedGroups(w.t.Context(), "people")
	require.NoError(w.t, err)
	return groups
}

func TestParkedAreGroupedByTheirCause(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		_, stop := w.parked(7, "no such department", "no manager")
		w.notify("10000") // not in the register: nothing to park
		settle()
		groups := w.groups()
		require.Len(t, groups, 2, "whatever the line number is")
		require.Equal(t, 7, groups[0].Rows)
		require.Equal(t, 7, groups[1].Rows)
		require.NotEqual(t, groups[0].Group, groups[1].Group)
		require.NoError(t, stop())
	})
}

func TestRelease(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		mended, stop := w.parked(600, "no such department", "no manager")
		release := func(r connector.Release) (int, error) {
			r.Flow = "people"
			n, err := w.connector.Release(t.Context(), r)
			settle()
			return n, err
		}
		group := w.groups()[0].Group

		_, err := release(connector.Release{Group: group, Canary: true})
		require.ErrorContains(t, err, "the canary failed again, the others were left: map: no ")
		require.Equal(t, 2*600, w.register.total()-1, "one was tried")
		require.Equal(t, 600, w.groups()[0].Rows)
		require.Equal(t, 600, w.groups()[1].Rows)

		mended.Store(true)
		n, err := release(connector.Release{Key: key("0")})
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Len(t, w.inTarget(), 1)
		_, err = release(connector.Release{Key: key("0")})
		require.ErrorContains(t, err, "Key: the entity is not parked")

		n, err = release(connector.Release{Group: group, Canary: true})
		require.NoError(t, err)
		require.GreaterOrEqual(t, n, 599)
		require.Len(t, w.groups(), 1, "the other group stays")

		_, err = release(connector.Release{})
		require.NoError(t, err)
		require.Empty(t, w.groups())
		require.Len(t, w.inTarget(), 1200)
		n, err = release(connector.Release{Canary: true})
		require.NoError(t, err)
		require.Zero(t, n, "there is none left")
		require.NoError(t, stop())
	})
}

func TestReleaseThatCannotBe(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		_, stop := w.parked(2, "no manager")
		_, err := w.connector.Release(t.Context(), connector.Release{Flow: "peple"})
		require.ErrorContains(t, err, `connector "test": release: Flow: there is no flow "peple"`)
		require.NoError(t, stop())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		n, err := w.connector.Release(ctx, connector.Release{Flow: "people", Canary: true})
		require.ErrorIs(t, err, context.DeadlineExceeded, "nobody reconciles the canary")
		require.Equal(t, 1, n)
		require.Equal(t, 1, w.groups()[0].Rows, "the other one stays")
	})
}

func TestForget(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.register.set("1", person{Name: "Kari"})
		w.register.latency = time.Minute / 2
		stop := w.start()
		w.notify("1")
		time.Sleep(time.Second)
		begun := time.Now()
		n, err := w.connector.Forget(t.Context(), key("1"))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Greater(t, time.Since(begun), 25*time.Second, "it waits for the run")
		_, found, err := w.cfg.Store.Get(t.Context(), "people", key("1"))
		require.NoError(t, err)
		require.False(t, found)
		n, err = w.connector.Forget(t.Context(), key("1"))
		require.NoError(t, err)
		require.Zero(t, n)
		require.NoError(t, stop())
	})
}

// keeper is a sink that keeps something of its own.
type keeper struct {
	sink.Sink[entry]
	forgotten []entity.Key
	err       error
}

func (k *keeper) Forget(_ context.Context, key entity.Key) error {
	k.forgotten = append(k.forgotten, key)
	return k.err
}

// TestForgetReachesSinks: what a sink keeps beside the target goes too, also of an
// entity that the work store does not know.
func TestForgetReachesSinks(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k := &keeper{Sink: w.flow.Sink, err: errors.New("down")}
		w.flow.Sink = k
		stop := w.start()
		_, err := w.connector.Forget(t.Context(), key("1"))
		require.EqualError(t, err, `connector "test": flow "people": forget: sink: down; repeat it`)
		k.err = nil
		_, err = w.connector.Forget(t.Context(), key("1"))
		require.NoError(t, err)
		require.Equal(t, []entity.Key{key("1"), key("1")}, k.forgotten)
		require.NoError(t, stop())
	})
}

// TestRetention keeps what is still of use and forgets the rest.
func TestRetention(t *testing.T) {
	const day = 24 * time.Hour
	bubble(t, func(t *testing.T, w *world) {
		w.cfg.KeepGone, w.cfg.KeepParked = 30*day, 60*day
		w.flow.Map = func(ctx context.Context, k entity.Key, p person) (connector.Desired[entry], error) {
			if p.Name == "bad" {
				return connector.Desired[entry]{}, failure.As(failure.Rejected, errors.New("bad"))
			}
			return toEntry(ctx, k, p)
		}
		w.register.set("there", person{Name: "Kari"})
		w.register.set("parked", person{Name: "bad"})
		w.register.set("waits", person{Name: "Ola", Start: time.Now().Add(300 * day)})
		stop := w.start()
		w.notify("there", "parked", "gone", "waits")
		known := func() []string {
			var ids []string
			for _, id := range []string{"there", "parked", "gone", "waits"} {
				_, found, err := w.cfg.Store.Get(t.Context(), "people", key(id))
				require.NoError(t, err)
				if found {
					ids = append(ids, id)
				}
			}
			return ids
		}
		time.Sleep(29 * day)
		require.Equal(t, []string{"there", "parked", "gone", "waits"}, known())
		time.Sleep(2 * day)
		require.Equal(t, []string{"there", "parked", "waits"}, known())
		time.Sleep(30 * day)
		require.Equal(t, []string{"there", "waits"}, known())
		time.Sleep(300 * day)
		require.Equal(t, map[string]string{"there": "Kari", "waits": "Ola"}, w.inTarget())
		require.NoError(t, stop())
	})
}
