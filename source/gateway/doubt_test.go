package gateway_test

import (
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// TestProxiesOnTheWayProveNothing has what stands between the gateway and the
// source answer for it, with the gateway's ids.
func TestProxiesOnTheWayProveNothing(t *testing.T) {
	for _, body := range []string{"404 page not found\n", "default backend - 404", "<html>", "Cannot GET /persons/1"} {
		client := newClient(t, base, gateway.Config{Transport: reply{Status: 404, Body: body, IDs: true}.transport()})
		_, err := client.Get(t.Context(), person)
		require.Equal(t, failure.Unavailable, failure.Of(err), body)
	}
}

// TestARefusalInAnotherShapeProvesNothing has the API's owner turn the plan's 401
// into a 404 in JSON, on a gateway that names those whom it lets through.
func TestARefusalInAnotherShapeProvesNothing(t *testing.T) {
	const named = "X-Gravitee-Client-Identifier: app-1"
	count := 0
	client := newClient(t, base, gateway.Config{Transport: script(&count,
		reply{Status: 200, Header: named, Body: `{}`, IDs: true},
		reply{Status: 404, Body: `{"message":"not found"}`, IDs: true},
		reply{Status: 404, Header: named, Body: `{"message":"not found"}`, IDs: true},
	)})
	_, err := client.Get(t.Context(), person)
	require.NoError(t, err)
	_, err = client.Get(t.Context(), person)
	require.Equal(t, failure.Unavailable, failure.Of(err), "nobody was let through")
	_, err = client.Get(t.Context(), person)
	require.Equal(t, failure.Gone, failure.Of(err), "the source was asked")
}

// TestOneStaleStateIsNoOutage has a state that stays old for longer than a call
// may take.
func TestOneStaleStateIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClient(t, base, gateway.Config{
			Timeout: 10 * time.Second, Freshness: gateway.Freshness{Time: gateway.LastModified},
			Transport: reply{Status: 200, Body: `{}`, IDs: true, Header: "Last-Modified: Mon, 01 Jan 1990 00:00:00 GMT"}.transport(),
		})
		req := person
		req.ChangedAt = time.Now()
		_, err := client.Get(t.Context(), req)
		require.Equal(t, failure.Failed, failure.Of(err), "%v", err)
	})
}

func TestMaxBodyMayBeTheLargestNumber(t *testing.T) {
	client := newClient(t, base, gateway.Config{MaxBody: math.MaxInt64, Transport: reply{Status: 200, Body: `{"a":1}`, IDs: true}.transport()})
	resp, err := client.Get(t.Context(), person)
	require.NoError(t, err)
	require.JSONEq(t, `{"a":1}`, string(resp.Body))
}

// TestRequestsAskForPlainAnswers: the gateway drops compression and does not answer
// to Expect, so a client that counts on them waits, or cannot read.
func TestRequestsAskForPlainAnswers(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Expect") != "" || r.Header.Get("Accept-Encoding") != "" || r.Header.Get("Accept") != "application/json" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		reply{Status: 200, Body: `{}`, IDs: true}.write(w, r)
	})
	_, err := newClient(t, s.URL, gateway.Config{}).Get(t.Context(), person)
	require.NoError(t, err)
}
