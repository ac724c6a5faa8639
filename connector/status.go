package connector

import (
	"slices"
	"time"
)

// Status is what a connector does at a moment, in this process. What is to be
// done is in the work store, see [work.Store.Stats].
type Status struct {
	// Running says that Run has been called and has not returned.
	Running bool `json:"running"`
	// Flows are the flows in the order of New.
	Flows []FlowStatus `json:"flows"`
}

// FlowStatus is what a flow does.
type FlowStatus struct {
	Name string `json:"name"`
	// Source and Target tell whether the flow waits for one of them.
	Source BreakerStatus `json:"source"`
	Target BreakerStatus `json:"target"`
	// Workers is how many entities may be reconciled at once.
	Workers int `json:"workers"`
	// Runs are the entities that are reconciled now, longest first.
	Runs []RunStatus `json:"runs"`
}

// RunStatus is a reconcile under way.
type RunStatus struct {
	// Entity is the keyed hash of the entity's key, as in logs.
	Entity string `json:"entity"`
	// Stage is what it does: "fetch", "map" or "write".
	Stage string `json:"stage"`
	// Begun is when it began, Since when the stage did.
	Begun time.Time `json:"begun"`
	Since time.Time `json:"since"`
	// Stuck says that the stage's time is over, but the code that it calls does
	// not return: it does not heed its context.
	Stuck bool `json:"stuck,omitempty"`
}

// Status returns what the connector does.
func (c *Connector) Status() Status {
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s == nil {
		status := Status{}
		for _, f := range c.flows {
			status.Flows = append(status.Flows, FlowStatus{Name: f.name, Workers: f.workers})
		}
		return status
	}
	status := Status{Running: true}
	for _, l := range s.loops {
		status.Flows = append(status.Flows, l.status())
	}
	return status
}

func (l *loop) status() FlowStatus {
	status := FlowStatus{Name: l.flow.name, Source: l.source.status(), Target: l.sink.status(), Workers: l.flow.workers}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.runs {
		if stage := r.stage.Load(); stage.name != committing {
			status.Runs = append(status.Runs, RunStatus{
				Entity: l.hasher.Hash(r.lease.Key), Stage: stage.name,
				Begun: r.begun, Since: stage.since, Stuck: l.stuck(stage),
			})
		}
	}
	slices.SortFunc(status.Runs, func(a, b RunStatus) int { return a.Begun.Compare(b.Begun) })
	return status
}

// stageStatus is what a run does.
type stageStatus struct {
	name  string
	since time.Time
}

// committing is the stage of a run that has ended and whose outcome is being
// stored.
const committing = "commit"

// stuck reports whether a stage goes on though its context has ended.
func (l *loop) stuck(stage *stageStatus) bool {
	return stage.name != committing && time.Since(stage.since) > l.flow.timeout+stuckAfter
}

// stuckAfter is how long user code may take to notice that its time is over.
const stuckAfter = 10 * time.Second

// warnStuck logs the runs that are stuck, each once.
func (l *loop) warnStuck() {
	var stuck []*run
	l.mu.Lock()
	for _, r := range l.runs {
		if !r.warned && l.stuck(r.stage.Load()) {
			r.warned = true
			stuck = append(stuck, r)
		}
	}
	l.mu.Unlock()
	for _, r := range stuck {
		stage := r.stage.Load()
		l.log.Error("stuck: the code does not heed the end of its context, its worker is lost until it returns",
			"entity", l.hasher.Hash(r.lease.Key), "stage", stage.name, "since", stage.since, "transaction", r.tx)
	}
}
