package gateway

import "time"

const (
	// margin is added to the ends of windows: the gateway rounds them down.
	margin = 2 * time.Millisecond
	// forgetAfter is how long a limit is kept to that is not heard of again.
	forgetAfter = time.Hour
)

// window is what is known of a limit: a number of requests in a period that
// begins with the first of them. It is shared with other instances of the
// connector. The limiter keeps to it once its period is known.
type window struct {
	even bool // spread all of the requests, not only the second half

	limit  int64         // 0: nothing is known
	period time.Duration // 0: not known
	reset  int64         // its end by the gateway's clock, epoch ms; 0: not known
	heard  time.Time     // when the gateway told of it

	ends time.Time // by our clock
	left int64     // requests until then
	told int64     // the least that the gateway said is left
	next time.Time // the next of them, to spread them
	anew bool      // begun by a request whose answer has not come
}

func (w *window) known(now time.Time) bool {
	return w.limit > 0 && w.period > 0 && now.Sub(w.heard) < forgetAfter
}

// earliest returns when the next request may be sent.
func (w *window) earliest(now time.Time) time.Time {
	switch {
	case !w.known(now) || !now.Before(w.ends):
		return time.Time{}
	case w.left <= 0:
		return w.ends
	default:
		return w.next
	}
}

// take counts a request that is sent. It is free to go at once while half of the
// limit is left, so that a short burst is not held up; then what is left has to
// do for the rest of the time.
func (w *window) take(now time.Time) {
	if !w.known(now) {
		return
	}
	if !now.Before(w.ends) {
		w.left, w.told, w.ends, w.anew = w.limit, w.limit, now.Add(w.period+margin), true
	}
	w.left--
	w.next = time.Time{}
	if w.even || w.left < w.limit/2 {
		w.next = now.Add(w.ends.Sub(now) / time.Duration(max(w.left, 0)+1))
	}
}

// observe learns from an answer, while others are still under way.
func (w *window) observe(p policyAnswer, a limitAnswer, c *clock, others int64) {
	if p.limit <= 0 {
		return
	}
	if p.reset == 0 {
		w.refused(p, a)
		return
	}
	if p.reset < w.reset && a.received.Sub(w.heard) < forgetAfter {
		return // overtaken by another answer, or kept in a cache
	}
	turned := p.reset > w.reset
	if turned && w.reset > 0 {
		c.atLeast(time.UnixMilli(w.reset).Sub(a.received))
		c.high = bound{}
	}
	w.reset, w.limit, w.heard = p.reset, p.limit, a.received
	w.learnPeriod(p, a, c)
	if w.anew && !turned && !p.exhausted {
		return // an answer from the window before
	}
	w.anew = false
	switch {
	case p.exhausted:
		w.left, w.told = 0, 0
	case turned && p.left < 0:
		w.left, w.told = p.limit-1-others, p.limit-1
	case turned:
		// Those under way may or may not be in what the gateway counted.
		w.left, w.told = p.left-others, p.left
	case p.left >= 0:
		// What never reached the gateway was not counted there.
		w.told = min(w.told, p.left)
		w.left = max(min(w.left, w.told), w.told-others)
	}
	w.ends = a.received.Add(max(c.until(w.reset, a.received), 0) + margin)
	if !w.next.IsZero() && w.next.After(w.ends) {
		w.next = w.ends
	}
}

// learnPeriod learns the period, and from that how the clocks differ.
func (w *window) learnPeriod(p policyAnswer, a limitAnswer, c *clock) {
	end := time.UnixMilli(w.reset)
	c.atMost(end.Add(time.Millisecond).Sub(a.sent)) // it is rounded down
	first := p.left == w.limit-1                    // so the window began with this request
	switch {
	case p.period > 0:
		w.period = p.period
	case w.period == 0 && first:
		w.period = usualPeriod(end.Sub(a.received), end.Sub(a.sent))
	}
	if w.period == 0 {
		return
	}
	c.atLeast(end.Add(-w.period - time.Millisecond).Sub(a.received))
	if first {
		c.atMost(end.Add(-w.period + time.Millisecond).Sub(a.sent))
	}
}

// refused learns of a limit from the text of a 429 alone.
func (w *window) refused(p policyAnswer, a limitAnswer) {
	if !p.exhausted || p.period <= 0 || p.period > maxTextPeriod {
		return
	}
	w.limit, w.period, w.heard = p.limit, p.period, a.received
	w.left, w.told, w.ends = 0, 0, a.received.Add(p.period+margin)
}

// wait returns how long a request has to wait that a 429 refused.
func (w *window) wait(p policyAnswer, a limitAnswer, c *clock) time.Duration {
	switch {
	case p.reset > 0:
		return max(c.until(p.reset, a.received), 0)
	case p.period <= maxTextPeriod:
		return p.period // it began some time ago
	default:
		return 0
	}
}

// usualPeriod returns the one usual period between two durations, or 0. A window
// that lasts so long, by clocks that agree, is taken to do so. Longer ones are
// left to the text of a 429: a clock that is wrong could make one of them up.
func usualPeriod(low, high time.Duration) time.Duration {
	const tolerance = 20 * time.Millisecond
	var found time.Duration
	for _, d := range []time.Duration{
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute,
	} {
		switch {
		case d < low-tolerance || d > high+tolerance:
		case found > 0:
			return 0
		default:
			found = d
		}
	}
	return found
}
