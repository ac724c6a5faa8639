package sourcetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/testkit"
	"github.com/konnektor-go/konnektor/testkit/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type person struct {
	ID      string `json:"id"`
	Version int    `json:"version"`
}

// register is a source system behind the fake gateway: it has people in order,
// and lists them in pages of four. All have just changed.
type register struct {
	gw     *testkit.Gateway
	client *gateway.Client

	mu  sync.Mutex
	ids []string
}

func newRegister(t *testing.T, cfg testkit.GatewayConfig) *register {
	t.Helper()
	r := &register{}
	cfg.Backend = r
	gw, err := testkit.NewGateway(cfg)
	require.NoError(t, err)
	client, err := gateway.New("https://gw.example.no/api", gateway.Config{Key: "secret", Transport: gw, Retries: -1})
	require.NoError(t, err)
	r.gw, r.client = gw, client
	return r
}

func (r *register) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path != "/persons" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	from, _ := strconv.Atoi(req.URL.Query().Get("offset"))
	r.mu.Lock()
	defer r.mu.Unlock()
	from = min(from, len(r.ids))
	items := []json.RawMessage{}
	for _, id := range r.ids[from:min(from+4, len(r.ids))] {
		item, _, _ := r.gw.Get("persons/" + id)
		items = append(items, item)
	}
	body, err := json.Marshal(map[string]any{"items": items, "total": len(r.ids)})
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(body)
}

func (r *register) put(key entity.Key, version int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, _, exists := r.gw.Get("persons/" + key.ID); !exists {
		r.ids = append(r.ids, key.ID)
	}
	return r.gw.Put("persons/"+key.ID, person{key.ID, version})
}

func (r *register) delete(key entity.Key) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, id := range r.ids {
		if id == key.ID {
			r.ids = append(r.ids[:i:i], r.ids[i+1:]...)
		}
	}
	return r.gw.Delete("persons/" + key.ID)
}

func (r *register) harness(fetch source.Source[person]) sourcetest.Harness[person] {
	return sourcetest.Harness[person]{
		Source: fetch,
		Lister: source.RESTLister[person]{
			Pages: source.Pages{Gateway: r.client, Path: "persons", Paging: source.Paging{OffsetParam: "offset"}, Items: "items", Total: "total"},
			Item:  source.States(func(p person) entity.Key { return entity.Key{ID: p.ID} }),
			Since: "since",
		},
		Put:     r.put,
		Version: func(p person) int { return p.Version },
		Delete:  r.delete,
		Down:    r.gw.SetBackendDown,
		Away: func(away bool) {
			if away {
				r.gw.Stop()
			} else {
				r.gw.Start()
			}
		},
		Refuse: func(refuse bool) { r.gw.SetKey(map[bool]string{true: "another", false: "secret"}[refuse]) },
		Garble: func(garble bool) {
			r.gw.Fail(func(testkit.Request) *testkit.Failure {
				if !garble {
					return nil
				}
				return &testkit.Failure{Truncate: true}
			})
		},
		Hold: func() (<-chan struct{}, func()) {
			arrived, released := make(chan struct{}, 8), make(chan struct{})
			r.gw.Fail(func(testkit.Request) *testkit.Failure {
				arrived <- struct{}{}
				return &testkit.Failure{Hold: released}
			})
			return arrived, func() { close(released) }
		},
	}
}

func gateways() map[string]testkit.GatewayConfig {
	return map[string]testkit.GatewayConfig{
		"3.15, cache": {Version: "3.15.0", CacheTTL: time.Hour},
		"3.x":         {},
		"4.x, cache":  {Version: "4.x", CacheTTL: time.Hour, Chunked: true},
	}
}

func TestREST(t *testing.T) {
	for name, cfg := range gateways() {
		t.Run(name, func(t *testing.T) {
			open := func(t *testing.T) sourcetest.Harness[person] {
				r := newRegister(t, cfg)
				return r.harness(source.REST[person]{Gateway: r.client, Path: "persons/{id}"})
			}
			sourcetest.Run(t, sourcetest.Config{Virtual: true}, open)
			sourcetest.RunLister(t, sourcetest.Config{Virtual: true}, open)
		})
	}
}

func TestComposite(t *testing.T) {
	sourcetest.Run(t, sourcetest.Config{Virtual: true}, func(t *testing.T) sourcetest.Harness[person] {
		r := newRegister(t, testkit.GatewayConfig{CacheTTL: time.Hour})
		part := source.REST[person]{Gateway: r.client, Path: "persons/{id}"}
		return r.harness(source.Composite[person]{Main: part, Parts: []source.Part[person]{
			source.PartOf("again", part, func(into *person, p person) { into.Version = p.Version }),
		}})
	})
}

// TestFunc shows the suite on a source of one's own.
func TestFunc(t *testing.T) {
	sourcetest.Run(t, sourcetest.Config{
		Virtual: true,
		Without: map[string]string{
			"something else that answers proves nothing": "nothing is in front of a map",
			"an answer that is no state proves nothing":  "a map holds states",
		},
	}, func(t *testing.T) sourcetest.Harness[person] {
		m := &memory{people: map[entity.Key]person{}}
		return sourcetest.Harness[person]{
			Source:  source.Func[person](m.fetch),
			Key:     func(n int) entity.Key { return entity.Key{Type: "persons", ID: fmt.Sprintf("person-number-%d", n)} },
			Put:     m.put,
			Version: func(p person) int { return p.Version },
			Delete:  func(key entity.Key) error { m.change(func() { delete(m.people, key) }); return nil },
			Down:    func(down bool) { m.change(func() { m.down = down }) },
			Refuse:  func(refuse bool) { m.change(func() { m.down = refuse }) },
			Hold: func() (<-chan struct{}, func()) {
				released := make(chan struct{})
				arrived := make(chan struct{}, 8)
				m.change(func() { m.arrived, m.released = arrived, released })
				return arrived, func() { close(released) }
			},
		}
	})
}

type memory struct {
	mu       sync.Mutex
	people   map[entity.Key]person
	down     bool
	arrived  chan<- struct{}
	released <-chan struct{}
}

func (m *memory) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *memory) put(key entity.Key, version int) error {
	m.change(func() { m.people[key] = person{key.ID, version} })
	return nil
}

func (m *memory) fetch(ctx context.Context, req source.Request) (person, error) {
	if err := ctx.Err(); err != nil {
		return person{}, err
	}
	m.mu.Lock()
	p, found := m.people[req.Key]
	down, arrived, released := m.down, m.arrived, m.released
	m.mu.Unlock()
	if arrived != nil {
		arrived <- struct{}{}
		select {
		case <-released:
		case <-ctx.Done():
			return person{}, ctx.Err()
		}
	}
	switch {
	case down:
		return person{}, failure.As(failure.Unavailable, errors.New("down"))
	case !found:
		return person{}, failure.As(failure.Gone, errors.New("no such person"))
	default:
		return p, nil
	}
}
