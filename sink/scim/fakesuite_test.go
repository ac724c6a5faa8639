package scim_test

import (
	"testing"

	"github.com/konnektor-go/konnektor/sink/scim"
	"github.com/konnektor-go/konnektor/testkit/sinktest"
)

// providers are those that the suite runs on: each differs from what RFC 7644
// says, or leaves out what it may leave out.
var providers = map[string]quirks{
	"as the RFCs say":           {},
	"no PATCH, no entity tags":  {noPatch: true, noTags: true, upperNames: true},
	"PATCH without entity tags": {noTags: true, bareErrors: true, noContent: true},
	"no configuration":          {noConfig: true, headerTags: true},
	"PATCH is only advertised":  {falsePatch: 501, rawFilter: true, bareTags: true},
	"filters are ignored":       {ignoreFilter: true, pages: 2, textBools: true},
	"no filters, and no totals": {noFilter: true, noTotal: true, pages: 3},
	"listings are summaries":    {summaries: true, noTags: true, noPatch: true},
}

// grouped are the providers that the suite runs on with groups too.
var grouped = map[string]bool{
	"as the RFCs say": true, "no PATCH, no entity tags": true, "filters are ignored": true, "listings are summaries": true,
}

func TestSuite(t *testing.T) {
	for name, q := range providers {
		t.Run(name, func(t *testing.T) {
			t.Run("users", func(t *testing.T) {
				sinktest.Run(t, sinktest.Config{Without: userWithout}, func(t *testing.T) sinktest.Harness[scim.User] {
					h := (&fake{quirks: q}).start(t)
					return users(h, configOf(h, q))
				})
			})
			if !grouped[name] {
				return
			}
			t.Run("groups", func(t *testing.T) {
				sinktest.Run(t, sinktest.Config{Without: groupWithout}, func(t *testing.T) sinktest.Harness[scim.Group] {
					h := (&fake{quirks: q}).start(t)
					return groups(h, configOf(h, q))
				})
			})
		})
	}
}

func configOf(h *handle, q quirks) scim.Config {
	cfg := h.config()
	cfg.Summary = q.summaries
	return cfg
}
