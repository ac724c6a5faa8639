package sourcetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/suite"
	"github.com/konnektor-go/konnektor/source"
)

// Config says how a suite runs. The zero Config works.
type Config struct {
	// Virtual runs each case in a bubble of testing/synctest, in which time
	// passes at once. It is for sources in memory.
	Virtual bool
	// Without has the names of the cases that are left out, each with the reason.
	Without map[string]string
}

// Harness is how a case handles a source and the system behind it, which has no
// entities at first. All fields are needed, but for Key, and those whose cases
// are left out. Source is for Run, Lister for RunLister.
type Harness[S any] struct {
	Source source.Source[S]
	Lister source.Lister[S]
	// Key returns the key of the nth entity, from 0. Its ID must be unlike
	// anything else that an error may hold. Default: no type, and a long ID.
	Key func(n int) entity.Key
	// Put makes an entity exist, in a version.
	Put func(key entity.Key, version int) error
	// Version tells which version a state is of.
	Version func(state S) int
	// Delete makes an entity not exist.
	Delete func(key entity.Key) error
	// Down says whether the system cannot be reached.
	Down func(down bool)
	// Away says whether something else answers in the system's place that it is
	// not there: a gateway whose API is stopped, a proxy with a wrong path.
	Away func(away bool)
	// Refuse says whether the system refuses everybody.
	Refuse func(refuse bool)
	// Garble says whether its answers are no states: cut off, or HTML.
	Garble func(garble bool)
	// Hold makes all reads wait after they saw the state, until release is
	// called. Each sends to arrived when it begins to wait.
	Hold func() (arrived <-chan struct{}, release func())
}

// Run checks a source. It calls open for each case, in the case's bubble if
// there is one; what open starts, t.Cleanup ends.
func Run[S any](t *testing.T, config Config, open func(t *testing.T) Harness[S]) {
	runAll(t, config, open, sourceCases[S]())
}

// RunLister checks a lister, like Run. It should have pages of fewer than ten
// items.
func RunLister[S any](t *testing.T, config Config, open func(t *testing.T) Harness[S]) {
	runAll(t, config, open, listerCases[S]())
}

type testCase[S any] = suite.Case[*env[S]]

func runAll[S any](t *testing.T, config Config, open func(t *testing.T) Harness[S], cases []testCase[S]) {
	suite.Run(t, config.Virtual, config.Without, func(t *testing.T) *env[S] { return newEnv(t, open(t)) }, cases)
}

// patience is far longer than anything takes.
const patience = time.Minute

// env is what a case works with.
type env[S any] struct {
	*require.Assertions
	Harness[S]

	t *testing.T
}

func newEnv[S any](t *testing.T, h Harness[S]) *env[S] {
	t.Helper()
	if h.Key == nil {
		h.Key = func(n int) entity.Key { return entity.Key{ID: fmt.Sprintf("3112995671%d", n)} }
	}
	e := &env[S]{Assertions: require.New(t), Harness: h, t: t}
	suite.Explain(t, &e.Harness)
	return e
}

// put makes entities exist in a version.
func (e *env[S]) put(version int, numbers ...int) {
	e.t.Helper()
	for _, n := range numbers {
		e.NoError(e.Put(e.Key(n), version))
	}
}

// fetch fetches the nth entity.
func (e *env[S]) fetch(ctx context.Context, n int, fresh bool) (S, error) {
	e.t.Helper()
	e.NotNil(e.Source, "Harness.Source")
	state, err := e.Source.Fetch(ctx, source.Request{Key: e.Key(n), Fresh: fresh, TransactionID: "sourcetest"})
	e.silent(err, n)
	return state, err
}

// silent checks that an error does not name an entity.
func (e *env[S]) silent(err error, numbers ...int) {
	e.t.Helper()
	for _, n := range numbers {
		if err != nil {
			e.NotContains(err.Error(), e.Key(n).ID, "an identifier is personal data")
			e.NotContains(fmt.Sprintf("%+v", err), e.Key(n).ID, "an identifier is personal data")
		}
	}
}

// is checks that the nth entity is there in a version.
func (e *env[S]) is(version, n int, fresh bool) {
	e.t.Helper()
	state, err := e.fetch(e.t.Context(), n, fresh)
	e.NoError(err)
	e.Equal(version, e.Version(state), "the version of the state, fresh: %v", fresh)
}

// fails checks that fetching fails in one of these ways, fresh or not.
func (e *env[S]) fails(n int, classes ...failure.Class) {
	e.t.Helper()
	for _, fresh := range []bool{true, false} {
		_, err := e.fetch(e.t.Context(), n, fresh)
		e.Error(err)
		e.Contains(classes, failure.Of(err), "%v", err)
	}
}

// soon returns what comes from a channel.
func soon[T any](e interface{ FailNow(string, ...any) }, from <-chan T, what string) (v T) {
	select {
	case v = <-from:
	case <-time.After(patience):
		e.FailNow(what)
	}
	return v
}

// request asks for the nth entity as it is now.
func (e *env[S]) request(n int) source.Request {
	return source.Request{Key: e.Key(n), Fresh: true, TransactionID: "sourcetest"}
}
