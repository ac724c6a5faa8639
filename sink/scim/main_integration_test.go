//go:build integration

package scim_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/sink/scim"
)

func TestMain(m *testing.M) { server.Main(m) }

// provider returns a handle on the shared provider, which holds nothing.
func provider(tb testing.TB) *handle {
	tb.Helper()
	s := server.SharedSCIM(tb)
	h := &handle{tb: tb, base: s.URL(), auth: scim.Bearer(s.Token()), large: 1000}
	for _, path := range []string{"Users", "Groups"} {
		for {
			all := h.list(path, "")
			if len(all) == 0 {
				break
			}
			for _, r := range all {
				require.Equal(tb, 204, h.do("DELETE", path+"/"+r["id"].(string), nil, nil))
			}
		}
	}
	return h
}
