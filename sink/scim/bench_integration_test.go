//go:build integration

package scim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/scim"
)

// BenchmarkApply compares Ensure over an Endpoint with the same by hand: a GET
// with a filter, a comparison in Go, and a POST, or a PATCH with the entity tag.
func BenchmarkApply(b *testing.B) {
	h := provider(b)
	for _, bb := range []struct {
		name string
		key  func(n int) string
		want func(n int) (name, title string)
	}{
		{"unchanged", func(int) string { return "1" }, func(int) (string, string) { return "ada", "Countess" }},
		{"changed", func(int) string { return "1" }, func(n int) (string, string) { return "ada", strconv.Itoa(n) }},
		{"new", strconv.Itoa, func(n int) (string, string) { return "user" + strconv.Itoa(n), "Countess" }},
	} {
		for _, impl := range []struct {
			name  string
			apply func(ctx context.Context, key entity.Key, name, title string) error
		}{{"sink", bySink(b, h)}, {"by hand", byHand{h}.apply}} {
			b.Run(bb.name+"/"+impl.name, func(b *testing.B) {
				provider(b) // empties it
				require.NoError(b, h.post("Users", object{"externalId": "1", "userName": "ada", "title": "Countess"}))
				n := 1
				for b.Loop() {
					n++
					name, title := bb.want(n)
					if err := impl.apply(b.Context(), id(bb.key(n)), name, title); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func bySink(b *testing.B, h *handle) func(context.Context, entity.Key, string, string) error {
	s := ensured[scim.User](b, h, scim.Config{Auth: h.auth})
	return func(ctx context.Context, key entity.Key, name, title string) error {
		_, err := s.Apply(ctx, key, scim.User{UserName: sink.Set(name), Title: sink.Set(title)})
		return err
	}
}

// byHand is what one would write without a library.
type byHand struct{ h *handle }

func (c byHand) apply(ctx context.Context, key entity.Key, name, title string) error {
	var l struct {
		Resources []struct {
			ID, UserName, Title string
			Meta                struct{ Version string }
		}
	}
	filter := url.Values{"filter": {fmt.Sprintf("externalId eq %q", key.ID)}}
	if err := c.call(ctx, "GET", "Users?"+filter.Encode(), "", nil, &l); err != nil {
		return err
	}
	if len(l.Resources) == 0 {
		return c.call(ctx, "POST", "Users", "", object{
			"schemas":    []string{"urn:ietf:params:scim:schemas:core:2.0:User"},
			"externalId": key.ID, "userName": name, "title": title,
		}, nil)
	}
	have := l.Resources[0]
	if have.UserName == name && have.Title == title {
		return nil
	}
	return c.call(ctx, "PATCH", "Users/"+have.ID, have.Meta.Version, patchOp(object{"op": "replace", "path": "title", "value": title}), nil)
}

func (c byHand) call(ctx context.Context, method, path, match string, body, into any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.h.base+"/"+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/scim+json")
	if match != "" {
		req.Header.Set("If-Match", match)
	}
	if err := c.h.auth(req); err != nil {
		return err
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	if into == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
