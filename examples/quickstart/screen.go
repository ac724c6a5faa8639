package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
)

// screen prints the play. It colours only what goes to a terminal.
type screen struct {
	mu     sync.Mutex
	out    io.Writer
	colour bool
}

func newScreen(f *os.File) *screen {
	info, err := f.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &screen{out: f, colour: terminal && os.Getenv("NO_COLOR") == ""}
}

const (
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	green  = "\x1b[32m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	reset  = "\x1b[0m"
)

func (s *screen) paint(style, text string) string {
	if !s.colour {
		return text
	}
	return style + text + reset
}

func (s *screen) printf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = fmt.Fprintf(s.out, format, args...) // a closed terminal is no error of the play
}

func (s *screen) title(title, text string) {
	s.printf("\n%s\n%s\n\n", s.paint(bold, title), s.paint(dim, text))
}

func (s *screen) scene(clock, name, text string) {
	s.printf("%s  %s  %s\n", s.paint(dim, clock), s.paint(bold, fmt.Sprintf("%-25s", name)), text)
}

func (s *screen) note(text string) { s.printf("       · %s\n", text) }
func (s *screen) result(text string) {
	s.printf("       %s %s\n", s.paint(green, "✓"), s.paint(dim, text))
}

func (s *screen) line(name string, value any) { s.printf("  %-30s %8v\n", name, value) }

func (s *screen) verdict(good bool, text string) {
	style, sign := green, "✓"
	if !good {
		style, sign = red, "✗"
	}
	s.printf("\n%s\n", s.paint(style+bold, sign+" "+text))
}

// logger returns a log that shows on the screen what an operator would want to
// know: warnings, errors, and the end of an outage.
func (s *screen) logger() *slog.Logger { return slog.New(operator{s}) }

type operator struct{ *screen }

func (o operator) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (o operator) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelInfo && r.Message != "available again" {
		return nil
	}
	var b strings.Builder
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%q", a.Key, a.Value.String())
		return true
	})
	o.printf("       %s\n", o.paint(yellow, "log: "+r.Message+b.String()))
	return nil
}

// The connector's and the flow's names would be on every line.
func (o operator) WithAttrs([]slog.Attr) slog.Handler { return o }
func (o operator) WithGroup(string) slog.Handler      { return o }
