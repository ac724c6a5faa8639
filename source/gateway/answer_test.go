package gateway_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
)

const noAPI = "No context-path matches the request URI."

func TestAnswers(t *testing.T) {
	const gatewayBody = `{"message":"%s","http_status_code":%d}`
	// A short limit's text says how long it can hold at most.
	waits := map[string]time.Duration{"429": time.Second, "429 spike": 100 * time.Millisecond}
	tests := []struct {
		name  string
		reply reply
		want  failure.Class
		text  string // part of the error
	}{
		{"empty 200", reply{Status: 200}, failure.Failed, "200: the body is empty"},
		{"blank 200", reply{Status: 200, Body: " \r\n"}, failure.Failed, "the body is empty"},
		{"202", reply{Status: 202, Body: `{"status":"queued"}`}, failure.Failed, "not a full state"},
		{"204", reply{Status: 204}, failure.Failed, "204: not a full state"},
		{"205", reply{Status: 205}, failure.Failed, "not a full state"},
		{"206 from a cache", reply{Status: 206, Body: `{"name"`}, failure.Failed, "not a full state"},
		{"301", reply{Status: 301, Header: "Location: /login"}, failure.Unavailable, "redirects are not followed"},
		{"307", reply{Status: 307, Header: "Location: https://other.example.no/"}, failure.Unavailable, "redirects are not followed"},
		{"304 unasked for", reply{Status: 304}, failure.Failed, "304: no state"},

		{"400", reply{Status: 400, Body: `{"error":"bad"}`}, failure.Failed, "400: refused for this entity"},
		{"409", reply{Status: 409}, failure.Failed, "refused for this entity"},
		{"414", reply{Status: 414}, failure.Failed, "refused for this entity"},
		{"422", reply{Status: 422}, failure.Failed, "refused for this entity"},
		{"451", reply{Status: 451}, failure.Failed, "refused for this entity"},

		{"401 of the gateway", reply{Status: 401, Body: fmt.Sprintf(gatewayBody, "Unauthorized", 401)}, failure.Unavailable, "401: the key is not accepted"},
		{"401 of the backend", reply{Status: 401, Header: "X-Gravitee-Client-Identifier: app", IDs: true}, failure.Unavailable, "the source does not accept the credentials"},
		{"403 by the plan", reply{Status: 403, Body: fmt.Sprintf(gatewayBody, "You're not allowed to access this resource", 403)}, failure.Unavailable, "this path: You're not allowed to access this resource"},
		{"405 by the plan", reply{Status: 405, Body: fmt.Sprintf(gatewayBody, "Method not allowed while accessing this resource", 405)}, failure.Unavailable, "Method not allowed"},
		{"406", reply{Status: 406}, failure.Unavailable, "406: not acceptable"},
		{"407", reply{Status: 407}, failure.Unavailable, "407"},
		{"408", reply{Status: 408}, failure.Unavailable, "408: request timeout"},
		{"421", reply{Status: 421}, failure.Unavailable, "421"},
		{"425", reply{Status: 425}, failure.Unavailable, "425: too early"},
		{"426", reply{Status: 426}, failure.Unavailable, "426"},
		{"429", reply{Status: 429, Body: fmt.Sprintf(gatewayBody, "Rate limit exceeded! You reached the limit of 10 requests per 1 seconds", 429)}, failure.Unavailable, "429: over the limit: Rate limit exceeded!"},
		{"429 quota", reply{Status: 429, Body: "Quota exceeded! You reached the limit of 1000 requests per 1 days"}, failure.Unavailable, "Quota exceeded!"},
		{"429 spike", reply{Status: 429, Body: "Spike limit exceeded! You reached the limit of 1 requests per 100 ms."}, failure.Unavailable, "Spike limit exceeded!"},
		{"431", reply{Status: 431}, failure.Unavailable, "431"},

		{"500", reply{Status: 500, Body: "stack trace"}, failure.Unavailable, "500: the source or the gateway fails"},
		{"501", reply{Status: 501}, failure.Unavailable, "501"},
		{"502 refused, reset, DNS, TLS", reply{Status: 502, Header: "Connection: close"}, failure.Unavailable, "502: the gateway cannot reach the source"},
		{"503 no healthy endpoint", reply{Status: 503}, failure.Unavailable, "503: no source to ask"},
		{"504 backend timeout", reply{Status: 504}, failure.Unavailable, "504: the source is too slow"},
		{"504 whole request", reply{Status: 504, Body: fmt.Sprintf(gatewayBody, "Request timeout", 504)}, failure.Unavailable, "Request timeout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, base, gateway.Config{Transport: tt.reply.transport(), Retries: -1})
			resp, err := c.Get(t.Context(), person)
			require.Nil(t, resp)
			require.ErrorContains(t, err, tt.text)
			require.Equal(t, tt.want, failure.Of(err))
			require.Equal(t, waits[tt.name], failure.RetryAfter(err))
			var e *gateway.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tt.reply.Status, e.Status)
			require.Equal(t, base+"/persons/{id}", e.Route)
			require.Equal(t, "tx-1", e.TransactionID)
			require.Equal(t, 1, e.Attempts)
			require.ErrorContains(t, err, "GET "+base+"/persons/{id}: ")
			require.ErrorContains(t, err, "(transaction tx-1)")
			require.NotContains(t, err.Error(), id)
		})
	}
}

func TestStates(t *testing.T) {
	for _, status := range []int{200, 201, 203} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			a := reply{Status: status, Header: "ETag: x", Body: `{"name":"Kari"}`, IDs: true}
			c := newClient(t, base, gateway.Config{Transport: a.transport()})
			resp, err := c.Get(t.Context(), person)
			require.NoError(t, err)
			require.Equal(t, status, resp.Status)
			require.JSONEq(t, a.Body, string(resp.Body))
			require.Equal(t, "x", resp.Header.Get("ETag"))
			require.Equal(t, "tx-1", resp.TransactionID)
			require.Equal(t, base+"/persons/{id}", resp.Route)
		})
	}
}

func TestGone(t *testing.T) {
	const notFound = `{"error":"no such person"}`
	never := func(*gateway.Response) error { return errors.New("not today") }
	byBody := func(r *gateway.Response) error {
		if string(r.Body) == notFound {
			return nil
		}
		return errors.New("the body is not the source's")
	}
	tests := []struct {
		name  string
		gone  gateway.GoneProof
		reply reply
		want  failure.Class
		text  string
	}{
		{"backend's 404", nil, reply{Status: 404, Body: notFound, IDs: true}, failure.Gone, "404: the source has no such entity"},
		{"backend's 410", nil, reply{Status: 410, IDs: true}, failure.Gone, "410: the source has no such entity"},
		{"the backend's ids stand before the gateway's", nil, reply{Status: 404, Header: "X-Gravitee-Transaction-Id: other", IDs: true}, failure.Gone, "no such entity"},
		{"gateway: no such API", nil, reply{Status: 404, Header: "Content-Type: text/plain", Body: noAPI}, failure.Unavailable, "404: the gateway knows no such API"},
		{"gateway before 3.18.20: ids too", nil, reply{Status: 404, Header: "Content-Type: text/plain; charset=utf-8", Body: noAPI + "\n", IDs: true}, failure.Unavailable, "the gateway knows no such API"},
		{"a gateway behind the gateway", nil, reply{Status: 404, Header: "Content-Type: application/json", Body: `{"message":"` + noAPI + `"}`, IDs: true}, failure.Unavailable, "the gateway knows no such API"},
		{"gateway's text with 410", nil, reply{Status: 410, Body: noAPI, IDs: true}, failure.Unavailable, "the gateway knows no such API"},
		{"a load balancer's 404", nil, reply{Status: 404, Body: "not found"}, failure.Unavailable, "no proof that it is the source's: no X-Gravitee-Request-Id"},
		{"410 without ids", nil, reply{Status: 410}, failure.Unavailable, "no proof"},
		{"no transaction id", nil, reply{Status: 404, Header: "X-Gravitee-Request-Id: r"}, failure.Unavailable, "X-Gravitee-Transaction-Id is not the one that was sent"},
		{"another transaction's id", nil, reply{Status: 404, Header: "X-Gravitee-Request-Id: r\nX-Gravitee-Transaction-Id: tx-0"}, failure.Unavailable, "X-Gravitee-Transaction-Id is not the one that was sent"},
		{"a page of HTML", nil, reply{Status: 404, Header: "Content-Type: text/html;charset=utf-8", Body: "<h1>404</h1>", IDs: true}, failure.Unavailable, "no proof that it is the source's: it is a page of HTML"},
		{"HTML that is not called so", nil, reply{Status: 404, Header: "Content-Type: application/json", Body: "\n<!DOCTYPE html><title>404</title>", IDs: true}, failure.Unavailable, "it is a page of HTML"},
		{"by status, a page of HTML", gateway.GoneByStatus, reply{Status: 404, Body: "<html>"}, failure.Gone, "no such entity"},
		{"by header", gateway.GoneByHeader("X-App", "iga"), reply{Status: 404, Header: "X-App: iga"}, failure.Gone, "no such entity"},
		{"by header, any value", gateway.GoneByHeader("X-App", ""), reply{Status: 404, Header: "X-App: 7"}, failure.Gone, "no such entity"},
		{"by header, another value", gateway.GoneByHeader("X-App", "iga"), reply{Status: 404, Header: "X-App: lb", IDs: true}, failure.Unavailable, "no header X-App as the source sends it"},
		{"by header, none", gateway.GoneByHeader("X-App", ""), reply{Status: 404, IDs: true}, failure.Unavailable, "no header X-App"},
		{"by field", gateway.GoneByField("error.code", "E404"), reply{Status: 404, Body: `{"error":{"code":"E404"}}`}, failure.Gone, "no such entity"},
		{"by field, a number", gateway.GoneByField("code", "40400000000000001"), reply{Status: 404, Body: `{"code":40400000000000001}`}, failure.Gone, "no such entity"},
		{"by field, another value", gateway.GoneByField("code", "404"), reply{Status: 404, Body: `{"code":405}`, IDs: true}, failure.Unavailable, "the field code is not as the source sends it"},
		{"by field, no object", gateway.GoneByField("error.code", "404"), reply{Status: 404, Body: `{"error":"404"}`, IDs: true}, failure.Unavailable, "the field error.code is not"},
		{"by field, cut off", gateway.GoneByField("code", "404"), reply{Status: 404, Body: `{"code":404`, IDs: true}, failure.Unavailable, "the field code is not"},
		{"by field, more after it", gateway.GoneByField("code", "404"), reply{Status: 404, Body: `{"code":404}{}`, IDs: true}, failure.Unavailable, "the field code is not"},
		{"by status, no ids", gateway.GoneByStatus, reply{Status: 404}, failure.Gone, "no such entity"},
		{"by status, gateway's text", gateway.GoneByStatus, reply{Status: 404, Body: noAPI}, failure.Unavailable, "the gateway knows no such API"},
		{"own proof says no", never, reply{Status: 404, IDs: true}, failure.Unavailable, "no proof that it is the source's: not today"},
		{"own proof by the body", byBody, reply{Status: 404, Body: notFound}, failure.Gone, "no such entity"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, base, gateway.Config{Transport: tt.reply.transport(), Gone: tt.gone})
			_, err := c.Get(t.Context(), person)
			require.ErrorContains(t, err, tt.text)
			require.Equal(t, tt.want, failure.Of(err))
		})
	}
}

func TestRetryAfter(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		name   string
		status int
		header func() string
		want   time.Duration
	}{
		{"seconds", 429, func() string { return "Retry-After: 7" }, 7 * time.Second},
		{"seconds with 503", 503, func() string { return "Retry-After: 120" }, 2 * time.Minute},
		{"date with 503", 503, func() string {
			return "Retry-After: " + time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
		}, time.Hour},
		{"date in the past", 503, func() string { return "Retry-After: Wed, 21 Oct 1998 07:28:00 GMT" }, 0},
		{"negative", 429, func() string { return "Retry-After: -5" }, 0},
		{"nonsense", 429, func() string { return "Retry-After: soon" }, 0},
		{"huge", 429, func() string { return "Retry-After: 99999999999999999999" }, day},
		{"most negative", 429, func() string { return "Retry-After: -99999999999999999999" }, 0},
		{"before the window", 429, func() string { return "Retry-After: 3\nX-Quota-Reset: " + in(time.Hour) }, 3 * time.Second},
		{"rate limit", 429, func() string { return "X-Rate-Limit-Remaining: 0\nX-Rate-Limit-Reset: " + in(800*time.Millisecond) }, 800 * time.Millisecond},
		{"quota", 429, func() string { return "X-Quota-Limit: 1000\nX-Quota-Remaining: 0\nX-Quota-Reset: " + in(5*time.Hour) }, 5 * time.Hour},
		{"spike arrest", 429, func() string {
			return "X-Spike-Arrest-Slice-Period: 100ms\nX-Spike-Arrest-Reset: " + in(100*time.Millisecond)
		}, 100 * time.Millisecond},
		{"the exhausted one of two", 429, func() string {
			return "X-Rate-Limit-Remaining: 0\nX-Rate-Limit-Reset: " + in(time.Second) +
				"\nX-Quota-Remaining: 412\nX-Quota-Reset: " + in(9*time.Hour)
		}, time.Second},
		{"the later of two exhausted", 429, func() string {
			return "X-Rate-Limit-Remaining: 0\nX-Rate-Limit-Reset: " + in(time.Second) +
				"\nX-Quota-Remaining: 0\nX-Quota-Reset: " + in(9*time.Hour)
		}, 9 * time.Hour},
		{"doubled by the backend", 429, func() string {
			return "X-Rate-Limit-Reset: " + in(2*time.Second) + "\nX-Rate-Limit-Reset: " + in(time.Hour)
		}, 2 * time.Second},
		{"doubled in one line", 429, func() string {
			return "X-Rate-Limit-Reset: " + in(2*time.Second) + ", " + in(time.Hour)
		}, 2 * time.Second},
		{"counter store down", 429, func() string { return "X-Rate-Limit-Reset: -1" }, 0},
		{"window in the past", 429, func() string { return "X-Rate-Limit-Reset: " + in(-time.Minute) }, 0},
		{"monthly quota", 429, func() string { return "X-Quota-Reset: " + in(20*day) }, day},
		{"no time: the largest number", 429, func() string { return "X-Quota-Reset: 9223372036854775807" }, 0},
		{"no time: the backend's seconds", 429, func() string { return "X-Rate-Limit-Reset: 30" }, 0},
		{"a limit's headers with another status", 503, func() string { return "X-Quota-Remaining: 0\nX-Quota-Reset: " + in(time.Hour) }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := reply{Status: tt.status, Header: tt.header()}
				c := newClient(t, base, gateway.Config{Transport: a.transport(), Retries: -1})
				_, err := c.Get(t.Context(), person)
				require.Equal(t, failure.Unavailable, failure.Of(err))
				require.Equal(t, tt.want, failure.RetryAfter(err).Round(time.Millisecond))
			})
		})
	}
}
