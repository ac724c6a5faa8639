package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/konnektor-go/konnektor/connector"
)

// errDiffers is the one thing that must not happen.
var errDiffers = errors.New("the directory does not equal the register")

// play runs the connector, and the day's scenes around it.
func play(ctx context.Context, s *screen) error {
	begin := time.Now()
	w, err := newWorld(s.logger())
	if err != nil {
		return err
	}
	s.title("A day in the life of a connector",
		"register ─▶ broker ─▶ connector ─▶ fetch through the gateway ─▶ map ─▶ directory")

	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- w.connector.Run(running, connector.Input{Subscriber: w.broker, Topic: queue}) }()

	for _, scene := range scenes {
		if err := w.playScene(ctx, s, scene); err != nil {
			return fmt.Errorf("%s: %w", scene.name, err)
		}
	}
	stop()
	if err := errors.Join(<-ended, w.broker.Close()); err != nil {
		return err
	}
	return w.summarize(ctx, s, time.Since(begin))
}

func (w *world) playScene(ctx context.Context, s *screen, scene scene) error {
	s.scene(scene.clock, scene.name, scene.text)
	before, err := w.tally(ctx)
	if err != nil {
		return err
	}
	if err := scene.act(ctx, w, s); err != nil {
		return err
	}
	after, err := w.tally(ctx)
	if err != nil {
		return err
	}
	s.result(fmt.Sprintf("%s, %s, %d created, %d updated, %d removed",
		count(after.notifications-before.notifications, "notification", "notifications"),
		count(after.fetches-before.fetches, "fetch", "fetches"),
		after.created-before.created, after.updated-before.updated, after.removed-before.removed))
	return nil
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

func (w *world) summarize(ctx context.Context, s *screen, took time.Duration) error {
	t, err := w.tally(ctx)
	if err != nil {
		return err
	}
	equal, err := w.proof(ctx)
	if err != nil {
		return err
	}
	s.title("Summary", fmt.Sprintf("played in %.1f s", took.Seconds()))
	s.line("notifications", t.notifications)
	s.line("fetches through the gateway", t.fetches)
	s.line("writes to the directory", t.created+t.updated+t.removed)
	s.line("people in the work store", t.rows)
	s.line("  of these waiting, parked", fmt.Sprintf("%d, %d", t.waiting, t.parked))
	s.line("messages set aside", t.refuse)
	s.line("people in the directory", len(w.directory.Snapshot()))
	if !equal {
		s.verdict(false, "the directory differs from the register")
		return errDiffers
	}
	s.verdict(true, "the directory equals the register")
	return nil
}
