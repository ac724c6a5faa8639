package connector

import (
	"sync"
	"time"
)

// crew does jobs, each in a goroutine of its own, and keeps the goroutines: one
// that has grown its stack is worth keeping. Those that have had nothing to do for
// a while end.
type crew struct {
	jobs  chan func() // for goroutines that have nothing to do
	over  chan struct{}
	going sync.WaitGroup
}

// keepIdle is how long goroutines are kept that have nothing to do.
const keepIdle = time.Second

func newCrew() *crew { return &crew{jobs: make(chan func()), over: make(chan struct{})} }

// do has a job done and does not wait for it.
func (c *crew) do(job func()) {
	select {
	case c.jobs <- job:
	default:
		c.going.Go(func() { c.work(job) })
	}
}

func (c *crew) work(job func()) {
	for {
		job()
		timer := time.NewTimer(keepIdle)
		select {
		case job = <-c.jobs:
			timer.Stop()
		case <-timer.C:
			return
		case <-c.over:
			timer.Stop()
			return
		}
	}
}

// end returns when all jobs are done. It can be called once.
func (c *crew) end() {
	close(c.over)
	c.going.Wait()
}
