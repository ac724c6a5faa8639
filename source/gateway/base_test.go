package gateway_test

import (
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
)

const second = "https://gw2.example.no/iga/v1"

// TestAlternatives asks twice, with the first of two gateways down.
func TestAlternatives(t *testing.T) {
	hang := transport(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	refuse := transport(func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED })
	tests := []struct {
		name  string
		first transport
		hosts []string
		took  time.Duration // at most
	}{
		{"refuses", refuse, []string{"gw.example.no", "gw2.example.no", "gw2.example.no"}, time.Second},
		{"does not answer", hang, []string{"gw.example.no", "gw2.example.no", "gw2.example.no"}, 36 * time.Second},
		{"502", reply{Status: 502}.transport(), []string{"gw.example.no", "gw2.example.no", "gw2.example.no"}, time.Second},
		{"503", reply{Status: 503}.transport(), []string{"gw.example.no", "gw2.example.no", "gw2.example.no"}, time.Second},
		{"401 is an answer", reply{Status: 401}.transport(), []string{"gw.example.no", "gw.example.no"}, time.Second},
		{"404 is an answer", reply{Status: 404}.transport(), []string{"gw.example.no", "gw.example.no"}, time.Second},
		{"is well", ok.transport(), []string{"gw.example.no", "gw.example.no"}, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var hosts []string
				c := newClient(t, base, gateway.Config{Alternatives: []string{second + "/"}, Transport: transport(func(r *http.Request) (*http.Response, error) {
					hosts = append(hosts, r.URL.Host)
					require.Equal(t, key, r.Header.Get("X-Gravitee-Api-Key"))
					if r.URL.Host == "gw2.example.no" {
						return ok.to(r), nil
					}
					return tt.first(r)
				})})
				begin := time.Now()
				for range 2 {
					resp, err := c.Get(t.Context(), person)
					last := hosts[len(hosts)-1]
					if err == nil {
						require.Equal(t, "https://"+last+"/iga/v1/persons/{id}", resp.Route)
					} else {
						require.ErrorContains(t, err, "https://"+last+"/iga/v1/persons/{id}")
					}
				}
				require.Equal(t, tt.hosts, hosts)
				require.Less(t, time.Since(begin), tt.took)
				require.Equal(t, base, c.String())
			})
		})
	}
}

func TestAllAlternativesDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests int
		c := newClient(t, base, gateway.Config{Alternatives: []string{second}, Transport: script(&requests, reply{Status: 502})})
		_, err := c.Get(t.Context(), person)
		require.Equal(t, failure.Unavailable, failure.Of(err))
		require.Equal(t, 3, requests)
	})
}

// TestProxyFromEnvironment runs itself once more, as the environment is read
// once in a process.
func TestProxyFromEnvironment(t *testing.T) {
	if os.Getenv("KONNEKTOR_TEST_BEHIND_PROXY") != "" {
		_, err := newClient(t, base, gateway.Config{Retries: -1}).Get(t.Context(), person)
		require.Equal(t, failure.Unavailable, failure.Of(err))
		return
	}
	var asked []string
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.Host+" "+r.Header.Get("X-Gravitee-Api-Key"))
		w.WriteHeader(http.StatusForbidden)
	})
	self := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyFromEnvironment$")
	self.Env = append(os.Environ(), "KONNEKTOR_TEST_BEHIND_PROXY=1", "HTTPS_PROXY="+proxy.URL, "NO_PROXY=")
	out, err := self.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, []string{"CONNECT gw.example.no:443 "}, asked)
}
