//go:build integration

package rest_test

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
	"github.com/konnektor-go/konnektor/sink/rest"
)

type named struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// BenchmarkApply compares Ensure over a Target with the same by hand: a GET, a
// comparison in Go, and a PUT or PATCH where something differs.
func BenchmarkApply(b *testing.B) {
	for _, impl := range []struct {
		name  string
		apply func(b *testing.B, c *campus) func(ctx context.Context, key entity.Key, want named) error
	}{{"sink", bySink}, {"by hand", byHand}} {
		b.Run(impl.name, func(b *testing.B) {
			for _, bb := range []struct {
				name string
				key  func(n int) string
				want func(n int) named
			}{
				{"unchanged", func(int) string { return "1" }, func(int) named { return named{Name: "Ada"} }},
				{"changed", func(int) string { return "1" }, func(n int) named { return named{Name: strconv.Itoa(n)} }},
				{"new", func(n int) string { return "new" + strconv.Itoa(n) }, func(int) named { return named{Name: "Ada"} }},
			} {
				b.Run(bb.name, func(b *testing.B) {
					c := newCampus(b)
					apply := impl.apply(b, c)
					n := 0
					for b.Loop() {
						if n++; n%100 == 0 { // the server looks through all that it has
							c.locked(func() { clear(c.users); c.requests, c.writes = nil, nil })
						}
						if err := apply(context.Background(), entity.Key{ID: bb.key(n)}, bb.want(n)); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}

func bySink(b *testing.B, c *campus) func(context.Context, entity.Key, named) error {
	target, err := rest.New[named](c.Client(), c.URL+"/people", rest.Config{Create: rest.PutNew, Header: auth})
	require.NoError(b, err)
	s, err := sink.Ensure(target, sink.EnsureConfig[named]{})
	require.NoError(b, err)
	return func(ctx context.Context, key entity.Key, want named) error {
		_, err := s.Apply(ctx, key, want)
		return err
	}
}

func byHand(_ *testing.B, c *campus) func(context.Context, entity.Key, named) error {
	do := func(ctx context.Context, method, path, typ string, body any, into any) (int, error) {
		var data []byte
		if body != nil {
			var err error
			if data, err = json.Marshal(body); err != nil {
				return 0, err
			}
		}
		req, err := http.NewRequestWithContext(ctx, method, c.URL+"/people/"+path, bytes.NewReader(data))
		if err != nil {
			return 0, err
		}
		req.Header.Set("Authorization", "Bearer s3cret")
		req.Header.Set("Content-Type", typ)
		resp, err := c.Client().Do(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		if data, err = io.ReadAll(resp.Body); err == nil && into != nil {
			err = json.Unmarshal(data, into)
		}
		return resp.StatusCode, err
	}
	return func(ctx context.Context, key entity.Key, want named) error {
		path := url.PathEscape(key.ID)
		var have named
		status, err := do(ctx, http.MethodGet, path, "", nil, &have)
		switch {
		case err != nil:
			return err
		case status == http.StatusNotFound:
			status, err = do(ctx, http.MethodPut, path, "application/json", want, nil)
		case have == want:
			return nil
		default:
			status, err = do(ctx, http.MethodPatch, path, "application/merge-patch+json", want, nil)
		}
		if err == nil && status >= 300 {
			return fmt.Errorf("status %d", status)
		}
		return err
	}
}
