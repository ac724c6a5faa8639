package rest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/rest"
)

// script is a transport that answers from a list, and notes the requests.
type script struct {
	answers  []answer
	requests []string // method, URL, the headers that matter, body
}

type answer struct {
	status int
	header string // "Name: value"
	body   string
	err    error
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	line := r.Method + " " + r.URL.String()
	for _, name := range []string{"If-Match", "If-None-Match", "Content-Type", "Idempotency-Key"} {
		if v := r.Header.Get(name); v != "" {
			line += " " + name + ": " + v
		}
	}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if len(body) > 0 {
			line += " " + string(body)
		}
	}
	s.requests = append(s.requests, line)
	if len(s.answers) == 0 {
		return nil, errors.New("no answer left")
	}
	a := s.answers[0]
	s.answers = s.answers[1:]
	if a.err != nil {
		return nil, a.err
	}
	rec := httptest.NewRecorder()
	if name, value, ok := strings.Cut(a.header, ": "); ok {
		rec.Header().Set(name, value)
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	rec.WriteHeader(a.status)
	_, _ = rec.WriteString(a.body)
	resp := rec.Result()
	resp.Request = r
	return resp, nil
}

type doc = map[string]any

const base = "https://api.example.org/v1"

var key = entity.Key{Type: "persons", ID: "secret-1"}

// start returns a sink on a script.
func start(t *testing.T, cfg rest.Config, answers ...answer) (sink.Sink[doc], *script) {
	t.Helper()
	s := &script{answers: answers}
	target, err := rest.New[doc](&http.Client{Transport: s}, base, cfg)
	require.NoError(t, err)
	ensured, err := sink.Ensure[doc](target, sink.EnsureConfig[doc]{})
	require.NoError(t, err)
	return ensured, s
}

var bySearch = rest.Config{Item: "users/{id}", Search: "users?sis={key}", Match: "sis"}

func with(cfg rest.Config, f func(*rest.Config)) rest.Config {
	f(&cfg)
	return cfg
}

func TestRequests(t *testing.T) {
	none := answer{status: 404, body: `{}`}
	for _, tc := range []struct {
		name    string
		cfg     rest.Config
		answers []answer
		want    doc // nil: remove
		op      sink.Op
		sent    []string
	}{
		{
			name: "the zero Config creates", answers: []answer{none, {status: 201}}, want: doc{"a": 1, "b": nil}, op: sink.Created,
			sent: []string{"GET /secret-1", `POST  Content-Type: application/json {"a":1,"b":null,"id":"secret-1"}`},
		},
		{
			name: "the zero Config updates", answers: []answer{{body: `{"id":"secret-1","a":1,"own":2}`}, {}}, want: doc{"a": 2}, op: sink.Updated,
			sent: []string{"GET /secret-1", `PATCH /secret-1 Content-Type: application/merge-patch+json {"a":2}`},
		},
		{
			name: "the zero Config removes", answers: []answer{{body: `{"id":"secret-1"}`}, {status: 204}}, op: sink.Removed,
			sent: []string{"GET /secret-1", "DELETE /secret-1"},
		},
		{
			name: "put", cfg: rest.Config{Item: "users/{key}", Create: rest.PutNew}, answers: []answer{none, {status: 201}}, want: doc{"a": 1}, op: sink.Created,
			sent: []string{"GET /users/secret-1", `PUT /users/secret-1 If-None-Match: * Content-Type: application/json {"a":1}`},
		},
		{
			name: "somebody put it before", cfg: rest.Config{Item: "users/{key}", Create: rest.PutNew},
			answers: []answer{none, {status: 412}, {body: `{"a":1}`}}, want: doc{"a": 1}, op: sink.Unchanged,
			sent: []string{"GET /users/secret-1", `PUT /users/secret-1 If-None-Match: * Content-Type: application/json {"a":1}`, "GET /users/secret-1"},
		},
		{
			name: "ETag", cfg: rest.Config{ContentType: "application/json"},
			answers: []answer{{header: `ETag: "x"`, body: `{"id":"secret-1","a":1}`}, {status: 412}, {header: `ETag: "y"`, body: `{"id":"secret-1","a":3}`}, {}},
			want:    doc{"a": 2}, op: sink.Updated,
			sent: []string{
				"GET /secret-1", `PATCH /secret-1 If-Match: "x" Content-Type: application/json {"a":2}`,
				"GET /secret-1", `PATCH /secret-1 If-Match: "y" Content-Type: application/json {"a":2}`,
			},
		},
		{
			name: "ETag of what is removed", answers: []answer{{header: `ETag: "x"`, body: `{"id":"secret-1"}`}, {status: 404, body: `{}`}}, op: sink.Unchanged,
			sent: []string{"GET /secret-1", `DELETE /secret-1 If-Match: "x"`},
		},
		{
			name: "a weak ETag never matches", answers: []answer{{header: `ETag: W/"x"`, body: `{"id":"secret-1","a":1}`}, {}}, want: doc{"a": 2}, op: sink.Updated,
			sent: []string{"GET /secret-1", `PATCH /secret-1 Content-Type: application/merge-patch+json {"a":2}`},
		},
		{
			name: "a whole put leaves what is not ours", cfg: rest.Config{Update: rest.PutWhole, ReadOnly: []string{"id", "meta.at"}},
			answers: []answer{{body: `{"id":"secret-1","o":{"own":1,"a":1},"meta":{"at":1,"by":2}}`}, {}}, want: doc{"o": doc{"a": 2}}, op: sink.Updated,
			sent: []string{"GET /secret-1", `PUT /secret-1 If-Match: * Content-Type: application/json {"meta":{"by":2},"o":{"a":2,"own":1}}`},
		},
		{
			name: "a version", cfg: rest.Config{Version: "meta.version"},
			answers: []answer{{body: `{"id":"secret-1","meta":{"version":7},"a":1}`}, {status: 409}, {body: `{"id":"secret-1","meta":{"version":8},"a":1}`}, {}},
			want:    doc{"a": 2}, op: sink.Updated,
			sent: []string{
				"GET /secret-1", `PATCH /secret-1 Content-Type: application/merge-patch+json {"a":2,"meta":{"version":7}}`,
				"GET /secret-1", `PATCH /secret-1 Content-Type: application/merge-patch+json {"a":2,"meta":{"version":8}}`,
			},
		},
		{
			name: "search", cfg: with(bySearch, func(c *rest.Config) { c.Wrap, c.Update = "user", rest.PutChanges }),
			answers: []answer{{body: `[{"id":12,"sis":"secret-1","a":1}]`}, {}}, want: doc{"a": 2}, op: sink.Updated,
			sent: []string{"GET /users?sis=secret-1", `PUT /users/12 Content-Type: application/json {"user":{"a":2}}`},
		},
		{
			name: "nobody is found", cfg: bySearch, answers: []answer{{body: `[]`}, {status: 201}}, want: doc{"a": 1}, op: sink.Created,
			sent: []string{"GET /users?sis=secret-1", `POST /users Content-Type: application/json {"a":1,"sis":"secret-1"}`},
		},
		{
			name: "a search that hands out everybody", cfg: bySearch,
			answers: []answer{{body: `[{"id":1,"sis":"secret-10"},{"id":2,"sis":"SECRET-1"},{"id":3,"sis":null},{"id":4}]`}, {status: 201}}, want: doc{"a": 1}, op: sink.Created,
			sent: []string{"GET /users?sis=secret-1", `POST /users Content-Type: application/json {"a":1,"sis":"secret-1"}`},
		},
		{
			name: "on the second page", cfg: with(bySearch, func(c *rest.Config) { c.List = "data.items" }),
			answers: []answer{
				{header: `Link: <?page=2>; rel="next"`, body: `{"data":{"items":[{"id":1,"sis":"x"}]}}`},
				{body: `{"data":{"items":[{"id":"b/c","sis":"secret-1"}]}}`}, {status: 204},
			},
			op:   sink.Removed,
			sent: []string{"GET /users?sis=secret-1", "GET /users?page=2", "DELETE /users/b%2Fc"},
		},
		{
			name: "a single object", cfg: with(bySearch, func(c *rest.Config) { c.Search = "lookup?key={key}" }),
			answers: []answer{{body: `{"id":1,"sis":"secret-1","a":1}`}}, want: doc{"a": 1}, op: sink.Unchanged,
			sent: []string{"GET /lookup?key=secret-1"},
		},
		{
			name: "a summary is read", cfg: with(bySearch, func(c *rest.Config) { c.Summary, c.Unwrap = true, "user" }),
			answers: []answer{{body: `[{"id":1,"sis":"secret-1"}]`}, {header: `ETag: "x"`, body: `{"user":{"id":1,"sis":"secret-1","a":1}}`}, {}}, want: doc{"a": 2}, op: sink.Updated,
			sent: []string{"GET /users?sis=secret-1", "GET /users/1", `PATCH /users/1 If-Match: "x" Content-Type: application/merge-patch+json {"a":2}`},
		},
		{
			name: "a query of its own", cfg: with(bySearch, func(c *rest.Config) {
				c.Search = `users?filter=sis eq "{key}"&include[]=a&x`
				c.Quote = strings.ToUpper
			}),
			answers: []answer{{body: `[{"id":1,"sis":"secret-1"}]`}}, want: doc{}, op: sink.Unchanged,
			sent: []string{"GET /users?filter=sis+eq+%22SECRET-1%22&include%5B%5D=a&x="},
		},
		{
			name: "what is deleted is not there", cfg: with(bySearch, func(c *rest.Config) { c.Deleted = func(d map[string]any) bool { return d["state"] == "deleted" } }),
			answers: []answer{{body: `[{"id":1,"sis":"secret-1","state":"deleted"}]`}}, op: sink.Unchanged,
			sent: []string{"GET /users?sis=secret-1"},
		},
		{
			name: "a body of its own", cfg: with(bySearch, func(c *rest.Config) {
				c.Body = func(w rest.Write) (map[string]any, error) {
					if !w.Create {
						return w.Doc, nil
					}
					delete(w.Doc, "sis")
					return map[string]any{"user": w.Doc, "login": map[string]any{"sis": w.Key.ID}}, nil
				}
			}),
			answers: []answer{{body: `[]`}, {status: 201}}, want: doc{"a": 1}, op: sink.Created,
			sent: []string{"GET /users?sis=secret-1", `POST /users Content-Type: application/json {"login":{"sis":"secret-1"},"user":{"a":1}}`},
		},
		{
			name: "an idempotency key", cfg: rest.Config{IdempotencyKey: "Idempotency-Key"}, answers: []answer{none, {status: 201}}, want: doc{"a": 1}, op: sink.Created,
			sent: []string{"GET /secret-1", `POST  Content-Type: application/json Idempotency-Key: 086fa82af1e272e9c5a4c3038e5d389a {"a":1,"id":"secret-1"}`},
		},
		{
			name: "sets", cfg: rest.Config{Sets: map[string]string{"o.roles": "", "mails": "value"}},
			answers: []answer{{body: `{"id":"secret-1","o":{"roles":["a","b"]},"mails":[{"value":"x","own":1},{"value":"y"}]}`}},
			want:    doc{"o": doc{"roles": []string{"b", "a"}}, "mails": []doc{{"value": "y"}, {"value": "x"}}}, op: sink.Unchanged,
			sent: []string{"GET /secret-1"},
		},
		{
			name: "a search whose 404 is a proof", cfg: with(bySearch, func(c *rest.Config) { c.Gone = func(rest.Answer) error { return nil } }),
			answers: []answer{{status: 404}}, op: sink.Unchanged, sent: []string{"GET /users?sis=secret-1"},
		},
		{
			name: "an answer judged otherwise", cfg: rest.Config{Judge: func(a rest.Answer) error {
				if a.Method == http.MethodPost && a.Status == 400 && strings.Contains(string(a.Body), "in use") {
					return sink.ErrExists
				}
				return nil
			}},
			answers: []answer{none, {status: 400, body: "in use"}, {body: `{"id":"secret-1","a":1}`}}, want: doc{"a": 1}, op: sink.Unchanged,
			sent: []string{"GET /secret-1", `POST  Content-Type: application/json {"a":1,"id":"secret-1"}`, "GET /secret-1"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, script := start(t, tc.cfg, tc.answers...)
			var change sink.Change
			var err error
			if tc.want == nil {
				change, err = s.Remove(t.Context(), key)
			} else {
				change, err = s.Apply(t.Context(), key, tc.want)
			}
			require.NoError(t, err)
			require.Equal(t, tc.op, change.Op)
			for i, r := range script.requests {
				script.requests[i] = strings.Replace(r, base, "", 1)
			}
			require.Equal(t, tc.sent, script.requests)
			require.Empty(t, script.answers)
		})
	}
}

func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		name   string
		cfg    rest.Config
		answer answer
		class  failure.Class
		text   string
	}{
		{"404 without a body", rest.Config{}, answer{status: 404}, failure.Unavailable, "404: no proof that the target has none: its body is not a JSON object"},
		{"404 in HTML", rest.Config{}, answer{status: 404, body: "<html>"}, failure.Unavailable, "its body is not a JSON object"},
		{"404 of Kong", rest.Config{}, answer{status: 404, body: `{"message":"no Route matched with those values"}`}, failure.Unavailable, `a gateway says "no Route matched with those values"`},
		{"404 of a proof", rest.Config{Gone: func(rest.Answer) error { return errors.New("no header") }}, answer{status: 404, body: "{}"}, failure.Unavailable, "none: no header"},
		{"404 to a search", bySearch, answer{status: 404, body: "{}"}, failure.Unavailable, "404: no answer to a search: check Search, or set Gone"},
		{"400", rest.Config{}, answer{status: 400}, failure.Rejected, "400: refused for this entity"},
		{"401", rest.Config{}, answer{status: 401}, failure.Unavailable, "401: the credentials are not accepted"},
		{"403", rest.Config{}, answer{status: 403}, failure.Unavailable, "403: not allowed"},
		{"405", rest.Config{}, answer{status: 405}, failure.Unavailable, "405: the method is not allowed"},
		{"409", rest.Config{}, answer{status: 409}, failure.Failed, "409: it clashes"},
		{"415", rest.Config{}, answer{status: 415}, failure.Unavailable, "check ContentType"},
		{"428", rest.Config{}, answer{status: 428}, failure.Unavailable, "a precondition is wanted"},
		{"429", rest.Config{}, answer{status: 429, header: "Retry-After: 30"}, failure.Unavailable, "429: over the limit"},
		{"500", rest.Config{}, answer{status: 500, body: "secret-1"}, failure.Unavailable, "500: the target or something before it fails"},
		{"503", rest.Config{}, answer{status: 503, header: "Retry-After: 30"}, failure.Unavailable, "503"},
		{"202", rest.Config{}, answer{status: 202}, failure.Failed, "202: not done yet"},
		{"206", rest.Config{}, answer{status: 206, body: `{"a":1}`}, failure.Failed, "206"},
		{"302", rest.Config{}, answer{status: 302, header: "Location: https://evil.example.org/secret-1"}, failure.Unavailable, "redirects are not followed"},
		{"308 on the same host", rest.Config{}, answer{status: 308, header: "Location: /v2"}, failure.Unavailable, "redirects are not followed"},
		{"an empty 200", rest.Config{}, answer{}, failure.Failed, "200: the answer is not JSON, or not whole"},
		{"a login page", rest.Config{}, answer{header: "Content-Type: text/html; charset=utf-8", body: "<html>"}, failure.Unavailable, "a page of HTML"},
		{"half of an object", rest.Config{}, answer{body: `{"a":"secret-1`}, failure.Failed, "not JSON, or not whole"},
		{"an array for an entity", rest.Config{}, answer{body: `[]`}, failure.Failed, "the answer is no object"},
		{"not unwrapped", rest.Config{Unwrap: "user"}, answer{body: `{"id":"secret-1"}`}, failure.Failed, "not where Unwrap says"},
		{"another entity", rest.Config{}, answer{body: `{"id":"secret-10"}`}, failure.Failed, "the answer is of another entity: it has not the key in member id"},
		{"too large", rest.Config{MaxBody: 4}, answer{body: `{"id":"secret-1"}`}, failure.Failed, "larger than Config.MaxBody"},
		{"no answer", rest.Config{}, answer{err: errors.New("secret-1")}, failure.Unavailable, "no answer: *errors.errorString"},
		{"no token", rest.Config{}, answer{err: failure.UnavailableFor(30*time.Second, errors.New("secret-1"))}, failure.Unavailable, "no answer"},
		{"judged otherwise", rest.Config{Judge: func(rest.Answer) error { return failure.UnavailableFor(30*time.Second, errors.New("over quota")) }}, answer{status: 403}, failure.Unavailable, "403: over quota"},
		{"two match", bySearch, answer{body: `[{"id":1,"sis":"secret-1"},{"id":2,"sis":"secret-1"}]`}, failure.Failed, "it is ambiguous"},
		{"a match without id", bySearch, answer{body: `[{"sis":"secret-1"}]`}, failure.Failed, "the answer has no id in member id"},
		{"no member to compare", bySearch, answer{body: `[{"id":1},{"id":2}]`}, failure.Unavailable, "nothing in the answer has a member sis: check Match"},
		{"an object without it", bySearch, answer{body: `{"items":[]}`}, failure.Unavailable, "check Match"},
		{"no list", with(bySearch, func(c *rest.Config) { c.List = "items" }), answer{body: `{"users":[]}`}, failure.Unavailable, "the answer has no member items: check List"},
		{"a list of ids", bySearch, answer{body: `[1,2]`}, failure.Unavailable, "holds what is no object"},
		{"a string", bySearch, answer{body: `"none"`}, failure.Unavailable, "neither an array nor an object"},
		{"a page on another host", bySearch, answer{header: `Link: <https://evil.example.org/users>; rel=next`, body: `[]`}, failure.Unavailable, "another host, and is not followed"},
		{"a page with a password", bySearch, answer{header: `Link: <https://u:p@api.example.org/users>; rel=next`, body: `[]`}, failure.Unavailable, "is not followed"},
		{"a page without TLS", bySearch, answer{header: `Link: <http://api.example.org/users>; rel=next`, body: `[]`}, failure.Unavailable, "is not followed"},
		{"more pages than are read", with(bySearch, func(c *rest.Config) { c.Pages = 1 }), answer{header: `Link: <?page=2>; rel=next`, body: `[]`}, failure.Failed, "and there are more"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// A read is enough: there is no second answer that a create could have.
			s, script := start(t, tc.cfg, tc.answer)
			for _, call := range []func() error{
				func() error { _, err := s.Apply(t.Context(), key, doc{"a": 1}); return err },
				func() error {
					script.answers = []answer{tc.answer}
					_, err := s.Remove(t.Context(), key)
					return err
				},
			} {
				err := call()
				require.ErrorContains(t, err, tc.text)
				require.Equal(t, tc.class, failure.Of(err), "%v", err)
				require.NotContains(t, fmt.Sprintf("%+v", err), key.ID)
				require.NotContains(t, err.Error(), "evil")
				if strings.Contains(tc.answer.header, "Retry-After") || tc.name == "no token" || tc.name == "judged otherwise" {
					require.Equal(t, 30*time.Second, failure.RetryAfter(err))
				}
				var e *rest.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, "GET", e.Method)
			}
			require.Len(t, script.requests, 2, "one read each, and no write")
		})
	}
}

func TestAnswersToWrites(t *testing.T) {
	for _, tc := range []struct {
		name   string
		have   answer
		answer answer
		class  failure.Class
		text   string
	}{
		{
			"what is refused is named", answer{body: `{"id":"secret-1"}`},
			answer{status: 422, body: `{"errors":{"mail":["nobody@example.org is taken"]},"fields":["city","other"]}`},
			failure.Rejected, "rest: PATCH https://api.example.org/v1/{key}: 422: refused for this entity: city, mail",
		},
		{"a clash", answer{body: `{"id":"secret-1"}`}, answer{status: 409, body: `{"attribute":"mail"}`}, failure.Failed, "409: it clashes with another entity, or with its own state: mail"},
		{"no collection", answer{status: 404, body: `{}`}, answer{status: 404, body: `{}`}, failure.Unavailable, "404: there is no such API"},
		{"not yet", answer{status: 404, body: `{}`}, answer{status: 202}, failure.Failed, "not done yet"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _ := start(t, rest.Config{}, tc.have, tc.answer)
			_, err := s.Apply(t.Context(), key, doc{"mail": "nobody@example.org", "address": doc{"city": "x"}})
			require.ErrorContains(t, err, tc.text)
			require.NotContains(t, err.Error(), "nobody")
			require.Equal(t, tc.class, failure.Of(err))
		})
	}
}

func TestWhatIsNeverSent(t *testing.T) {
	for _, id := range []string{".", "..", "../x", `..\x`, "%2e%2e%2f", "a/..;/b", "%252e%252e"} {
		s, script := start(t, rest.Config{Item: "users/{key}"})
		_, err := s.Apply(t.Context(), entity.Key{ID: id}, doc{"a": 1})
		require.Equal(t, failure.Rejected, failure.Of(err), "%q: %v", id, err)
		require.NotContains(t, err.Error(), id+"x")
		require.Empty(t, script.requests, "%q", id)
	}
	s, script := start(t, rest.Config{})
	_, err := s.Apply(t.Context(), key, doc{"id": "another"})
	require.ErrorContains(t, err, "Match: the mapping gives member id another value than the key")
	require.Equal(t, failure.Rejected, failure.Of(err))
	_, err = s.Apply(t.Context(), key, doc{"a": make(chan int)})
	require.Equal(t, failure.Rejected, failure.Of(err))
	require.Empty(t, script.requests)

	s, script = start(t, rest.Config{NoDelete: true}, answer{body: `{"id":"secret-1"}`})
	_, err = s.Remove(t.Context(), key)
	require.ErrorContains(t, err, "NoDelete")
	require.Len(t, script.requests, 1)
}

// TestIDsInURLs has what stands in a path or a query for an ID, and what the
// other end makes of it.
func TestIDsInURLs(t *testing.T) {
	for _, id := range []string{"a/b", "a?b=c&d", "#x", "a b", "a+b", ";x", "%", "å", `*)(uid=*`, "'; DROP TABLE users; --", "{id}", "{key}", "a&sis=b"} {
		s, script := start(t, rest.Config{Item: "users/{key}"}, answer{status: 404, body: `{}`})
		_, err := s.Remove(t.Context(), entity.Key{ID: id})
		require.NoError(t, err)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.TrimPrefix(script.requests[0], "GET "), http.NoBody)
		require.NoError(t, err)
		require.Equal(t, "/v1/users/"+id, r.URL.Path)
		require.Equal(t, 3, strings.Count(r.URL.EscapedPath(), "/"))
		require.Empty(t, r.URL.RawQuery)

		s, script = start(t, bySearch, answer{body: `[]`})
		_, err = s.Remove(t.Context(), entity.Key{ID: id})
		require.NoError(t, err)
		r, err = http.NewRequestWithContext(t.Context(), http.MethodGet, strings.TrimPrefix(script.requests[0], "GET "), http.NoBody)
		require.NoError(t, err)
		require.Equal(t, map[string][]string{"sis": {id}}, map[string][]string(r.URL.Query()))
	}
}

// slow never answers.
type slow struct{}

func (slow) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, err := rest.New[doc](&http.Client{Transport: slow{}}, base, rest.Config{})
		require.NoError(t, err)
		began := time.Now()
		_, _, err = target.Get(t.Context(), key)
		require.ErrorContains(t, err, "no answer: it took too long")
		require.Equal(t, failure.Unavailable, failure.Of(err))
		require.Equal(t, 30*time.Second, time.Since(began))

		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, _, err = target.Get(ctx, key)
		require.ErrorContains(t, err, "it was cancelled")
		require.Equal(t, failure.Unavailable, failure.Of(err))
	})
}
