package gateway

import (
	"bytes"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/konnektor-go/konnektor/internal/httpfail"
)

// policies are the gateway's limits: see "Limits" in the policies' manuals. A
// token bucket has the headers of a rate limit.
var policies = [...]struct {
	reset, limit, remaining, slice string // names of headers
	text                           string // of a 429
	even                           bool   // it allows no bursts
}{
	{reset: "X-Rate-Limit-Reset", limit: "X-Rate-Limit-Limit", remaining: "X-Rate-Limit-Remaining", text: "Rate limit exceeded!"},
	{reset: "X-Quota-Reset", limit: "X-Quota-Limit", remaining: "X-Quota-Remaining", text: "Quota exceeded!"},
	{
		reset: "X-Spike-Arrest-Reset", limit: "X-Spike-Arrest-Limit", remaining: "X-Spike-Arrest-Remaining",
		slice: "X-Spike-Arrest-Slice-Period", text: "Spike limit exceeded!", even: true,
	},
}

const (
	// maxTextPeriod is the longest period that is waited for without knowing
	// when it began.
	maxTextPeriod = time.Minute
	// maxReset is how far the end of a window can be from now. What is further
	// is no time in epoch milliseconds.
	maxReset = 400 * 24 * time.Hour
)

// limitAnswer is what an answer tells of the limits.
type limitAnswer struct {
	sent, received time.Time
	after          time.Duration // Retry-After of a 429
	policies       [len(policies)]policyAnswer
}

type policyAnswer struct {
	limit     int64 // 0: not told
	left      int64 // -1: not told
	reset     int64 // epoch ms, 0: not told
	period    time.Duration
	exhausted bool // this is what a 429 is about
}

func (a *limitAnswer) empty() bool {
	return a.after == 0 && a.policies == [len(policies)]policyAnswer{}
}

// readLimits reads the headers, and the text of a 429.
func readLimits(r *Response, sent, received time.Time) limitAnswer {
	a := limitAnswer{sent: sent, received: received}
	over := r.Status == http.StatusTooManyRequests
	if over {
		a.after = httpfail.RetryAfter(r.Header.Get("Retry-After"), received)
	}
	for i := range policies {
		p := &policies[i]
		_, told := r.Header[p.reset]
		text := over && bytes.Contains(r.Body, []byte(p.text))
		if told || text {
			a.policies[i] = readPolicy(r, i, received, over, text)
		}
	}
	return a
}

func readPolicy(r *Response, i int, now time.Time, over, text bool) policyAnswer {
	names := &policies[i]
	p := policyAnswer{left: -1}
	if text {
		p.limit, p.period = readText(r.Body)
	}
	if n, ok := parseInt(first(r.Header, names.limit)); ok {
		p.limit = n
	}
	if n, ok := parseInt(first(r.Header, names.remaining)); ok && n >= 0 {
		p.left = n
	}
	if names.slice != "" {
		if d, err := time.ParseDuration(first(r.Header, names.slice)); err == nil && d > 0 {
			p.period = d
		}
	}
	reset, ok := parseInt(first(r.Header, names.reset))
	if ok && reset > 0 && time.UnixMilli(reset).Sub(now).Abs() < maxReset {
		p.reset = reset
	}
	// The headers of all limits are sent with every answer, so one with
	// something left is not what refused the request.
	p.exhausted = text || over && p.reset > 0 && p.left <= 0
	return p
}

var limitText = regexp.MustCompile(`You reached the limit of (\d+) requests per (\d+) ([a-z]+)`)

// readText reads the limit and the period out of the text of a 429.
func readText(body []byte) (limit int64, period time.Duration) {
	m := limitText.FindSubmatch(body)
	if m == nil {
		return 0, 0
	}
	limit, _ = parseInt(string(m[1]))
	n, _ := parseInt(string(m[2]))
	unit := map[string]time.Duration{
		"ms": time.Millisecond, "milliseconds": time.Millisecond, "seconds": time.Second, "minutes": time.Minute,
		"hours": time.Hour, "days": 24 * time.Hour, "weeks": 7 * 24 * time.Hour,
	}[string(m[3])]
	if n > int64(maxReset/time.Millisecond) || unit == 0 || time.Duration(n) > maxReset/unit {
		return limit, 0
	}
	return limit, time.Duration(n) * unit
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
