package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter limits what an answer can make a connector wait. A quota may
// end in weeks, but it can also be raised tomorrow, and clocks can be wrong.
const maxRetryAfter = 24 * time.Hour

// retryAfter returns how long an answer asks to be left alone, or 0 if it does
// not say.
func retryAfter(r *Response, now time.Time) time.Duration {
	var d time.Duration
	if v := r.Header.Get("Retry-After"); v != "" {
		d = parseRetryAfter(v, now)
	}
	if d <= 0 && r.Status == http.StatusTooManyRequests {
		d = windowEnd(r.Header, now)
	}
	return min(max(d, 0), maxRetryAfter)
}

// parseRetryAfter reads a number of seconds or a date, RFC 9110 section 10.2.3.
func parseRetryAfter(v string, now time.Time) time.Duration {
	if n, ok := parseInt(v); ok {
		return time.Duration(min(n, int64(maxRetryAfter/time.Second))) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return t.Sub(now)
	}
	return 0
}

// windowEnd returns the time until the last of the exhausted windows ends. The
// gateway sends the headers of a limit with every answer, so one with
// something remaining is not what refused this request. The end is in epoch
// milliseconds; -1 says that the gateway does not know.
func windowEnd(h http.Header, now time.Time) time.Duration {
	var longest time.Duration
	for _, prefix := range []string{"X-Rate-Limit", "X-Quota", "X-Spike-Arrest"} {
		if left, ok := parseInt(first(h, prefix+"-Remaining")); ok && left > 0 {
			continue
		}
		if end, ok := parseInt(first(h, prefix+"-Reset")); ok && end > 0 {
			longest = max(longest, time.UnixMilli(end).Sub(now))
		}
	}
	return longest
}

// first returns the first of the values of a header: the gateway's own stands
// before the backend's, on a line of its own or in a list.
func first(h http.Header, name string) string {
	v, _, _ := strings.Cut(h.Get(name), ",")
	return v
}

// parseInt reads a whole number; one that is too large is the largest.
func parseInt(v string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
	return n, err == nil || errors.Is(err, strconv.ErrRange)
}
