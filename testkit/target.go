package testkit

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
)

// Call is a call to a [Target].
type Call struct {
	// Op is "get", "create", "update" or "delete".
	Op  string
	Key entity.Key
}

// Write is a write that a [Target] made.
type Write[T any] struct {
	// Time is when it took effect.
	Time time.Time
	// Op is "create", "update" or "delete".
	Op  string
	Key entity.Key
	// Before is the state before the write, zero after a create.
	Before T
	// After is the state after the write, zero after a delete.
	After T
}

// Target is a target system in memory, for [sink.Ensure]. The zero Target is
// empty and ready for use. Set its fields before.
type Target[T any] struct {
	// Latency is how long each call takes. The default is 0; without any, calls
	// hardly ever overlap.
	Latency time.Duration
	// Clone returns a copy of v that shares nothing with it that either side
	// may change. The default copies pointers, slices, maps, arrays and exported
	// fields of structs all the way down, and copies unexported fields as they
	// are, which is right for a time.Time. Set it for a T with pointers in
	// unexported fields, or pointers in circles. It must not call the Target.
	Clone func(v T) T

	mu        sync.Mutex
	values    map[entity.Key]T
	log       []Write[T]
	busy      map[entity.Key]int
	overlaps  int
	fail      func(Call) error
	failAfter func(Call) error
}

// Fail makes f decide which calls fail before they do anything; nil stops that.
// The call returns f's error, if it is not nil. f is called concurrently, and
// may block to hold a call up.
func (t *Target[T]) Fail(f func(Call) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fail = f
}

// FailAfter makes f decide which calls fail after they took effect, as when the
// answer is lost; nil stops that. It is not asked about calls that failed. f is
// called concurrently, and may block.
func (t *Target[T]) FailAfter(f func(Call) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failAfter = f
}

// Get implements [sink.Target].
func (t *Target[T]) Get(ctx context.Context, key entity.Key) (sink.Found[T], bool, error) {
	var v T
	var found bool
	err := t.call(ctx, Call{Op: "get", Key: key}, func() error {
		if v, found = t.values[key]; found {
			v = t.clone(v)
		}
		return nil
	})
	if err != nil {
		return sink.Found[T]{}, false, err
	}
	return sink.Found[T]{Value: v}, found, nil
}

// Create implements [sink.Target].
func (t *Target[T]) Create(ctx context.Context, key entity.Key, want T) error {
	return t.call(ctx, Call{Op: "create", Key: key}, func() error {
		if _, found := t.values[key]; found {
			return sink.ErrExists
		}
		var none T
		t.writeLocked("create", key, none, want)
		return nil
	})
}

// Update implements [sink.Target]. It is ErrConflict if the entity is not
// deeply equal to have.
func (t *Target[T]) Update(ctx context.Context, key entity.Key, have sink.Found[T], want T, fields []sink.Field) error {
	return t.call(ctx, Call{Op: "update", Key: key}, func() error {
		now, found := t.values[key]
		switch {
		case !found:
			return sink.ErrNotFound
		case !reflect.DeepEqual(now, have.Value):
			return sink.ErrConflict
		}
		t.writeLocked("update", key, now, merge(t.clone(now), want, fields))
		return nil
	})
}

// Delete implements [sink.Target]. It is ErrConflict if the entity is not
// deeply equal to have.
func (t *Target[T]) Delete(ctx context.Context, key entity.Key, have sink.Found[T]) error {
	return t.call(ctx, Call{Op: "delete", Key: key}, func() error {
		now, found := t.values[key]
		switch {
		case !found:
			return sink.ErrNotFound
		case !reflect.DeepEqual(now, have.Value):
			return sink.ErrConflict
		}
		delete(t.values, key)
		t.log = append(t.log, Write[T]{Time: time.Now(), Op: "delete", Key: key, Before: now})
		return nil
	})
}

// call runs op, which holds the lock, in the middle of the latency.
func (t *Target[T]) call(ctx context.Context, c Call, op func() error) error {
	t.mu.Lock()
	fail, failAfter := t.fail, t.failAfter
	if t.busy == nil {
		t.busy = map[entity.Key]int{}
	}
	if t.busy[c.Key]++; t.busy[c.Key] > 1 {
		t.overlaps++
	}
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.busy[c.Key]--; t.busy[c.Key] == 0 {
			delete(t.busy, c.Key)
		}
	}()

	if fail != nil {
		if err := fail(c); err != nil {
			return err
		}
	}
	if err := t.wait(ctx, t.Latency/2); err != nil {
		return err
	}
	if err := t.locked(op); err != nil {
		return err
	}
	if err := t.wait(ctx, t.Latency-t.Latency/2); err != nil {
		return err
	}
	if failAfter != nil {
		return failAfter(c)
	}
	return nil
}

// wait is sleep, whose error says nothing about the entity.
func (t *Target[T]) wait(ctx context.Context, d time.Duration) error {
	if err := sleep(ctx, d); err != nil {
		return failure.As(failure.Unavailable, err)
	}
	return nil
}

func (t *Target[T]) locked(op func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return op()
}

// writeLocked stores a copy of after, and logs the write.
func (t *Target[T]) writeLocked(op string, key entity.Key, before, after T) {
	after = t.clone(after)
	t.storeLocked(key, after)
	t.log = append(t.log, Write[T]{Time: time.Now(), Op: op, Key: key, Before: before, After: after})
}

// Set gives the entity the state v, as if somebody else had done it: the write
// is not logged.
func (t *Target[T]) Set(key entity.Key, v T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.storeLocked(key, t.clone(v))
}

func (t *Target[T]) storeLocked(key entity.Key, v T) {
	if t.values == nil {
		t.values = map[entity.Key]T{}
	}
	t.values[key] = v
}

// Unset removes the entity, as if somebody else had done it.
func (t *Target[T]) Unset(key entity.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.values, key)
}

// Snapshot returns a copy of all entities.
func (t *Target[T]) Snapshot() map[entity.Key]T {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[entity.Key]T, len(t.values))
	for k, v := range t.values {
		all[k] = t.clone(v)
	}
	return all
}

// Log returns a copy of all writes, in the order in which they took effect.
func (t *Target[T]) Log() []Write[T] {
	t.mu.Lock()
	defer t.mu.Unlock()
	log := slices.Clone(t.log)
	for i := range log {
		log[i].Before, log[i].After = t.clone(log[i].Before), t.clone(log[i].After)
	}
	return log
}

// Overlaps returns how many calls began while another for the same key was
// going on: 0 if entities were handled one at a time.
func (t *Target[T]) Overlaps() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.overlaps
}

func (t *Target[T]) clone(v T) T {
	if t.Clone != nil {
		return t.Clone(v)
	}
	detach(reflect.ValueOf(&v).Elem())
	return v
}
