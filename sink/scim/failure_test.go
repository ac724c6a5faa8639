package scim_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/scim"
)

// scimError is the body of an error.
func scimError(kind string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"scimType":"` + kind + `","detail":"secret"}`
}

const (
	html  = "<html>secret</html>"
	empty = `{"totalResults":0}`
)

// answers makes the fake answer all requests of a method to a path that begins
// as given.
func (f *fake) answers(method, path string, status int, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != method || !strings.HasPrefix(r.URL.Path, "/scim/v2/"+path) || plain(r) {
			return false
		}
		w.Header().Set("Retry-After", "7")
		w.Header().Set("Location", "/scim/v2/elsewhere")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	}
}

func TestFailures(t *testing.T) {
	const read, create, update, remove = "read", "create", "update", "remove"
	all := []string{read, create, update, remove}
	for _, tt := range []struct {
		name   string
		in     []string
		status int
		body   string
		class  failure.Class
		is     error
		after  time.Duration
	}{
		{name: "credentials", in: all, status: 401, body: scimError(""), class: failure.Unavailable, after: 7 * time.Second},
		{name: "rights", in: all, status: 403, body: scimError("sensitive"), class: failure.Unavailable, after: 7 * time.Second},
		{name: "method", in: []string{read, create, remove}, status: 405, class: failure.Unavailable, after: 7 * time.Second},
		{name: "media type", in: all, status: 415, class: failure.Unavailable, after: 7 * time.Second},
		{name: "limit", in: all, status: 429, class: failure.Unavailable, after: 7 * time.Second},
		{name: "fault", in: all, status: 500, body: scimError(""), class: failure.Unavailable, after: 7 * time.Second},
		{name: "gateway", in: all, status: 502, body: html, class: failure.Unavailable, after: 7 * time.Second},
		{name: "overload", in: all, status: 503, class: failure.Unavailable, after: 7 * time.Second},
		{name: "moved", in: all, status: 301, class: failure.Unavailable},
		{name: "moved for good", in: all, status: 308, class: failure.Unavailable},
		{name: "no endpoint", in: all, status: 404, body: html, class: failure.Unavailable},
		{name: "no endpoint, says SCIM", in: []string{read, create}, status: 404, body: scimError(""), class: failure.Unavailable},
		{name: "gone, says SCIM", in: []string{read, create}, status: 410, body: scimError(""), class: failure.Unavailable},
		{name: "not there any more", in: []string{update, remove}, status: 404, body: scimError(""), is: sink.ErrNotFound},
		{name: "gone", in: []string{update, remove}, status: 410, body: scimError(""), is: sink.ErrNotFound},
		{name: "version", in: []string{update, remove}, status: 412, is: sink.ErrConflict},
		{name: "another write", in: []string{update, remove}, status: 409, body: scimError(""), is: sink.ErrConflict},
		{name: "no target", in: []string{update}, status: 400, body: scimError("noTarget"), is: sink.ErrConflict},
		{name: "uniqueness", in: []string{create, update}, status: 409, body: scimError("uniqueness"), class: failure.Failed},
		{name: "uniqueness as 400", in: []string{create, update}, status: 400, body: scimError("uniqueness"), class: failure.Failed},
		{name: "conflict", in: []string{create}, status: 409, class: failure.Failed},
		{name: "filter", in: []string{read}, status: 400, body: scimError("invalidFilter"), class: failure.Unavailable},
		{name: "too many", in: []string{read}, status: 400, body: scimError("tooMany"), class: failure.Failed},
		{name: "version of SCIM", in: all, status: 400, body: scimError("invalidVers"), class: failure.Unavailable},
		{name: "value", in: []string{create, update}, status: 400, body: scimError("invalidValue"), class: failure.Rejected},
		{name: "mutability", in: []string{create, update}, status: 400, body: scimError("mutability"), class: failure.Rejected},
		{name: "syntax", in: []string{create, update}, status: 400, body: scimError("invalidSyntax"), class: failure.Rejected},
		{name: "path", in: []string{update}, status: 400, body: scimError("invalidPath"), class: failure.Rejected},
		{name: "says no more", in: []string{create, update}, status: 400, class: failure.Rejected},
		{name: "a type that nobody knows", in: []string{create, update}, status: 400, body: scimError("secret"), class: failure.Rejected},
		{name: "too large", in: []string{create, update}, status: 413, class: failure.Rejected},
		{name: "unprocessable", in: []string{create, update}, status: 422, class: failure.Rejected},
		{name: "wants a version", in: []string{update, remove}, status: 428, class: failure.Unavailable, after: 7 * time.Second},
		{name: "HTML", in: []string{read}, status: 200, body: html, class: failure.Failed},
		{name: "nothing", in: []string{read}, status: 200, class: failure.Failed},
		{name: "not a listing", in: []string{read}, status: 200, body: "{}", class: failure.Failed},
		{name: "not an object", in: []string{read}, status: 200, body: "[]", class: failure.Failed},
		{name: "cut off", in: []string{read}, status: 200, body: `{"totalResults":0,"Res`, class: failure.Failed},
		{name: "two answers", in: []string{read}, status: 200, body: empty + empty, class: failure.Failed},
		{name: "a resource without id", in: []string{read}, status: 200, body: `{"totalResults":1,"Resources":[{"externalId":"1"}]}`, class: failure.Failed},
		{name: "resources that are none", in: []string{read}, status: 200, body: `{"totalResults":1,"Resources":{}}`, class: failure.Failed},
		{name: "more than it lists", in: []string{read}, status: 200, body: `{"totalResults":2,"Resources":[]}`, class: failure.Failed},
		{name: "an id that leads elsewhere", in: []string{"update of .."}, class: failure.Failed},
		{name: "locked", in: all, status: 423, class: failure.Unavailable, after: 7 * time.Second},
		{name: "not done yet", in: all, status: 202, class: failure.Failed},
		{name: "no content to read", in: []string{read}, status: 204, class: failure.Failed},
	} {
		for _, in := range tt.in {
			t.Run(tt.name+", "+in, func(t *testing.T) {
				f := &fake{}
				h := f.start(t)
				e := endpoint[scim.User](t, h, h.config())
				require.NoError(t, h.post("Users", object{"externalId": "identifier", "userName": "ada"}))
				have, found, fields, err := e.Observe(t.Context(), id("identifier"), scim.User{Title: sink.Set("value")})
				require.NoError(t, err)
				require.True(t, found)
				switch in {
				case read:
					f.answers("GET", "Users", tt.status, tt.body)
					_, found, err = e.Get(t.Context(), id("identifier"))
					require.False(t, found)
				case create:
					f.answers("POST", "Users", tt.status, tt.body)
					err = e.Create(t.Context(), id("another"), scim.User{UserName: sink.Set("value")})
				case update:
					f.answers("PATCH", "Users/", tt.status, tt.body)
					err = e.Update(t.Context(), id("identifier"), have, scim.User{Title: sink.Set("value")}, fields)
				case remove:
					f.answers("DELETE", "Users/", tt.status, tt.body)
					err = e.Delete(t.Context(), id("identifier"), have)
				default:
					f.resources["Users"][0]["id"] = ".."
					have, _, err = e.Get(t.Context(), id("identifier"))
					require.NoError(t, err)
					err = e.Delete(t.Context(), id("identifier"), have)
				}
				require.Error(t, err)
				require.Equal(t, tt.class, failure.Of(err), "%v", err)
				if tt.is != nil {
					require.ErrorIs(t, err, tt.is)
				}
				require.Equal(t, tt.after, failure.RetryAfter(err))
				var answered *scim.Error
				require.ErrorAs(t, err, &answered)
				require.Equal(t, tt.status, answered.Status)
				for _, private := range []string{"secret", "identifier", "value\"", "ada", "id-1", "127.0.0.1"} {
					require.NotContains(t, err.Error(), private)
				}
				require.Len(t, h.list("Users", ""), 1)
			})
		}
	}
}

// TestAbsenceIsAskedAgain holds that a 404 without SCIM's error is believed only
// when the listing says the same.
func TestAbsenceIsAskedAgain(t *testing.T) {
	f := &fake{}
	h := f.start(t)
	e := endpoint[scim.User](t, h, h.config())
	require.NoError(t, h.post("Users", object{"externalId": "1", "userName": "ada"}))
	have, _, err := e.Get(t.Context(), id("1"))
	require.NoError(t, err)
	f.answers("DELETE", "Users/", 404, html)
	err = e.Delete(t.Context(), id("1"), have)
	require.Equal(t, failure.Unavailable, failure.Of(err), "it is there")
	require.NotErrorIs(t, err, sink.ErrNotFound)
	require.Equal(t, 204, h.do("DELETE", "Users/"+h.one("Users", id("1"))["id"].(string), nil, nil))
	require.ErrorIs(t, e.Delete(t.Context(), id("1"), have), sink.ErrNotFound)
}

func TestNoAnswer(t *testing.T) {
	h := (&fake{}).start(t)
	cfg := h.config()
	lost := errors.New("secret")
	for _, tt := range []struct {
		name string
		set  func(cfg *scim.Config)
		want string
	}{
		{"no connection", func(cfg *scim.Config) {
			cfg.Transport = transport(func(*http.Request) (*http.Response, error) { return nil, lost })
		}, "no answer: "},
		{"cut off", func(cfg *scim.Config) {
			cfg.Transport = transport(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(broken{}), Request: r}, nil
			})
		}, "the answer broke off: the connection was closed"},
		{"too slow", func(cfg *scim.Config) {
			cfg.Timeout = time.Nanosecond
		}, "no complete answer within 1ns (Config.Timeout)"},
		{"no credentials", func(cfg *scim.Config) {
			cfg.Auth = func(*http.Request) error { return failure.UnavailableFor(time.Second, errors.New("no token")) }
		}, "no credentials: no token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := cfg
			tt.set(&cfg)
			_, _, err := endpoint[scim.User](t, h, cfg).Get(t.Context(), id("1"))
			require.Equal(t, failure.Unavailable, failure.Of(err))
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "secret")
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := endpoint[scim.User](t, h, cfg).Get(ctx, id("1"))
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, failure.Unavailable, failure.Of(err))
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestTooLarge(t *testing.T) {
	h := (&fake{}).start(t)
	require.NoError(t, h.post("Users", object{"externalId": "1", "userName": "ada", "title": strings.Repeat("x", 5000)}))
	cfg := h.config()
	cfg.MaxBody = 4000
	_, _, err := endpoint[scim.User](t, h, cfg).Get(t.Context(), id("1"))
	require.Equal(t, failure.Failed, failure.Of(err))
	require.ErrorContains(t, err, "raise Config.MaxBody")
}

// TestRedirectsAreNotFollowed holds that no other host gets the credentials.
func TestRedirectsAreNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked elsewhere") }))
	defer other.Close()
	s := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer s.Close()
	for _, write := range []scim.Write{scim.Advertised, scim.Put} {
		e, err := scim.New[scim.User](s.URL, scim.Config{Auth: scim.Bearer("secret"), Write: write})
		require.NoError(t, err)
		_, _, err = e.Get(t.Context(), id("1"))
		require.Equal(t, failure.Unavailable, failure.Of(err))
		require.Equal(t, failure.Unavailable, failure.Of(e.Create(t.Context(), id("1"), ada())))
	}
}

func TestBadValues(t *testing.T) {
	h := (&fake{}).start(t)
	cfg := h.config()
	cfg.Path, cfg.Schemas = "Users", []string{"urn:x:y"}
	e := endpoint[map[string]any](t, h, cfg)
	for _, name := range []string{`a"]`, "a.b", "a b", "", "1", "urn:a b", `emails[type eq "x"]`, "ø"} {
		err := e.Create(t.Context(), id("1"), map[string]any{"userName": "ada", name: "value"})
		require.Equal(t, failure.Rejected, failure.Of(err), name)
		err = e.Create(t.Context(), id("1"), map[string]any{"userName": "ada", "emails": []any{map[string]any{"urn:a": 1}}})
		require.Equal(t, failure.Rejected, failure.Of(err), name)
	}
	err := e.Create(t.Context(), id("1"), map[string]any{"f": func() {}})
	require.Equal(t, failure.Rejected, failure.Of(err))
	for _, key := range []string{"", "a\x00", "\xff"} {
		_, _, err := e.Get(t.Context(), id(key))
		require.Equal(t, failure.Rejected, failure.Of(err), "%q", key)
	}
	require.Empty(t, h.list("Users", ""))

	require.NoError(t, h.post("Users", object{"externalId": "1", "userName": "ada", "title": 12}))
	_, _, err = endpoint[scim.User](t, h, h.config()).Get(t.Context(), id("1"))
	require.ErrorContains(t, err, "title")
	require.NotContains(t, err.Error(), "12")
}
