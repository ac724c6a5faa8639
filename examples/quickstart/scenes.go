package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/konnektor-go/konnektor/entity"
)

// scene is a part of the day.
type scene struct {
	clock, name, text string
	act               func(context.Context, *world, *screen) error
}

var scenes = []scene{
	{"06:00", "First load", "The register announces its 200 people.", firstLoad},
	{"08:15", "A new name", "Somebody marries. One field differs, one field is written.", rename},
	{"09:00", "A burst", "A batch job touches 20 people 25 times each: 500 notifications.", burst},
	{"10:30", "Nothing new", "The same 200 notifications again: looked at, nothing written.", nothingNew},
	{"11:45", "Somebody starts later", "Registered today, to be in the directory from the first working day.", startsLater},
	{"13:00", "Somebody leaves", "The register answers 404: that is proof, so the entry goes.", leaves},
	{"14:20", "The gateway loses its API", "It answers 404 too. That proves nothing, so nobody goes.", gatewayForgets},
	{"15:10", "The register is down", "30 people change meanwhile. Work waits, and nobody is at fault.", outage},
	{"16:55", "A malformed message", "Set aside with its reason. It blocks nobody and does not come again.", malformed},
}

var (
	given  = []string{"Kari", "Ola", "Ingrid", "Lars", "Aisha", "Per", "Sunniva", "Mats", "Máret", "Chen"}
	family = []string{"Hansen", "Nordmann", "Berg", "Lie", "Dahl", "Eira", "Khan", "Moe", "Ås", "Strand"}
	units  = []string{"Physics", "Law", "Library", "Music"}
)

func id(n int) string { return fmt.Sprintf("p%03d", n) }

func ids(from, to int) []string {
	var list []string
	for n := from; n <= to; n++ {
		list = append(list, id(n))
	}
	return list
}

func firstLoad(ctx context.Context, w *world, _ *screen) error {
	for n := 1; n <= 200; n++ {
		p := Person{ID: id(n), GivenName: given[n%10], FamilyName: family[n/10%10], Unit: units[n%4]}
		if err := w.save(p); err != nil {
			return err
		}
	}
	if err := w.notify("created", ids(1, 200)...); err != nil {
		return err
	}
	return w.quiet(ctx)
}

func rename(ctx context.Context, w *world, s *screen) error {
	p := w.people[id(17)]
	p.FamilyName = "Solberg"
	if err := w.save(p); err != nil {
		return err
	}
	if err := w.notify("updated", p.ID); err != nil {
		return err
	}
	if err := w.quiet(ctx); err != nil {
		return err
	}
	log := w.directory.Log()
	last := log[len(log)-1]
	s.note(fmt.Sprintf("%q is now %q", last.Before.DisplayName, last.After.DisplayName))
	return nil
}

func burst(ctx context.Context, w *world, _ *screen) error {
	for range 25 {
		for n := 41; n <= 60; n++ {
			p := w.people[id(n)]
			p.Unit = "Archive"
			if err := w.save(p); err != nil {
				return err
			}
		}
		if err := w.notify("updated", ids(41, 60)...); err != nil {
			return err
		}
	}
	return w.quiet(ctx)
}

func nothingNew(ctx context.Context, w *world, _ *screen) error {
	if err := w.notify("updated", ids(1, 200)...); err != nil {
		return err
	}
	return w.quiet(ctx)
}

func startsLater(ctx context.Context, w *world, s *screen) error {
	const soon = 1500 * time.Millisecond
	p := Person{ID: id(201), GivenName: "Nora", FamilyName: "Vik", Unit: "Law", Start: time.Now().Add(soon)}
	key := entity.Key{Type: "persons", ID: p.ID}
	if err := w.save(p); err != nil {
		return err
	}
	if err := w.notify("created", p.ID); err != nil {
		return err
	}
	if err := w.quiet(ctx); err != nil {
		return err
	}
	if _, there, _ := w.directory.Get(ctx, key); there {
		return errors.New("the entry came too early")
	}
	row, _, err := w.store.Get(ctx, "people", key)
	if err != nil {
		return err
	}
	s.note(fmt.Sprintf("not yet: looked at again in %.1f s (three weeks, in a real life)", time.Until(row.Due).Seconds()))
	err = until(ctx, func() bool {
		_, there, _ := w.directory.Get(ctx, key)
		return there
	})
	if err == nil {
		s.note("the day has come, the entry is there, without any notification")
	}
	return err
}

func leaves(ctx context.Context, w *world, _ *screen) error {
	if err := w.remove(id(99)); err != nil {
		return err
	}
	if err := w.notify("deleted", id(99)); err != nil {
		return err
	}
	return w.quiet(ctx)
}

func gatewayForgets(ctx context.Context, w *world, s *screen) error {
	w.gateway.Stop()
	if err := w.notify("updated", ids(1, 20)...); err != nil {
		return err
	}
	if err := pause(ctx, 1200*time.Millisecond); err != nil {
		return err
	}
	s.note(fmt.Sprintf("%d notifications wait, %d people are in the directory", w.broker.Len(queue), len(w.directory.Snapshot())))
	w.gateway.Start()
	return w.quiet(ctx)
}

func outage(ctx context.Context, w *world, s *screen) error {
	w.gateway.SetBackendDown(true)
	for n := 101; n <= 130; n++ {
		p := w.people[id(n)]
		p.Unit = "Museum"
		if err := w.save(p); err != nil {
			return err
		}
	}
	if err := w.notify("updated", ids(101, 130)...); err != nil {
		return err
	}
	if err := pause(ctx, 2*time.Second); err != nil {
		return err
	}
	s.note(fmt.Sprintf("%d notifications wait, one probe at a time goes through", w.broker.Len(queue)))
	w.gateway.SetBackendDown(false)
	return w.quiet(ctx)
}

func malformed(ctx context.Context, w *world, _ *screen) error {
	if err := w.publish([]byte(`{"specversion":"1.0","type":"org.example.register.person.upd`)); err != nil {
		return err
	}
	if err := w.notify("updated", id(5)); err != nil {
		return err
	}
	return w.quiet(ctx)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
