//go:build integration

package server_test

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
)

func TestSCIMLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	var url string
	t.Run("a test with a server", func(t *testing.T) {
		s := server.SCIM(t)
		url = s.URL() + "/Users"
		for token, status := range map[string]int{s.Token(): http.StatusOK, "": http.StatusUnauthorized} {
			req, err := http.NewRequest(http.MethodGet, url, http.NoBody)
			require.NoError(t, err)
			req.Header.Set("Authorization", "Bearer "+token)
			res, err := client.Do(req)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, status, res.StatusCode)
		}
	})
	_, err := client.Get(url) //nolint:bodyclose // nobody answers
	require.Error(t, err)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}
