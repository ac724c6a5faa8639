package scim_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/scim"
)

// handle is a way to a provider past the package: what another writer does. It
// is also a transport that notes what is sent, and can fail.
type handle struct {
	tb   testing.TB
	base string
	auth func(*http.Request) error
	// large is how many members a large group has.
	large int
	stop  func()

	mu     sync.Mutex
	down   bool
	refuse bool
	sent   []sent
}

// exampleTB is for examples, which have no testing.TB.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()        {}
func (exampleTB) Cleanup(func()) {}

// sent is a request that an Endpoint sent.
type sent struct {
	method, uri, body string
	match             string
}

func (h *handle) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuse {
		r.Header.Set("Authorization", "Bearer wrong")
	}
	if h.down {
		return nil, &net.OpError{Op: "dial", Err: errors.New("down")}
	}
	s := sent{method: r.Method, uri: r.URL.RequestURI(), match: r.Header.Get("If-Match")}
	if r.GetBody != nil {
		b, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		var buf bytes.Buffer
		_, _ = buf.ReadFrom(b)
		s.body = buf.String()
	}
	h.sent = append(h.sent, s)
	h.mu.Unlock()
	defer h.mu.Lock()
	return http.DefaultTransport.RoundTrip(r)
}

func (h *handle) setDown(down bool)     { h.mu.Lock(); h.down = down; h.mu.Unlock() }
func (h *handle) setRefuse(refuse bool) { h.mu.Lock(); h.refuse = refuse; h.mu.Unlock() }

// requests returns what was sent since the last call.
func (h *handle) requests() []sent {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.sent
	h.sent = nil
	return s
}

// do sends a request around the package, and returns the status.
func (h *handle) do(method, path string, body, into any) int {
	h.tb.Helper()
	data, err := json.Marshal(body)
	require.NoError(h.tb, err)
	if body == nil {
		data = nil
	}
	req, err := http.NewRequest(method, h.base+"/"+path, bytes.NewReader(data))
	require.NoError(h.tb, err)
	req.Header.Set("Content-Type", "application/scim+json")
	req.Header.Set("X-Plain", "true") // to the fake: without quirks
	require.NoError(h.tb, h.auth(req))
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(h.tb, err)
	defer resp.Body.Close()
	var buf bytes.Buffer
	_, err = buf.ReadFrom(resp.Body)
	require.NoError(h.tb, err)
	if into != nil {
		require.NoError(h.tb, json.Unmarshal(buf.Bytes(), into), buf.String())
	}
	return resp.StatusCode
}

type object = map[string]any

// list returns resources, all of those whose externalId is the given one.
func (h *handle) list(path, externalID string) []object {
	h.tb.Helper()
	var found []object
	for start := 1; ; {
		var l struct {
			TotalResults int
			Resources    []object
		}
		query := url.Values{"startIndex": {fmt.Sprint(start)}, "count": {"200"}}
		require.Equal(h.tb, 200, h.do("GET", path+"?"+query.Encode(), nil, &l))
		start += len(l.Resources)
		for _, r := range l.Resources {
			if externalID == "" || r["externalId"] == externalID {
				found = append(found, r)
			}
		}
		if start > l.TotalResults || len(l.Resources) == 0 {
			return found
		}
	}
}

// one returns the only resource of an entity.
func (h *handle) one(path string, key entity.Key) object {
	h.tb.Helper()
	found := h.list(path, key.ID)
	require.Len(h.tb, found, 1)
	return found[0]
}

func (h *handle) config() scim.Config {
	return scim.Config{Auth: h.auth, Transport: h, Timeout: 20 * time.Second}
}

func endpoint[T any](tb testing.TB, h *handle, cfg scim.Config) *scim.Endpoint[T] {
	tb.Helper()
	e, err := scim.New[T](h.base, cfg)
	require.NoError(tb, err)
	return e
}

func ensured[T any](tb testing.TB, h *handle, cfg scim.Config) sink.Sink[T] {
	tb.Helper()
	s, err := sink.Ensure[T](endpoint[T](tb, h, cfg), sink.EnsureConfig[T]{})
	require.NoError(tb, err)
	return s
}

func id(s string) entity.Key { return entity.Key{Type: "persons", ID: s} }

const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

// patchOp is the body of a PATCH.
func patchOp(ops ...object) object {
	return object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": ops}
}
