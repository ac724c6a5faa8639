package main

import (
	"bytes"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// TestPlay plays the whole day in virtual time.
func TestPlay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		err := play(t.Context(), &screen{out: &out})
		t.Log(out.String())
		require.NoError(t, err)
		for _, shown := range []string{
			"200 notifications, 200 fetches, 200 created, 0 updated, 0 removed",
			`"Mats Nordmann" is now "Mats Solberg"`,
			"20 updated",
			"the day has come",
			"1 removed",
			"unavailable, waiting",
			"available again",
			"message rejected",
			"✓ the directory equals the register",
		} {
			require.Contains(t, out.String(), shown)
		}
		require.NotContains(t, out.String(), "\x1b")
	})
}
