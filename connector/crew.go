package connector

import "sync"

// crew does jobs, each in a goroutine of its own, and keeps the goroutines: one
// that has grown its stack is worth keeping.
type crew struct {
	jobs  chan func() // for goroutines that have nothing to do
	over  chan struct{}
	going sync.WaitGroup
}

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
		select {
		case job = <-c.jobs:
		case <-c.over:
			return
		}
	}
}

// end returns when all jobs are done. It can be called once.
func (c *crew) end() {
	close(c.over)
	c.going.Wait()
}
