package testkit

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/time/rate"
)

// limits are the counters of the subscription, which all its clients share.
type limits struct {
	rate, quota, spike window
	bucket             *rate.Limiter // nil: none
	down               bool          // the counters cannot be reached
	all                bool          // send all headers
	skew               time.Duration
}

// window is a fixed window, from the first request in it.
type window struct {
	Limit
	ends time.Time
	used int
}

func newLimits(c GatewayConfig) *limits {
	l := &limits{
		rate: window{Limit: c.RateLimit}, quota: window{Limit: c.Quota}, spike: window{Limit: slice(c.SpikeArrest)},
		all: c.LimitHeaders, skew: c.ClockSkew,
	}
	if b := c.TokenBucket; b != (Limit{}) {
		l.bucket = rate.NewLimiter(rate.Every(b.Period/time.Duration(b.Requests)), b.Requests)
	}
	return l
}

// slice returns what a spike arrest counts: it spreads the requests evenly, in
// slices of 100 ms or more.
func slice(l Limit) Limit {
	if l == (Limit{}) {
		return l
	}
	period := max(l.Period/time.Duration(l.Requests), 100*time.Millisecond)
	return Limit{Requests: max(1, int(time.Duration(l.Requests)*period/l.Period)), Period: period}
}

// take counts a request. It returns the headers for the answer, and the text of
// the policy that refuses it, if one does.
func (l *limits) take(now time.Time) (http.Header, string) {
	h := http.Header{}
	if over := l.takeWindow(h, &l.rate, "X-Rate-Limit", l.all, now); over {
		return h, fmt.Sprintf("Rate limit exceeded! You reached the limit of %d requests per %s", l.rate.Requests, period(l.rate.Period))
	}
	if over := l.takeWindow(h, &l.quota, "X-Quota", true, now); over {
		return h, fmt.Sprintf("Quota exceeded! You reached the limit of %d requests per %s", l.quota.Requests, period(l.quota.Period))
	}
	over := l.takeWindow(h, &l.spike, "X-Spike-Arrest", l.all, now)
	if h.Get("X-Spike-Arrest-Limit") != "" {
		h.Del("X-Spike-Arrest-Remaining")
		h.Set("X-Spike-Arrest-Slice-Period", millis(l.spike.Period)+"ms")
	}
	if over {
		return h, fmt.Sprintf("Spike limit exceeded! You reached the limit of %d requests per %s ms.", l.spike.Requests, millis(l.spike.Period))
	}
	if l.bucket != nil && l.takeToken(h, now) {
		return h, fmt.Sprintf("Rate limit exceeded! You reached the limit of %d requests", l.bucket.Burst())
	}
	return h, ""
}

// takeWindow counts a request in w, and reports whether it is over the limit.
func (l *limits) takeWindow(h http.Header, w *window, prefix string, send bool, now time.Time) bool {
	if w.Limit == (Limit{}) {
		return false
	}
	if !now.Before(w.ends) {
		w.ends, w.used = now.Add(w.Period), 0
	}
	over := !l.down && w.used == w.Requests
	if !over && !l.down {
		w.used++
	}
	if !send {
		return over
	}
	reset, left := l.epoch(w.ends), w.Requests-w.used
	if l.down {
		reset, left = "-1", w.Requests
	}
	h.Set(prefix+"-Limit", strconv.Itoa(w.Requests))
	h.Set(prefix+"-Remaining", strconv.Itoa(left))
	h.Set(prefix+"-Reset", reset)
	return over
}

// takeToken reports whether the bucket is empty.
func (l *limits) takeToken(h http.Header, now time.Time) bool {
	over := !l.bucket.AllowN(now, 1)
	left := max(l.bucket.TokensAt(now), 0)
	next := time.Duration((1 - left) / float64(l.bucket.Limit()) * float64(time.Second))
	if l.all {
		h.Set("X-Rate-Limit-Limit", strconv.Itoa(l.bucket.Burst()))
		h.Set("X-Rate-Limit-Remaining", strconv.Itoa(int(left)))
		h.Set("X-Rate-Limit-Reset", l.epoch(now.Add(max(next, 0))))
	}
	if over {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(next.Seconds()))))
	}
	return over
}

func (l *limits) epoch(t time.Time) string { return strconv.FormatInt(t.Add(l.skew).UnixMilli(), 10) }

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// period writes a period as the gateway's texts do: "1 days", "30 seconds".
func period(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "days"}, {time.Hour, "hours"}, {time.Minute, "minutes"}, {time.Second, "seconds"}} {
		if d >= unit.length && d%unit.length == 0 {
			return fmt.Sprintf("%d %s", d/unit.length, unit.name)
		}
	}
	return millis(d) + " milliseconds"
}
