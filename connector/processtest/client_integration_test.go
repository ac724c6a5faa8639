//go:build integration

package processtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
)

// The headers of a write, besides HTTP's own.
const (
	headerInstance = "X-Instance"
	headerLease    = "X-Lease"
	headerUntil    = "X-Lease-Until" // nanoseconds since 1970
)

// entry is a person as the target has it.
type entry struct {
	Version int    `json:"version"`
	Name    string `json:"name"`

	revision string // of what was read
}

// client is the target as a process sees it.
type client struct {
	program

	leases *leases
	halt   *halt
	http   *http.Client
}

// Get implements sink.Target.
func (c *client) Get(ctx context.Context, key entity.Key) (have sink.Found[entry], found bool, err error) {
	status, header, body, err := c.call(ctx, http.MethodGet, key, nil, nil)
	switch {
	case err != nil:
		return have, false, err
	case status == http.StatusOK:
		err = json.Unmarshal(body, &have.Value)
		have.Value.revision, found = header.Get("ETag"), true
	case status != http.StatusNotFound:
		err = fmt.Errorf("target: answers %d", status)
	}
	c.halt.reached(beforeAsking)
	return have, found, err
}

// Create implements sink.Target.
func (c *client) Create(ctx context.Context, key entity.Key, want entry) error {
	return c.write(ctx, http.MethodPut, key, &want, "If-None-Match", "*", sink.ErrExists)
}

// Update implements sink.Target.
func (c *client) Update(ctx context.Context, key entity.Key, have sink.Found[entry], want entry, _ []sink.Field) error {
	return c.write(ctx, http.MethodPut, key, &want, "If-Match", have.Value.revision, sink.ErrConflict)
}

// Delete implements sink.Target.
func (c *client) Delete(ctx context.Context, key entity.Key, _ sink.Found[entry]) error {
	return c.write(ctx, http.MethodDelete, key, nil, "", "", nil)
}

// write sends a write with the lease by which it is made.
func (c *client) write(ctx context.Context, method string, key entity.Key, want *entry, condition, value string, refused error) error {
	held := c.leases.of(key) // as of the moment when Ensure asked
	c.halt.reached(afterAsking)
	header := http.Header{}
	header.Set(headerInstance, c.Name)
	header.Set(headerLease, held.token)
	header.Set(headerUntil, strconv.FormatInt(held.until.UnixNano(), 10))
	if c.Conditional && condition != "" {
		header.Set(condition, value)
	}
	status, _, _, err := c.call(ctx, method, key, want, header)
	switch {
	case err != nil:
		return err
	case status == http.StatusNoContent:
		return nil
	case status == http.StatusNotFound:
		return sink.ErrNotFound
	case status == http.StatusPreconditionFailed:
		return refused
	default:
		return fmt.Errorf("target: answers %d", status)
	}
}

// call makes a request. Its errors hold no URL, because that holds the key.
func (c *client) call(ctx context.Context, method string, key entity.Key, want *entry, header http.Header) (status int, answered http.Header, body []byte, err error) {
	var content io.Reader
	if want != nil {
		text, _ := json.Marshal(want)
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.Target+"/people/"+url.PathEscape(key.ID), content)
	if err != nil {
		return 0, nil, nil, err
	}
	if header != nil {
		req.Header = header
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err
		}
		return 0, nil, nil, failure.As(failure.Unavailable, fmt.Errorf("target: %w", err))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return 0, nil, nil, failure.As(failure.Unavailable, fmt.Errorf("target: %w", err))
	case resp.StatusCode == http.StatusServiceUnavailable:
		return 0, nil, nil, failure.As(failure.Unavailable, errors.New("target: answers 503"))
	}
	return resp.StatusCode, resp.Header, body, nil
}
