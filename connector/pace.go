package connector

import "time"

const (
	// paceWindow is how long runs are counted for a flow's pace.
	paceWindow = 100 * time.Millisecond

	// maxAhead is how many rows of a flow are leased ahead of their runs during a
	// tide: what comes while they wait for further marks, and some more.
	maxAhead = 40_000
)

// pace is how many runs of a flow begin.
type pace struct {
	since     time.Time // begin of the window
	now, last int       // in this window and in the one before
}

// begun tells that runs have begun at a time.
func (p *pace) begun(n int, at time.Time) {
	if over := at.Sub(p.since); over > paceWindow {
		if p.last = p.now; over > 2*paceWindow {
			p.last = 0
		}
		p.since, p.now = at, 0
	}
	p.now += n
}

// within returns how many runs begin within a time at this pace, at most maxAhead.
// Where none have begun the pace is not known.
func (p *pace) within(d time.Duration) int {
	if p.last == 0 {
		return maxAhead
	}
	return int(min(maxAhead, int64(p.last)*int64(d/paceWindow)))
}
