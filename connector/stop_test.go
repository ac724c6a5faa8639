package connector_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// hanging is a store in which calls of one kind do not return until it is
// released, whatever becomes of their contexts.
type hanging struct {
	work.Store
	call    string
	release chan struct{}
}

func (s *hanging) wait(call string) {
	if call == s.call {
		<-s.release
	}
}

func (s *hanging) Mark(ctx context.Context, marks []work.Mark) ([]int64, error) {
	s.wait("mark")
	return s.Store.Mark(ctx, marks)
}

func (s *hanging) Lease(ctx context.Context, req work.LeaseRequest) ([]work.Lease, error) {
	s.wait("lease")
	return s.Store.Lease(ctx, req)
}

func (s *hanging) Finish(ctx context.Context, outcomes []work.Outcome) ([]error, error) {
	s.wait("finish")
	return s.Store.Finish(ctx, outcomes)
}

func (s *hanging) Reject(ctx context.Context, rejected []work.Rejected) error {
	s.wait("reject")
	return s.Store.Reject(ctx, rejected)
}

func (s *hanging) PruneIdle(ctx context.Context, before time.Time, limit int) (int, error) {
	s.wait("prune")
	return s.Store.PruneIdle(ctx, before, limit)
}

// TestAStoreThatHangsIsNamed stops a connector whose work store does not answer:
// the error must not blame user code.
func TestAStoreThatHangsIsNamed(t *testing.T) {
	for _, call := range []string{"mark", "lease", "finish", "reject", "prune"} {
		t.Run(call, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				store := &hanging{Store: w.cfg.Store, call: call, release: make(chan struct{})}
				w.cfg.Store = store
				w.register.set("1", person{Name: "Kari"})
				stop := w.start()
				w.notify("1")
				w.publish("{") // rejected
				settle()
				began := time.Now()
				require.EqualError(t, stop(), `connector "test": the work store does not answer (1 calls under way)`)
				require.Equal(t, 30*time.Second, time.Since(began))
				close(store.release)
				synctest.Wait()
			})
		})
	}
}

func TestUserCodeThatDoesNotStopIsAnError(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		release := make(chan struct{})
		w.flow.Map = func(context.Context, entity.Key, person) (connector.Desired[entry], error) {
			<-release // looks at no context
			return connector.Present(entry{}), nil
		}
		w.register.set("1", person{Name: "Kari"})
		stop := w.start()
		w.notify("1")
		settle()
		require.EqualError(t, stop(), `connector "test": flow "people": 1 runs go on though they were cancelled: the connector stops`)
		close(release)
		synctest.Wait()
	})
}
