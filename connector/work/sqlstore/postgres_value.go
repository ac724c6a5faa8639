package sqlstore

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/konnektor-go/konnektor/connector/work"
)

// The first and the last time that PostgreSQL is given: its own limits are
// somewhat wider.
var (
	firstTime = time.Date(1, time.January, 1, 0, 0, 0, 1e6, time.UTC)
	lastTime  = time.Date(294276, time.December, 31, 0, 0, 0, 0, time.UTC)
)

// instant returns a time as it is kept: whole milliseconds, nil for the zero
// time.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.Truncate(time.Millisecond)
	switch {
	case t.Before(firstTime):
		t = firstTime
	case t.After(lastTime):
		t = lastTime
	}
	return &t
}

// age returns how long ago a time was, in milliseconds, for a clock that differs
// from ours.
func age(t time.Time) int64 { return max(0, time.Now().UnixMilli()-t.UnixMilli()) }

// timestamp scans a time that may be NULL.
type timestamp time.Time

// Scan implements sql.Scanner.
func (t *timestamp) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*t = timestamp{}
	case time.Time:
		*t = timestamp(v.UTC())
	default:
		return fmt.Errorf("a time comes as %T, not as a time.Time", v)
	}
	return nil
}

// storedCause returns a cause as it will be read.
func storedCause(c work.Cause) work.Cause {
	if at := instant(c.Time); at != nil {
		c.Time = at.UTC()
	}
	return c
}

// causeJSON is a work.Cause without its time.
type causeJSON struct {
	Kind       string `json:"kind,omitempty"`
	EventID    string `json:"event_id,omitempty"`
	RoutingKey string `json:"routing_key,omitempty"`
	Trace      string `json:"trace,omitempty"`
	Hops       int    `json:"hops,omitempty"`
}

// causeText returns a cause without its time as JSON.
func causeText(c work.Cause) string {
	c = eachCauseText(c, toJSON)
	text, _ := json.Marshal(causeJSON{c.Kind, c.EventID, c.RoutingKey, c.Trace, c.Hops}) // always encodes
	return string(text)
}

// eachCauseText returns a cause with its texts changed by f.
func eachCauseText(c work.Cause, f func(string) string) work.Cause {
	c.Kind, c.EventID, c.RoutingKey, c.Trace = f(c.Kind), f(c.EventID), f(c.RoutingKey), f(c.Trace)
	return c
}

// cause scans what causeText returned. It leaves the time as it is.
type cause work.Cause

// Scan implements sql.Scanner.
func (c *cause) Scan(v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("a cause comes as %T, not as a string", v)
	}
	var read work.Cause
	err := json.Unmarshal([]byte(text), &read)
	read = eachCauseText(read, fromJSON)
	read.Time = c.Time
	*c = cause(read)
	return err
}
