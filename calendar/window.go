package calendar

import (
	"slices"
	"time"
)

// A Period is the time from a first to a last day, both included, such as an
// employment.
type Period struct {
	// From is the first day. No date: it has always held.
	From Date
	// To is the last day. No date: there is no end.
	To Date
}

// A Window says from when until when something holds around a period. The zero
// Window is the period itself, by the clocks of Norway.
//
// Months are counted before days; a day that the month does not have is its
// last one: a month after January 31 is February 28 (or 29). Negative numbers
// make the window begin after the first day, or end before the last. A
// period that is left without a day is never active.
type Window struct {
	// LeadMonths and LeadDays say how long before the first day it begins.
	LeadMonths, LeadDays int
	// LagMonths and LagDays say for how long after the last day it goes on.
	LagMonths, LagDays int
	// Zone says when a day begins. Default Europe/Oslo, see Oslo.
	Zone *time.Location
}

// Active reports whether now is in the window of any of the periods, and the
// next time at which that answer would differ: zero if it stays. Next is at the
// start of a day, and before the year 9999.
//
// The periods are taken as one: next is not the end of a job if another one
// follows at once. A mapping that takes something from a period, such as the
// title of the current job, asks for each of them and gives each next to
// RecheckAt.
func (w Window) Active(now time.Time, periods ...Period) (active bool, next time.Time) {
	spans := make([]span, 0, len(periods))
	for _, p := range periods {
		if s, ok := w.span(p); ok {
			spans = append(spans, s)
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return a.start.Compare(b.start) })
	for _, s := range spans {
		switch {
		case !active && s.start.After(now):
			return false, s.start
		case active && s.start.After(next):
			return true, next
		case s.endless:
			return true, time.Time{}
		case s.end.After(now):
			active = true
			if s.end.After(next) {
				next = s.end
			}
		}
	}
	return active, next
}

// A span is the time from start until right before end.
type span struct {
	start, end time.Time // start is zero if there is none
	endless    bool
}

// maxShift is more days, and more months, than between any two dates. A longer
// lead or lag is as good as this one.
const maxShift = 4_000_000

// span returns the window around p, and false if there is no time in it.
func (w Window) span(p Period) (span, bool) {
	var s span
	if !p.From.IsZero() && !p.To.IsZero() && p.To.Compare(p.From) < 0 {
		return s, false
	}
	if !p.From.IsZero() {
		first := p.From.plus(-shift(w.LeadMonths), -shift(w.LeadDays))
		if first.Year() > maxYear {
			return s, false
		}
		s.start = startOfDay(first, w.Zone)
	}
	if p.To.IsZero() {
		s.endless = true
		return s, true
	}
	after := p.To.plus(shift(w.LagMonths), shift(w.LagDays)+1)
	s.end, s.endless = startOfDay(after, w.Zone), after.Year() > maxYear
	return s, s.endless || s.start.Before(s.end)
}

func shift(n int) int { return min(max(n, -maxShift), maxShift) }
