package gateway_test

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
)

func TestPaths(t *testing.T) {
	var uri string
	c := newClient(t, base, gateway.Config{Transport: transport(func(r *http.Request) (*http.Response, error) {
		uri = r.URL.RequestURI()
		return ok.to(r), nil
	})})
	longest := strings.Repeat("x", 4096-len("/iga/v1/"))
	tests := []struct {
		name string
		path string
		text string // of the error, empty: the path is fine
	}{
		{"plain", "persons/1", ""},
		{"slash at the end", "persons/", ""},
		{"dots inside", "persons/a.b..c", ""},
		{"three dots", "persons/...", ""},
		{"escaped slash", "persons/a%2Fb", ""},
		{"escaped backslash", `persons/DOMAIN%5Cuser`, ""},
		{"escaped semicolon", "persons/a%3Bb", ""},
		{"escaped percent", "persons/100%25", ""},
		{"escaped twice, harmless", "persons/a%252Fb", ""},
		{"UTF-8", "persons/%C3%A5se", ""},
		{"mail address", "persons/a@b.no", ""},
		{"URN", "persons/urn:x:5", ""},
		{"all that may stand", "persons/-._~!$&'()*+,=:@", ""},
		{"longest", longest, ""},

		{"too long", longest + "x", "Path: with base path and query it is 4097 bytes"},
		{"empty", "", "Path: must not be empty"},
		{"absolute path", "/persons/1", "Path: must be relative"},
		{"another host", "//evil.example.no/persons", "Path: must be relative"},
		{"absolute URL", "https://evil.example.no/persons", "Path: has an empty segment"},
		{"doubled slash", "persons//1", "Path: has an empty segment"},
		{"two slashes at the end", "persons//", "Path: has an empty segment"},
		{"dot", "persons/./1", `Path: must not hold "." or ".."`},
		{"dots", "persons/../1", `Path: must not hold "." or ".."`},
		{"dots only", "..", `Path: must not hold "." or ".."`},
		{"dots at the end", "persons/..", `Path: must not hold "." or ".."`},
		{"escaped dots", "persons/%2e%2E/1", `Path: must not hold "." or ".."`},
		{"half escaped dots", "persons/.%2e", `Path: must not hold "." or ".."`},
		{"dots escaped twice", "persons/%252e%252e", `Path: must not hold "." or ".."`},
		{"dots escaped three times", "persons/%25252e.", `Path: must not hold "." or ".."`},
		{"dots escaped twice, beside a stray percent", "persons/%252e%252e%252fadmin%25zz", `Path: must not hold "." or ".."`},
		{"dots and escaped slash", "persons/..%2Fadmin", `Path: must not hold "." or ".."`},
		{"dots and escaped backslash", "persons/a%5C..%5Cadmin", `Path: must not hold "." or ".."`},
		{"dots and matrix parameter", "persons/..%3Bx/admin", `Path: must not hold "." or ".."`},
		{"semicolon", "persons/1;v=2", "Path: byte 9 must be escaped"},
		{"backslash", `persons\1`, "Path: byte 7 must be escaped"},
		{"space", "persons/a b", "Path: byte 9 must be escaped"},
		{"query", "persons?x=1", "Path: byte 7 must be escaped"},
		{"fragment", "persons#x", "Path: byte 7 must be escaped"},
		{"line break", "persons/1\r\nX: y", "Path: byte 9 must be escaped"},
		{"not ASCII", "persons/åse", "Path: byte 8 must be escaped"},
		{"escaped control character", "persons/%00", "Path: holds an escaped control character"},
		{"escaped line break", "persons/a%0d%0a", "Path: holds an escaped control character"},
		{"control character escaped twice", "persons/%2500", "Path: holds an escaped control character"},
		{"overlong dots", "persons/%c0%ae%c0%ae", "Path: is not UTF-8"},
		{"half a percent", "persons/%4", "Path: has a % that is not followed"},
		{"bad percent", "persons/%zz", "Path: has a % that is not followed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			uri = ""
			_, err := c.Get(t.Context(), gateway.Request{Path: tt.path})
			if tt.text == "" {
				require.NoError(t, err)
				require.Equal(t, "/iga/v1/"+tt.path, uri)
				return
			}
			require.ErrorContains(t, err, tt.text)
			require.True(t, strings.HasPrefix(err.Error(), "Path: "))
			require.Equal(t, failure.Rejected, failure.Of(err))
			require.Empty(t, uri, "nothing is sent")
		})
	}
}

func TestRequestValidate(t *testing.T) {
	tests := []struct {
		name string
		req  gateway.Request
		text string
	}{
		{"cache", gateway.Request{Path: "x", Query: url.Values{"cache": {"REFRESH"}}}, "Query: the parameter cache belongs to the gateway"},
		{"key", gateway.Request{Path: "x", Query: url.Values{"Api-Key": {key}}}, "Query: the parameter api-key belongs to the gateway"},
		{"line break", gateway.Request{Path: "x", TransactionID: "a\nb"}, "TransactionID: must be"},
		{"long id", gateway.Request{Path: "x", TransactionID: strings.Repeat("x", 129)}, "TransactionID: must be"},
		{"long query", gateway.Request{Path: "x", Query: url.Values{"q": {strings.Repeat("x", 4096)}}}, "Path: with base path and query"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var requests int
			c := newClient(t, base, gateway.Config{Transport: script(&requests, ok)})
			_, err := c.Get(t.Context(), tt.req)
			require.ErrorContains(t, err, tt.text)
			require.Equal(t, failure.Rejected, failure.Of(err))
			require.NotContains(t, err.Error(), key)
			require.Zero(t, requests)
		})
	}
}

// overTheWire returns a request as a server reads it.
func overTheWire(t testing.TB, r *http.Request) *http.Request {
	t.Helper()
	var wire bytes.Buffer
	require.NoError(t, r.Write(&wire))
	got, err := http.ReadRequest(bufio.NewReader(&wire))
	require.NoError(t, err)
	return got
}

// staysBelow reports whether no number of unescapings, and no reading of
// backslashes and matrix parameters, makes a path leave its base.
func staysBelow(escaped, base string) bool {
	for {
		for _, p := range []string{escaped, strings.ReplaceAll(escaped, `\`, "/"), strings.ReplaceAll(escaped, ";", "/")} {
			if !strings.HasPrefix(path.Clean(p)+"/", base) {
				return false
			}
		}
		next, err := url.PathUnescape(escaped)
		if err != nil || next == escaped {
			return true
		}
		escaped = next
	}
}

func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"persons/1", "a/../../b", "%2e%2e/x", "..%2f..%2fadmin", "..;/x", "%252e%252e%252fx", "//evil", "a\\..\\..\\b", "?x", "#", "%", "\r\n",
	} {
		f.Add(seed)
	}
	var sent *http.Request
	c := newClient(f, base, gateway.Config{Transport: transport(func(r *http.Request) (*http.Response, error) {
		sent = r
		return ok.to(r), nil
	})})
	f.Fuzz(func(t *testing.T, p string) {
		sent = nil
		_, err := c.Get(t.Context(), gateway.Request{Path: p})
		if err != nil {
			require.Equal(t, failure.Rejected, failure.Of(err))
			require.Nil(t, sent)
			return
		}
		got := overTheWire(t, sent)
		require.Equal(t, "gw.example.no", got.Host)
		require.Equal(t, "/iga/v1/"+p, got.RequestURI)
		require.True(t, staysBelow(got.RequestURI, "/iga/v1/"), got.RequestURI)
	})
}

// FuzzServer checks with a real server, and another one that must see nothing,
// that no path and no query reaches a host or a path outside of the base.
func FuzzServer(f *testing.F) {
	for _, seed := range []string{
		"persons/1", "/evil", "//evil", "http://evil/x", "@evil/x", ":80@evil", "a/../../b", "%2e%2e/x", "a?b", "a b", "a%0d%0aHost:%20evil", "..%2f", "..;/x", "\r\nHost: evil\r\n",
	} {
		f.Add(seed, "q", seed)
	}
	var seen []*http.Request
	s := serve(f, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r)
		ok.write(w, r)
	})
	var elsewhere int
	other := serve(f, func(http.ResponseWriter, *http.Request) { elsewhere++ })
	c := newClient(f, s.URL+"/iga/v1", gateway.Config{})
	f.Fuzz(func(t *testing.T, p, name, value string) {
		seen = nil
		for _, p := range []string{p, strings.ReplaceAll(p, "evil", other.Listener.Addr().String())} {
			req := gateway.Request{Path: p, Query: url.Values{name: {value}}}
			_, err := c.Get(t.Context(), req)
			require.Zero(t, elsewhere)
			if err != nil {
				require.Equal(t, failure.Rejected, failure.Of(err))
				require.Empty(t, seen)
				continue
			}
			require.Len(t, seen, 1)
			require.Equal(t, s.Listener.Addr().String(), seen[0].Host)
			escaped, _, _ := strings.Cut(seen[0].RequestURI, "?")
			require.Equal(t, "/iga/v1/"+p, escaped)
			require.True(t, staysBelow(escaped, "/iga/v1/"), escaped)
			require.Equal(t, req.Query, seen[0].URL.Query())
			require.LessOrEqual(t, len(seen[0].RequestURI), 4096)
			seen = nil
		}
	})
}
