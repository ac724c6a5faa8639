package sqlstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// hotLimits let rows go back to the table often or never, some or all.
var hotLimits = []limits{
	defaultLimits,
	{resting: 8, back: 4, rows: 1000, journal: 1 << 20},
	{resting: 3, back: 2, rows: 8, journal: 1 << 20},
	{resting: 0, back: 3, rows: 1000, journal: 500},
}

// Rows are the same whether they live in memory, in the journal or in the table,
// and wherever they have been in between.
func TestHotRows(t *testing.T) {
	for _, l := range hotLimits {
		t.Run(fmt.Sprint(l), func(t *testing.T) {
			round := 0
			dir := t.TempDir()
			rapid.Check(t, func(rt *rapid.T) {
				round++
				rapid.SyncTest(rt, func(rt *rapid.T) { playHot(rt, rt, filepath.Join(dir, fmt.Sprint(round)), l, hotBug{}) })
			})
		})
	}
}

// recorder notes why a history failed.
type recorder struct{ err error }

func (r *recorder) Errorf(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// FailNow ends the history.
func (r *recorder) FailNow() { panic(r) }

// played returns why a history failed.
func played(seed int, file string, l limits, bug hotBug) (err error) {
	rapid.Custom(func(t *rapid.T) bool {
		failed := &recorder{}
		defer func() {
			if reason := recover(); reason != nil && reason != any(failed) {
				panic(reason)
			}
			err = failed.err
		}()
		playHot(t, failed, file, l, bug)
		return true
	}).Example(seed)
	return err
}

// Each way in which the journal could go wrong is seen by the histories.
func TestHistoriesSeePlantedBugs(t *testing.T) {
	for _, bug := range hotBugs {
		t.Run(bug.name, func(t *testing.T) {
			dir := t.TempDir()
			var err error
			seed := 0
			for ; seed < 400 && err == nil; seed++ {
				synctest.Test(t, func(*testing.T) {
					err = played(seed, filepath.Join(dir, fmt.Sprint(seed)), hotLimits[seed%len(hotLimits)], bug)
				})
			}
			require.Error(t, err, "after %d histories", seed)
			t.Logf("seen by history %d: %.300s", seed, err)
		})
	}
}

// The journal stays short although no rows rest for long enough to go back, and
// although one is never done.
func TestJournalStaysShort(t *testing.T) {
	const most = 10_000
	for _, rows := range []int{3, 40} {
		s, closeDB, err := openHot(filepath.Join(t.TempDir(), "work.db"), limits{resting: 20, back: 20, rows: 1000, journal: most})
		require.NoError(t, err)
		mark := func(id string) {
			_, err := s.Mark(t.Context(), []work.Mark{{Flow: "f", Key: entity.Key{ID: id}}})
			require.NoError(t, err)
		}
		lease := func(n int) []work.Lease {
			leases, err := s.Lease(t.Context(), work.LeaseRequest{Flow: "f", Owner: "me", N: n, TTL: time.Hour})
			require.NoError(t, err)
			require.Len(t, leases, n)
			return leases
		}
		mark("stuck")
		stuck := lease(1)[0]
		for i := range 2000 {
			mark(fmt.Sprint(i % rows))
			errs, err := s.Finish(t.Context(), []work.Outcome{{Lease: lease(1)[0], Result: work.Done}})
			require.NoError(t, err)
			require.NoError(t, errs[0])
			var bytes int
			if i%100 == 0 {
				require.NoError(t, s.db.QueryRowContext(t.Context(), "SELECT coalesce(sum(length(states)), 0) FROM konnektor_journal").Scan(&bytes))
				require.Less(t, bytes, 2*most)
			}
		}
		errs, err := s.Finish(t.Context(), []work.Outcome{{Lease: stuck, Result: work.Done}})
		require.NoError(t, err)
		require.NoError(t, errs[0])
		require.NoError(t, errors.Join(s.Close(), closeDB()))
	}
}

// A journal that is damaged is not taken for one that is empty.
func TestDamagedJournal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "work.db")
	s, closeDB, err := openHot(file, defaultLimits)
	require.NoError(t, err)
	_, err = s.Mark(t.Context(), []work.Mark{{Flow: "f", Key: entity.Key{ID: "1"}}})
	require.NoError(t, err)
	for _, damage := range []string{"x''", "x'01'", "x'03'", "x'02ff'", "substr(states, 1, length(states) - 1)"} {
		_, err = s.db.ExecContext(t.Context(), "UPDATE konnektor_journal SET states = "+damage)
		require.NoError(t, err)
		crash(t, s)
		require.NoError(t, closeDB())
		_, _, err = openHot(file, defaultLimits)
		require.ErrorIs(t, err, errJournal, damage)
		db := openDB(t, file)
		_, err = db.ExecContext(t.Context(), "DELETE FROM konnektor_journal")
		require.NoError(t, err)
		require.NoError(t, db.Close())
		s, closeDB, err = openHot(file, defaultLimits)
		require.NoError(t, err)
		_, err = s.Mark(t.Context(), []work.Mark{{Flow: "f", Key: entity.Key{ID: "1"}}})
		require.NoError(t, err)
	}
	require.NoError(t, errors.Join(s.Close(), closeDB()))
}

// What another process did while the connection was lost counts, not memory.
func TestFileWasElsewhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "work.db")
	s, closeDB, err := openHot(file, defaultLimits)
	require.NoError(t, err)
	mark := func(s *SQLite) []int64 {
		seqs, err := s.Mark(t.Context(), []work.Mark{{Flow: "f", Key: entity.Key{ID: "1"}}})
		require.NoError(t, err)
		return seqs
	}
	mark(s)
	leases, err := s.Lease(t.Context(), work.LeaseRequest{Flow: "f", Owner: "me", N: 1, TTL: time.Hour})
	require.NoError(t, err)
	conn, err := s.conn(t.Context())
	require.NoError(t, err)
	s.discard(conn)
	other, closeOther, err := openHot(file, defaultLimits)
	require.NoError(t, err)
	require.Equal(t, []int64{2}, mark(other))
	require.NoError(t, errors.Join(other.Close(), closeOther()))
	require.Equal(t, []int64{3}, mark(s))
	errs, err := s.Finish(t.Context(), []work.Outcome{{Lease: leases[0], Result: work.Done}})
	require.NoError(t, err)
	require.Equal(t, []error{work.ErrLeaseLost}, errs)
	require.NoError(t, errors.Join(s.Close(), closeDB()))
}

// Leases that are given while others store, and while rows go back to the table,
// are of rows that nobody else has.
func TestLeasesBesideOtherCalls(t *testing.T) {
	const rows, marks = 200, 3000
	s, closeDB, err := openHot(filepath.Join(t.TempDir(), "work.db"), limits{resting: 20, back: 10, rows: 100, journal: 1 << 16})
	require.NoError(t, err)
	var marking, running sync.WaitGroup
	var ended atomic.Bool
	working := make([]atomic.Bool, rows)
	for range 2 {
		marking.Go(func() {
			for range marks / 10 {
				some := make([]work.Mark, 10)
				for i := range some {
					some[i] = work.Mark{Flow: "f", Key: entity.Key{ID: strconv.Itoa(rand.IntN(rows))}}
				}
				_, err := s.Mark(t.Context(), some)
				require.NoError(t, err)
			}
		})
	}
	for range 4 {
		running.Go(func() {
			for last := false; !last; {
				last = ended.Load()
				leases, err := s.Lease(t.Context(), work.LeaseRequest{Flow: "f", Owner: "me", N: 5, TTL: time.Hour})
				require.NoError(t, err)
				outcomes := make([]work.Outcome, len(leases))
				for i, l := range leases {
					id, _ := strconv.Atoi(l.Key.ID)
					require.False(t, working[id].Swap(true), "somebody works on it")
					outcomes[i] = work.Outcome{Lease: l, Result: work.Done}
				}
				for _, l := range leases {
					id, _ := strconv.Atoi(l.Key.ID)
					working[id].Store(false)
				}
				errs, err := s.Finish(t.Context(), outcomes)
				require.NoError(t, err)
				for _, err := range errs {
					require.NoError(t, err)
				}
				last = last && len(leases) == 0
			}
		})
	}
	marking.Wait()
	ended.Store(true)
	running.Wait()
	stats, err := s.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[work.State]work.Stat{work.Idle: {Rows: rows}}, stats["f"])
	require.NoError(t, errors.Join(s.Close(), closeDB()))
}

// What is in memory is leased only while the file is ours.
func TestNothingIsLeasedWithoutTheFile(t *testing.T) {
	req := work.LeaseRequest{Flow: "f", Owner: "me", N: 1, TTL: time.Hour}
	for name, lose := range map[string]func(*SQLite) error{
		"the store is closed":         func(s *SQLite) error { return s.Close() },
		"the pool is closed":          func(s *SQLite) error { return s.db.Close() },
		"both are, the pool first":    func(s *SQLite) error { return errors.Join(s.db.Close(), ignore(s.Close())) },
		"the connection is discarded": func(s *SQLite) error { s.db.SetMaxIdleConns(-1); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "work.db")
			s, closeDB, err := openHot(file, defaultLimits)
			require.NoError(t, err)
			_, err = s.Mark(t.Context(), []work.Mark{{Flow: "f", Key: entity.Key{ID: "1"}}, {Flow: "f", Key: entity.Key{ID: "2"}}})
			require.NoError(t, err)
			_, err = s.NextDue(t.Context(), "f")
			require.NoError(t, err)
			require.NoError(t, lose(s))
			other, closeOther, err := openHot(file, defaultLimits)
			require.NoError(t, err)
			leases, err := s.Lease(t.Context(), req)
			require.Error(t, err)
			require.Empty(t, leases)
			leases, err = other.Lease(t.Context(), req)
			require.NoError(t, err)
			require.Len(t, leases, 1)
			require.NoError(t, errors.Join(other.Close(), closeOther(), ignore(s.Close()), closeDB()))
		})
	}
}

func ignore(error) error { return nil }

// A mark for now needs no commit if the file has the row as due, whether the row
// waits or runs, and whether it was written or read. All other marks do.
func TestMarksThatNeedNoCommit(t *testing.T) {
	p := &pair{Assertions: require.New(t), file: filepath.Join(t.TempDir(), "work.db"), limits: defaultLimits, db: &plantedDB{}}
	p.open()
	mark := func(priority work.Priority, due time.Time) error {
		_, err := p.s.Mark(t.Context(), []work.Mark{{Flow: "f", Key: entity.Key{ID: "1"}, Priority: priority, Due: due}})
		return err
	}
	commits := func(priority work.Priority, due time.Time) {
		p.db.fail = true
		p.ErrorIs(mark(priority, due), errPlanted)
		p.NoError(mark(priority, due))
	}
	free := func(priority work.Priority) {
		p.db.fail = true
		p.NoError(mark(priority, time.Time{}))
		p.db.fail = false
	}
	lease := func() work.Lease {
		leases, err := p.s.Lease(t.Context(), work.LeaseRequest{Flow: "f", Owner: "me", N: 1, TTL: time.Hour})
		p.NoError(err)
		p.Len(leases, 1)
		return leases[0]
	}
	finish := func(l work.Lease, result work.Result) {
		errs, err := p.s.Finish(t.Context(), []work.Outcome{{Lease: l, Result: result}})
		p.NoError(err)
		p.NoError(errs[0])
	}
	commits(work.Bulk, time.Time{})
	free(work.Bulk)
	commits(work.Retry, time.Time{})
	free(work.Bulk)
	commits(work.Retry, time.Now().Add(time.Hour))
	free(work.Retry)
	l := lease()
	free(work.Retry)
	commits(work.Live, time.Time{})
	free(work.Live)
	finish(l, work.Failed)
	free(work.Live)
	finish(lease(), work.Failed)
	commits(work.Retry, time.Time{})
	free(work.Retry)
	finish(lease(), work.Done)
	commits(work.Bulk, time.Time{})
	_, _, err := p.s.Get(t.Context(), "f", l.Key) // writes all back
	p.NoError(err)
	_, err = p.s.Renew(t.Context(), []work.Lease{l}, time.Hour) // reads the row
	p.NoError(err)
	free(work.Bulk)
	finish(lease(), work.GaveUp) // but there is a date
	commits(work.Bulk, time.Time{})
	p.NoError(errors.Join(p.s.Close(), p.db.Close()))
}

// A commit that fails may have been made all the same: rows that are new to the
// table are looked for before they go back to it once more.
func TestTheAnswerOfACommitIsLost(t *testing.T) {
	p := &pair{Assertions: require.New(t), file: filepath.Join(t.TempDir(), "work.db"), limits: defaultLimits, db: &plantedDB{}}
	p.open()
	mark := func(ids ...string) {
		for _, id := range ids {
			_, err := p.s.Mark(t.Context(), []work.Mark{{Flow: "f", Key: entity.Key{ID: id}, Cause: work.Cause{EventID: "e" + id}}})
			p.NoError(err)
		}
	}
	list := func() (ids []string, err error) {
		rows, err := p.s.List(t.Context(), work.Query{Flow: "f", State: work.Due, Limit: 9})
		for _, r := range rows {
			ids = append(ids, r.Key.ID+r.Cause.EventID)
		}
		return ids, err
	}
	mark("1", "2")
	p.db.lose = true
	_, err := list()
	p.ErrorIs(err, errPlanted)
	mark("2", "3")
	ids, err := list()
	p.NoError(err)
	p.Equal([]string{"1e1", "2e2", "3e3"}, ids)
	mark("4")
	p.db.lose = true
	_, err = list()
	p.ErrorIs(err, errPlanted)
	leases, err := p.s.Lease(t.Context(), work.LeaseRequest{Flow: "f", Owner: "me", N: 9, TTL: time.Hour})
	p.NoError(err)
	p.Len(leases, 4, "of each row one, although it is in the table and in memory")
	p.NoError(errors.Join(p.s.Close(), p.db.Close()))
}
