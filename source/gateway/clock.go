package gateway

import "time"

// clock holds what is known of how far the gateway's clock is ahead of ours. An
// answer from within a window says that the window has not ended for the
// gateway, one from the next that it has. The zero clock knows nothing.
type clock struct {
	low, high bound
}

type bound struct {
	d     time.Duration
	known bool
}

// atLeast notes that the gateway's clock is ahead by d or more. What does not
// agree with that is from before a clock was set.
func (c *clock) atLeast(d time.Duration) {
	if !c.low.known || d > c.low.d {
		c.low = bound{d, true}
	}
	if c.high.known && c.high.d < c.low.d {
		c.high = bound{}
	}
}

// atMost notes that the gateway's clock is ahead by d or less.
func (c *clock) atMost(d time.Duration) {
	if !c.high.known || d < c.high.d {
		c.high = bound{d, true}
	}
	if c.low.known && c.high.d < c.low.d {
		c.low = bound{}
	}
}

// doubt is how much longer than needed is waited at most, so that nobody comes
// before the end of a window. Beyond that our clock is trusted until an answer
// disproves it.
const doubt = time.Minute

// ahead returns the best guess, in doubt rather too little.
func (c *clock) ahead() time.Duration {
	switch {
	case c.low.known && c.low.d > -doubt:
		return c.low.d
	case !c.high.known || c.high.d >= 0:
		return 0
	case c.low.known:
		return c.low.d
	default:
		return c.high.d
	}
}

// until returns how long it is from now until the gateway's clock says ms, in
// epoch milliseconds.
func (c *clock) until(ms int64, now time.Time) time.Duration {
	return time.UnixMilli(ms).Sub(now) - c.ahead()
}
