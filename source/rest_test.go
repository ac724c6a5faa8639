package source_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
)

const (
	base = "https://gw.example.no/iga/v1"
	id   = "31129956715"
)

type Person struct {
	Name  string    `json:"name"`
	Age   int       `json:"age"`
	Start time.Time `json:"start"`
}

var (
	_ source.Source[Person]         = source.REST[Person]{}
	_ interface{ Validate() error } = source.REST[Person]{}
)

// server is an in-memory gateway that answers with one body after the other,
// each with its status, and remembers the requests.
type server struct {
	replies  []reply
	requests []*http.Request
}

type reply struct {
	status int
	body   string
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	a := s.replies[min(len(s.requests), len(s.replies)-1)]
	s.requests = append(s.requests, r)
	rec := httptest.NewRecorder()
	rec.Header().Set("X-Gravitee-Request-Id", "r")
	rec.Header().Set("X-Gravitee-Transaction-Id", r.Header.Get("X-Gravitee-Transaction-Id"))
	rec.WriteHeader(a.status)
	_, _ = rec.WriteString(a.body)
	return rec.Result(), nil
}

func (s *server) client(t testing.TB) *gateway.Client {
	t.Helper()
	c, err := gateway.New(base, gateway.Config{Transport: s, Retries: -1})
	require.NoError(t, err)
	return c
}

func ask(key entity.Key) source.Request { return source.Request{Key: key, TransactionID: "tx-1"} }

func TestRESTValidate(t *testing.T) {
	c := (&server{replies: []reply{{200, "{}"}}}).client(t)
	tests := []struct {
		name string
		rest source.REST[Person]
		text string // of the error, empty: fine
	}{
		{"id", source.REST[Person]{Gateway: c, Path: "persons/{id}"}, ""},
		{"type and id", source.REST[Person]{Gateway: c, Path: "{type}/{id}/details"}, ""},
		{"two in a segment", source.REST[Person]{Gateway: c, Path: "objects/{type}:{id}"}, ""},
		{"slash at the end", source.REST[Person]{Gateway: c, Path: "persons/{id}/"}, ""},
		{"query", source.REST[Person]{Gateway: c, Path: "persons/{id}", Query: url.Values{"expand": {"all"}}}, ""},

		{"zero", source.REST[Person]{}, "Gateway: must be set"},
		{"no path", source.REST[Person]{Gateway: c}, "Path: must hold the placeholder {id}"},
		{"no id", source.REST[Person]{Gateway: c, Path: "persons/{type}"}, "Path: must hold the placeholder {id}"},
		{"unknown placeholder", source.REST[Person]{Gateway: c, Path: "{kind}/{id}"}, "Path: {id} and {type} are the only placeholders"},
		{"half a placeholder", source.REST[Person]{Gateway: c, Path: "persons/{id}}"}, "Path: {id} and {type} are the only placeholders"},
		{"leading slash", source.REST[Person]{Gateway: c, Path: "/persons/{id}"}, "Path: must be relative to the base URL"},
		{"dots", source.REST[Person]{Gateway: c, Path: "../other/{id}"}, `Path: must not hold "." or ".."`},
		{"URL", source.REST[Person]{Gateway: c, Path: "https://evil.example.no/{id}"}, "Path: has an empty segment"},
		{"query in the path", source.REST[Person]{Gateway: c, Path: "persons/{id}?expand=all"}, "Path: must not hold a query or fragment: use Query"},
		{"parameter of the gateway", source.REST[Person]{Gateway: c, Path: "persons/{id}", Query: url.Values{"cache": {"REFRESH"}}}, "Query: the parameter cache"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.rest.Validate()
			_, fetched := tt.rest.Fetch(t.Context(), ask(entity.Key{Type: "persons", ID: "1"}))
			if tt.text == "" {
				require.NoError(t, err)
				require.NoError(t, fetched)
				return
			}
			require.ErrorContains(t, err, tt.text)
			require.EqualError(t, fetched, err.Error())
			require.Equal(t, failure.Unavailable, failure.Of(fetched))
		})
	}
}

func TestRESTPath(t *testing.T) {
	tests := []struct {
		name     string
		template string
		key      entity.Key
		want     string // path below the base
		text     string // of the error
	}{
		{"plain", "persons/{id}", entity.Key{ID: "123"}, "persons/123", ""},
		{"type", "{type}/{id}", entity.Key{Type: "accounts", ID: "1"}, "accounts/1", ""},
		{"type is a segment too", "{type}/{id}", entity.Key{Type: "a/b", ID: "1"}, "a%2Fb/1", ""},
		{"slash", "persons/{id}", entity.Key{ID: "a/b"}, "persons/a%2Fb", ""},
		{"backslash", "persons/{id}", entity.Key{ID: `DOMAIN\user`}, "persons/DOMAIN%5Cuser", ""},
		{"semicolon", "persons/{id}", entity.Key{ID: "a;b"}, "persons/a%3Bb", ""},
		{"plus", "persons/{id}", entity.Key{ID: "a+b"}, "persons/a%2Bb", ""},
		{"query and fragment", "persons/{id}", entity.Key{ID: "a?b#c"}, "persons/a%3Fb%23c", ""},
		{"percent", "persons/{id}", entity.Key{ID: "100%"}, "persons/100%25", ""},
		{"space", "persons/{id}", entity.Key{ID: "a b"}, "persons/a%20b", ""},
		{"letters", "persons/{id}", entity.Key{ID: "åse"}, "persons/%C3%A5se", ""},
		{"mail address", "persons/{id}", entity.Key{ID: "a@b.no"}, "persons/a@b.no", ""},
		{"URL", "persons/{id}", entity.Key{ID: "https://x/1"}, "persons/https:%2F%2Fx%2F1", ""},
		{"a placeholder as id", "{type}/{id}", entity.Key{Type: "{id}", ID: "{type}"}, "%7Bid%7D/%7Btype%7D", ""},

		{"no id", "persons/{id}", entity.Key{Type: "persons"}, "", "ID: must not be empty"},
		{"no type", "{type}/{id}", entity.Key{ID: "1"}, "", "Type: must not be empty, the path needs it"},
		{"line break", "persons/{id}", entity.Key{ID: "1\n"}, "", "ID: must not hold control characters"},
		{"dot", "persons/{id}", entity.Key{ID: "."}, "", `Path: must not hold "." or ".."`},
		{"dots", "persons/{id}", entity.Key{ID: ".."}, "", `Path: must not hold "." or ".."`},
		{"dots as type", "{type}/{id}", entity.Key{Type: "..", ID: "1"}, "", `Path: must not hold "." or ".."`},
		{"dots of two parts", "x/{type}{id}", entity.Key{Type: ".", ID: "."}, "", `Path: must not hold "." or ".."`},
		{"steps up", "persons/{id}", entity.Key{ID: "../../admin"}, "", `Path: must not hold "." or ".."`},
		{"escaped dots", "persons/{id}", entity.Key{ID: "%2e%2e"}, "", `Path: must not hold "." or ".."`},
		{"long when escaped", "{type}/{id}", entity.Key{Type: strings.Repeat("/", 1024), ID: strings.Repeat("/", 1024)}, "", "the gateway takes at most 4096"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &server{replies: []reply{{200, "{}"}}}
			_, err := source.REST[Person]{Gateway: s.client(t), Path: tt.template}.Fetch(t.Context(), ask(tt.key))
			if tt.text == "" {
				require.NoError(t, err)
				require.Len(t, s.requests, 1)
				require.Equal(t, "/iga/v1/"+tt.want, s.requests[0].URL.RequestURI())
				return
			}
			require.ErrorContains(t, err, tt.text)
			require.Equal(t, failure.Rejected, failure.Of(err))
			require.Empty(t, s.requests, "nothing is sent")
		})
	}
}

func TestRESTFetch(t *testing.T) {
	kari := Person{Name: "Kari", Age: 40}
	const full = `{"name":"Kari","age":40}`
	const value = "Nordmann"
	tests := []struct {
		name     string
		replies  []reply
		requests int
		want     failure.Class // with text
		text     string        // of the error, empty: kari
	}{
		{"a state", []reply{{200, full}}, 1, 0, ""},
		{"blanks around", []reply{{200, "\n" + full + " \n"}}, 1, 0, ""},
		{"cut off, then whole", []reply{{200, full[:10]}, {200, full}}, 2, 0, ""},
		{"empty, then whole", []reply{{200, ""}, {200, full}}, 2, 0, ""},
		{"204, then whole", []reply{{204, ""}, {200, full}}, 2, 0, ""},
		{"206, then whole", []reply{{206, full[:5]}, {200, full}}, 2, 0, ""},
		{"304, then whole", []reply{{304, ""}, {200, full}}, 2, 0, ""},
		{"null, then whole", []reply{{200, "null"}, {200, full}}, 2, 0, ""},

		{"cut off", []reply{{200, full[:10]}}, 2, failure.Failed, "200: the body does not decode: it is not JSON, or cut off, at byte 10"},
		{"empty", []reply{{200, ""}}, 2, failure.Failed, "200: the body is empty"},
		{"204", []reply{{204, ""}}, 2, failure.Failed, "204: not a full state"},
		{"null", []reply{{200, " null\n"}}, 2, failure.Failed, "does not decode: it is null"},
		{"HTML", []reply{{200, "<html>" + value}}, 2, failure.Failed, "it is not JSON, or cut off, at byte 1"},
		{"more after it", []reply{{200, full + value}}, 2, failure.Failed, "it is not JSON, or cut off, at byte 25"},
		{"two of them", []reply{{200, full + full}}, 2, failure.Failed, "it is not JSON, or cut off, at byte 25"},
		{"string for a number", []reply{{200, `{"age":"` + value + `"}`}}, 2, failure.Failed, `string in field "age" does not fit a Go int`},
		{"too large a number", []reply{{200, `{"age":31129956715311299567}`}}, 2, failure.Failed, `number in field "age" does not fit a Go int`},
		{"a list", []reply{{200, `["` + value + `"]`}}, 2, failure.Failed, `array in field "" does not fit`},
		{"a bad time", []reply{{200, `{"start":"` + value + `"}`}}, 2, failure.Failed, "does not decode: *time.ParseError"},
		{"cut off, then gone", []reply{{200, full[:10]}, {404, ""}}, 2, failure.Gone, "404: the source has no such entity"},
		{"cut off, then down", []reply{{200, full[:10]}, {502, ""}}, 2, failure.Unavailable, "502"},
		{"gone", []reply{{404, ""}}, 1, failure.Gone, "404"},
		{"refused", []reply{{422, value}}, 1, failure.Failed, "422"},
		{"down", []reply{{500, value}}, 1, failure.Unavailable, "500"},
	}
	for _, tt := range tests {
		for _, fresh := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/fresh=%t", tt.name, fresh), func(t *testing.T) {
				s := &server{replies: tt.replies}
				rest := source.REST[Person]{Gateway: s.client(t), Path: "persons/{id}", Query: url.Values{"expand": {"all"}}}
				got, err := rest.Fetch(t.Context(), source.Request{Key: entity.Key{ID: id}, Fresh: fresh, TransactionID: "tx-1"})
				require.Len(t, s.requests, tt.requests)
				for i, r := range s.requests {
					require.Equal(t, fresh || i > 0, r.Header.Get("X-Gravitee-Cache") == "REFRESH", "request %d", i)
					require.Equal(t, "tx-1", r.Header.Get("X-Gravitee-Transaction-Id"))
					require.Equal(t, "all", r.URL.Query().Get("expand"))
				}
				if tt.text == "" {
					require.NoError(t, err)
					require.Equal(t, kari, got)
					return
				}
				require.ErrorContains(t, err, tt.text)
				require.Equal(t, tt.want, failure.Of(err))
				require.Equal(t, Person{}, got)
				for _, hidden := range []string{id, value, "31129956715311299567", "Kari"} {
					require.NotContains(t, err.Error(), hidden)
				}
			})
		}
	}
}

func TestRESTOneTransaction(t *testing.T) {
	s := &server{replies: []reply{{200, "{"}, {200, "{}"}}}
	_, err := source.REST[Person]{Gateway: s.client(t), Path: "persons/{id}"}.
		Fetch(t.Context(), source.Request{Key: entity.Key{ID: id}})
	require.NoError(t, err)
	require.Len(t, s.requests, 2)
	first := s.requests[0].Header.Get("X-Gravitee-Transaction-Id")
	require.NotEmpty(t, first)
	require.Equal(t, first, s.requests[1].Header.Get("X-Gravitee-Transaction-Id"))
}

func TestRESTDecode(t *testing.T) {
	broken := errors.New("cannot read Kari")
	tests := []struct {
		name     string
		err      error
		requests int
		want     failure.Class
	}{
		{"fine", nil, 1, 0},
		{"unclassified", broken, 2, failure.Failed},
		{"gone", failure.As(failure.Gone, broken), 1, failure.Gone},
		{"rejected", failure.As(failure.Rejected, broken), 1, failure.Rejected},
		{"unavailable", failure.UnavailableFor(time.Minute, broken), 1, failure.Unavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &server{replies: []reply{{200, "name=Kari"}}}
			rest := source.REST[Person]{Gateway: s.client(t), Path: "persons/{id}", Decode: func(body []byte, into *Person) error {
				into.Name = strings.TrimPrefix(string(body), "name=")
				return tt.err
			}}
			got, err := rest.Fetch(t.Context(), ask(entity.Key{ID: id}))
			require.Len(t, s.requests, tt.requests)
			if tt.err == nil {
				require.NoError(t, err)
				require.Equal(t, "Kari", got.Name)
				return
			}
			require.Zero(t, got)
			require.ErrorIs(t, err, broken)
			require.Equal(t, tt.want, failure.Of(err))
			require.Equal(t, failure.RetryAfter(tt.err), failure.RetryAfter(err))
			require.NotContains(t, err.Error(), "Kari")
			require.ErrorContains(t, err, "does not decode: *errors.errorString")
		})
	}
}

func TestRESTContext(t *testing.T) {
	gw, err := gateway.New(base, gateway.Config{Transport: hanging{}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = source.REST[Person]{Gateway: gw, Path: "persons/{id}"}.Fetch(ctx, ask(entity.Key{ID: id}))
	require.ErrorIs(t, err, context.Canceled)
}

type hanging struct{}

func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestFunc(t *testing.T) {
	var s source.Source[Person] = source.Func[Person](func(_ context.Context, req source.Request) (Person, error) {
		return Person{Name: req.Key.ID}, nil
	})
	got, err := s.Fetch(t.Context(), source.Request{Key: entity.Key{ID: "x"}})
	require.NoError(t, err)
	require.Equal(t, "x", got.Name)
}

// FuzzRESTID checks that an id is refused, or arrives at the server as itself,
// one segment below the path, however often anybody unescapes it.
func FuzzRESTID(f *testing.F) {
	for _, seed := range []string{"123", "a/b", "../x", "..", "%2e%2e", "a;b", "a+b c", `\..\x`, "åse", "?a=b#c", "{id}", "..;/x", "a%252F..%252Fb"} {
		f.Add(seed)
	}
	s := &server{replies: []reply{{200, "{}"}}}
	rest := source.REST[Person]{Gateway: s.client(f), Path: "persons/{id}"}
	f.Fuzz(func(t *testing.T, id string) {
		s.requests = nil
		_, err := rest.Fetch(t.Context(), ask(entity.Key{ID: id}))
		if err != nil {
			require.Equal(t, failure.Rejected, failure.Of(err))
			require.Empty(t, s.requests)
			return
		}
		var wire bytes.Buffer
		require.NoError(t, s.requests[0].Write(&wire))
		got, err := http.ReadRequest(bufio.NewReader(&wire))
		require.NoError(t, err)
		require.Equal(t, "gw.example.no", got.Host)
		require.Empty(t, got.URL.RawQuery)
		escaped, ok := strings.CutPrefix(got.RequestURI, "/iga/v1/persons/")
		require.True(t, ok, got.RequestURI)
		require.NotContains(t, escaped, "/")
		back, err := url.PathUnescape(escaped)
		require.NoError(t, err)
		require.Equal(t, id, back)
		for p, next := got.RequestURI, ""; p != next; {
			clean := path.Clean(strings.NewReplacer(`\`, "/", ";", "/").Replace(p))
			require.True(t, strings.HasPrefix(clean+"/", "/iga/v1/persons/"), p)
			next = p
			if u, err := url.PathUnescape(p); err == nil {
				p = u
			}
		}
	})
}

func BenchmarkREST(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"name":"`+strings.Repeat("x", 2000)+`","age":40}`)
	}))
	defer s.Close()
	b.Run("net/http", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, s.URL+"/persons/1", http.NoBody)
			require.NoError(b, err)
			resp, err := s.Client().Do(req)
			require.NoError(b, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(b, err)
			require.NoError(b, resp.Body.Close())
			var p Person
			require.NoError(b, json.Unmarshal(body, &p))
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "fetches/s")
	})
	b.Run("REST", func(b *testing.B) {
		b.ReportAllocs()
		gw, err := gateway.New(s.URL, gateway.Config{})
		require.NoError(b, err)
		defer gw.CloseIdleConnections()
		rest := source.REST[Person]{Gateway: gw, Path: "persons/{id}"}
		for b.Loop() {
			_, err := rest.Fetch(b.Context(), source.Request{Key: entity.Key{ID: "1"}, Fresh: true})
			require.NoError(b, err)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "fetches/s")
	})
}
