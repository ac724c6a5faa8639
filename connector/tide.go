package connector

import (
	"sync"
	"time"
)

const (
	// tideWindow is how long notifications and runs are counted before they are
	// compared anew.
	tideWindow = 20 * time.Millisecond
	// tideLeast is how many notifications in a window are a tide at all: five
	// thousand a second.
	tideLeast = 100
)

// tide tells whether notifications come in faster than runs can follow: many, and
// more than twice as many as there are runs that end. Then it pays to take in
// first what waits in the broker, for there will be more about the same entities.
type tide struct {
	mu         sync.Mutex
	since      time.Time // begin of the window
	came, left int       // in the window
	until      time.Time // the end of the tide, unless it goes on
}

// in tells that notifications are marked.
func (t *tide) in(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.countLocked(&t.came, n)
	if t.came >= tideLeast && t.came > 2*t.left {
		t.until = now.Add(2 * tideWindow)
	}
}

// out tells that the outcomes of runs are stored.
func (t *tide) out(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.countLocked(&t.left, n)
}

func (t *tide) countLocked(counter *int, n int) time.Time {
	now := time.Now()
	if now.Sub(t.since) > tideWindow {
		t.since, t.came, t.left = now, 0, 0
	}
	*counter += n
	return now
}

// ends returns when the tide ends unless more comes, the zero time if there is
// none.
func (t *tide) ends() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Now().Before(t.until) {
		return t.until
	}
	return time.Time{}
}
