package republish_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/republish"
	"github.com/konnektor-go/konnektor/testkit"
	"github.com/konnektor-go/konnektor/testkit/sinktest"
)

type account struct {
	Name, Room string
	Active     bool
	Disabled   sink.Optional[time.Time]
	Note       sink.Optional[string]
}

// directory is the testkit's target, which refuses a name.
type directory struct{ *testkit.Target[account] }

func (d directory) Create(ctx context.Context, key entity.Key, want account) error {
	if want.Name == "refused" {
		return failure.As(failure.Rejected, errors.New("Name: is refused"))
	}
	return d.Target.Create(ctx, key, want)
}

func (d directory) Update(ctx context.Context, key entity.Key, have sink.Found[account], want account, fields []sink.Field) error {
	if want.Name == "refused" {
		return failure.As(failure.Rejected, errors.New("Name: is refused"))
	}
	return d.Target.Update(ctx, key, have, want, fields)
}

func (d directory) down(down bool) {
	d.Fail(nil)
	if down {
		d.Fail(func(testkit.Call) error { return failure.As(failure.Unavailable, errors.New("down")) })
	}
}

// TestSuite shows that the sink around keeps what the one within promises.
func TestSuite(t *testing.T) {
	without := map[string]string{"several that match are an error of the entity": "the target has one of each key"}
	sinktest.Run(t, sinktest.Config{Virtual: true, Without: without}, func(*testing.T) sinktest.Harness[account] {
		d, journal := directory{new(testkit.Target[account])}, &republish.Memory{}
		wanted := func(name string, n int) account {
			return account{Name: name, Room: fmt.Sprint(n), Active: true, Disabled: sink.Null[time.Time]()}
		}
		return sinktest.Harness[account]{
			Target: d,
			Open: func(target sink.Target[account], cfg sink.EnsureConfig[account]) (sink.Sink[account], error) {
				inner, err := sink.Ensure(target, cfg)
				if err != nil {
					return nil, err
				}
				return republish.New(inner, journal, func(context.Context, republish.Publication) error { return nil }, republish.Config{Limit: -1})
			},
			Want:    func(n, version int) account { return wanted(fmt.Sprint("name ", n, version), version) },
			Text:    func(n int, text string) account { return wanted(text, n) },
			Refused: func(int) account { return account{Name: "refused"} },
			Down:    d.down,
			Refuse:  d.down,
			Foreign: func(key entity.Key) (string, error) {
				note, _ := d.Snapshot()[key].Note.Get()
				return note, nil
			},
			SetForeign: func(key entity.Key, value string) error {
				a := d.Snapshot()[key]
				a.Note = sink.Set(value)
				d.Set(key, a)
				return nil
			},
			Removal: sink.Removal[account]{
				Disable: func(a account, since time.Time) account {
					a.Active, a.Disabled = false, sink.Set(since)
					return a
				},
				Disabled: func(a account) (time.Time, bool) {
					since, ok := a.Disabled.Get()
					return since, ok && !a.Active
				},
			},
		}
	})
}
