// Package deadline tells how much time is left.
package deadline

import "time"

// Left returns how long it is from now until a time. Of the two clocks of a process
// the stricter one counts: one stands still while the machine sleeps, the other can
// be set. Both times must come from time.Now.
func Left(now, until time.Time) time.Duration {
	return min(until.Sub(now), until.Round(0).Sub(now.Round(0)))
}
