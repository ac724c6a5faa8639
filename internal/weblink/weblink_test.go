package weblink_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/weblink"
)

func TestNext(t *testing.T) {
	for _, tc := range []struct {
		name   string
		values []string
		want   string
	}{
		{"none", nil, ""},
		{"plain", []string{`<https://x/2>; rel="next"`}, "https://x/2"},
		{"a token", []string{`</2>;rel=next`}, "/2"},
		{"several links", []string{`<https://x/1>; rel="prev", <?p=2,3>; title="a, <b>; \"c"; rel="last NEXT"`}, "?p=2,3"},
		{"several headers", []string{`</1>; rel=first`, `</2>; rel=next`}, "/2"},
		{"the first rel counts", []string{`</1>; rel=first; rel=next`}, ""},
		{"not closed", []string{`</1; rel=next`}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.want, weblink.Next(http.Header{"Link": tc.values}))
		})
	}
}

func FuzzNext(f *testing.F) {
	f.Add(`<https://x/1>; rel="prev", <?p=2>; title="a, <b>"; rel=next`)
	f.Add(`<a>;"`)
	f.Fuzz(func(_ *testing.T, value string) {
		weblink.Next(http.Header{"Link": {value}})
	})
}
