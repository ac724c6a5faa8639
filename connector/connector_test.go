package connector_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/testkit"
)

func TestTargetFollowsSource(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		stop := w.start()
		w.register.set("1", person{Name: "Kari"})
		w.notify("1")
		settle()
		require.Equal(t, map[string]string{"1": "Kari"}, w.inTarget())
		require.Equal(t, work.Idle, w.row("1").State)
		require.True(t, w.row("1").Present)
		require.Equal(t, "created", w.row("1").Summary)

		w.register.set("1", person{Name: "Kari Nordmann"})
		w.notify("1")
		settle()
		require.Equal(t, map[string]string{"1": "Kari Nordmann"}, w.inTarget())
		require.Equal(t, "updated(Name)", w.row("1").Summary)

		w.notify("1", "1", "1")
		settle()
		require.Len(t, w.target.Log(), 2, "nothing differs, nothing is written")
		require.Equal(t, "unchanged", w.row("1").Summary)

		w.register.remove("1")
		w.notify("1")
		settle()
		require.Empty(t, w.inTarget())
		require.False(t, w.row("1").Present)

		require.Zero(t, w.broker.Len(queue), "everything is acked")
		require.NoError(t, stop())
	})
}

func TestIrrelevantIsAckedWithoutWork(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.flow.Match = notification.Type("no.uio.iga.groups.*")
		stop := w.start()
		w.notify("1")
		settle()
		require.Zero(t, w.broker.Len(queue))
		require.Zero(t, w.register.total())
		_, found, err := w.cfg.Store.Get(t.Context(), "people", key("1"))
		require.NoError(t, err)
		require.False(t, found)
		require.NoError(t, stop())
	})
}

func TestBadInputStaysPut(t *testing.T) {
	for _, tc := range []struct {
		name, payload, reason string
		change                func(*world)
	}{
		{"malformed", `{"specversion":`, "message: is not valid JSON", nil},
		{"unknown", "good morning", "not a known dialect", nil},
		{"keys fail", "persons/66012345678", `flow "people": keys: no such position`, func(w *world) {
			w.flow.Keys = func(context.Context, notification.Notification) ([]entity.Key, error) {
				return nil, errors.New("no such position")
			}
		}},
		{"a key is not valid", "persons/66012345678", `flow "people": keys: ID: must not be empty`, func(w *world) {
			w.flow.Keys = func(context.Context, notification.Notification) ([]entity.Key, error) {
				return []entity.Key{{}}, nil
			}
		}},
		{"user code panics", "persons/66012345678", "decode: panic with a string", func(w *world) {
			w.flow.Match = notification.FilterFunc(func(n notification.Notification) bool { panic("about " + n.Key.ID) })
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				if tc.change != nil {
					tc.change(w)
				}
				stop := w.start()
				require.NoError(t, w.broker.Publish("some.key", message.NewMessage("m1", []byte(tc.payload))))
				settle()
				require.Zero(t, w.broker.Len(queue), "it is acked")
				require.Equal(t, 1, w.broker.Delivered(), "it does not loop")
				rejected, err := w.cfg.Store.ListRejected(t.Context(), "", 10)
				require.NoError(t, err)
				require.Len(t, rejected, 1)
				require.Contains(t, rejected[0].Reason, tc.reason)
				require.Equal(t, tc.payload, string(rejected[0].Payload))
				require.Equal(t, "some.key", rejected[0].RoutingKey)
				require.NotContains(t, w.log.String(), "66012345678")
				require.NoError(t, stop())
			})
		})
	}
}

func TestKeysThatNeedAnUnavailableSystemAreWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		available := time.Now().Add(10 * time.Minute)
		w.flow.Keys = func(_ context.Context, n notification.Notification) ([]entity.Key, error) {
			if time.Now().Before(available) {
				return nil, failure.As(failure.Unavailable, errors.New("down"))
			}
			return []entity.Key{n.Key, key("2")}, nil
		}
		w.register.set("1", person{Name: "Kari"})
		w.register.set("2", person{Name: "Ola"})
		stop := w.start()
		w.notify("1")
		time.Sleep(9 * time.Minute)
		require.Equal(t, 1, w.broker.Len(queue))
		time.Sleep(3 * time.Minute)
		require.Equal(t, map[string]string{"1": "Kari", "2": "Ola"}, w.inTarget())
		require.Equal(t, 1, w.broker.Delivered())
		require.NoError(t, stop())
	})
}

func TestMarksDuringARunCostOneMore(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.register.latency = 10 * time.Second
		w.register.set("1", person{Name: "a"})
		stop := w.start()
		w.notify("1")
		time.Sleep(time.Second)
		for i := range 100 {
			w.register.set("1", person{Name: fmt.Sprint("b", i)})
			w.notify("1")
		}
		time.Sleep(time.Minute)
		require.Equal(t, 2, w.register.count("1"))
		require.Equal(t, map[string]string{"1": "b99"}, w.inTarget(), "the second fetch began after the last notification")
		require.NoError(t, stop())
	})
}

func TestWithAStoreInMemoryTheAckWaitsForTheReconcile(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.register.latency = 10 * time.Second
		w.register.set("1", person{Name: "Kari"})
		stop := w.start()
		w.notify("1")
		time.Sleep(5 * time.Second)
		w.notify("1")
		time.Sleep(6 * time.Second) // the first run has ended
		require.Equal(t, 1, w.broker.Len(queue), "the second waits for a fetch that began after it came")
		time.Sleep(10 * time.Second)
		require.Zero(t, w.broker.Len(queue))

		w.register.setDown(failure.As(failure.Unavailable, errors.New("down")))
		w.notify("1")
		time.Sleep(time.Hour)
		require.Equal(t, 1, w.broker.Len(queue))
		require.NoError(t, stop())
		require.Equal(t, 1, w.broker.Len(queue), "it is back in the queue for the next start")

		w.register.setDown(nil)
		w.register.set("1", person{Name: "Kari N."})
		w.cfg.Store = work.NewMemory() // all is forgotten
		stop = w.start()
		time.Sleep(time.Minute)
		require.Zero(t, w.broker.Len(queue))
		require.Equal(t, map[string]string{"1": "Kari N."}, w.inTarget())
		require.NoError(t, stop())
	})
}

// TestNotBeforeIsKeptThroughOtherRuns has two dates and a run at once: none of
// them hides another.
func TestNotBeforeIsKeptThroughOtherRuns(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		begin := time.Now()
		w.register.set("1", person{Name: "Kari"})
		decoder := notification.DecoderFunc(func(msg *message.Message) ([]notification.Notification, error) {
			after, err := time.ParseDuration(string(msg.Payload))
			return []notification.Notification{{Key: key("1"), NotBefore: begin.Add(after)}}, err
		})
		c, err := connector.New("test", w.cfg, w.flow)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- c.Run(ctx, connector.Input{Subscriber: w.broker, Topic: queue, Decoder: decoder})
		}()
		for _, after := range []string{"480h", "240h", "0s"} {
			require.NoError(t, w.broker.Publish("k", message.NewMessage(after, []byte(after))))
		}
		settle()
		require.Equal(t, 1, w.register.count("1"))
		require.Equal(t, 2, w.broker.Len(queue), "with a store in memory, the dates to come are not acked")
		time.Sleep(240*time.Hour - time.Second)
		require.Equal(t, 1, w.register.count("1"))
		time.Sleep(2 * time.Second)
		require.Equal(t, 2, w.register.count("1"))
		time.Sleep(240 * time.Hour)
		require.Equal(t, 3, w.register.count("1"))
		require.Zero(t, w.broker.Len(queue))
		cancel()
		require.NoError(t, <-ended)
	})
}

func TestLogsHoldNoIdentifier(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		const id = "01017012345"
		w.register.set(id, person{Name: "Kari"})
		calls := 0
		w.flow.Map = func(_ context.Context, k entity.Key, p person) (connector.Desired[entry], error) {
			if calls++; calls == 1 {
				return connector.Desired[entry]{}, fmt.Errorf("cannot map person %s: sad", k.ID)
			}
			if calls == 2 {
				panic("about " + k.ID)
			}
			return toEntry(t.Context(), k, p)
		}
		stop := w.start()
		w.notify(id)
		time.Sleep(time.Hour)
		require.Equal(t, "Kari", w.inTarget()[id])
		require.NoError(t, stop())
		require.NotContains(t, w.log.String(), id)
		require.Contains(t, w.log.String(), "cannot map person ")
		require.Contains(t, w.log.String(), "map: panic with a string")
		require.Contains(t, w.log.String(), "connector_test.go", "the panic's stack is logged")
	})
}

func TestMiddlewareWrapsEachMessage(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		var seen []string
		w.cfg.Middleware = []message.HandlerMiddleware{func(next message.HandlerFunc) message.HandlerFunc {
			return func(msg *message.Message) ([]*message.Message, error) {
				seen = append(seen, msg.Metadata.Get(notification.MetaRoutingKey))
				return next(msg)
			}
		}}
		stop := w.start()
		w.notify("1")
		settle()
		require.NoError(t, stop())
		require.Equal(t, []string{"no.uio.iga.persons.update"}, seen)
	})
}

func TestSeveralFlowsEachDoTheirPart(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		upper := w.flow
		upper.Name = "upper"
		upper.Keys = func(_ context.Context, n notification.Notification) ([]entity.Key, error) {
			return []entity.Key{{Type: "upper", ID: n.Key.ID}}, nil
		}
		upper.Map = func(_ context.Context, _ entity.Key, p person) (connector.Desired[entry], error) {
			return connector.Present(entry{strings.ToUpper(p.Name)}), nil
		}
		w.register.set("1", person{Name: "Kari"})
		c, err := connector.New("test", w.cfg, w.flow, upper)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx, connector.Input{Subscriber: w.broker, Topic: queue}) }()
		w.notify("1")
		settle()
		require.Equal(t, map[entity.Key]entry{
			key("1"):                 {"Kari"},
			{Type: "upper", ID: "1"}: {"KARI"},
		}, w.target.Snapshot())
		require.ErrorContains(t, c.Run(ctx), "runs already")
		cancel()
		require.NoError(t, <-ended)
	})
}

func TestMisuseIsAnErrorOfNew(t *testing.T) {
	good := connector.Flow[person, entry]{
		Name:   "people",
		Source: source.Func[person](func(context.Context, source.Request) (person, error) { return person{}, nil }),
		Map:    toEntry,
	}
	synctest.Test(t, func(t *testing.T) { good.Sink = newWorld(t).flow.Sink })
	with := func(change func(*connector.Flow[person, entry])) []connector.Definition {
		f := good
		change(&f)
		return []connector.Definition{f}
	}
	for _, tc := range []struct {
		want  string
		cfg   connector.Config
		flows []connector.Definition
	}{
		{"flows: at least one", connector.Config{}, nil},
		{"flow: Name: must not be empty", connector.Config{}, with(func(f *connector.Flow[person, entry]) { f.Name = "" })},
		{`flow "people": Source: must not be nil`, connector.Config{}, with(func(f *connector.Flow[person, entry]) { f.Source = nil })},
		{`flow "people": Source: Path: `, connector.Config{}, with(func(f *connector.Flow[person, entry]) { f.Source = badSource{} })},
		{`flow "people": Map: must not be nil`, connector.Config{}, with(func(f *connector.Flow[person, entry]) { f.Map = nil })},
		{`flow "people": Sink: must not be nil`, connector.Config{}, with(func(f *connector.Flow[person, entry]) { f.Sink = nil })},
		{`flow "people": Workers: `, connector.Config{}, with(func(f *connector.Flow[person, entry]) { f.Workers = -1 })},
		{`flow "people": Timeout: `, connector.Config{}, with(func(f *connector.Flow[person, entry]) { f.Timeout = -1 })},
		{`flow "people": Retry.Max: `, connector.Config{}, with(func(f *connector.Flow[person, entry]) {
			f.Retry = connector.Retry{Min: time.Hour, Max: time.Minute}
		})},
		{`flow "people": Retry.Attempts: `, connector.Config{}, with(func(f *connector.Flow[person, entry]) { f.Retry.Attempts = -1 })},
		{`flow "people": Name: is used twice`, connector.Config{}, []connector.Definition{good, good}},
		{"StopTimeout: ", connector.Config{StopTimeout: -1}, []connector.Definition{good}},
		{"Lease: ", connector.Config{Lease: time.Millisecond}, []connector.Definition{good}},
		{"MaxRejected: ", connector.Config{MaxRejected: -1}, []connector.Definition{good}},
		{"KeepRejected: ", connector.Config{KeepRejected: -1}, []connector.Definition{good}},
	} {
		t.Run(tc.want, func(t *testing.T) {
			_, err := connector.New("c", tc.cfg, tc.flows...)
			require.ErrorContains(t, err, tc.want)
		})
	}
	_, err := connector.New("", connector.Config{}, good)
	require.ErrorContains(t, err, "name: must not be empty")
	c, err := connector.New("c", connector.Config{}, good)
	require.NoError(t, err)
	require.ErrorContains(t, c.Run(t.Context(), connector.Input{Topic: "q"}), "input 0: Subscriber: must not be nil")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		require.ErrorContains(t, c.Run(t.Context(), connector.Input{Subscriber: w.broker}), "input 0: Topic: must not be empty")
		require.ErrorContains(t, c.Run(t.Context(), connector.Input{Subscriber: w.broker, Topic: "none"}), "input 0: ", "a queue that is not there")
	})
}

// badSource fails its own validation.
type badSource struct{ source.Source[person] }

func (badSource) Validate() error { return errors.New("Path: holds no {id}") }

// TestADateThatComesDuringTheMappingIsNotMissed has a mapping that says "not yet"
// right before midnight and is done right after.
func TestADateThatComesDuringTheMappingIsNotMissed(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		midnight := time.Now().Add(time.Hour)
		w.flow.Map = func(_ context.Context, _ entity.Key, p person) (connector.Desired[entry], error) {
			want := connector.Present(entry{p.Name})
			if time.Now().Before(midnight) {
				want = connector.Absent[entry]()
			}
			time.Sleep(time.Second)
			return want.RecheckAt(midnight), nil
		}
		w.register.set("1", person{Name: "Kari"})
		stop := w.start()
		time.Sleep(time.Hour - time.Millisecond)
		w.notify("1")
		time.Sleep(3 * time.Second)
		require.Equal(t, map[string]string{"1": "Kari"}, w.inTarget())
		require.NoError(t, stop())
	})
}

func TestTheSourceIsToldWhoAsksAndSince(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.register.set("1", person{Name: "Kari"})
		var asked []source.Request
		w.flow.Source = source.Func[person](func(ctx context.Context, req source.Request) (person, error) {
			asked = append(asked, req)
			return w.register.Fetch(ctx, req)
		})
		w.flow.Match = ofType("persons")
		stop := w.start(w.positions(&testkit.Target[position]{}, func(string) []string { return []string{"1"} }))
		at := time.Now().Add(-time.Minute)
		w.event(at, "1")
		settle()
		w.publish(`{"specversion":"1.0","id":"e2","source":"s","type":"position.update","subject":"positions/7","time":"2000-01-01T00:00:00Z"}`)
		settle()
		require.NoError(t, stop())
		require.Len(t, asked, 2)
		require.Equal(t, "people", asked[0].Flow)
		require.True(t, at.Equal(asked[0].ChangedAt), "the notification's time")
		require.Zero(t, asked[1].ChangedAt, "the position changed then, who knows when the person did")
	})
}

// TestAnInputThatEndsEndsRun has two inputs, of which one ends by itself.
func TestAnInputThatEndsEndsRun(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c, err := connector.New("test", w.cfg, w.flow)
		require.NoError(t, err)
		ending := make(inbox)
		ended := make(chan error, 1)
		go func() {
			ended <- c.Run(t.Context(), connector.Input{Subscriber: w.broker, Topic: queue}, connector.Input{Subscriber: ending, Topic: "other"})
		}()
		time.Sleep(time.Second)
		close(ending)
		require.EqualError(t, <-ended, `connector "test": input 1: has ended`)
	})
}

// TestNotBeforeWithAStoreInMemory has a time that the store keeps less exactly.
func TestNotBeforeWithAStoreInMemory(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.register.set("1", person{Name: "Kari"})
		stop := w.start()
		w.publish(`{"id":"1","uri":"dfo:persons","gyldigEtter":"` + time.Now().Add(time.Hour+1500*time.Microsecond).Format(time.RFC3339Nano) + `"}`)
		time.Sleep(2 * time.Hour)
		require.Equal(t, map[string]string{"1": "Kari"}, w.inTarget())
		require.Zero(t, w.broker.Len(queue), "it is acked")
		require.NoError(t, stop())
	})
}
