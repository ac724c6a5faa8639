//go:build integration

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/exampletest"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/sink/scim"
)

func TestMain(m *testing.M) { server.Main(m) }

// TestRun runs the program as README.md says, on real servers.
func TestRun(t *testing.T) {
	idm := server.SharedSCIM(t)
	users, err := scim.New[scim.User](idm.URL(), scim.Config{Auth: scim.Bearer(idm.Token())})
	require.NoError(t, err)
	w := exampletest.Start(t, "-people", "30", "-positions", "0", "-orgunits", "8", "-changes", "150", "-every", "20ms")
	w.Usage()
	stop := w.Run("SCIM_URL="+idm.URL(), "SCIM_TOKEN="+idm.Token())
	w.WaitForLastChange()

	active := 0
	people := exampletest.All[Person](w, "persons")
	require.Len(t, people, 30)
	for id, p := range people {
		key := entity.Key{Type: "persons", ID: id}
		desired, err := toUser(t.Context(), key, p)
		require.NoError(t, err)
		want, present := desired.Value()
		if present {
			active++
		}
		require.Eventually(t, func() bool {
			if !present {
				have, found, err := users.Get(t.Context(), key)
				require.NoError(t, err)
				_, former := removal().Disabled(have.Value)
				active, set := have.Value.Active.Get()
				return !found || former && set && !active
			}
			_, found, fields, err := users.Observe(t.Context(), key, want)
			require.NoError(t, err)
			return found && len(fields) == 0
		}, time.Minute, 50*time.Millisecond, id)
	}
	require.Positive(t, active)
	require.Less(t, active, 30, "some have left, or are to come")
	stop()
}
