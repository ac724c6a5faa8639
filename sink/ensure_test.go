package sink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
)

type person struct {
	Name  string
	Email string
}

var (
	key     = entity.Key{Type: "persons", ID: "1-secret"}
	ada     = person{Name: "Ada", Email: "ada@example.org"}
	oldAda  = person{Name: "Ada", Email: "old@example.org"}
	errLost = errors.New("answer lost")
)

// memory is a target in memory that detects conflicts.
type memory struct {
	rows   map[entity.Key]person
	calls  []string
	before func(op string) error // runs before each operation: another writer, a fault
	after  func(op string) error // runs after each operation: a lost answer
}

func newMemory(rows map[entity.Key]person) *memory {
	if rows == nil {
		rows = map[entity.Key]person{}
	}
	none := func(string) error { return nil }
	return &memory{rows: rows, before: none, after: none}
}

func (m *memory) do(ctx context.Context, op string, f func() error) error {
	m.calls = append(m.calls, op)
	if ctx.Err() != nil {
		panic(op + " was called after the end of ctx")
	}
	if err := m.before(op); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return m.after(op)
}

func (m *memory) writes() int {
	n := 0
	for _, c := range m.calls {
		if c != "get" {
			n++
		}
	}
	return n
}

func (m *memory) Get(ctx context.Context, key entity.Key) (p sink.Found[person], found bool, err error) {
	err = m.do(ctx, "get", func() error { p.Value, found = m.rows[key]; return nil })
	return p, found, err
}

func (m *memory) Create(ctx context.Context, key entity.Key, want person) error {
	return m.do(ctx, "create", func() error {
		if _, ok := m.rows[key]; ok {
			return sink.ErrExists
		}
		m.rows[key] = want
		return nil
	})
}

func (m *memory) Update(ctx context.Context, key entity.Key, have sink.Found[person], want person, fields []sink.Field) error {
	return m.do(ctx, "update", func() error {
		now, ok := m.rows[key]
		switch {
		case !ok:
			return sink.ErrNotFound
		case now != have.Value:
			return fmt.Errorf("memory: %w", sink.ErrConflict)
		}
		for _, f := range fields {
			switch f.Name {
			case "Name":
				now.Name = want.Name
			case "Email":
				now.Email = want.Email
			}
		}
		m.rows[key] = now
		return nil
	})
}

func (m *memory) Delete(ctx context.Context, key entity.Key, _ sink.Found[person]) error {
	return m.do(ctx, "delete", func() error {
		if _, ok := m.rows[key]; !ok {
			return sink.ErrNotFound
		}
		delete(m.rows, key)
		return nil
	})
}

// once runs f before or after the first operation of the given name.
func once(name string, f func()) func(string) error {
	done := false
	return func(op string) error {
		if op == name && !done {
			done = true
			f()
		}
		return nil
	}
}

func ensured(t *testing.T, m *memory) sink.Sink[person] {
	t.Helper()
	s, err := sink.Ensure[person](m, sink.EnsureConfig[person]{})
	require.NoError(t, err)
	return s
}

func TestEnsureApply(t *testing.T) {
	for _, tt := range []struct {
		name   string
		have   map[entity.Key]person
		other  func(m *memory) func(op string) error // another writer
		change string
		calls  []string
	}{
		{name: "creates", change: "created", calls: []string{"get", "create"}},
		{
			name: "leaves what is equal", have: map[entity.Key]person{key: ada},
			change: "unchanged", calls: []string{"get"},
		},
		{
			name: "updates what differs", have: map[entity.Key]person{key: oldAda},
			change: "updated(Email)", calls: []string{"get", "update"},
		},
		{
			name:   "create finds it there",
			other:  func(m *memory) func(string) error { return once("create", func() { m.rows[key] = oldAda }) },
			change: "updated(Email)", calls: []string{"get", "create", "get", "update"},
		},
		{
			name:   "create finds it there as wanted",
			other:  func(m *memory) func(string) error { return once("create", func() { m.rows[key] = ada }) },
			change: "unchanged", calls: []string{"get", "create", "get"},
		},
		{
			name: "update finds nothing", have: map[entity.Key]person{key: oldAda},
			other:  func(m *memory) func(string) error { return once("update", func() { delete(m.rows, key) }) },
			change: "created", calls: []string{"get", "update", "get", "create"},
		},
		{
			name: "conflict", have: map[entity.Key]person{key: oldAda},
			other:  func(m *memory) func(string) error { return once("update", func() { m.rows[key] = person{} }) },
			change: "updated(Name, Email)", calls: []string{"get", "update", "get", "update"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory(tt.have)
			if tt.other != nil {
				m.before = tt.other(m)
			}
			s := ensured(t, m)
			change, err := s.Apply(t.Context(), key, ada)
			require.NoError(t, err)
			require.Equal(t, tt.change, change.String())
			require.Equal(t, tt.calls, m.calls)
			require.Equal(t, map[entity.Key]person{key: ada}, m.rows)

			m.calls = nil
			change, err = s.Apply(t.Context(), key, ada)
			require.NoError(t, err)
			require.Equal(t, sink.Change{Op: sink.Unchanged}, change)
			require.Zero(t, m.writes())
		})
	}
}

func TestEnsureRemove(t *testing.T) {
	for _, tt := range []struct {
		name   string
		have   map[entity.Key]person
		before func(m *memory) func(op string) error
		op     sink.Op
		calls  []string
	}{
		{name: "removes", have: map[entity.Key]person{key: ada}, op: sink.Removed, calls: []string{"get", "delete"}},
		{name: "nothing there", op: sink.Unchanged, calls: []string{"get"}},
		{
			name: "gone in between", have: map[entity.Key]person{key: ada},
			before: func(m *memory) func(string) error { return once("delete", func() { delete(m.rows, key) }) },
			op:     sink.Unchanged, calls: []string{"get", "delete"},
		},
		{
			name: "conflict", have: map[entity.Key]person{key: ada},
			before: func(m *memory) func(string) error {
				first := true
				return func(op string) error {
					if op == "delete" && first {
						first = false
						return sink.ErrConflict
					}
					return nil
				}
			},
			op: sink.Removed, calls: []string{"get", "delete", "get", "delete"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory(tt.have)
			if tt.before != nil {
				m.before = tt.before(m)
			}
			change, err := ensured(t, m).Remove(t.Context(), key)
			require.NoError(t, err)
			require.Equal(t, sink.Change{Op: tt.op}, change)
			require.Equal(t, tt.calls, m.calls)
			require.Empty(t, m.rows)
		})
	}
}

func TestEnsureGivesUpAfterTries(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cfg   sink.EnsureConfig[person]
		tries int
	}{
		{name: "default", tries: 4},
		{name: "configured", cfg: sink.EnsureConfig[person]{Tries: 2}, tries: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory(map[entity.Key]person{key: oldAda})
			n := 0
			m.before = func(op string) error {
				if op == "update" {
					n++
					m.rows[key] = person{Name: fmt.Sprint("secret", n)}
				}
				return nil
			}
			s, err := sink.Ensure[person](m, tt.cfg)
			require.NoError(t, err)
			_, err = s.Apply(t.Context(), key, ada)
			require.ErrorIs(t, err, sink.ErrConflict)
			require.Equal(t, failure.Failed, failure.Of(err))
			require.ErrorContains(t, err, fmt.Sprintf("gave up after %d tries", tt.tries))
			require.NotContains(t, err.Error(), "secret")
			require.Len(t, m.calls, 2*tt.tries)
		})
	}
}

func TestEnsureReturnsErrorsAsTheyAre(t *testing.T) {
	down := failure.As(failure.Unavailable, errLost)
	for _, tt := range []struct {
		name  string
		have  map[entity.Key]person
		fails string
		apply bool
	}{
		{name: "read before apply", fails: "get", apply: true},
		{name: "create", fails: "create", apply: true},
		{name: "update", have: map[entity.Key]person{key: oldAda}, fails: "update", apply: true},
		{name: "read before remove", fails: "get"},
		{name: "delete", have: map[entity.Key]person{key: ada}, fails: "delete"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory(tt.have)
			m.before = func(op string) error {
				if op == tt.fails {
					return down
				}
				return nil
			}
			do := func() (err error) {
				if tt.apply {
					_, err = ensured(t, m).Apply(t.Context(), key, ada)
				} else {
					_, err = ensured(t, m).Remove(t.Context(), key)
				}
				return err
			}
			require.Equal(t, down, do())
			require.Equal(t, tt.fails, m.calls[len(m.calls)-1], "nothing follows an error")
		})
	}
}

// TestEnsureLostAnswer holds that a write that was done, but whose answer was
// lost, is found done when it is tried again.
func TestEnsureLostAnswer(t *testing.T) {
	for _, tt := range []struct {
		name string
		have map[entity.Key]person
		lost string
	}{
		{name: "create", lost: "create"},
		{name: "update", have: map[entity.Key]person{key: oldAda}, lost: "update"},
		{name: "delete", have: map[entity.Key]person{key: ada}, lost: "delete"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory(tt.have)
			m.after = func(op string) error {
				if op == tt.lost {
					return errLost
				}
				return nil
			}
			s := ensured(t, m)
			do := func() (sink.Change, error) {
				if tt.lost == "delete" {
					return s.Remove(t.Context(), key)
				}
				return s.Apply(t.Context(), key, ada)
			}
			_, err := do()
			require.Equal(t, errLost, err)
			change, err := do()
			require.NoError(t, err)
			require.Equal(t, sink.Change{Op: sink.Unchanged}, change)
			require.Equal(t, 1, m.writes())
		})
	}
}

func TestEnsureStartsNothingAfterTheEndOfContext(t *testing.T) {
	for _, tt := range []struct {
		name  string
		have  map[entity.Key]person
		endIn string // the context ends during this operation, "" before all
		apply bool
		calls []string
	}{
		{name: "apply not begun", apply: true},
		{name: "no create", apply: true, endIn: "get", calls: []string{"get"}},
		{name: "no update", apply: true, have: map[entity.Key]person{key: oldAda}, endIn: "get", calls: []string{"get"}},
		{name: "remove not begun"},
		{name: "no delete", have: map[entity.Key]person{key: ada}, endIn: "get", calls: []string{"get"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory(tt.have)
			ctx, cancel := context.WithCancel(t.Context())
			if tt.endIn == "" {
				cancel()
			}
			m.after = once(tt.endIn, cancel)
			var err error
			if tt.apply {
				_, err = ensured(t, m).Apply(ctx, key, ada)
			} else {
				_, err = ensured(t, m).Remove(ctx, key)
			}
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, failure.Unavailable, failure.Of(err))
			require.Equal(t, tt.calls, m.calls)
		})
	}
}

func TestEnsureOwnDiff(t *testing.T) {
	m := newMemory(map[entity.Key]person{key: {Name: "Eve", Email: "old@example.org"}})
	s, err := sink.Ensure[person](m, sink.EnsureConfig[person]{Diff: func(have, want person) []sink.Field {
		if have.Email == want.Email {
			return nil
		}
		return []sink.Field{{Name: "Email"}}
	}})
	require.NoError(t, err)
	change, err := s.Apply(t.Context(), key, ada)
	require.NoError(t, err)
	require.Equal(t, "updated(Email)", change.String())
	require.Equal(t, person{Name: "Eve", Email: ada.Email}, m.rows[key], "what Diff leaves out is left alone")
}

// observer compares by itself: to it, all are as wanted, but no name at all.
type observer struct{ *memory }

func (o observer) Observe(ctx context.Context, key entity.Key, want person) (sink.Found[person], bool, []sink.Field, error) {
	have, found, err := o.Get(ctx, key)
	if found && have.Value.Name == "" {
		return have, found, []sink.Field{{Name: "Name", Old: "", New: want.Name}}, err
	}
	return have, found, nil, err
}

func TestEnsureObserver(t *testing.T) {
	m := newMemory(map[entity.Key]person{key: oldAda})
	s, err := sink.Ensure[person](observer{m}, sink.EnsureConfig[person]{})
	require.NoError(t, err)
	change, err := s.Apply(t.Context(), key, ada)
	require.NoError(t, err)
	require.Equal(t, sink.Unchanged, change.Op)

	m.rows[key] = person{}
	change, err = s.Apply(t.Context(), key, ada)
	require.NoError(t, err)
	require.Equal(t, "updated(Name)", change.String())

	byDiff, err := sink.Ensure[person](observer{m}, sink.EnsureConfig[person]{Diff: sink.Diff[person]})
	require.NoError(t, err)
	change, err = byDiff.Apply(t.Context(), key, ada)
	require.NoError(t, err)
	require.Equal(t, "updated(Email)", change.String(), "Diff overrules the observer")
}

type hidden struct{ name string }

func TestEnsureMisuse(t *testing.T) {
	_, err := sink.Ensure[person](nil, sink.EnsureConfig[person]{})
	require.EqualError(t, err, "sink: target: must not be nil")
	_, err = sink.Ensure[person](newMemory(nil), sink.EnsureConfig[person]{Tries: -1})
	require.EqualError(t, err, "sink: Tries: must not be negative; leave it 0 for the default")
	_, err = sink.Ensure[string](other[string]{}, sink.EnsureConfig[string]{})
	require.EqualError(t, err, "sink: T: is string, not a struct or a map with strings as keys; set Diff")
	_, err = sink.Ensure[hidden](other[hidden]{}, sink.EnsureConfig[hidden]{})
	require.EqualError(t, err, "sink: T: sink_test.hidden has no exported fields to compare; set Diff")
	_, err = sink.Ensure[string](other[string]{}, sink.EnsureConfig[string]{Diff: sink.Diff[string]})
	require.NoError(t, err)
	_, err = sink.Ensure[map[string]any](other[map[string]any]{}, sink.EnsureConfig[map[string]any]{})
	require.NoError(t, err)
	_ = hidden{name: "used"}.name
}

// other is a target of any type.
type other[T any] struct{ sink.Target[T] }

// TestChangePrintsNamesOnly holds that neither a change nor a field prints a
// value, whatever the verb.
func TestChangePrintsNamesOnly(t *testing.T) {
	change, err := ensured(t, newMemory(map[entity.Key]person{key: oldAda})).Apply(t.Context(), key, ada)
	require.NoError(t, err)
	require.Equal(t, []sink.Field{{Name: "Email", Old: oldAda.Email, New: ada.Email}}, change.Fields)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		text := fmt.Sprintf(verb, change) + fmt.Sprintf(verb, change.Fields)
		require.Contains(t, text, "Email", verb)
		require.NotContains(t, text, "example.org", verb)
	}
	encoded, err := json.Marshal(change)
	require.NoError(t, err)
	require.Contains(t, string(encoded), "Email")
	require.NotContains(t, string(encoded), "example.org")
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(h).Info("done", "change", change, "field", change.Fields[0])
	}
	require.Equal(t, 4, strings.Count(log.String(), "Email"), log.String())
	require.NotContains(t, log.String(), "example.org")
}
