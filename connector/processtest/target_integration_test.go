//go:build integration

package processtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// writing is how long the target takes for a write.
const writing = 3 * time.Millisecond

// write is a write as the target saw it.
type write struct {
	id, instance, lease string

	until      time.Time // end of the lease, as its holder knew it when it asked
	begin, end time.Time
	removal    bool
	version    int // that was written, 0 for a removal
	over       int // the version that was there, 0 for nothing

	conditional, refused bool
}

// late reports whether the write came after the end of its lease.
func (w *write) late() bool { return w.begin.After(w.until) }

// target holds people, and logs how they are written. It compares a write's
// condition, if there is one, at the end of the write.
type target struct {
	register *register

	mu       sync.Mutex
	people   map[string]entry
	revision int
	log      []*write
	open     map[string][]*write // under way, by person
	overlaps [][2]*write
}

func newTarget(r *register) *target {
	return &target{register: r, people: make(map[string]entry), open: make(map[string][]*write)}
}

// ServeHTTP implements http.Handler.
func (t *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(r.URL.Path, "/people/")
	if r.Method == http.MethodGet {
		t.mu.Lock()
		have, found := t.people[id]
		t.mu.Unlock()
		if !found {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("ETag", have.revision)
		text, _ := json.Marshal(have)
		_, _ = w.Write(text)
		return
	}
	var want entry
	if err := json.NewDecoder(r.Body).Decode(&want); r.Method == http.MethodPut && err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	begun := t.begin(id, r, want.Version)
	time.Sleep(writing) // a write takes as long as it takes, whether or not its client waits
	w.WriteHeader(t.commit(begun, r.Header, want))
}

func (t *target) begin(id string, r *http.Request, version int) *write {
	nanoseconds, _ := strconv.ParseInt(r.Header.Get(headerUntil), 10, 64)
	begun := &write{
		id: id, instance: r.Header.Get(headerInstance), lease: r.Header.Get(headerLease),
		until: time.Unix(0, nanoseconds), begin: time.Now(),
		removal: r.Method == http.MethodDelete, version: version,
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, other := range t.open[id] {
		t.overlaps = append(t.overlaps, [2]*write{other, begun})
	}
	t.open[id] = append(t.open[id], begun)
	t.log = append(t.log, begun)
	return begun
}

// commit ends a write and returns the status of its answer.
func (t *target) commit(begun *write, header http.Header, want entry) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	begun.end = time.Now()
	others := t.open[begun.id][:0]
	for _, other := range t.open[begun.id] {
		if other != begun {
			others = append(others, other)
		}
	}
	t.open[begun.id] = others
	have, found := t.people[begun.id]
	begun.over = have.Version
	match, none := header.Get("If-Match"), header.Get("If-None-Match")
	begun.conditional = match != "" || none != ""
	if match != "" && match != have.revision || none != "" && found {
		begun.refused = true
		return http.StatusPreconditionFailed
	}
	if begun.removal {
		delete(t.people, begun.id)
		return http.StatusNoContent
	}
	t.revision++
	want.revision = fmt.Sprintf(`"%d"`, t.revision)
	t.people[begun.id] = want
	return http.StatusNoContent
}

// snapshot returns the version of each person.
func (t *target) snapshot() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	versions := make(map[string]int, len(t.people))
	for id, e := range t.people {
		versions[id] = e.Version
	}
	return versions
}

// right reports whether the target holds what the register does.
func (t *target) right() bool { return maps.Equal(t.snapshot(), t.register.snapshot()) }

// writes returns how many writes have come.
func (t *target) writes() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.log)
}

// findings are what the log shows.
type findings struct {
	writes int
	late   int // writes after the end of their leases
	// refused are late writes that a condition kept out, stale those that put an
	// older state over a newer one.
	refused, stale int
	// wrong are writes in time that overlapped with one in time, were refused, or
	// were stale, and what cannot be explained at all.
	wrong []string
}

// review looks through the log.
func (t *target) review() findings {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := findings{writes: len(t.log)}
	report := func(what string, writes ...*write) {
		for _, w := range writes {
			what += fmt.Sprintf("; %s version %d over %d by %s, lease %.8s, began %v before the lease's end, took %v",
				w.id, w.version, w.over, w.instance, w.lease, w.until.Sub(w.begin), w.end.Sub(w.begin))
		}
		f.wrong = append(f.wrong, what)
	}
	disturbed := make(map[*write]bool) // by a late one
	for _, pair := range t.overlaps {
		disturbed[pair[0]], disturbed[pair[1]] = true, true
		if !pair[0].late() && !pair[1].late() {
			report("overlap", pair[0], pair[1])
		}
	}
	lates := make(map[string]bool) // people of whom a late write was the last
	for _, w := range t.log {
		stale := !w.refused && w.over > w.version && (!w.removal || !t.register.removedAfter(w.id, w.over))
		if w.late() {
			f.late++
		}
		switch {
		case w.late() && w.refused:
			f.refused++
		case w.late() && stale && !w.conditional:
			f.stale++
		case stale:
			report("stale", w)
		case w.refused && !lates[w.id] && !disturbed[w]:
			report("refused", w)
		}
		if !w.refused {
			lates[w.id] = w.late()
		}
	}
	return f
}

// forgetLog begins a new log.
func (t *target) forgetLog() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log, t.overlaps = nil, nil
}
