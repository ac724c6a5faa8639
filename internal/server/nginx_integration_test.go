//go:build integration

package server_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
)

func TestNginxLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	var url string
	t.Run("a test with a server", func(t *testing.T) {
		url = server.Nginx(t, `server { listen 127.0.0.1:{port}; location / { return 200 "{dir}"; } }`).URL()
		res, err := client.Get(url)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, dir, filepath.Dir(string(body)))
	})
	_, err := client.Get(url) //nolint:bodyclose // nobody answers
	require.Error(t, err)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}
