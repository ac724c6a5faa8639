//go:build integration

package gateway_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
)

// nginxGateway makes an API gateway of nginx: a key, ids on what went through an
// API, a cache whose key has no headers, a limit. The verb is for the APIs.
const nginxGateway = `
	map $http_x_gravitee_cache $refresh { default 0; REFRESH 1; BY_PASS 1; }
	limit_req_zone $binary_remote_addr zone=limit:32k rate=1r/m;
	proxy_cache_path {dir}/cache keys_zone=cache:128k;
	proxy_http_version 1.1;
	proxy_set_header Connection "";
	proxy_set_header X-Gravitee-Api-Key "";
	server {
		listen 127.0.0.1:{port};
		location / {
			default_type text/plain;
			return 404 "No context-path matches the request URI.";
		}
		%s
	}
`

// nginxAPI is one API of it: the verbs are for its name and for what is special.
const nginxAPI = `
		location /%s/ {
			default_type application/json;
			add_header X-Gravitee-Request-Id $request_id always;
			add_header X-Gravitee-Transaction-Id $http_x_gravitee_transaction_id always;
			if ($http_x_gravitee_api_key != "secret") {
				return 401 '{"message":"Unauthorized","http_status_code":401}';
			}
			%s
		}
`

// TestVerdictsThroughNginx runs the cases of TestVerdicts against a real proxy.
func TestVerdictsThroughNginx(t *testing.T) {
	backend := &origin{}
	source := httptest.NewServer(backend)
	t.Cleanup(source.Close)
	pass := func(addr string) string { return "proxy_pass http://" + addr + ";" }
	answers := func(text string) string {
		return pass(rawServer(t, func(c net.Conn) { _, _ = io.WriteString(c, text) }))
	}
	toBackend := pass(source.Listener.Addr().String())
	var apis strings.Builder
	for name, special := range map[string]string{
		"api":     toBackend,
		"denied":  `return 403 '{"message":"You are not allowed","http_status_code":403}';`,
		"limited": "limit_req zone=limit; limit_req_status 429;" + toBackend,
		"cached":  "proxy_cache cache; proxy_cache_key $uri$is_args$args; proxy_cache_valid 200 10m; proxy_cache_bypass $refresh;" + toBackend,
		"down":    pass(closedPort(t)),
		"slow":    "proxy_read_timeout 200ms;" + pass(rawServer(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })),
		"mute":    answers(""),
		"dying":   answers("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{\"name\":\"Ka\r\n"),
		"closing": answers("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"name\":\"Ka"),
	} {
		fmt.Fprintf(&apis, nginxAPI, name, special)
	}
	proxy := server.Nginx(t, fmt.Sprintf(nginxGateway, apis.String()))
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	for _, tc := range verdictCases() {
		t.Run(tc.name, func(t *testing.T) {
			route := tc.route
			if route == "" {
				route = "api"
			}
			tc.check(t, proxy.URL()+"/"+route, transport, backend)
		})
	}
}

// rawServer answers a request on each connection in its own way, and closes it.
func rawServer(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() { // ends with the listener
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096)) // the request, or what matters of it
			answer(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		<-done
	})
	return l.Addr().String()
}

// closedPort returns an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}
