package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/source/gateway"
)

// BenchmarkGet compares fetches through the client with plain net/http against
// the same server, one at a time over one connection.
func BenchmarkGet(b *testing.B) {
	body := `{"name":"` + strings.Repeat("x", 2000) + `"}`
	s := serve(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })

	b.Run("net/http", func(b *testing.B) {
		b.ReportAllocs()
		client := s.Client()
		for b.Loop() {
			req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, s.URL+"/iga/v1/persons/1", http.NoBody)
			require.NoError(b, err)
			resp, err := client.Do(req)
			require.NoError(b, err)
			got, err := io.ReadAll(resp.Body)
			require.NoError(b, err)
			require.NoError(b, resp.Body.Close())
			require.Len(b, got, len(body))
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "fetches/s")
	})
	b.Run("gateway", func(b *testing.B) {
		b.ReportAllocs()
		c := newClient(b, s.URL+"/iga/v1", gateway.Config{})
		for b.Loop() {
			resp, err := c.Get(b.Context(), gateway.Request{Path: "persons/1", Fresh: true})
			require.NoError(b, err)
			require.Len(b, resp.Body, len(body))
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "fetches/s")
	})
}
