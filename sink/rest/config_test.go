package rest_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink/rest"
)

func TestNewRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, base string
		cfg        rest.Config
		want       string
	}{
		{"no URL", "://s3cret", rest.Config{}, "rest: baseURL: is not a URL"},
		{"no host", "/v1", rest.Config{}, "rest: baseURL: must be a URL that begins with https://"},
		{"no TLS", "http://api.example.org", rest.Config{}, "rest: baseURL: must begin with https://"},
		{"a password", "https://u:s3cret@x", rest.Config{}, "rest: baseURL: must not hold a user or password"},
		{"a query", "https://x/?a", rest.Config{}, "rest: baseURL: must not have a query"},
		{"a step up", "https://x/a/../b", rest.Config{}, `rest: baseURL: path must not hold "."`},
		{"no place", base, rest.Config{Item: "users"}, "rest: Item: needs {key}"},
		{"both places", base, rest.Config{Item: "users/{key}/{id}"}, "rest: Item: has both"},
		{"no place with a search", base, rest.Config{Item: "users", Search: "users?a={key}", Match: "a"}, "rest: Item: needs {id} or {key}"},
		{"a search without a key", base, rest.Config{Search: "users", Match: "a"}, "rest: Search: needs {key}"},
		{"a search without a match", base, rest.Config{Search: "users?a={key}"}, "rest: Match: must name"},
		{"a key in quotes", base, rest.Config{Search: `users?filter=a eq "{key}"`, Match: "a"}, "rest: Quote: is needed"},
		{"a list without a search", base, rest.Config{List: "items"}, "rest: List, Summary, Quote: go with Search"},
		{"a collection of one", base, rest.Config{Collection: "users/{id}"}, "rest: Collection: must not have"},
		{"put without a key", base, rest.Config{Item: "users/{id}", Search: "users?a={key}", Match: "a", Create: rest.PutNew}, "rest: Create: PutNew needs {key}"},
		{"no such create", base, rest.Config{Create: 2}, "rest: Create: must be"},
		{"no such update", base, rest.Config{Update: 3}, "rest: Update: must be"},
		{"negative", base, rest.Config{Pages: -1}, "rest: Pages, Timeout, MaxBody: must not be negative"},
		{"a slash", base, rest.Config{Item: "/users/{key}"}, "rest: Item: must be relative"},
		{"a place in a name", base, rest.Config{Search: "users?{key}=a", Match: "a"}, "rest: Search: its query must be name=value"},
		{"a header of ours", base, rest.Config{Header: http.Header{"if-match": {"x"}}}, "rest: Header: if-match is set for each request"},
		{"a broken header", base, rest.Config{Header: http.Header{"X-Key": {"s3cret\n"}}}, "rest: Header: X-Key has a control character"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := rest.New[doc](nil, tc.base, tc.cfg)
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "s3cret")
		})
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	cfg := rest.Config{Header: http.Header{"Authorization": {"s3cret"}}}
	var log bytes.Buffer
	target, err := rest.New[doc](nil, base, cfg)
	require.NoError(t, err)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "cfg", cfg, "target", target)
	for _, printed := range []string{fmt.Sprintf("%v %+v %#v %s %+v %#v", cfg, cfg, cfg, target, target, target), log.String()} {
		require.NotContains(t, printed, "s3cret")
		require.Contains(t, printed, "Authorization")
		require.Contains(t, printed, base)
	}
}

func TestHeader(t *testing.T) {
	seen := http.Header{}
	header := roundTrip(func(r *http.Request) (*http.Response, error) {
		seen = r.Header
		return nil, errors.New("enough")
	})
	for _, accept := range []string{"", "application/json+canvas-string-ids"} {
		cfg := rest.Config{Header: http.Header{"authorization": {"s3cret"}}}
		want := "application/json"
		if accept != "" {
			cfg.Header["Accept"], want = []string{accept}, accept
		}
		target, err := rest.New[doc](&http.Client{Transport: header}, base, cfg)
		require.NoError(t, err)
		_, _, err = target.Get(t.Context(), key)
		require.Error(t, err)
		require.Equal(t, http.Header{"Accept": {want}, "Accept-Encoding": {"identity"}, "Authorization": {"s3cret"}}, seen)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		name   string
		cfg    rest.Config
		answer answer
		want   string
	}{
		{"nobody", rest.Config{}, answer{status: 404, body: `{}`}, ""},
		{"nobody to be found", bySearch, answer{body: `[]`}, ""},
		{"no key for it", rest.Config{}, answer{status: 400}, ""},
		{"the wrong path", rest.Config{}, answer{status: 404, body: "not here"}, "no proof"},
		{"a wrong password", rest.Config{}, answer{status: 401}, "the credentials are not accepted"},
		{"unreachable", rest.Config{}, answer{err: errors.New("x")}, "no answer"},
		{"somebody", rest.Config{Create: rest.PutNew}, answer{body: `{}`}, "an entity is found that should not be there"},
		{"a member by another name", bySearch, answer{body: `[{"id":1}]`}, "check Match"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &script{answers: []answer{tc.answer}}
			target, err := rest.New[doc](&http.Client{Transport: s}, base, tc.cfg)
			require.NoError(t, err)
			err = target.Check(t.Context())
			require.Len(t, s.requests, 1)
			require.Contains(t, s.requests[0], "konnektor-check")
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.want)
			require.Equal(t, failure.Unavailable, failure.Of(err))
		})
	}
}
