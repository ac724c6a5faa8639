package connector

import "time"

const (
	// shareAhead is for how long rows are leased ahead of their runs while workers
	// are busy, so that more share a call.
	shareAhead = 100 * time.Millisecond

	// aheadOfLease is for which part of a lease rows are leased ahead of their runs
	// during a tide: stores keep them for as long, see [work.LeaseRequest].
	aheadOfLease = 8

	// maxAhead is how many rows of a flow are leased ahead of their runs at most:
	// what comes in a tide while it waits for further marks, and some more.
	maxAhead = 40_000

	// fewRuns is how many runs make up what runs usually take, and firstUsual what
	// they are taken for before one has ended: a call through a gateway.
	fewRuns    = 16
	firstUsual = 50 * time.Millisecond
)

// tookLocked notes what a run took.
func (l *loop) tookLocked(d time.Duration) {
	if l.usual == 0 {
		l.usual = d
	}
	l.usual += (d - l.usual) / fewRuns
}

// runsWithin returns how many runs can begin within a time, at most maxAhead, and
// none that come after a probe.
func (l *loop) runsWithin(d time.Duration) int {
	if l.source.status().Open || l.sink.status().Open {
		return 0
	}
	l.mu.Lock()
	usual := l.usual
	l.mu.Unlock()
	if usual == 0 {
		usual = firstUsual
	}
	n := min(maxAhead, float64(l.flow.workers)*float64(d)/float64(usual))
	if l.rate != nil {
		n = min(n, float64(l.rate.Limit())*d.Seconds())
	}
	return int(n)
}
