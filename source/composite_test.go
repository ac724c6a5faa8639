package source_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/testkit"
)

type employee struct {
	Name  string
	Unit  string
	Jobs  []string
	Phone string
}

// employees are put together from a person, the person's jobs on several pages,
// a unit that the person names, and a phone that not everybody has.
func employees(t *testing.T, cfg testkit.GatewayConfig) (source.Composite[employee], *testkit.Gateway) {
	t.Helper()
	gw, err := testkit.NewGateway(cfg)
	require.NoError(t, err)
	c, err := gateway.New("https://gw.example.no/api", gateway.Config{Key: "secret", Transport: gw, Retries: -1})
	require.NoError(t, err)
	require.NoError(t, gw.Put("persons/"+id, map[string]string{"name": "Kari", "unit": "u1"}))
	require.NoError(t, gw.Put("units/u1", map[string]string{"name": "IT"}))
	require.NoError(t, gw.Put("persons/"+id+"/jobs", map[string]any{"items": []string{"a"}, "next": "jobs/2"}))
	require.NoError(t, gw.Put("persons/"+id+"/jobs/2", map[string]any{"items": []string{"b"}}))
	require.NoError(t, gw.Put("phones/"+id, "555"))
	phone := source.PartOf("phone", source.REST[string]{Gateway: c, Path: "phones/{id}"},
		func(e *employee, phone string) { e.Phone = phone })
	phone.Optional = true
	units := source.REST[employee]{Gateway: c, Path: "units/{id}"}
	return source.Composite[employee]{
		Main: source.REST[employee]{Gateway: c, Path: "persons/{id}"},
		Parts: []source.Part[employee]{
			source.PartOf("jobs", source.RESTCollection[string]{Pages: source.Pages{
				Gateway: c, Path: "persons/{id}/jobs", Items: "items", Paging: source.Paging{NextField: "next"},
			}}, func(e *employee, jobs []string) { e.Jobs = jobs }),
			phone,
			{Name: "unit", Fetch: func(ctx context.Context, req source.Request, e *employee) error {
				req.Key = entity.Key{Type: "units", ID: e.Unit}
				unit, err := units.Fetch(ctx, req)
				e.Unit = unit.Name
				return err
			}},
		},
	}, gw
}

func TestComposite(t *testing.T) {
	whole := employee{Name: "Kari", Unit: "IT", Jobs: []string{"a", "b"}, Phone: "555"}
	path := "persons/" + id
	answer := func(at string, f testkit.Failure) func(*testkit.Gateway) {
		return func(g *testkit.Gateway) {
			g.Fail(func(r testkit.Request) *testkit.Failure {
				if r.Path != at {
					return nil
				}
				return &f
			})
		}
	}
	remove := func(at string) func(*testkit.Gateway) {
		return func(g *testkit.Gateway) { _ = g.Delete(at) }
	}
	for _, tc := range []struct {
		name     string
		prepare  func(*testkit.Gateway)
		want     employee
		class    failure.Class
		text     string
		requests int
	}{
		{"whole", func(*testkit.Gateway) {}, whole, 0, "", 5},
		{"without the optional part", remove("phones/" + id), employee{"Kari", "IT", []string{"a", "b"}, ""}, 0, "", 5},
		{"empty collection", func(g *testkit.Gateway) { _ = g.Put(path+"/jobs", map[string]any{"items": nil}) }, employee{"Kari", "IT", []string{}, "555"}, 0, "", 4},
		{"gone", remove(path), employee{}, failure.Gone, "persons/{id}: 404", 1},
		{"main refused", answer(path, testkit.Failure{Status: 422}), employee{}, failure.Failed, "422", 1},
		{"main down", answer(path, testkit.Failure{Status: 503}), employee{}, failure.Unavailable, "503", 1},
		{"part gone", remove(path + "/jobs"), employee{}, failure.Failed, "jobs: gone, though the entity exists", 2},
		{"part's second page gone", remove(path + "/jobs/2"), employee{}, failure.Failed, "jobs: GET", 3},
		{"part named by the state gone", remove("units/u1"), employee{}, failure.Failed, "unit: gone", 5},
		{"part down", answer(path+"/jobs", testkit.Failure{Status: 502}), employee{}, failure.Unavailable, "jobs: GET", 2},
		{"optional part down", answer("phones/"+id, testkit.Failure{Status: 401}), employee{}, failure.Unavailable, "phone: GET", 4},
		{"part broken", answer(path+"/jobs", testkit.Failure{Truncate: true}), employee{}, failure.Failed, "jobs: GET", 3},
		{"part refused", answer("phones/"+id, testkit.Failure{Status: 400}), employee{}, failure.Failed, "phone: GET", 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, gw := employees(t, testkit.GatewayConfig{})
			tc.prepare(gw)
			got, err := c.Fetch(t.Context(), source.Request{Key: entity.Key{Type: "persons", ID: id}, Fresh: true, ChangedAt: time.Now().Add(time.Hour)})
			require.Equal(t, tc.want, got)
			require.Equal(t, tc.requests, gw.Requests())
			for _, r := range gw.Log() {
				require.True(t, r.Fresh)
				require.Equal(t, gw.Log()[0].TransactionID, r.TransactionID, "one reconcile")
			}
			if tc.text == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.text)
			require.Equal(t, tc.class, failure.Of(err))
			require.NotContains(t, err.Error(), id)
		})
	}
}

func TestCompositeHandsTheRequestOn(t *testing.T) {
	want := source.Request{Key: entity.Key{ID: "1"}, Fresh: true, TransactionID: "tx"}
	var seen []source.Request
	part := source.Func[int](func(_ context.Context, req source.Request) (int, error) {
		seen = append(seen, req)
		return 1, nil
	})
	sum := func(into *int, n int) { *into += n }
	c := source.Composite[int]{Main: part, Parts: []source.Part[int]{source.PartOf("a", part, sum), source.PartOf("b", part, sum)}}
	req := want
	req.ChangedAt = time.Now() // about one of them, nobody knows which
	n, err := c.Fetch(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Equal(t, []source.Request{want, want, want}, seen)
}

func TestCompositeValidate(t *testing.T) {
	main := source.Func[int](func(context.Context, source.Request) (int, error) { return 0, errors.New("no") })
	fetch := func(context.Context, source.Request, *int) error { return nil }
	for text, c := range map[string]interface {
		source.Source[int]
		Validate() error
	}{
		"Main: must be set":           source.Composite[int]{},
		"Main: Gateway: must be set":  source.Composite[int]{Main: source.REST[int]{}},
		"Parts: number 1 has no Name": source.Composite[int]{Main: main, Parts: []source.Part[int]{{Fetch: fetch}}},
		"Parts: x has no Fetch":       source.Composite[int]{Main: main, Parts: []source.Part[int]{{Name: "x"}}},
	} {
		require.ErrorContains(t, c.Validate(), text)
		_, err := c.Fetch(t.Context(), ask(entity.Key{ID: "1"}))
		require.ErrorContains(t, err, text)
		require.Equal(t, failure.Unavailable, failure.Of(err))
	}
}

func TestRESTCollection(t *testing.T) {
	api := &register{people: people(1, 10), size: 3}
	for name, paging := range styles() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, paging)
			type row struct{ ID string }
			c := source.RESTCollection[row]{Pages: w.l.Pages}
			c.Path = "{id}"
			fetch := func() ([]row, error) { return c.Fetch(t.Context(), ask(entity.Key{ID: "persons"})) }
			rows, err := fetch()
			require.NoError(t, err)
			require.Len(t, rows, 10)
			require.Equal(t, "p010", rows[9].ID)
			require.False(t, w.gw.Log()[0].Fresh, "unless asked for")

			w.api.people = nil
			c.Query = map[string][]string{"other": {"1"}} // not in the cache
			rows, err = fetch()
			require.NoError(t, err)
			require.Equal(t, []row{}, rows, "may be empty")

			w.api.people = api.people
			w.api.spoil = func(rw http.ResponseWriter, _ *http.Request, body map[string]any) bool {
				body["meta"] = map[string]any{"total": 11}
				return false
			}
			c.Query = nil
			_, err = fetch()
			require.ErrorIs(t, err, source.ErrIncomplete)

			w.api.spoil = func(rw http.ResponseWriter, r *http.Request, _ map[string]any) bool {
				n := r.URL.RawQuery + "1"
				rw.Header().Set("Link", `<?n=`+n+`>; rel=next`)
				_ = json.NewEncoder(rw).Encode(map[string]any{"data": map[string]any{"items": []any{map[string]any{"id": "p001"}}}, "next": "?n=" + n, "cursor": n})
				return true
			}
			c.Total, c.Query = "", map[string][]string{"third": {"1"}}
			_, err = fetch()
			require.ErrorIs(t, err, source.ErrIncomplete)
			require.ErrorContains(t, err, "nothing that was not listed before")
			require.NotEqual(t, failure.Gone, failure.Of(err))
		})
	}
	require.ErrorContains(t, source.RESTCollection[int]{}.Validate(), "Path: must hold the placeholder {id}")
	require.ErrorContains(t, source.RESTCollection[int]{Pages: source.Pages{Path: "{id}/{x}"}}.Validate(), "Path: {id} and {type}")
	_, err := source.RESTCollection[int]{Pages: source.Pages{Path: "{id}"}}.Fetch(t.Context(), ask(entity.Key{ID: "1"}))
	require.ErrorContains(t, err, "Gateway: must be set")
	require.Equal(t, failure.Unavailable, failure.Of(err))
}
