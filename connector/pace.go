package connector

import "time"

// paceWindow is how long runs are counted for a flow's pace.
const paceWindow = 100 * time.Millisecond

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
