package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/source/gateway"
)

func TestNew(t *testing.T) {
	tests := []struct {
		name string
		base string
		cfg  gateway.Config
		text string // of the error, empty: it works
	}{
		{name: "zero Config", base: "https://gw.example.no/fs-api-prod"},
		{name: "slash at the end", base: "https://gw.example.no/sap/ansatte/v1/"},
		{name: "no context path", base: "https://gw.example.no"},
		{name: "port", base: "https://gw.example.no:8443/x"},
		{name: "http to 127.0.0.1", base: "http://127.0.0.1:8080/x"},
		{name: "http to ::1", base: "http://[::1]:8080/x"},
		{name: "http to localhost", base: "http://localhost:8080/x"},

		{name: "empty", base: "", text: "baseURL: must begin with https://"},
		{name: "no scheme", base: "gw.example.no/x", text: "baseURL: must begin with https://"},
		{name: "other scheme", base: "ftp://gw.example.no/x", text: "baseURL: must begin with https://"},
		{name: "http", base: "http://gw.example.no/x", text: "baseURL: must begin with https://; http is for loopback"},
		{name: "http to a host named like a loopback", base: "http://127.0.0.1.example.no/x", text: "http is for loopback"},
		{name: "no host", base: "https:///x", text: "baseURL: has no host"},
		{name: "opaque", base: "https:gw.example.no", text: "baseURL: has no host"},
		{name: "password", base: "https://u:" + key + "@gw.example.no/x", text: "baseURL: must not hold a user or password"},
		{name: "password in a broken URL", base: "https://u:" + key + "@gw.example.no:x/", text: "baseURL: is not a URL"},
		{name: "query", base: "https://gw.example.no/x?api-key=" + key, text: "baseURL: must not have a query or fragment"},
		{name: "bare question mark", base: "https://gw.example.no/x?", text: "baseURL: must not have a query or fragment"},
		{name: "fragment", base: "https://gw.example.no/x#", text: "baseURL: must not have a query or fragment"},
		{name: "two slashes at the end", base: "https://gw.example.no/x//", text: "baseURL: must not end with more than one slash"},
		{name: "two slashes inside", base: "https://gw.example.no/x//y", text: "baseURL: has an empty segment"},
		{name: "two slashes only", base: "https://gw.example.no//", text: "baseURL: must not end with more"},
		{name: "dots", base: "https://gw.example.no/x/../y", text: `baseURL: must not hold "." or ".."`},

		{name: "key with a line break", base: base, cfg: gateway.Config{Key: key + "\n"}, text: "Key: holds a space, a line break"},
		{name: "user agent", base: base, cfg: gateway.Config{UserAgent: "a\r\nb"}, text: "UserAgent: must not hold control"},
		{name: "timeout", base: base, cfg: gateway.Config{Timeout: -1}, text: "Timeout: must not be negative"},
		{name: "two gateways", base: base, cfg: gateway.Config{Alternatives: []string{"https://gw2.example.no/iga/v1/", "http://127.0.0.1/iga/v1"}}},
		{name: "another API", base: base, cfg: gateway.Config{Alternatives: []string{"https://gw2.example.no/other"}}, text: "Alternatives[0]: must have the path of baseURL"},
		{name: "alternative in the clear", base: base, cfg: gateway.Config{Alternatives: []string{base, "http://gw2.example.no/iga/v1"}}, text: "Alternatives[1]: must begin with https://"},
		{name: "password in an alternative", base: base, cfg: gateway.Config{Alternatives: []string{"https://u:" + key + "@gw2.example.no/iga/v1"}}, text: "Alternatives[0]: must not hold a user or password"},
		{name: "timeout of a try", base: base, cfg: gateway.Config{TryTimeout: -1}, text: "TryTimeout: must not be negative"},
		{name: "rate", base: base, cfg: gateway.Config{MaxRate: 0.5}},
		{name: "negative rate", base: base, cfg: gateway.Config{MaxRate: -1}, text: "MaxRate: must be 0 for none, or from"},
		{name: "no number as rate", base: base, cfg: gateway.Config{MaxRate: math.NaN()}, text: "MaxRate: must be"},
		{name: "endless rate", base: base, cfg: gateway.Config{MaxRate: math.Inf(1)}, text: "MaxRate: must be"},
		{name: "in flight", base: base, cfg: gateway.Config{MaxInFlight: -1}, text: "MaxInFlight: must not be negative"},
		{name: "second look", base: base, cfg: gateway.Config{SecondLook: -1}, text: "SecondLook: must not be negative"},
		{name: "second look too late", base: base, cfg: gateway.Config{SecondLook: 2 * time.Minute}, text: "SecondLook: must not be negative, and be shorter than Timeout"},
		{name: "slack", base: base, cfg: gateway.Config{Freshness: gateway.Freshness{Slack: -1}}, text: "Freshness: Slack must not be"},
		{name: "delay", base: base, cfg: gateway.Config{Freshness: gateway.Freshness{Delays: []time.Duration{-1}}}, text: "Freshness: Delays must not be"},
		{name: "delays too long", base: base, cfg: gateway.Config{Timeout: time.Minute, Freshness: gateway.Freshness{Time: gateway.LastModified, Delays: []time.Duration{40 * time.Second, 40 * time.Second}}}, text: "Freshness: Delays must together be shorter than Timeout"},
		{name: "body", base: base, cfg: gateway.Config{MaxBody: -1}, text: "MaxBody: must not be negative"},
		{name: "key as header", base: base, cfg: gateway.Config{Header: http.Header{"x-gravitee-api-key": {key}}}, text: "Header: x-gravitee-api-key must not be set: use Config.Key"},
		{name: "cache", base: base, cfg: gateway.Config{Header: http.Header{"X-Gravitee-Cache": {"BY_PASS"}}}, text: "use Request.Fresh"},
		{name: "transaction", base: base, cfg: gateway.Config{Header: http.Header{"X-Gravitee-Transaction-Id": {"1"}}}, text: "use Request.TransactionID"},
		{name: "user agent as header", base: base, cfg: gateway.Config{Header: http.Header{"User-Agent": {"x"}}}, text: "use Config.UserAgent"},
		{name: "accept", base: base, cfg: gateway.Config{Header: http.Header{"Accept": {"*/*"}}}, text: "it is always application/json"},
		{name: "range", base: base, cfg: gateway.Config{Header: http.Header{"Range": {"bytes=0-1"}}}, text: "a fetch wants the full state"},
		{name: "host", base: base, cfg: gateway.Config{Header: http.Header{"Host": {"evil"}}}, text: "it belongs to the transport"},
		{name: "header name", base: base, cfg: gateway.Config{Header: http.Header{"X Y": {"1"}}}, text: "Header: a name is empty or holds"},
		{name: "header value", base: base, cfg: gateway.Config{Header: http.Header{"Authorization": {key + "\r\n"}}}, text: "Header: the value of Authorization must not hold control"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := gateway.New(tt.base, tt.cfg)
			if tt.text == "" {
				require.NoError(t, err)
				require.NotNil(t, c)
				return
			}
			require.Nil(t, c)
			require.ErrorContains(t, err, tt.text)
			require.NotContains(t, err.Error(), key)
		})
	}
}

func TestConfigIsCopied(t *testing.T) {
	var got []string
	h := http.Header{"X-Env": {"a"}}
	c := newClient(t, base, gateway.Config{Header: h, Transport: transport(func(r *http.Request) (*http.Response, error) {
		got = append(got, r.Header.Get("X-Env"))
		r.Header.Set("X-Env", "changed by the transport")
		return ok.to(r), nil
	})})
	h["X-Env"][0] = "changed by the caller"
	for range 2 {
		_, err := c.Get(t.Context(), person)
		require.NoError(t, err)
	}
	require.Equal(t, []string{"a", "a"}, got)
}

// TestNothingShows prints everything in every way.
func TestNothingShows(t *testing.T) {
	const password, name = "Basic cGFzc3dvcmQ=", "Kari Nordmann"
	cfg := gateway.Config{Key: key, Header: http.Header{"Authorization": {password}}, Transport: ok.transport()}
	c := newClient(t, base, cfg)
	req := gateway.Request{Path: "persons/" + id, Query: url.Values{"name": {name}}, Route: "persons/{id}"}
	resp := &gateway.Response{Status: 200, Header: http.Header{"X-Name": {name}}, Body: []byte(name)}
	values := map[string]any{
		"Secret": gateway.Secret(key), "*Secret": new(gateway.Secret(key)), "Config": cfg, "*Config": &cfg, "Client": c, "in a struct": struct {
			Config gateway.Config
			Client *gateway.Client
		}{cfg, c},
		"Request": req, "*Request": &req, "Response": *resp, "*Response": resp,
	}
	verbs := []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"}
	for kind, v := range values {
		t.Run(kind, func(t *testing.T) {
			var out bytes.Buffer
			for _, verb := range verbs {
				fmt.Fprintf(&out, verb+"\n", v)
			}
			for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
				slog.New(h).Info("x", "v", v)
			}
			if kind == "Secret" || kind == "Config" {
				b, err := json.Marshal(v)
				require.NoError(t, err)
				out.Write(b)
			}
			for _, hidden := range []string{key, password, id, name} {
				require.NotContains(t, out.String(), hidden)
				require.NotContains(t, out.String(), fmt.Sprintf("%x", hidden))
				require.NotContains(t, out.String(), fmt.Sprintf("%d", []byte(hidden)))
			}
		})
	}
}

func TestErrorsShowNothing(t *testing.T) {
	const name = "Kari Nordmann"
	for status := 200; status < 600; status++ {
		for _, body := range []string{"", name + " " + id + " " + key} {
			if status < 204 && body != "" {
				continue // a state
			}
			a := reply{Status: status, Body: body, IDs: status%2 == 0, Header: "Location: /persons/" + id + "\nX-Name: " + name}
			c := newClient(t, base, gateway.Config{Transport: a.transport(), Retries: -1})
			_, err := c.Get(t.Context(), gateway.Request{Path: "persons/" + id, Query: url.Values{"name": {name}}})
			require.Error(t, err)
			for _, hidden := range []string{key, id, name, "Kari"} {
				require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), hidden)
			}
		}
	}
}

func TestSecretIsReadFromJSON(t *testing.T) {
	var cfg gateway.Config
	require.NoError(t, json.Unmarshal([]byte(`{"Key":"abc"}`), &cfg))
	require.Equal(t, "abc", string(cfg.Key))
}
