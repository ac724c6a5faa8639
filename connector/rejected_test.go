package connector_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/notification"
)

// mendable is a decoder that refuses everything until it is mended. Then it
// reads an id from the payload.
type mendable struct {
	mended atomic.Bool
	seen   atomic.Pointer[message.Message] // the last
}

func (d *mendable) Decode(msg *message.Message) ([]notification.Notification, error) {
	d.seen.Store(msg)
	if !d.mended.Load() {
		return nil, errors.New("message: not understood yet")
	}
	if string(msg.Payload) == "bad" {
		return nil, errors.New("message: is bad")
	}
	n := notification.Notification{Key: key(string(msg.Payload)), RoutingKey: msg.Metadata.Get(notification.MetaRoutingKey)}
	n.Event.SetSpecVersion("1.0")
	n.Event.SetID(msg.UUID)
	return []notification.Notification{n}, nil
}

// rejecting is a world whose connector has rejected messages.
type rejecting struct {
	*world
	c       *connector.Connector
	decoder *mendable
	stop    func() error
}

func (w *world) rejecting(payloads ...string) *rejecting {
	w.t.Helper()
	r := &rejecting{world: w, decoder: &mendable{}}
	r.make()
	r.run()
	for _, payload := range payloads {
		uuid := "uuid of " + payload[:min(len(payload), 20)]
		require.NoError(w.t, w.broker.Publish("some.key", message.NewMessage(uuid, []byte(payload))))
		settle() // one after the other
	}
	require.Zero(w.t, w.broker.Len(queue))
	return r
}

func (r *rejecting) make() {
	r.t.Helper()
	var err error
	r.c, err = connector.New("test", r.cfg, r.flow)
	require.NoError(r.t, err)
}

func (r *rejecting) input() connector.Input {
	return connector.Input{Subscriber: r.broker, Topic: queue, Decoder: r.decoder}
}

func (r *rejecting) run() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.c.Run(ctx, r.input()) }()
	synctest.Wait()
	r.stop = func() error {
		cancel()
		return <-ended
	}
}

func (r *rejecting) rejected() []work.Rejected {
	r.t.Helper()
	all, err := r.c.Rejected(r.t.Context(), "", 1000)
	require.NoError(r.t, err)
	return all
}

func (r *rejecting) ids() []string {
	var ids []string
	for _, one := range r.rejected() {
		ids = append(ids, one.ID)
	}
	return ids
}

func TestReplayWhileRunning(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.register.set("66012345678", person{Name: "Kari"})
		r := w.rejecting("66012345678")
		require.Equal(t, queue, r.rejected()[0].Topic)
		first := r.decoder.seen.Load()

		r.decoder.mended.Store(true)
		begin := time.Now()
		require.NoError(t, r.c.Replay(t.Context(), r.ids()))
		synctest.Wait()
		require.Equal(t, begin, time.Now())
		require.Equal(t, "Kari", w.inTarget()["66012345678"], "at once")
		require.Empty(t, r.rejected())
		row := w.row("66012345678")
		require.Equal(t, "some.key", row.Cause.RoutingKey)
		require.Equal(t, "uuid of 66012345678", row.Cause.EventID)
		again := r.decoder.seen.Load()
		require.NotSame(t, first, again)
		require.True(t, again.Equals(first), "the decoder gets what it got before")
		require.NoError(t, r.stop())
		require.NotContains(t, w.log.String(), "66012345678")
	})
}

func TestReplayWhileNotRunning(t *testing.T) {
	for _, tc := range []struct {
		name  string
		after func(r *rejecting) []connector.Input // what inputs Replay gets
	}{
		{"the last run's inputs are known", func(*rejecting) []connector.Input { return nil }},
		{"another process gives them", func(r *rejecting) []connector.Input {
			r.make()
			require.ErrorContains(r.t, r.c.Replay(r.t.Context(), r.ids()), `Topic: no input has "`+queue+`"; give the inputs`)
			require.Len(r.t, r.rejected(), 1)
			return []connector.Input{{Topic: "other"}, {Topic: queue, Decoder: r.decoder}}
		}},
		{"those given come before the last run's", func(r *rejecting) []connector.Input {
			mended := &mendable{}
			mended.mended.Store(true)
			r.decoder.mended.Store(false)
			return []connector.Input{{Topic: queue, Decoder: mended}}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "work.db")
			bubble(t, func(t *testing.T, w *world) {
				closeStore := w.onFile(file)
				r := w.rejecting("1")
				require.NoError(t, r.stop())
				r.decoder.mended.Store(true)
				inputs := tc.after(r)
				require.NoError(t, r.c.Replay(t.Context(), r.ids(), inputs...))
				require.Empty(t, r.rejected())
				require.Empty(t, w.inTarget())
				closeStore()

				closeStore = w.onFile(file)
				w.register.set("1", person{Name: "Kari"})
				stop := w.start()
				settle()
				require.Equal(t, map[string]string{"1": "Kari"}, w.inTarget(), "the mark has waited")
				require.NoError(t, stop())
				closeStore()
			})
		})
	}
}

func TestReplayKeepsWhatStillFails(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.register.set("1", person{Name: "Kari"})
		w.register.set("2", person{Name: "Ola"})
		r := w.rejecting("1", "bad", "2")
		before := r.rejected()
		ids := r.ids()
		err := r.c.Replay(t.Context(), ids)
		require.ErrorContains(t, err, fmt.Sprintf(`connector "test": replay %q: message: not understood yet`, ids[2]))
		require.Equal(t, before, r.rejected(), "nothing was mended")

		r.decoder.mended.Store(true)
		err = r.c.Replay(t.Context(), append([]string{"9999"}, ids...))
		require.EqualError(t, err, `connector "test": replay "9999": ID: no message is kept under it, any more or yet`+"\n"+
			fmt.Sprintf(`connector "test": replay %q: message: is bad`, ids[1]))
		settle()
		require.Equal(t, map[string]string{"1": "Kari", "2": "Ola"}, w.inTarget())
		require.Equal(t, before[1:2], r.rejected())
		require.NoError(t, r.stop())
	})
}

func TestReplayOfWhatConcernsNobody(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.flow.Match = notification.FilterFunc(func(notification.Notification) bool { return false })
		r := w.rejecting("1")
		r.decoder.mended.Store(true)
		require.NoError(t, r.c.Replay(t.Context(), r.ids()))
		require.Empty(t, r.rejected())
		_, found, err := w.cfg.Store.Get(t.Context(), "people", key("1"))
		require.NoError(t, err)
		require.False(t, found)
		require.NoError(t, r.stop())
	})
}

func TestReplaySurvivesUserCode(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		keys       func(context.Context, notification.Notification) ([]entity.Key, error)
	}{
		{"a panic", "decode: panic with a string", func(context.Context, notification.Notification) ([]entity.Key, error) {
			panic("about 1")
		}},
		{"an outage is not waited for", "keys: 503", func(context.Context, notification.Notification) ([]entity.Key, error) {
			return nil, failure.As(failure.Unavailable, errors.New("503"))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.flow.Keys = tc.keys
				r := w.rejecting("1")
				r.decoder.mended.Store(true)
				require.ErrorContains(t, r.c.Replay(t.Context(), r.ids()), tc.want)
				require.Len(t, r.rejected(), 1)
				require.NoError(t, r.stop())
			})
		})
	}
}

// crashing is a store that can fail at any step.
type crashing struct {
	work.Store
	steps int
	after bool // the step is stored, and only its answer lost
}

func crashAt[R any](s *crashing, call func() (R, error)) (R, error) {
	var none R
	s.steps--
	if s.steps == -1 && s.after {
		_, _ = call()
	}
	if s.steps < 0 {
		return none, errStore
	}
	return call()
}

func (s *crashing) GetRejected(ctx context.Context, id string) (r work.Rejected, found bool, err error) {
	_, err = crashAt(s, func() (any, error) {
		r, found, err = s.Store.GetRejected(ctx, id)
		return nil, err
	})
	return r, found, err
}

func (s *crashing) Mark(ctx context.Context, marks []work.Mark) ([]int64, error) {
	return crashAt(s, func() ([]int64, error) { return s.Store.Mark(ctx, marks) })
}

func (s *crashing) DeleteRejected(ctx context.Context, ids []string) (int, error) {
	return crashAt(s, func() (int, error) { return s.Store.DeleteRejected(ctx, ids) })
}

// TestReplayLosesNothing crashes a replay of two messages at each of its
// steps: what is not kept any more is marked.
func TestReplayLosesNothing(t *testing.T) {
	for _, after := range []bool{false, true} {
		for steps := range 7 {
			t.Run(fmt.Sprint(steps, after), func(t *testing.T) {
				bubble(t, func(t *testing.T, w *world) {
					memory := w.cfg.Store
					store := &crashing{Store: memory, steps: steps, after: after}
					w.cfg.Store = store
					store.steps = 1000
					r := w.rejecting("1", "2")
					require.NoError(t, r.stop())
					r.decoder.mended.Store(true)
					ids := r.ids()
					store.steps = steps
					err := r.c.Replay(t.Context(), ids)
					require.Equal(t, steps < 6, err != nil)

					kept := make(map[string]bool)
					left, err := memory.ListRejected(t.Context(), "", 10)
					require.NoError(t, err)
					for _, one := range left {
						kept[string(one.Payload)] = true
					}
					for _, id := range []string{"1", "2"} {
						_, marked, err := memory.Get(t.Context(), "people", key(id))
						require.NoError(t, err)
						require.True(t, marked || kept[id], "message %s is lost", id)
					}
					store.steps = 1000
					_ = r.c.Replay(t.Context(), ids) // reports those that are done
					require.Empty(t, r.rejected())
					for _, id := range []string{"1", "2"} {
						require.Equal(t, work.Due, w.row(id).State)
					}
				})
			})
		}
	}
}

func TestALongMessageIsCutAndNotReplayed(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.cfg.MaxRejected = 5
		r := w.rejecting("12345", "123456")
		r.decoder.mended.Store(true)
		all := r.rejected()
		require.True(t, all[0].Cut())
		require.Equal(t, "12345", string(all[0].Payload))
		require.Equal(t, 6, all[0].Size)
		require.False(t, all[1].Cut())
		err := r.c.Replay(t.Context(), r.ids())
		require.ErrorContains(t, err, "Payload: 5 of 6 bytes were kept; have it published again")
		require.NotContains(t, err.Error(), "12345")
		require.Equal(t, all[:1], r.rejected())
		require.NoError(t, r.stop())
	})
}

func TestTheDefaultLimitOfRejectedMessages(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		r := w.rejecting(strings.Repeat("x", 64<<10), strings.Repeat("y", 64<<10+1))
		all := r.rejected()
		require.True(t, all[0].Cut())
		require.Len(t, all[0].Payload, 64<<10)
		require.False(t, all[1].Cut())
		require.NoError(t, r.stop())
	})
}

func TestRejectedIsListedByPageAndDiscarded(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		r := w.rejecting("1", "2", "3")
		first, err := r.c.Rejected(t.Context(), "", 2)
		require.NoError(t, err)
		require.Equal(t, "3", string(first[0].Payload))
		second, err := r.c.Rejected(t.Context(), first[1].ID, 2)
		require.NoError(t, err)
		require.Len(t, second, 1)
		require.Equal(t, "1", string(second[0].Payload))

		n, err := r.c.Discard(t.Context(), first[0].ID, "9999", second[0].ID)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.Equal(t, first[1:], r.rejected())
		require.NoError(t, r.stop())
		require.Contains(t, w.log.String(), `msg="rejected messages discarded" connector=test messages=2`)
		for _, one := range []any{first[1], &first[1], []work.Rejected{first[1]}} {
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", one, one, one), "uuid of", "it prints without personal data")
		}
	})
}

func TestOperatorsErrorsNameTheConnector(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		r := w.rejecting()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := r.c.Rejected(ctx, "", 1)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, `connector "test": rejected: `)
		_, err = r.c.Discard(ctx, "1")
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, `connector "test": discard: `)
		require.ErrorIs(t, r.c.Replay(ctx, []string{"1"}), context.Canceled)
		require.NoError(t, r.stop())
	})
}

func TestRejectedIsKeptForATime(t *testing.T) {
	for _, tc := range []struct {
		name       string
		keep, want time.Duration
	}{
		{"by default", 0, 30 * 24 * time.Hour},
		{"as configured", 36 * time.Hour, 36 * time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.cfg.KeepRejected = tc.keep
				r := w.rejecting()
				count := func() int {
					all, err := r.c.Rejected(t.Context(), "", 2000)
					require.NoError(t, err)
					return len(all)
				}
				for range 1200 { // more than one transaction's worth
					require.NoError(t, w.broker.Publish("k", msgOf("x")))
				}
				settle()
				rejectedAt := time.Now()
				require.Equal(t, 1200, count())
				time.Sleep(time.Hour)
				require.NoError(t, w.broker.Publish("k", msgOf("younger")))
				time.Sleep(time.Until(rejectedAt.Add(tc.want)))
				require.Equal(t, 1201, count())
				time.Sleep(time.Hour)
				require.Equal(t, 1, count(), "one hour later at most")
				require.Contains(t, w.log.String(), `msg="old rows deleted" connector=test what="rejected messages" rows=1200`)
				require.NoError(t, r.stop())

				time.Sleep(time.Hour)
				require.Equal(t, 1, count(), "nobody looks")
				r.run()
				require.Zero(t, count(), "looked at the start")
				require.NoError(t, r.stop())
			})
		})
	}
}

// unprunable is a store that fails to prune while broken.
type unprunable struct {
	work.Store
	broken atomic.Bool
}

func (s *unprunable) PruneRejected(ctx context.Context, before time.Time, limit int) (int, error) {
	if s.broken.Load() {
		return 0, errStore
	}
	return s.Store.PruneRejected(ctx, before, limit)
}

func TestPruningIsTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		store := &unprunable{Store: w.cfg.Store}
		w.cfg.Store, w.cfg.KeepRejected = store, time.Hour
		r := w.rejecting("1")
		store.broken.Store(true)
		time.Sleep(3 * time.Hour)
		require.Len(t, r.rejected(), 1)
		require.Contains(t, w.log.String(), `msg="old rows not deleted, will be tried again"`)
		store.broken.Store(false)
		time.Sleep(time.Hour)
		require.Empty(t, r.rejected())
		require.NoError(t, r.stop())
	})
}

// TestRejectedIsAckedOnlyWhenStored has the work store down when a bad message
// comes.
func TestRejectedIsAckedOnlyWhenStored(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		store := &flaky{Store: w.cfg.Store}
		w.cfg.Store = store
		r := w.rejecting()
		store.broken.Store(true)
		require.NoError(t, w.broker.Publish("k", msgOf("1")))
		received := time.Now()
		time.Sleep(time.Hour)
		require.Equal(t, 1, w.broker.Len(queue))
		store.broken.Store(false)
		time.Sleep(10 * time.Second)
		require.Zero(t, w.broker.Len(queue))
		require.Equal(t, 1, w.broker.Delivered())
		require.Len(t, r.rejected(), 1)
		require.True(t, received.Equal(r.rejected()[0].Received), "the time is that of the message")
		require.NoError(t, r.stop())
	})
}
