package sinktest

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/suite"
	"github.com/konnektor-go/konnektor/sink"
)

// Config says how the suite runs. The zero Config works.
type Config struct {
	// Virtual runs each case in a bubble of testing/synctest, in which time
	// passes at once. It is for targets in memory.
	Virtual bool
	// Without has the names of the cases that are left out, each with the reason.
	Without map[string]string
}

// Harness is how a case handles a target and the system behind it, which has no
// entities at first. Target and Want are needed, and the other functions but
// for the cases that are left out; where a default is named, for none.
type Harness[T any] struct {
	Target sink.Target[T]
	// Ensure is the configuration of the sink, but for Removal.
	Ensure sink.EnsureConfig[T]
	// Open makes the sink of a target. It is for sinks around those of Ensure.
	// Default: sink.Ensure.
	Open func(target sink.Target[T], cfg sink.EnsureConfig[T]) (sink.Sink[T], error)
	// Key returns the key of the nth entity, from 0. Its ID must be unlike
	// anything else that an error may hold. Default: no type, and a long ID.
	Key func(n int) entity.Key
	// Want returns what is wanted of the nth entity in a version, from 1. Two
	// versions differ in the same attributes, two entities in whatever must be
	// unique.
	Want func(n, version int) T
	// Text returns what is wanted of the nth entity with text in its strings.
	Text func(n int, text string) T
	// Refused returns what the target refuses for good of the nth entity.
	Refused func(n int) T
	// SetForeign gives the entity a value of an attribute that Want does not
	// name, as another writer would; Foreign returns it.
	SetForeign func(key entity.Key, value string) error
	Foreign    func(key entity.Key) (string, error)
	// Duplicate adds a second entity to the target that matches the key.
	Duplicate func(key entity.Key) error
	// Down says whether the system cannot be reached.
	Down func(down bool)
	// Refuse says whether the system refuses everybody.
	Refuse func(refuse bool)
	// Removal says how entities are disabled: Disable, and Disabled.
	Removal sink.Removal[T]
}

// Run checks a target with the sink that Ensure makes of it. It calls open for
// each case, in the case's bubble if there is one; what open starts, t.Cleanup
// ends.
func Run[T any](t *testing.T, config Config, open func(t *testing.T) Harness[T]) {
	t.Helper()
	cases := append(applyCases[T](), removeCases[T]()...)
	cases = append(cases, faultCases[T]()...)
	cases = append(cases, hostileCases[T]()...)
	suite.Run(t, config.Virtual, config.Without, func(t *testing.T) *env[T] { return newEnv(t, open(t)) }, cases)
}

type testCase[T any] = suite.Case[*env[T]]

// env is what a case works with.
type env[T any] struct {
	*require.Assertions
	Harness[T]

	t   *testing.T
	spy *spy[T]
}

func newEnv[T any](t *testing.T, h Harness[T]) *env[T] {
	t.Helper()
	if h.Key == nil {
		h.Key = func(n int) entity.Key { return entity.Key{ID: fmt.Sprintf("3112995671%d", n)} }
	}
	if h.Open == nil {
		h.Open = sink.Ensure[T]
	}
	e := &env[T]{Assertions: require.New(t), Harness: h, t: t}
	if h.Target == nil {
		suite.Missing(t, "Target")
	}
	e.spy = &spy[T]{Target: h.Target}
	suite.Explain(t, &e.Harness)
	return e
}

// sink makes a sink with a policy for removals.
func (e *env[T]) sink(removal sink.Removal[T]) sink.Sink[T] {
	e.t.Helper()
	cfg := e.Ensure
	cfg.Removal = removal
	s, err := e.Open(e.spy.asTarget(), cfg)
	e.NoError(err)
	return s
}

// apply applies a version of the nth entity, and returns how many writes the
// target was asked for.
func (e *env[T]) apply(n, version int) (sink.Change, int) {
	e.t.Helper()
	return e.do(func(ctx context.Context, s sink.Sink[T]) (sink.Change, error) {
		return s.Apply(ctx, e.Key(n), e.Want(n, version))
	})
}

// remove removes the nth entity like apply.
func (e *env[T]) remove(n int) (sink.Change, int) {
	e.t.Helper()
	return e.do(func(ctx context.Context, s sink.Sink[T]) (sink.Change, error) { return s.Remove(ctx, e.Key(n)) })
}

func (e *env[T]) do(call func(context.Context, sink.Sink[T]) (sink.Change, error)) (sink.Change, int) {
	e.t.Helper()
	before := e.spy.writes()
	change, err := call(e.t.Context(), e.sink(sink.Removal[T]{}))
	e.NoError(err)
	return change, e.spy.writes() - before
}

// put makes entities exist in a version.
func (e *env[T]) put(version int, numbers ...int) {
	e.t.Helper()
	for _, n := range numbers {
		change, _ := e.apply(n, version)
		e.NotEqual(sink.Removed, change.Op)
		e.is(n, version)
	}
}

// is checks that the target holds the nth entity in a version.
func (e *env[T]) is(n, version int) {
	e.t.Helper()
	e.holds(e.Key(n), e.Want(n, version))
}

func (e *env[T]) holds(key entity.Key, want T) {
	e.t.Helper()
	found, fields := e.look(key, want)
	e.True(found, "the entity is in the target")
	e.Empty(fields, "the fields that are not as wanted")
}

// look compares what the target holds with what is wanted, past the spy.
func (e *env[T]) look(key entity.Key, want T) (bool, []sink.Field) {
	e.t.Helper()
	ctx := e.t.Context()
	if o, ok := e.Target.(sink.Observer[T]); ok && e.Ensure.Diff == nil {
		_, found, fields, err := o.Observe(ctx, key, want)
		e.NoError(err)
		return found, fields
	}
	have, found, err := e.Target.Get(ctx, key)
	e.NoError(err)
	if !found {
		return false, nil
	}
	if e.Ensure.Diff != nil {
		return true, e.Ensure.Diff(have.Value, want)
	}
	return true, sink.Diff(have.Value, want)
}

// absent checks that the target does not hold entities.
func (e *env[T]) absent(numbers ...int) {
	e.t.Helper()
	for _, n := range numbers {
		_, found, err := e.Target.Get(e.t.Context(), e.Key(n))
		e.NoError(err)
		e.False(found, "the entity is not in the target")
	}
}

// silent checks that an error does not name an entity.
func (e *env[T]) silent(err error, numbers ...int) {
	e.t.Helper()
	e.Error(err)
	for _, n := range numbers {
		e.NotContains(err.Error(), e.Key(n).ID, "an identifier is personal data")
		e.NotContains(fmt.Sprintf("%+v", err), e.Key(n).ID, "an identifier is personal data")
	}
}
