package connector_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the work store's driver

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/connector/work/sqlstore"
	"github.com/konnektor-go/konnektor/failure"
)

// onFile gives the world a work store in a file. What it returns closes the
// store; the next call with the same file finds what was stored.
func (w *world) onFile(file string) (closeStore func()) {
	w.t.Helper()
	db, err := sql.Open("sqlite", file)
	require.NoError(w.t, err)
	store, err := sqlstore.NewSQLite(w.t.Context(), db, sqlstore.SQLiteConfig{})
	require.NoError(w.t, err)
	w.cfg.Store = store
	return func() {
		require.NoError(w.t, store.Close())
		require.NoError(w.t, db.Close())
	}
}

// TestAFutureDateOutlivesARestart registers somebody who starts in three weeks.
// The connector is stopped and started again in between.
func TestAFutureDateOutlivesARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "work.db")
	bubble(t, func(t *testing.T, w *world) {
		closeStore := w.onFile(file)
		start := time.Now().Add(21 * 24 * time.Hour)
		w.register.set("1", person{Name: "Nora", Start: start})
		stop := w.start()
		w.notify("1")
		settle()
		require.Zero(t, w.broker.Len(queue), "a durable store takes the notification off the queue")
		require.Empty(t, w.inTarget())
		require.True(t, start.Equal(w.row("1").Due))
		time.Sleep(7 * 24 * time.Hour)
		require.NoError(t, stop())
		closeStore()

		time.Sleep(7 * 24 * time.Hour)
		closeStore = w.onFile(file)
		stop = w.start()
		time.Sleep(time.Until(start) - time.Second)
		require.Empty(t, w.inTarget(), "not a second too early")
		require.Equal(t, 1, w.register.count("1"), "nobody looks in between")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Equal(t, map[string]string{"1": "Nora"}, w.inTarget())
		require.Equal(t, 2, w.register.count("1"))
		require.NoError(t, stop())
		closeStore()
	})
}

// TestACorrectedDateHealsItself moves a start date there and back.
func TestACorrectedDateHealsItself(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		defer w.onFile(filepath.Join(t.TempDir(), "work.db"))()
		day := 24 * time.Hour
		begin := time.Now()
		stop := w.start()
		for _, start := range []time.Duration{10 * day, 30 * day, 20 * day} {
			w.register.set("1", person{Name: "Nora", Start: begin.Add(start)})
			w.notify("1")
			settle()
			require.True(t, begin.Add(start).Equal(w.row("1").Due))
		}
		time.Sleep(19 * day)
		require.Empty(t, w.inTarget())
		time.Sleep(day)
		require.Len(t, w.inTarget(), 1)
		require.NoError(t, stop())
	})
}

// TestATwoDayOutageEndsInConvergence has the source down for two days with
// changes coming in, and a restart in the middle.
func TestATwoDayOutageEndsInConvergence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "work.db")
	bubble(t, func(t *testing.T, w *world) {
		closeStore := w.onFile(file)
		all := ids(0, 40)
		stop := w.start()
		w.register.setDown(failure.As(failure.Unavailable, errors.New("503")))
		for _, id := range all {
			w.register.set(id, person{Name: id})
			w.notify(id)
			time.Sleep(36 * time.Minute)
		}
		require.Zero(t, w.broker.Len(queue), "notifications are taken all the same")
		require.NoError(t, stop())
		closeStore()
		closeStore = w.onFile(file)
		stop = w.start()
		time.Sleep(24 * time.Hour)
		for _, id := range all {
			require.Zero(t, w.row(id).Attempts)
			require.Equal(t, work.Due, w.row(id).State)
		}
		w.register.setDown(nil)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.Len(t, w.inTarget(), 40)
		require.NoError(t, stop())
		closeStore()
	})
}

// TestWhatWasMarkedIsDoneAfterARestart stops a connector that has taken
// notifications and done nothing about them.
func TestWhatWasMarkedIsDoneAfterARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "work.db")
	bubble(t, func(t *testing.T, w *world) {
		closeStore := w.onFile(file)
		w.cfg.StopTimeout = time.Second
		w.register.latency = time.Hour
		w.flow.Timeout = 2 * time.Hour
		for _, id := range ids(0, 30) {
			w.register.set(id, person{Name: id})
		}
		stop := w.start()
		w.notify(ids(0, 30)...)
		time.Sleep(time.Second)
		require.Zero(t, w.broker.Len(queue))
		require.NoError(t, stop())
		closeStore()

		w.register.latency = 0
		closeStore = w.onFile(file)
		stop = w.start()
		settle()
		require.Len(t, w.inTarget(), 30)
		require.NoError(t, stop())
		closeStore()
	})
}
