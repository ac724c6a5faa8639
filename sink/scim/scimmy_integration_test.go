//go:build integration

package scim_test

import (
	"testing"

	"github.com/konnektor-go/konnektor/sink/scim"
	"github.com/konnektor-go/konnektor/testkit/sinktest"
)

// TestSuiteOnScimmy runs the suite on a real provider, by PATCH and by PUT.
func TestSuiteOnScimmy(t *testing.T) {
	for name, write := range map[string]scim.Write{"as advertised": scim.Advertised, "put": scim.Put} {
		t.Run("users, "+name, func(t *testing.T) {
			sinktest.Run(t, sinktest.Config{Without: userWithout}, func(t *testing.T) sinktest.Harness[scim.User] {
				h := provider(t)
				cfg := h.config()
				cfg.Write = write
				return users(h, cfg)
			})
		})
		t.Run("groups, "+name, func(t *testing.T) {
			sinktest.Run(t, sinktest.Config{Without: groupWithout}, func(t *testing.T) sinktest.Harness[scim.Group] {
				h := provider(t)
				cfg := h.config()
				cfg.Write = write
				return groups(h, cfg)
			})
		})
	}
}

func TestProtocolOnScimmy(t *testing.T) {
	for name, f := range protocol {
		t.Run(name, func(t *testing.T) { f(t, provider(t)) })
	}
}
