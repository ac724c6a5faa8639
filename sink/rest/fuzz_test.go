package rest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/rest"
)

// FuzzAnswer has the target answer anything: nothing of it is in an error, and
// what is found has the key.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "", `[{"id":1,"sis":"secret-1"},{"id":2,"sis":"x"}]`)
	f.Add(200, `<?page=2>; rel="next"`, `{"items":[{"id":{},"sis":"secret-1"}]}`)
	f.Add(404, "", `{"message":"marker"}`)
	f.Add(422, "", `{"errors":{"marker":"sis"}}`)
	f.Fuzz(func(t *testing.T, status int, link, body string) {
		if status < 200 || status > 599 || strings.ContainsFunc(link, func(r rune) bool { return r < ' ' || r > '~' }) {
			return
		}
		for _, cfg := range []rest.Config{bySearch, {}, with(bySearch, func(c *rest.Config) { c.List = "items" })} {
			a := answer{status: status, header: "Link: " + link, body: body}
			s := &script{answers: []answer{a, a}}
			target, err := rest.New[doc](&http.Client{Transport: s}, base, cfg)
			require.NoError(t, err)
			have, found, err := target.Get(t.Context(), key)
			if err != nil {
				require.NotContains(t, err.Error(), key.ID)
				require.NotContains(t, err.Error(), "marker")
			}
			if found {
				member := "sis"
				if cfg.Search == "" {
					member = "id"
				}
				require.Equal(t, key.ID, have.Value[member])
			}
			err = target.Create(t.Context(), key, doc{"a": sink.Null[string]()})
			if err != nil {
				require.NotContains(t, err.Error(), key.ID)
			}
			for _, r := range s.requests {
				require.Contains(t, r, " "+base, "no other host is asked")
			}
		}
	})
}
