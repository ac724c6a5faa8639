package scim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/scim"
)

// asks returns how often the provider's configuration was read.
func (h *handle) asks() int {
	n := 0
	for _, s := range h.requests() {
		if strings.HasSuffix(s.uri, "/ServiceProviderConfig") {
			n++
		}
	}
	return n
}

func TestConfigurationIsReadOnce(t *testing.T) {
	f := &fake{}
	h := f.start(t)
	s := ensured[scim.User](t, h, h.config())
	for n := range 3 {
		applied(t, s, id("1"), scim.User{UserName: sink.Set(fmt.Sprint("user", n))})
		applied(t, s, id("2"), ada())
	}
	require.Equal(t, 1, h.asks())

	// An error that it may explain makes it be read again.
	f.answers("POST", "Users", 400, scimError("invalidSyntax"))
	_, err := s.Apply(t.Context(), id("3"), scim.User{UserName: sink.Set("x")})
	require.Error(t, err)
	f.answers("none", "", 0, "")
	require.Zero(t, h.asks())
	applied(t, s, id("1"), scim.User{UserName: sink.Set("y")})
	require.Equal(t, 1, h.asks())

	// One that is about the moment does not.
	f.answers("GET", "Users", 503, "")
	_, err = s.Apply(t.Context(), id("3"), scim.User{UserName: sink.Set("x")})
	require.Error(t, err)
	f.answers("none", "", 0, "")
	applied(t, s, id("1"), scim.User{UserName: sink.Set("z")})
	require.Zero(t, h.asks())
}

func TestConfigurationIsOverruled(t *testing.T) {
	for _, write := range []scim.Write{scim.Patch, scim.Put} {
		h := (&fake{}).start(t)
		cfg := h.config()
		cfg.Write = write
		s := ensured[scim.User](t, h, cfg)
		applied(t, s, id("1"), ada())
		applied(t, s, id("1"), scim.User{Title: sink.Set("Countess")})
		require.Zero(t, h.asks())
	}
}

// TestConfigurations reads configurations that are not as they should be. Each
// feature stands for itself.
func TestConfigurations(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		method string // of a change, "" if the error stops it
		filter bool
	}{
		{"none", 404, html, "PUT", true},
		{"not served", 501, scimError(""), "PUT", true},
		{"empty", 200, "{}", "PUT", true},
		{"no limits", 200, `{"patch":{"supported":true},"bulk":{},"filter":{"supported":true}}`, "PATCH", true},
		{"other cases and texts", 200, `{"Patch":{"SUPPORTED":"True"},"FILTER":{"supported":"false"}}`, "PATCH", false},
		{"odd", 200, `{"patch":true,"filter":[],"etag":{"supported":7}}`, "PUT", true},
		{"down", 503, "", "", true},
		{"HTML", 200, html, "", true},
		{"no rights", 403, "", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{}
			h := f.start(t)
			require.NoError(t, h.post("Users", object{"externalId": "1", "userName": "ada"}))
			f.answers("GET", "ServiceProviderConfig", tt.status, tt.body)
			s := ensured[scim.User](t, h, h.config())
			_, err := s.Apply(t.Context(), id("1"), scim.User{Title: sink.Set("Countess")})
			requests := h.requests()
			last := requests[len(requests)-1]
			if tt.method == "" {
				require.Error(t, err)
				require.Equal(t, "/scim/v2/ServiceProviderConfig", last.uri)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.method, last.method)
			require.Equal(t, tt.filter, strings.Contains(requests[1].uri, "filter="))
		})
	}
}

func TestReadOnlyAttributesAreNotPut(t *testing.T) {
	f := &fake{quirks: quirks{noPatch: true, readOnly: []string{"costly", "id"}}}
	h := f.start(t)
	require.NoError(t, h.post("Users", object{
		"externalId": "1", "userName": "ada", "costly": "theirs", "groups": []any{object{"value": "g"}}, "nickName": "A",
		enterprise: object{"department": "x"},
	}))
	s := ensured[scim.User](t, h, h.config())
	require.Equal(t, "updated(title)", applied(t, s, id("1"), scim.User{Title: sink.Set("Countess")}))
	requests := h.requests()
	put := requests[len(requests)-1]
	require.Equal(t, "PUT", put.method)
	for _, name := range []string{"costly", "groups", "meta"} {
		require.NotContains(t, put.body, `"`+name+`"`)
	}
	for _, name := range []string{"id", "nickName", "department"} {
		require.Contains(t, put.body, `"`+name+`"`)
	}
	applied(t, s, id("1"), scim.User{Title: sink.Set("Lady")})
	for _, r := range h.requests() {
		require.NotContains(t, r.uri, "Schemas", "they are read once")
	}
}

// TestListings reads listings page by page.
func TestListings(t *testing.T) {
	for _, tt := range []struct {
		name  string
		q     quirks
		pages int // requests for the listing
	}{
		{"by filter", quirks{}, 1},
		{"no filters", quirks{noFilter: true}, 1},
		{"short pages", quirks{noFilter: true, pages: 4}, 3},
		{"filters that are ignored", quirks{ignoreFilter: true, pages: 4}, 3},
		{"no totals", quirks{noFilter: true, noTotal: true, pages: 4}, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := (&fake{quirks: tt.q}).start(t)
			for n := range 10 {
				require.NoError(t, h.post("Users", object{"externalId": fmt.Sprint("e", n), "userName": fmt.Sprint("u", n)}))
			}
			cfg := h.config()
			e := endpoint[scim.User](t, h, cfg)
			for key, found := range map[string]bool{"e0": true, "e9": true, "e": false, "E9": false} {
				h.requests()
				have, ok, err := e.Get(t.Context(), id(key))
				require.NoError(t, err)
				require.Equal(t, found, ok, key)
				if found {
					require.Equal(t, sink.Set(key), have.Value.ExternalID)
				}
				n := 0
				for _, r := range h.requests() {
					if strings.Contains(r.uri, "/Users?") {
						n++
					}
				}
				require.Equal(t, tt.pages, n, key)
			}
		})
	}
}

// TestListingsThatDoNotEnd holds that a provider cannot keep the endpoint busy
// for ever, nor hide a resource.
func TestListingsThatDoNotEnd(t *testing.T) {
	one := `{"totalResults":3,"Resources":[{"id":"a","externalId":"another"}]}`
	for _, tt := range []struct{ name, body string }{
		{"the same page again", one},
		{"an empty page", `{"totalResults":3}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{quirks: quirks{noFilter: true}}
			h := f.start(t)
			f.answers("GET", "Users", 200, tt.body)
			e := endpoint[scim.User](t, h, h.config())
			_, found, err := e.Get(t.Context(), id("1"))
			require.False(t, found)
			require.Equal(t, failure.Failed, failure.Of(err))
			require.ErrorContains(t, err, "the listing ends before its end")
		})
	}
}

// TestDoubtfulFilters holds that what a filter with escapes does not find is
// looked for without one, before it is made a second time.
func TestDoubtfulFilters(t *testing.T) {
	for _, q := range []quirks{{}, {rawFilter: true}, {refuseFilter: true}} {
		h := (&fake{quirks: q}).start(t)
		require.NoError(t, h.post("Users", object{"externalId": `a"b`, "userName": "ada"}))
		e := endpoint[scim.User](t, h, h.config())
		_, found, err := e.Get(t.Context(), id(`a"b`))
		require.NoError(t, err)
		require.True(t, found)
		_, _, err = e.Get(t.Context(), id("plain"))
		if q.refuseFilter {
			require.Equal(t, failure.Unavailable, failure.Of(err))
			require.ErrorContains(t, err, "NoFilter")
			require.Error(t, e.Check(t.Context()))
			cfg := h.config()
			cfg.NoFilter = true
			e = endpoint[scim.User](t, h, cfg)
			_, _, err = e.Get(t.Context(), id("plain"))
			require.NoError(t, e.Check(t.Context()))
		}
		require.NoError(t, err)
	}
}

// TestTwoCreateAGroup holds that of two who create the same at once one prevails.
func TestTwoCreateAGroup(t *testing.T) {
	f := &fake{}
	h := f.start(t)
	group := scim.Group{DisplayName: sink.Set("g")}
	other := endpoint[scim.Group](t, h, scim.Config{Auth: h.auth, Transport: quiet{}})
	cfg := h.config()
	cfg.Transport = transport(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPost {
			require.NoError(t, other.Create(r.Context(), id("1"), group)) // the older one
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	e := endpoint[scim.Group](t, h, cfg)
	require.ErrorIs(t, e.Create(t.Context(), id("1"), group), sink.ErrExists)
	require.Equal(t, "id-1", h.one("Groups", id("1"))["id"])
	s := ensured[scim.Group](t, h, cfg)
	require.Equal(t, "unchanged", applied(t, s, id("1"), group))
	require.Equal(t, "created", applied(t, ensured[scim.Group](t, h, h.config()), id("2"), group))
}

// TestTypesAreHostile holds that no type of a value gets into a path as syntax.
func TestTypesAreHostile(t *testing.T) {
	h := (&fake{}).start(t)
	s := ensured[scim.User](t, h, h.config())
	for _, text := range hostile {
		for _, emails := range [][]scim.Value{
			{{Value: "a", Type: text}, {Value: "b", Type: "work"}}, {{Value: "c", Type: text}, {Value: "b", Type: "work"}}, {{Value: "b", Type: "work"}},
		} {
			want := scim.User{UserName: sink.Set("ada"), Emails: sink.Set(emails)}
			applied(t, s, id("1"), want)
			require.Equal(t, "unchanged", applied(t, s, id("1"), want), text)
		}
	}
}

func TestPatchIsOnlyAdvertised(t *testing.T) {
	for _, status := range []int{405, 501} {
		h := (&fake{quirks: quirks{falsePatch: status}}).start(t)
		s := ensured[scim.User](t, h, h.config())
		methods := ""
		for n := range 3 {
			applied(t, s, id("1"), scim.User{UserName: sink.Set("ada"), Title: sink.Set(fmt.Sprint(n))})
		}
		for _, r := range h.requests() {
			if r.method != "GET" {
				methods += r.method + " "
			}
		}
		require.Equal(t, "POST PATCH PUT PUT ", methods, "it is tried once")

		cfg := h.config()
		cfg.Write = scim.Patch
		_, err := ensured[scim.User](t, h, cfg).Apply(t.Context(), id("1"), scim.User{Title: sink.Set("x")})
		require.Equal(t, failure.Unavailable, failure.Of(err))
	}
}
