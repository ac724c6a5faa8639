//go:build integration

package processtest

import (
	"maps"
	"math/rand/v2"
	"sync"

	"github.com/konnektor-go/konnektor/testkit"
)

const (
	contextPath = "/register"
	apiKey      = "the-key"
	// surname is in every name and every ID: personal data that no log may hold.
	surname = "nordmann"
)

// register is the source: people whose states change.
type register struct {
	*testkit.Gateway

	mu      sync.Mutex
	people  map[string]int    // the version of those who are there
	present map[string][]bool // of each version of a person, from 1, whether they were there
}

// change gives a person a new state: nine times out of ten one that is there.
func (r *register) change(id string, random *rand.Rand) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	there := random.IntN(10) > 0
	r.present[id] = append(r.present[id], there)
	version := len(r.present[id])
	if !there {
		delete(r.people, id)
		return r.Delete("persons/" + id)
	}
	r.people[id] = version
	return r.Put("persons/"+id, person{Version: version, Name: "Kari " + surname})
}

// put gives a person a version that is there.
func (r *register) put(id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.present[id] = append(r.present[id], true)
	r.people[id] = len(r.present[id])
	return r.Put("persons/"+id, person{Version: r.people[id], Name: "Kari " + surname})
}

// snapshot returns the version of each person who is there.
func (r *register) snapshot() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.people)
}

// removedAfter reports whether a person was away in any version after the given
// one.
func (r *register) removedAfter(id string, version int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, there := range r.present[id][version:] {
		if !there {
			return true
		}
	}
	return false
}
