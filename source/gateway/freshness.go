package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/konnektor-go/konnektor/failure"
)

// Freshness says how to tell whether a state is as new as the notification that
// led to it. A request that asks past the gateway's cache may be answered from
// it all the same, if the API's owner forbids that; and a source may notify
// before all of its replicas know. The zero Freshness tells nothing.
type Freshness struct {
	// Time returns when the state in a response changed, as the source tells
	// it: [LastModified], [TimeField], or a function for whatever else it sends.
	// The header Date is of no use, the gateway's cache replays it. The zero
	// time means that the response does not tell: it is then taken as fresh. It
	// may be called concurrently.
	Time func(*Response) time.Time
	// Slack is how much older than Request.ChangedAt a state may look. It has to
	// cover what passes in the source between the change and its notification.
	Slack time.Duration
	// Delays are the waits before a state that looks too old is fetched again.
	// Default: 1, 2, 4 and 8 s. Together they must be shorter than
	// Config.Timeout.
	Delays []time.Duration
	// Accept takes a state that is still too old after that. Otherwise it is
	// failure.Failed: tried again later, for that entity alone.
	Accept bool
	// Validate makes those fetches conditional, by If-None-Match. It is only for
	// an API without any cache on the way.
	Validate bool
}

// maxAhead is how far in the future a change is believed to be, because of
// clocks. What is further says something else.
const maxAhead = time.Hour

func (f Freshness) validate(timeout time.Duration) error {
	if f.Slack < 0 {
		return errors.New("Freshness: Slack must not be negative")
	}
	var sum time.Duration
	for _, d := range f.Delays {
		if d < 0 || d >= timeout {
			return errors.New("Freshness: Delays must not be negative, and be shorter than Timeout")
		}
		sum += d
	}
	if f.Time != nil && sum >= timeout {
		return errors.New("Freshness: Delays must together be shorter than Timeout")
	}
	return nil
}

// LastModified returns the time of the header Last-Modified, which is in whole
// seconds: the end of that second.
func LastModified(r *Response) time.Time {
	t, err := http.ParseTime(r.Header.Get("Last-Modified"))
	if err != nil {
		return time.Time{}
	}
	return t.Add(time.Second - 1)
}

// TimeField returns a function for the time in a field of a JSON object, in the
// form of RFC 3339. The path leads to the field through the objects that hold
// it: "meta.lastModified".
func TimeField(path string) func(*Response) time.Time {
	return func(r *Response) time.Time {
		v, _ := field(r.Body, path)
		text, _ := v.(string)
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return time.Time{}
		}
		return t
	}
}

// field returns the value of a field of a JSON object.
func field(body []byte, path string) (any, bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, false
	}
	for name := range strings.SplitSeq(path, ".") {
		object, _ := v.(map[string]any)
		inner, ok := object[name]
		if !ok {
			return nil, false
		}
		v = inner
	}
	return v, true
}

// isStale reports whether a state is older than what was notified.
func (c *call) isStale(r *Response) bool {
	f := c.cfg.Freshness
	if f.Time == nil || c.req.ChangedAt.IsZero() || time.Until(c.req.ChangedAt) > maxAhead {
		return false
	}
	t := f.Time(r)
	return !t.IsZero() && t.Before(c.req.ChangedAt.Add(-f.Slack))
}

// staleVerdict is for a state that stays too old. It concerns that entity alone:
// others are notified, and fetched, as they should be.
func (c *call) staleVerdict(r *Response) (*Response, error) {
	if c.cfg.Freshness.Accept {
		return r, nil
	}
	return nil, c.counted(failure.As(failure.Failed,
		r.Failed("the state is older than the change that was notified", nil)))
}

// setValidator makes a request conditional on the last state being another one.
// It returns that state, or nil.
func (c *call) setValidator(req *http.Request, stale []*Response) *Response {
	if !c.cfg.Freshness.Validate || len(stale) == 0 {
		return nil
	}
	last := stale[len(stale)-1]
	tag := last.Header.Get("ETag")
	if tag == "" {
		return nil
	}
	req.Header["If-None-Match"] = []string{tag}
	return last
}
