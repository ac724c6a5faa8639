package urlpath_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/urlpath"
)

func TestCheck(t *testing.T) {
	for path, want := range map[string]string{
		"persons/12":        "",
		"persons/":          "",
		"persons/a%2Fb":     "",
		"persons/%C3%A5":    "",
		"persons/id:a@b":    "",
		"":                  "must not be empty",
		"/persons":          "must be relative",
		"a//b":              "has an empty segment",
		"a?b":               "byte 1 must be escaped",
		"a;b":               "byte 1 must be escaped",
		"a/../b":            `must not hold "." or ".."`,
		"a/%2e%2e":          `must not hold "." or ".."`,
		"a/%252e%252e%252f": `must not hold "." or ".."`,
		"a/..%2Fb":          `must not hold "." or ".."`,
		"a/%00":             "holds an escaped control character",
		"a/%FF":             "is not UTF-8 when unescaped",
		"a/%x":              "has a % that is not followed by two hexadecimal digits",
	} {
		err := urlpath.Check(path)
		if want == "" {
			require.NoError(t, err, path)
			continue
		}
		require.ErrorContains(t, err, want, path)
	}
}

// FuzzCheck escapes what others made up as one segment: what passes is one
// segment for whoever unescapes it once.
func FuzzCheck(f *testing.F) {
	for _, id := range []string{"12", "..", "a/b", "%2e%2e%2f", "a;b", "å", `..\x`} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		path := "persons/" + url.PathEscape(id)
		if urlpath.Check(path) != nil {
			return
		}
		u, err := url.Parse("https://api.example.org/v1/" + path)
		require.NoError(t, err)
		require.Equal(t, "/v1/persons/"+id, u.Path)
		require.Equal(t, 3, strings.Count(u.EscapedPath(), "/"))
		require.Equal(t, u.EscapedPath(), u.JoinPath().EscapedPath(), "nothing to clean")
	})
}
