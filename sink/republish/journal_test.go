package republish_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/republish"
)

func sqlite(t testing.TB, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func openSQL(t testing.TB, db *sql.DB, name string) *republish.SQL {
	t.Helper()
	j, err := republish.OpenSQL(t.Context(), db, name)
	require.NoError(t, err)
	return j
}

func TestMemory(t *testing.T) {
	j := &republish.Memory{}
	testJournal(t, func() republish.Journal { return j })
}

func TestSQLite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "journal.db")
	testJournal(t, func() republish.Journal { return openSQL(t, sqlite(t, file), "people") })
	testSQL(t, sqlite(t, file))
}

// testJournal checks the rules of Journal. Each call of open is another instance.
func testJournal(t *testing.T, open func() republish.Journal) {
	t.Helper()
	ctx, j := t.Context(), open()
	e, err := j.Load(ctx, key)
	require.NoError(t, err)
	require.Equal(t, republish.Entry{}, e)

	full := republish.Entry{
		Pending: true, Op: sink.Disabled, Time: time.Date(2026, 11, 27, 12, 0, 0, 123456789, time.UTC), Held: true,
		Level: 1.5, Strikes: 3, Last: time.Date(2026, 11, 27, 11, 0, 0, 1, time.UTC), Expires: time.Now().Add(time.Hour).UTC().Truncate(0),
	}
	stored, err := j.Store(ctx, key, full)
	require.NoError(t, err)
	require.NotZero(t, stored.Revision)
	full.Revision = stored.Revision
	require.Equal(t, full, stored)
	e, err = open().Load(ctx, key)
	require.NoError(t, err)
	require.Equal(t, full, e)

	_, err = j.Store(ctx, key, republish.Entry{Pending: true})
	require.ErrorIs(t, err, republish.ErrConflict, "it is there already")
	again, err := open().Store(ctx, key, e)
	require.NoError(t, err)
	require.NotEqual(t, e.Revision, again.Revision)
	_, err = j.Store(ctx, key, e)
	require.ErrorIs(t, err, republish.ErrConflict, "somebody was faster")

	for _, other := range []entity.Key{{Type: "persons", ID: "secret-2"}, {Type: "other", ID: key.ID}, {ID: `'; DROP TABLE konnektor_publications; --`}, {Type: "$1", ID: "å?1"}} {
		e, err = j.Load(ctx, other)
		require.NoError(t, err)
		require.Zero(t, e, "keys are apart")
		stored, err := j.Store(ctx, other, republish.Entry{Pending: true, Strikes: 1})
		require.NoError(t, err)
		e, err = j.Load(ctx, other)
		require.NoError(t, err)
		require.Equal(t, stored, e)
	}

	// Of many that store at once, one does.
	e, err = j.Load(ctx, key)
	require.NoError(t, err)
	won := make(chan republish.Entry, 20)
	var wg sync.WaitGroup
	for range cap(won) {
		one := open()
		wg.Go(func() {
			if stored, err := one.Store(ctx, key, e); err == nil {
				won <- stored
			} else if !errors.Is(err, republish.ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Len(t, won, 1)
	last, err := j.Load(ctx, key)
	require.NoError(t, err)
	require.Equal(t, <-won, last)

	require.NoError(t, j.Forget(ctx, key))
	require.NoError(t, j.Forget(ctx, key), "nothing there is no error")
	last, err = j.Load(ctx, key)
	require.NoError(t, err)
	require.Zero(t, last)
}

// testSQL checks what only a journal in a database does.
func testSQL(t *testing.T, db *sql.DB) {
	t.Helper()
	ctx := t.Context()
	one, two := openSQL(t, db, "one"), openSQL(t, db, "two")
	_, err := one.Store(ctx, key, republish.Entry{Pending: true})
	require.NoError(t, err)
	e, err := two.Load(ctx, key)
	require.NoError(t, err)
	require.Zero(t, e, "journals are apart")
	require.NoError(t, two.Forget(ctx, key))
	e, err = one.Load(ctx, key)
	require.NoError(t, err)
	require.True(t, e.Pending)
	require.NoError(t, one.Forget(ctx, key))
	e, err = one.Load(ctx, key)
	require.NoError(t, err)
	require.Zero(t, e)

	// What expired is forgotten by whoever stores next, what is owed never.
	old := time.Now().Add(-time.Hour)
	_, err = one.Store(ctx, entity.Key{ID: "expired"}, republish.Entry{Expires: old})
	require.NoError(t, err)
	_, err = one.Store(ctx, entity.Key{ID: "owed"}, republish.Entry{Pending: true, Expires: old})
	require.NoError(t, err)
	_, err = openSQL(t, db, "one").Store(ctx, key, republish.Entry{Expires: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	for id, there := range map[string]bool{"expired": false, "owed": true, key.ID: true} {
		e, err = one.Load(ctx, entity.Key{Type: map[bool]string{true: key.Type}[id == key.ID], ID: id})
		require.NoError(t, err)
		require.Equal(t, there, e.Revision != 0, id)
	}

	// Several may be the first.
	_, err = db.ExecContext(ctx, "DROP TABLE konnektor_publications")
	require.NoError(t, err)
	_, err = one.Load(ctx, key)
	require.ErrorContains(t, err, "republish: cannot read table konnektor_publications")
	require.NotContains(t, err.Error(), key.ID)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := republish.OpenSQL(ctx, db, "one"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, "one", fmt.Sprintf("%+v", one))

	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = one.Load(ended, key)
	require.Error(t, err)
	inner, err := sink.Ensure[row](newWorld(nil), sink.EnsureConfig[row]{})
	require.NoError(t, err)
	s, err := republish.New(inner, one, func(context.Context, republish.Publication) error { return nil }, republish.Config{})
	require.NoError(t, err)
	_, err = s.Apply(ended, key, row{})
	require.Equal(t, failure.Unavailable, failure.Of(err), "%v", err)
}

// TestForget forgets through the sink, what is owed too.
func TestForget(t *testing.T) {
	j := &republish.Memory{}
	s := newWorld(j).sink(t, republish.Config{})
	_, err := j.Store(t.Context(), key, republish.Entry{Pending: true})
	require.NoError(t, err)
	require.NoError(t, sink.Forget(t.Context(), s, key))
	e, err := j.Load(t.Context(), key)
	require.NoError(t, err)
	require.Zero(t, e)
}

func TestMemoryForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &republish.Memory{}
		w := newWorld(j)
		s := w.sink(t, republish.Config{})
		_, err := s.Apply(t.Context(), key, row{Name: "a"})
		require.NoError(t, err)
		time.Sleep(time.Hour)
		_, err = s.Apply(t.Context(), entity.Key{ID: "2"}, row{Name: "a"})
		require.NoError(t, err)
		e, err := j.Load(t.Context(), key)
		require.NoError(t, err)
		require.Zero(t, e)
	})
}

func TestOpenSQLRefuses(t *testing.T) {
	_, err := republish.OpenSQL(t.Context(), nil, "people")
	require.EqualError(t, err, "republish: db: must not be nil")
	_, err = republish.OpenSQL(t.Context(), sqlite(t, ":memory:"), "")
	require.EqualError(t, err, "republish: name: must not be empty")
	_, err = republish.OpenSQL(t.Context(), sqlite(t, filepath.Join(t.TempDir(), "none", "journal.db")), "people")
	require.ErrorContains(t, err, "republish: db: ")
}
