package sinktest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/testkit"
	"github.com/konnektor-go/konnektor/testkit/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type account struct {
	Name     string
	Room     string
	Active   bool
	Disabled sink.Optional[time.Time]
	Note     sink.Optional[string]
}

func wanted(name, room string) account {
	return account{Name: name, Room: room, Active: true, Disabled: sink.Null[time.Time]()}
}

// fake is the target of the testkit, which refuses some names.
type fake struct{ *testkit.Target[account] }

func (f fake) Create(ctx context.Context, key entity.Key, want account) error {
	if want.Name == "refused" {
		return failure.As(failure.Rejected, errors.New("fake: Name: is refused"))
	}
	return f.Target.Create(ctx, key, want)
}

func (f fake) Update(ctx context.Context, key entity.Key, have sink.Found[account], want account, fields []sink.Field) error {
	if want.Name == "refused" {
		return failure.As(failure.Rejected, errors.New("fake: Name: is refused"))
	}
	return f.Target.Update(ctx, key, have, want, fields)
}

// failing makes all calls fail.
func (f fake) failing(text string) func(bool) {
	return func(on bool) {
		f.Fail(nil)
		if on {
			f.Fail(func(testkit.Call) error { return failure.As(failure.Unavailable, errors.New(text)) })
		}
	}
}

func harness(f fake, target sink.Target[account]) sinktest.Harness[account] {
	return sinktest.Harness[account]{
		Target: target,
		Want: func(n, version int) account {
			return wanted(fmt.Sprintf("name %d.%d", n, version), strconv.Itoa(version))
		},
		Text:    func(n int, text string) account { return wanted(text, strconv.Itoa(n)) },
		Refused: func(int) account { return account{Name: "refused"} },
		SetForeign: func(key entity.Key, value string) error {
			a := f.Snapshot()[key]
			a.Note = sink.Set(value)
			f.Set(key, a)
			return nil
		},
		Foreign: func(key entity.Key) (string, error) {
			note, _ := f.Snapshot()[key].Note.Get()
			return note, nil
		},
		Down:   f.failing("down"),
		Refuse: f.failing("refused"),
		Removal: sink.Removal[account]{
			Disable: func(have account, since time.Time) account {
				have.Active, have.Disabled = false, sink.Set(since)
				return have
			},
			Disabled: func(have account) (time.Time, bool) { return have.Disabled.Get() },
		},
	}
}

// unique is why a case is left out that the testkit's target cannot show.
var unique = map[string]string{"several that match are an error of the entity": "a map has no two values of a key"}

func TestTarget(t *testing.T) {
	for _, virtual := range []bool{false, true} {
		t.Run(fmt.Sprintf("virtual %v", virtual), func(t *testing.T) {
			sinktest.Run(t, sinktest.Config{Virtual: virtual, Without: unique}, func(*testing.T) sinktest.Harness[account] {
				f := fake{&testkit.Target[account]{}}
				if virtual {
					f.Latency = 100 * time.Millisecond
				}
				return harness(f, f)
			})
		})
	}
}

// comparing is a target that compares by itself, and finds what it has several of.
type comparing struct {
	fake

	twice map[entity.Key]bool
}

func (c comparing) Get(ctx context.Context, key entity.Key) (sink.Found[account], bool, error) {
	if c.twice[key] {
		return sink.Found[account]{}, false, fmt.Errorf("fake: %w", sink.ErrAmbiguous)
	}
	return c.fake.Get(ctx, key)
}

func (c comparing) Observe(ctx context.Context, key entity.Key, want account) (sink.Found[account], bool, []sink.Field, error) {
	have, found, err := c.Get(ctx, key)
	if err != nil || !found {
		return have, found, nil, err
	}
	return have, true, sink.Diff(have.Value, want), nil
}

func TestObserver(t *testing.T) {
	sinktest.Run(t, sinktest.Config{Virtual: true}, func(*testing.T) sinktest.Harness[account] {
		c := comparing{fake{&testkit.Target[account]{}}, map[entity.Key]bool{}}
		h := harness(c.fake, c)
		h.Duplicate = func(key entity.Key) error { c.twice[key] = true; return nil }
		return h
	})
}

// broken is a target with a bug.
type broken struct {
	fake

	bug string
}

func (b broken) Get(ctx context.Context, key entity.Key) (sink.Found[account], bool, error) {
	switch b.bug {
	case "trims identifiers":
		if key.ID[0] == ' ' {
			key.ID = key.ID[1:]
		}
	case "finds anybody":
		if key.ID == "*" {
			for k := range b.Snapshot() {
				key = k
			}
		}
	}
	have, found, err := b.fake.Get(ctx, key)
	switch {
	case err != nil && b.bug == "names whom it failed":
		err = failure.As(failure.Of(err), fmt.Errorf("%w: %s", err, key.ID))
	case err != nil && b.bug == "calls an outage a failure":
		err = errors.New("down")
	case err != nil && b.bug == "takes an outage for nothing there":
		return have, false, nil
	}
	return have, found, err
}

func (b broken) Create(ctx context.Context, key entity.Key, want account) error {
	switch {
	case b.bug == "creates over what is there":
		b.Set(key, want)
		return nil
	case b.bug == "says failed for what it refuses" && want.Name == "refused":
		return errors.New("fake: refused")
	case b.bug == "changes text":
		want.Name += "!"
	}
	return b.fake.Create(ctx, key, want)
}

func (b broken) Update(ctx context.Context, key entity.Key, have sink.Found[account], want account, fields []sink.Field) error {
	switch b.bug {
	case "writes one field":
		fields = fields[:1]
	case "writes everything":
		b.Set(key, want)
		return nil
	case "writes nothing":
		return nil
	case "writes over what others wrote":
		if _, found := b.Snapshot()[key]; !found {
			return sink.ErrNotFound
		}
		want.Note = have.Value.Note
		b.Set(key, want)
		return nil
	case "updates what is gone":
		return nil
	}
	return b.fake.Update(ctx, key, have, want, fields)
}

func (b broken) Delete(ctx context.Context, key entity.Key, have sink.Found[account]) error {
	switch b.bug {
	case "deletes nothing":
		return nil
	case "deletes everybody":
		for k := range b.Snapshot() {
			b.Unset(k)
		}
		return nil
	}
	return b.fake.Delete(ctx, key, have)
}

// bug is the environment variable that names the bug for TestBroken.
const bug = "SINKTEST_BUG"

// bugs are what the suite must catch, and by which case.
var bugs = map[string]string{
	"trims identifiers":                 "hostile_identifiers",
	"finds anybody":                     "hostile_identifiers",
	"names whom it failed":              "an_outage_is_not_the_entity's_fault",
	"calls an outage a failure":         "an_outage_is_not_the_entity's_fault",
	"takes an outage for nothing there": "an_outage_is_not_the_entity's_fault",
	"creates over what is there":        "a_create_that_finds_it_there",
	"says failed for what it refuses":   "what_the_target_refuses_for_good_is_rejected",
	"changes text":                      "hostile_values",
	"writes one field":                  "what_differs_is_updated",
	"writes everything":                 "what_the_mapping_does_not_name_is_left_alone",
	"writes nothing":                    "what_differs_is_updated",
	"writes over what others wrote":     "another_writer's_attribute,_between_read_and_write",
	"updates what is gone":              "an_update_that_finds_nothing",
	"deletes nothing":                   "what_is_there_is_removed",
	"deletes everybody":                 "what_is_there_is_removed",
}

// TestBroken runs the suite on a target with the bug that the environment names,
// for TestBugsAreCaught. Without one the target has none.
func TestBroken(t *testing.T) {
	sinktest.Run(t, sinktest.Config{Virtual: true, Without: unique}, func(*testing.T) sinktest.Harness[account] {
		f := fake{&testkit.Target[account]{Latency: time.Millisecond}}
		return harness(f, broken{f, os.Getenv(bug)})
	})
}

func TestBugsAreCaught(t *testing.T) {
	for name, by := range bugs {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestBroken$")
			cmd.Env = append(os.Environ(), bug+"="+name)
			out, err := cmd.CombinedOutput()
			require.Error(t, err, "the suite passes")
			require.Contains(t, string(out), "--- FAIL: TestBroken/"+by)
		})
	}
}
