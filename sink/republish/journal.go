package republish

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
)

// ErrConflict is returned by Store if the entry is not the one that was loaded.
var ErrConflict = errors.New("republish: the journal's entry was changed by somebody else")

// Journal keeps what a sink owes, for each entity.
//
// For implementers:
//   - Load returns the entry of a key, or the zero Entry.
//   - Store replaces it, if its revision is still that of the given entry, and
//     returns it with its new revision, which no other entry of the key ever
//     had; else it returns ErrConflict. A revision of 0 means that there is none.
//     When Store returns nil, the entry survives a crash.
//   - An entry that is not Pending may be forgotten once its Expires has passed.
//   - Forget deletes the entry of a key, also what is owed.
//   - All are called concurrently, and their errors hold no key.
type Journal interface {
	Load(ctx context.Context, key entity.Key) (Entry, error)
	Store(ctx context.Context, key entity.Key, e Entry) (Entry, error)
	Forget(ctx context.Context, key entity.Key) error
}

// Entry is what a journal knows of an entity.
type Entry struct {
	// Revision is the journal's, see [Journal].
	Revision int64 `json:"-"`
	// Pending says that a publication is owed, or may be.
	Pending bool `json:"pending,omitzero"`
	// Op and Time are what is owed: what was last to be done, and when it was
	// noted. Time stays, so that the next one is later.
	Op   sink.Op   `json:"op,omitzero"`
	Time time.Time `json:"time,omitzero"`
	// Held says that the brake holds it back.
	Held bool `json:"held,omitzero"`
	// Level, Strikes and Last are the brake's: how many publications there were
	// of late, how many in a row were held back, and when the last one was.
	Level   float64   `json:"level,omitzero"`
	Strikes int       `json:"strikes,omitzero"`
	Last    time.Time `json:"last,omitzero"`
	// Expires is when an entry that is not pending means nothing any more.
	Expires time.Time `json:"expires,omitzero"`
}

// Memory is a [Journal] in memory. The zero Memory works.
type Memory struct {
	mu      sync.Mutex
	entries map[entity.Key]Entry
	last    int64     // revision
	swept   time.Time // when what expired was forgotten
}

// Load implements [Journal].
func (m *Memory) Load(_ context.Context, key entity.Key) (Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries[key], nil
}

// Store implements [Journal].
func (m *Memory) Store(_ context.Context, key entity.Key, e Entry) (Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries[key].Revision != e.Revision {
		return Entry{}, ErrConflict
	}
	if m.entries == nil {
		m.entries = map[entity.Key]Entry{}
	}
	m.sweepLocked(time.Now())
	m.last++
	e.Revision = m.last
	m.entries[key] = e
	return e, nil
}

// Forget implements [Journal].
func (m *Memory) Forget(_ context.Context, key entity.Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, key)
	return nil
}

// sweepEvery is how often a journal forgets what expired.
const sweepEvery = time.Minute

func (m *Memory) sweepLocked(now time.Time) {
	if now.Sub(m.swept) < sweepEvery {
		return
	}
	m.swept = now
	for key, e := range m.entries {
		if !e.Pending && now.After(e.Expires) {
			delete(m.entries, key)
		}
	}
}
