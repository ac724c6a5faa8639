package republish_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/republish"
)

type row struct{ Name, Mail string }

var (
	key      = entity.Key{Type: "persons", ID: "secret-1"}
	errFault = failure.As(failure.Unavailable, errors.New("fault"))
)

// fault is what becomes of a step.
type fault int

const (
	none    fault = iota
	refused       // nothing happens, and the caller hears it
	lost          // it happens, and the caller hears that it did not
	before        // the process ends before it
	after         // the process ends after it
)

// world is a target, a journal and whoever listens to publications, seen by
// processes that end now and then.
type world struct {
	journal republish.Journal
	rows    map[entity.Key]row
	// next returns the fault of a step; dead says that the process has ended.
	next func(step string) fault
	dead bool

	steps       []string
	changes     int // in the target
	faults      int
	told        []republish.Publication
	seen        int // how many changes the last publication came after
	faultsThen  int // at the last publication
	unaccounted int // publications without a change or a fault since the one before
}

func newWorld(journal republish.Journal) *world {
	return &world{journal: journal, rows: map[entity.Key]row{}, next: func(string) fault { return none }}
}

// do takes a step.
func (w *world) do(step string, f func() error) error {
	if w.dead {
		return errFault
	}
	w.steps = append(w.steps, step)
	kind := w.next(step)
	w.dead = kind == before || kind == after
	if kind == refused || kind == before {
		w.faults++
		return errFault
	}
	if err := f(); err != nil {
		return err
	}
	if kind == lost || kind == after {
		w.faults++
		return errFault
	}
	return nil
}

func (w *world) Get(_ context.Context, key entity.Key) (have sink.Found[row], found bool, err error) {
	err = w.do("read", func() error { have.Value, found = w.rows[key]; return nil })
	return have, found, err
}

func (w *world) Create(_ context.Context, key entity.Key, want row) error {
	return w.do("write", func() error { return w.change(func() { w.rows[key] = want }) })
}

func (w *world) Update(_ context.Context, key entity.Key, _ sink.Found[row], want row, _ []sink.Field) error {
	return w.do("write", func() error { return w.change(func() { w.rows[key] = want }) })
}

func (w *world) Delete(_ context.Context, key entity.Key, _ sink.Found[row]) error {
	return w.do("write", func() error { return w.change(func() { delete(w.rows, key) }) })
}

func (w *world) change(f func()) error {
	f()
	w.changes++
	return nil
}

func (w *world) Load(ctx context.Context, key entity.Key) (e republish.Entry, err error) {
	err = w.do("load", func() error { e, err = w.journal.Load(ctx, key); return err })
	return e, err
}

func (w *world) Store(ctx context.Context, key entity.Key, e republish.Entry) (stored republish.Entry, err error) {
	err = w.do("store", func() error { stored, err = w.journal.Store(ctx, key, e); return err })
	return stored, err
}

func (w *world) Forget(ctx context.Context, key entity.Key) error {
	return w.do("forget", func() error { return w.journal.Forget(ctx, key) })
}

func (w *world) publish(_ context.Context, p republish.Publication) error {
	return w.do("publish", func() error {
		if w.seen == w.changes && w.faultsThen == w.faults {
			w.unaccounted++
		}
		w.seen, w.faultsThen = w.changes, w.faults
		w.told = append(w.told, p)
		return nil
	})
}

// sink returns the sink of a process.
func (w *world) sink(t require.TestingT, cfg republish.Config) *republish.Sink[row] {
	inner, err := sink.Ensure[row](w, sink.EnsureConfig[row]{})
	require.NoError(t, err)
	s, err := republish.New(inner, w, w.publish, cfg)
	require.NoError(t, err)
	return s
}

// cut returns a next that gives the nth step a fault.
func cut(n int, kind fault) func(string) fault {
	return func(string) fault {
		n--
		if n == 0 {
			return kind
		}
		return none
	}
}

func requireTold(t *testing.T, w *world, op sink.Op) {
	t.Helper()
	require.Len(t, w.told, 1)
	require.Equal(t, key, w.told[0].Key)
	require.Equal(t, op, w.told[0].Op)
}
