package source_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/testkit"
)

// register is an API with a paged listing of people, in every style at once.
type register struct {
	people []string // ids
	size   int      // of a page, whatever was asked for
	spoil  func(w http.ResponseWriter, r *http.Request, body map[string]any) bool
}

func people(from, to int) []string {
	var ids []string
	for i := from; i <= to; i++ {
		ids = append(ids, fmt.Sprintf("p%03d", i))
	}
	return ids
}

func (a *register) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.Trim(r.URL.Path, "/") != "persons" {
		http.Error(w, `{"error":"not found"}`, http.StatusNotFound)
		return
	}
	q := r.URL.Query()
	from, _ := strconv.Atoi(q.Get("offset"))
	if n, err := strconv.Atoi(q.Get("zero")); err == nil {
		from = n * a.size
	}
	if n, err := strconv.Atoi(q.Get("page")); err == nil {
		from = (n - 1) * a.size
	}
	if c := q.Get("cursor"); c != "" {
		from, _ = strconv.Atoi(strings.TrimPrefix(c, "c"))
	}
	ids := a.people
	if since := q.Get("since"); since != "" {
		ids = ids[len(ids)-2:]
	}
	from = max(0, min(from, len(ids)))
	to := min(from+a.size, len(ids))
	items := []map[string]any{}
	for _, id := range ids[from:to] {
		items = append(items, map[string]any{"id": id, "name": "name of " + id})
	}
	body := map[string]any{"data": map[string]any{"items": items}, "meta": map[string]any{"total": len(ids)}, "next": nil}
	if to < len(ids) {
		q.Set("offset", strconv.Itoa(to))
		q.Del("page")
		q.Del("zero")
		next := "https://hr.internal/backend/v7/persons?" + q.Encode()
		body["next"] = next
		body["cursor"] = "c" + strconv.Itoa(to)
		w.Header().Set("Link", `<https://x/first>; rel="first", <?`+q.Encode()+`>; title="a, <b>; \"c"; rel="prev next"`)
	}
	if a.spoil != nil && a.spoil(w, r, body) {
		return
	}
	w.Header().Set("X-Total-Count", strconv.Itoa(len(ids)))
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(text)
}

// world is a gateway with a register, and a lister of it.
type world struct {
	*require.Assertions
	t   *testing.T
	api *register
	gw  *testkit.Gateway
	l   source.RESTLister[Person]
}

func newWorld(t *testing.T, paging source.Paging) *world {
	t.Helper()
	api := &register{people: people(1, 10), size: 3}
	gw, err := testkit.NewGateway(testkit.GatewayConfig{ContextPath: "/iga/v1", Backend: api, CacheTTL: time.Hour})
	require.NoError(t, err)
	c, err := gateway.New(base, gateway.Config{Key: "secret", Transport: gw, Retries: -1})
	require.NoError(t, err)
	return &world{require.New(t), t, api, gw, source.RESTLister[Person]{
		Pages: source.Pages{
			Gateway: c, Path: "persons", Query: url.Values{"active": {"true"}},
			Paging: paging, Items: "data.items", Total: "meta.total",
		},
		Item:  source.Keys[Person]("persons", "id"),
		Since: "since",
	}}
}

type listing struct {
	ids      []string
	pages    []source.Page[Person]
	complete bool
	err      error
}

// list collects a listing, and checks what holds for all.
func (w *world) list(req source.ListRequest) listing {
	w.t.Helper()
	var all listing
	for page, err := range w.l.List(w.t.Context(), req) {
		w.NoError(all.err, "nothing comes after an error")
		w.False(all.complete, "nothing comes after the last page")
		if all.err = err; err != nil {
			w.Zero(page)
			w.NotEqual(failure.Gone, failure.Of(err))
			w.NotContains(err.Error(), "p00")
			continue
		}
		for _, item := range page.Items {
			w.Equal("persons", item.Key.Type)
			all.ids = append(all.ids, item.Key.ID)
		}
		all.complete = page.Complete
		w.False(page.Complete && page.Resume != "")
		all.pages = append(all.pages, page)
	}
	return all
}

func styles() map[string]source.Paging {
	return map[string]source.Paging{
		"Link header":      {LinkHeader: true},
		"next in the body": {NextField: "next"},
		"page from zero":   {PageParam: "zero", PageFromZero: true},
		"page number":      {PageParam: "page"},
		"offset":           {OffsetParam: "offset"},
		"cursor":           {CursorParam: "cursor", CursorField: "cursor"},
	}
}

func eachStyle(t *testing.T, test func(w *world)) {
	t.Helper()
	for name, paging := range styles() {
		t.Run(name, func(t *testing.T) { test(newWorld(t, paging)) })
	}
}

func TestListerListsEverything(t *testing.T) {
	eachStyle(t, func(w *world) {
		for _, n := range []int{1, 2, 3, 4, 9, 10} {
			w.api.people = people(1, n)
			before := w.gw.Requests()
			got := w.list(source.ListRequest{TransactionID: "tx-9"})
			w.NoError(got.err)
			w.Equal(w.api.people, got.ids)
			w.True(got.complete)
			last := got.pages[len(got.pages)-1]
			w.Equal([]int{n, n, 0}, []int{last.Listed, last.Total, last.Skipped})
			for _, r := range w.gw.Log()[before:] {
				w.Equal("persons", r.Path)
				w.Contains(r.Query, "active=true", "or in the link")
				w.True(r.Fresh)
				w.False(r.Cached)
				w.Equal("tx-9", r.TransactionID)
			}
		}
	})
}

func TestListerIsNeverCompleteWhenEmpty(t *testing.T) {
	eachStyle(t, func(w *world) {
		w.api.people = nil
		got := w.list(source.ListRequest{})
		w.NoError(got.err)
		w.Empty(got.ids)
		w.False(got.complete)
	})
}

func TestListerWithoutTotal(t *testing.T) {
	eachStyle(t, func(w *world) {
		w.l.Total = ""
		got := w.list(source.ListRequest{})
		w.NoError(got.err)
		w.Equal(w.api.people, got.ids)
		w.True(got.complete)
		w.Equal(-1, got.pages[0].Total)
		w.Len(slices.Compact(transactions(w.gw)), 1, "one transaction")
	})
}

func transactions(g *testkit.Gateway) []string {
	var all []string
	for _, r := range g.Log() {
		all = append(all, r.TransactionID)
	}
	return all
}

func TestListerResumes(t *testing.T) {
	eachStyle(t, func(w *world) {
		whole := w.list(source.ListRequest{})
		ids := 0
		for _, p := range whole.pages[:len(whole.pages)-1] {
			ids += len(p.Items)
			w.NotEmpty(p.Resume)
			rest := w.list(source.ListRequest{Resume: p.Resume})
			w.NoError(rest.err)
			w.Equal(w.api.people[ids:], rest.ids)
			w.True(rest.complete)
			w.Equal(10, rest.pages[len(rest.pages)-1].Listed)
		}
		resume := whole.pages[0].Resume
		for name, req := range map[string]source.ListRequest{
			"another listing": {Resume: resume, ModifiedSince: time.Unix(1, 0)},
			"nonsense":        {Resume: "x"},
			"no position":     {Resume: resume[:strings.Index(resume, ".")+1]},
			"cut off":         {Resume: resume[:len(resume)-4]},
		} {
			got := w.list(req)
			w.ErrorContains(got.err, "Resume: is not of this listing", name)
			w.Equal(failure.Rejected, failure.Of(got.err))
		}
	})
}

func TestListerNoticesAnEnd(t *testing.T) {
	eachStyle(t, func(w *world) {
		// The source stops early, and its total contradicts it.
		w.api.spoil = func(rw http.ResponseWriter, r *http.Request, body map[string]any) bool {
			if w.gw.Requests() == 2 {
				body["data"] = map[string]any{"items": []any{}}
				body["next"], body["cursor"] = nil, nil
				rw.Header().Del("Link")
			}
			return false
		}
		got := w.list(source.ListRequest{})
		w.ErrorIs(got.err, source.ErrIncomplete)
		w.ErrorContains(got.err, "7 of 10 items are missing")
		w.Equal(failure.Failed, failure.Of(got.err))
		w.False(got.complete)
		w.Equal(people(1, 3), got.ids)
	})
}

func TestListerNoticesASourceThatIgnoresItsParameter(t *testing.T) {
	eachStyle(t, func(w *world) {
		w.l.Total = ""
		w.api.spoil = func(rw http.ResponseWriter, _ *http.Request, body map[string]any) bool {
			body["data"] = map[string]any{"items": []any{map[string]any{"id": "p001"}}}
			body["next"], body["cursor"] = "/iga/v1/persons?offset="+strconv.Itoa(w.gw.Requests()), w.gw.Requests()
			rw.Header().Set("Link", `</iga/v1/persons?offset=`+strconv.Itoa(w.gw.Requests())+`>;rel=next`)
			return false
		}
		got := w.list(source.ListRequest{})
		w.ErrorIs(got.err, source.ErrIncomplete)
		w.ErrorContains(got.err, "nothing that was not listed before")
		w.Equal(2, w.gw.Requests())
	})
}

func TestListerNoticesLoops(t *testing.T) {
	for name, paging := range map[string]source.Paging{"Link header": {LinkHeader: true}, "next": {NextField: "next"}, "cursor": {CursorParam: "cursor", CursorField: "cursor"}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, paging)
			w.api.spoil = func(rw http.ResponseWriter, _ *http.Request, body map[string]any) bool {
				body["data"] = map[string]any{"items": []any{map[string]any{"id": w.gw.Requests()}}}
				body["next"], body["cursor"] = "/iga/v1/persons?offset=1", "same"
				rw.Header().Set("Link", `</iga/v1/persons?offset=1>;rel=next`)
				return false
			}
			got := w.list(source.ListRequest{})
			w.ErrorIs(got.err, source.ErrIncomplete)
			w.ErrorContains(got.err, "was read before")
		})
		t.Run(name+", empty pages", func(t *testing.T) {
			w := newWorld(t, paging)
			w.api.spoil = func(rw http.ResponseWriter, _ *http.Request, body map[string]any) bool {
				n := strconv.Itoa(w.gw.Requests())
				body["data"] = map[string]any{"items": nil}
				body["next"], body["cursor"] = "/iga/v1/persons?offset="+n, n
				rw.Header().Set("Link", `</iga/v1/persons?offset=`+n+`>;rel=next`)
				return false
			}
			got := w.list(source.ListRequest{})
			w.ErrorContains(got.err, "101 pages without items")
		})
	}
}

func TestListerTakesEmptyPagesInBetween(t *testing.T) {
	w := newWorld(t, source.Paging{NextField: "next"})
	w.api.spoil = func(_ http.ResponseWriter, r *http.Request, body map[string]any) bool {
		if !strings.Contains(r.URL.RawQuery, "offset") {
			body["data"], body["next"] = map[string]any{"items": []any{}}, "?offset=0"
		}
		return false
	}
	got := w.list(source.ListRequest{})
	w.NoError(got.err)
	w.Equal(w.api.people, got.ids)
	w.True(got.complete)
}

func TestListerErrors(t *testing.T) {
	fail := func(f testkit.Failure) func(w *world) {
		return func(w *world) {
			w.gw.Fail(func(r testkit.Request) *testkit.Failure {
				if w.gw.Requests() < 2 {
					return nil
				}
				return &f
			})
		}
	}
	body := func(f func(body map[string]any)) func(w *world) {
		return func(w *world) {
			w.api.spoil = func(_ http.ResponseWriter, _ *http.Request, b map[string]any) bool { f(b); return false }
		}
	}
	for _, tc := range []struct {
		name    string
		prepare func(w *world)
		want    failure.Class
		text    string
	}{
		{"API stopped", func(w *world) { w.gw.Stop() }, failure.Unavailable, "no such API"},
		{"no such listing", func(w *world) { w.l.Path = "people" }, failure.Unavailable, "404"},
		{"gone in the middle", fail(testkit.Failure{Status: 404, Body: "{}"}), failure.Unavailable, "404"},
		{"key revoked", func(w *world) { w.gw.SetKey("x") }, failure.Unavailable, "401"},
		{"backend down", func(w *world) { w.gw.SetBackendDown(true) }, failure.Unavailable, "502"},
		{"backend dies", fail(testkit.Failure{Truncate: true}), failure.Failed, "does not decode"},
		{"HTML", fail(testkit.Failure{Status: 200, Body: "<html>p001"}), failure.Failed, "not JSON"},
		{"empty", fail(testkit.Failure{Status: 200}), failure.Failed, "body is empty"},
		{"206", fail(testkit.Failure{Status: 206, Body: "{}"}), failure.Failed, "not a full state"},
		{"null", fail(testkit.Failure{Status: 200, Body: "null"}), failure.Failed, "it is null"},
		{"list instead", fail(testkit.Failure{Status: 200, Body: `["p001"]`}), failure.Failed, "array in field"},
		{"no items", body(func(b map[string]any) { b["data"] = nil }), failure.Failed, `no field "data.items"`},
		{"items is text", body(func(b map[string]any) { b["data"] = map[string]any{"items": "p001"} }), failure.Failed, "the list does not decode"},
		{"data is text", body(func(b map[string]any) { b["data"] = "p001" }), failure.Failed, `no field "data.items"`},
		{"no total", body(func(b map[string]any) { delete(b, "meta") }), failure.Failed, `the total, field "meta.total", is missing`},
		{"bad total", body(func(b map[string]any) { b["meta"] = map[string]any{"total": "p001"} }), failure.Failed, "is missing or not a number"},
		{"negative total", body(func(b map[string]any) { b["meta"] = map[string]any{"total": -1} }), failure.Failed, "is missing or not a number"},
		{"next is an object", body(func(b map[string]any) { b["next"] = map[string]any{"p001": 1} }), failure.Failed, `"next" is neither text nor a number`},
		{"next leads out", body(func(b map[string]any) { b["next"] = "https://gw.example.no/other/p001" }), failure.Failed, "leads out of the API"},
		{"next climbs out", body(func(b map[string]any) { b["next"] = "/iga/v1/persons/..%2f..%2fp001" }), failure.Failed, "is refused"},
		{"next has a parameter of the gateway", body(func(b map[string]any) { b["next"] = "?api-key=p001" }), failure.Failed, "is refused"},
		{"next is no URL", body(func(b map[string]any) { b["next"] = "://p001" }), failure.Failed, "is not a URL"},
		{"no item can be read", body(func(b map[string]any) { b["data"] = map[string]any{"items": []any{map[string]any{"key": "p001"}}} }), failure.Failed, "none of the items can be read"},
		{"modified since, without it", func(w *world) { w.l.Since = "" }, failure.Rejected, "ModifiedSince: the API does not have it"},
		{"invalid", func(w *world) { w.l.Item = nil }, failure.Unavailable, "Item: must be set"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, source.Paging{NextField: "next"})
			tc.prepare(w)
			req := source.ListRequest{}
			if tc.want == failure.Rejected {
				req.ModifiedSince = time.Unix(1, 0)
			}
			got := w.list(req)
			w.ErrorContains(got.err, tc.text)
			w.Equal(tc.want, failure.Of(got.err))
			w.False(got.complete)
		})
	}
}

func TestListerReadsABrokenPageAgain(t *testing.T) {
	w := newWorld(t, source.Paging{OffsetParam: "offset"})
	w.gw.Fail(func(r testkit.Request) *testkit.Failure {
		if w.gw.Requests() == 2 {
			return &testkit.Failure{Truncate: true}
		}
		return nil
	})
	got := w.list(source.ListRequest{})
	w.NoError(got.err)
	w.Equal(w.api.people, got.ids)
	w.True(got.complete)
}

func TestListerItems(t *testing.T) {
	t.Run("whole states", func(t *testing.T) {
		w := newWorld(t, source.Paging{LinkHeader: true})
		w.l.Item = func(raw json.RawMessage) (source.Item[Person], error) {
			type row struct{ ID, Name string }
			r, err := source.States(func(r row) entity.Key { return entity.Key{Type: "persons", ID: r.ID} })(raw)
			if err != nil {
				return source.Item[Person]{}, err
			}
			return source.Item[Person]{Key: r.Key, State: &Person{Name: r.State.Name}}, nil
		}
		got := w.list(source.ListRequest{})
		w.NoError(got.err)
		w.Equal("name of p001", got.pages[0].Items[0].State.Name)
	})
	t.Run("keys", func(t *testing.T) {
		for _, tc := range []struct{ field, raw, id, err string }{
			{"", `"a"`, "a", ""},
			{"", `17`, "17", ""},
			{"id", `{"id":12345678901234567890}`, "12345678901234567890", ""},
			{"person.id", `{"person":{"id":"x"}}`, "x", ""},
			{"id", `"a"`, "", "cannot unmarshal"},
			{"id", `null`, "", "null"},
			{"id", `{"id":{}}`, "", "neither text nor a number"},
			{"id", `{"ID":"x"}`, "", ""},
		} {
			item, err := source.Keys[Person]("persons", tc.field)(json.RawMessage(tc.raw))
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err, tc.raw)
				continue
			}
			require.NoError(t, err, tc.raw)
			require.Equal(t, entity.Key{Type: "persons", ID: tc.id}, item.Key)
			require.Nil(t, item.State)
		}
	})
	t.Run("one that cannot be read", func(t *testing.T) {
		w := newWorld(t, source.Paging{LinkHeader: true})
		w.api.people[4] = ""
		got := w.list(source.ListRequest{})
		w.NoError(got.err)
		w.Len(got.ids, 9)
		w.Equal(1, got.pages[len(got.pages)-1].Skipped)
		w.False(got.complete)
	})
	t.Run("one that comes twice", func(t *testing.T) {
		w := newWorld(t, source.Paging{OffsetParam: "offset"})
		w.api.people[4] = "p001"
		got := w.list(source.ListRequest{})
		w.ErrorIs(got.err, source.ErrIncomplete)
		w.ErrorContains(got.err, "1 of 10 items are missing")
	})
	t.Run("total in the header, list as the body", func(t *testing.T) {
		w := newWorld(t, source.Paging{LinkHeader: true})
		w.api.spoil = func(rw http.ResponseWriter, _ *http.Request, _ map[string]any) bool {
			rw.Header().Set("X-Total-Count", "2")
			rw.Header().Del("Link")
			_, _ = rw.Write([]byte(`["p001"]`))
			return true
		}
		w.l.Items, w.l.Total, w.l.TotalHeader, w.l.Item = "", "", "X-Total-Count", source.Keys[Person]("persons", "")
		got := w.list(source.ListRequest{})
		w.ErrorContains(got.err, "1 of 2 items are missing")
		w.Equal(people(1, 1), got.ids)
	})
}

func TestListerModifiedSince(t *testing.T) {
	eachStyle(t, func(w *world) {
		since := time.Date(2026, 11, 1, 13, 0, 0, 0, time.FixedZone("", 3600))
		got := w.list(source.ListRequest{ModifiedSince: since})
		w.NoError(got.err)
		w.Equal(people(9, 10), got.ids)
		w.False(got.complete, "it is not everything")
		w.Contains(w.gw.Log()[0].Query, "since=2026-11-01T12%3A00%3A00Z")
		w.l.SinceLayout = time.DateOnly
		w.list(source.ListRequest{ModifiedSince: since})
		log := w.gw.Log()
		w.Contains(log[len(log)-1].Query, "since=2026-11-01")
	})
}

func TestListerStops(t *testing.T) {
	w := newWorld(t, source.Paging{OffsetParam: "offset"})
	for _, err := range w.l.List(t.Context(), source.ListRequest{}) {
		w.NoError(err)
		break
	}
	w.Equal(1, w.gw.Requests(), "when nobody wants more")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range w.l.List(ctx, source.ListRequest{}) {
		cancel()
		last = err
	}
	w.ErrorIs(last, context.Canceled)
	answered := slices.DeleteFunc(w.gw.Log(), func(r testkit.Request) bool { return r.Status == 0 })
	w.Len(answered, 2)
}

func TestListerValidate(t *testing.T) {
	for text, change := range map[string]func(l *source.RESTLister[Person]){
		"Gateway: must be set":             func(l *source.RESTLister[Person]) { l.Gateway = nil },
		"Path: must not be empty":          func(l *source.RESTLister[Person]) { l.Path = "" },
		"Path: must not hold a query":      func(l *source.RESTLister[Person]) { l.Path = "persons?x=1" },
		"Query: the parameter cache":       func(l *source.RESTLister[Person]) { l.Query = url.Values{"cache": {"x"}} },
		"Total: only one of":               func(l *source.RESTLister[Person]) { l.TotalHeader = "X" },
		"Total: a body that is the list":   func(l *source.RESTLister[Person]) { l.Items = "" },
		"Paging: a body that is the list":  func(l *source.RESTLister[Person]) { l.Items, l.Total = "", "" },
		"Paging: only one style":           func(l *source.RESTLister[Person]) { l.Paging.LinkHeader = true },
		"Paging: CursorParam and":          func(l *source.RESTLister[Person]) { l.Paging = source.Paging{CursorField: "x"} },
		"Paging: PageFromZero goes":        func(l *source.RESTLister[Person]) { l.Paging.PageFromZero = true },
		"Item: must be set: use States or": func(l *source.RESTLister[Person]) { l.Item = nil },
	} {
		w := newWorld(t, source.Paging{NextField: "next"})
		w.NoError(w.l.Validate())
		change(&w.l)
		w.ErrorContains(w.l.Validate(), text)
	}
}

// TestListerOverChanges lists a register that changes meanwhile: whoever was
// there all the time is listed, or the listing does not say that it is complete.
func TestListerOverChanges(t *testing.T) {
	for _, name := range []string{"next in the body", "page number", "offset"} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				w := newWorld(t, styles()[name])
				deletes := rapid.Bool().Draw(rt, "deletes") // or adds; both at once can hide each other
				always := slices.Clone(w.api.people)
				for page, err := range w.l.List(t.Context(), source.ListRequest{}) {
					if err != nil {
						if !errors.Is(err, source.ErrIncomplete) {
							rt.Fatalf("unexpected: %v", err)
						}
						return
					}
					for _, item := range page.Items {
						always = slices.DeleteFunc(always, func(id string) bool { return id == item.Key.ID })
					}
					if page.Complete && len(always) > 0 {
						rt.Fatalf("complete without %v", always)
					}
					if !rapid.Bool().Draw(rt, "change") {
						continue
					}
					i := rapid.IntRange(0, len(w.api.people)-1).Draw(rt, "at")
					if deletes {
						id := w.api.people[i]
						w.api.people = slices.Delete(slices.Clone(w.api.people), i, i+1)
						always = slices.DeleteFunc(always, func(x string) bool { return x == id })
					} else {
						w.api.people = slices.Insert(slices.Clone(w.api.people), i, fmt.Sprintf("new%d-%d", page.Listed, i))
					}
				}
			})
		})
	}
}

func TestListerFunc(t *testing.T) {
	var l source.Lister[Person] = source.ListerFunc[Person](func(context.Context, source.ListRequest) iter.Seq2[source.Page[Person], error] {
		return func(yield func(source.Page[Person], error) bool) { yield(source.Page[Person]{Complete: true}, nil) }
	})
	for page, err := range l.List(t.Context(), source.ListRequest{}) {
		require.NoError(t, err)
		require.True(t, page.Complete)
	}
}

// FuzzLink checks that no link leads out of the API, whatever it is.
func FuzzLink(f *testing.F) {
	for _, seed := range []string{"?page=2", "/iga/v1/persons?offset=3", "https://evil.test/iga/v1/persons", "//evil.test/persons", "../../x", "/iga/v1/%2e%2e/x", "persons;x?a;b", `<x>; rel="next`, "/backend/persons#f", "?cache=BY_PASS", "0.."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, link string) {
		for _, paging := range []source.Paging{{NextField: "next"}, {LinkHeader: true}} {
			w := newWorld(t, paging)
			w.api.spoil = func(rw http.ResponseWriter, _ *http.Request, body map[string]any) bool {
				body["next"] = link
				rw.Header()["Link"] = []string{link, `<` + link + `>; rel=next`}
				return w.gw.Requests() > 3
			}
			for _, err := range w.l.List(t.Context(), source.ListRequest{}) {
				if err != nil {
					break
				}
			}
			for _, r := range w.gw.Log() {
				w.False(strings.HasPrefix(r.Path, "/") || slices.Contains(strings.Split(r.Path, "/"), ".."), r.Path)
				w.NotContains(r.Query, "cache")
			}
		}
	})
}
