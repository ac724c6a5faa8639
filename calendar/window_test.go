package calendar_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/konnektor-go/konnektor/calendar"
)

func location(t require.TestingT, name string) *time.Location {
	zone, err := time.LoadLocation(name)
	require.NoError(t, err)
	return zone
}

// periods reads "2026-08-01/2027-07-31 2027-10-01/".
func periods(t require.TestingT, s string) []calendar.Period {
	var ps []calendar.Period
	for word := range strings.FieldsSeq(s) {
		from, to, _ := strings.Cut(word, "/")
		ps = append(ps, calendar.Period{From: day(t, from), To: day(t, to)})
	}
	return ps
}

func TestActive(t *testing.T) {
	oslo, account := calendar.Oslo(), calendar.Window{LeadDays: 5, LagDays: 30}
	const year = "2026-08-01/2027-07-31"
	for _, tc := range []struct {
		name    string
		window  calendar.Window
		periods string
		now     string // in the window's zone
		active  bool
		next    string
	}{
		{"long before", account, year, "2020-01-01T12:00:00", false, "2026-07-27T00:00:00+02:00"},
		{"right before", account, year, "2026-07-26T23:59:59.999999999", false, "2026-07-27T00:00:00+02:00"},
		{"begin", account, year, "2026-07-27T00:00:00", true, "2027-08-31T00:00:00+02:00"},
		{"last moment", account, year, "2027-08-30T23:59:59.999999999", true, "2027-08-31T00:00:00+02:00"},
		{"end", account, year, "2027-08-31T00:00:00", false, ""},
		{"the zero window is the period", calendar.Window{}, year, "2027-07-31T23:59:59", true, "2027-08-01T00:00:00+02:00"},
		{"one day", calendar.Window{}, "2026-08-01/2026-08-01", "2026-08-01T12:00:00", true, "2026-08-02T00:00:00+02:00"},

		{"no periods", account, "", "2026-08-01T12:00:00", false, ""},
		{"open start", account, "/2027-07-31", "0002-01-01T00:00:00", true, "2027-08-31T00:00:00+02:00"},
		{"open end", account, "2026-08-01/", "2026-07-26T00:00:00", false, "2026-07-27T00:00:00+02:00"},
		{"open end, begun", account, "2026-08-01/9999-12-31", "2026-07-27T00:00:00", true, ""},
		{"open", account, "/", "2026-07-27T00:00:00", true, ""},
		{"ends before it begins", account, "2026-08-01/2026-07-31", "2026-08-01T00:00:00", false, ""},
		{"ends before it begins, beside another", account, "2026-08-01/2026-07-31 2026-09-01/", "2026-08-01T00:00:00", false, "2026-08-27T00:00:00+02:00"},

		{"gap", calendar.Window{}, "2027-01-01/ 2026-08-01/2026-08-31", "2026-08-15T00:00:00", true, "2026-09-01T00:00:00+02:00"},
		{"in a gap", calendar.Window{}, "2027-01-01/ 2026-08-01/2026-08-31", "2026-09-01T00:00:00", false, "2027-01-01T00:00:00+01:00"},
		{"gap of a day", calendar.Window{}, "2026-08-01/2026-08-31 2026-09-02/2026-09-30", "2026-08-15T00:00:00", true, "2026-09-01T00:00:00+02:00"},
		{"no gap", calendar.Window{}, "2026-08-01/2026-08-31 2026-09-01/2026-09-30", "2026-08-15T00:00:00", true, "2026-10-01T00:00:00+02:00"},
		{"gap closed by the lead and the lag", account, "2026-08-01/2026-08-31 2026-10-06/2026-11-30", "2026-08-15T00:00:00", true, "2026-12-31T00:00:00+01:00"},
		{"gap a day longer", account, "2026-08-01/2026-08-31 2026-10-07/2026-11-30", "2026-08-15T00:00:00", true, "2026-10-01T00:00:00+02:00"},
		{"overlap", calendar.Window{}, "2026-08-10/2026-09-30 2026-08-01/2026-08-31", "2026-08-05T00:00:00", true, "2026-10-01T00:00:00+02:00"},
		{"one within the other", calendar.Window{}, "2026-08-01/2026-12-31 2026-09-01/2026-09-30", "2026-08-05T00:00:00", true, "2027-01-01T00:00:00+01:00"},
		{"the last one is open", calendar.Window{}, "2026-09-01/ 2026-08-01/2026-08-31", "2026-08-05T00:00:00", true, ""},
		{"past ones", calendar.Window{}, "2020-01-01/2020-12-31 2021-06-01/2021-12-31", "2026-08-05T00:00:00", false, ""},

		{"lead over a change to summer time", calendar.Window{LeadDays: 5}, "2026-04-01/", "2026-03-26T23:59:59", false, "2026-03-27T00:00:00+01:00"},
		{"begin on the day of it", calendar.Window{}, "2026-03-29/2026-03-29", "2026-03-29T00:00:00", true, "2026-03-30T00:00:00+02:00"},
		{"lag over a change to winter time", calendar.Window{LagDays: 30}, "2026-01-01/2026-10-01", "2026-10-31T23:59:59", true, "2026-11-01T00:00:00+01:00"},
		{"end on the day of it", calendar.Window{}, "2026-10-25/2026-10-25", "2026-10-25T23:59:59", true, "2026-10-26T00:00:00+01:00"},
		{
			"the zone", calendar.Window{Zone: location(t, "America/Sao_Paulo")}, "2018-11-04/2019-02-17",
			"2018-11-03T23:59:59", false, "2018-11-04T01:00:00-02:00",
		},
		{
			"a day that a zone has left out", calendar.Window{Zone: location(t, "Pacific/Apia")}, "2011-12-30/2011-12-30 2011-12-31/2011-12-31",
			"2011-12-29T23:59:59", false, "2011-12-31T00:00:00+14:00",
		},
		{
			"nothing but that day", calendar.Window{Zone: location(t, "Pacific/Apia")}, "2011-12-30/2011-12-30",
			"2011-12-29T23:59:59", false, "",
		},

		{"lag from a leap day", calendar.Window{LagDays: 366}, "/2028-02-29", "2028-03-01T00:00:00", true, "2029-03-02T00:00:00+01:00"},
		{"months", calendar.Window{LeadMonths: 1, LagMonths: 6}, "2026-03-15/2026-08-15", "2026-03-01T00:00:00", true, "2027-02-16T00:00:00+01:00"},
		{"a lead to a month that is shorter", calendar.Window{LeadMonths: 1}, "2028-03-31/", "2028-02-01T00:00:00", false, "2028-02-29T00:00:00+01:00"},
		{"a lag to a month that is shorter", calendar.Window{LagMonths: 6}, "/2026-08-31", "2026-12-01T00:00:00", true, "2027-03-01T00:00:00+01:00"},
		{"a lag of months from February", calendar.Window{LagMonths: 6}, "/2026-02-28", "2026-03-01T00:00:00", true, "2026-08-29T00:00:00+02:00"},
		{"months, then days", calendar.Window{LagMonths: 1, LagDays: 1}, "/2026-01-31", "2026-02-01T00:00:00", true, "2026-03-02T00:00:00+01:00"},
		{"a lead of months, then days", calendar.Window{LeadMonths: 1, LeadDays: 1}, "2026-03-31/", "2026-02-01T00:00:00", false, "2026-02-27T00:00:00+01:00"},

		{"later than the first day", calendar.Window{LeadDays: -3}, year, "2026-08-03T23:59:59", false, "2026-08-04T00:00:00+02:00"},
		{"earlier than the last day", calendar.Window{LagDays: -3}, year, "2027-07-28T23:59:59", true, "2027-07-29T00:00:00+02:00"},
		{"no day is left", calendar.Window{LeadDays: -3, LagDays: -3}, "2026-08-01/2026-08-06", "2026-08-03T00:00:00", false, ""},
		{"one day is left", calendar.Window{LeadDays: -3, LagDays: -3}, "2026-08-01/2026-08-07", "2026-08-03T00:00:00", false, "2026-08-04T00:00:00+02:00"},
		{"later, and longer", calendar.Window{LeadDays: -10, LagDays: 30}, "2026-08-01/2026-08-03", "2026-08-05T00:00:00", false, "2026-08-11T00:00:00+02:00"},

		{"last days", calendar.Window{}, "9998-12-01/9998-12-30", "9998-12-15T00:00:00", true, "9998-12-31T00:00:00+01:00"},
		{"beyond the last day", calendar.Window{}, "9998-12-01/9998-12-31", "9998-12-15T00:00:00", true, ""},
		{"begins beyond it", calendar.Window{LeadDays: -1}, "9998-12-31/", "9998-12-15T00:00:00", false, ""},
		{"for ever", calendar.Window{LeadDays: math.MaxInt, LagDays: math.MaxInt}, year, "0002-01-01T00:00:00", true, ""},
		{"never", calendar.Window{LeadDays: math.MinInt, LagDays: math.MinInt}, year, "2027-01-01T00:00:00", false, ""},
		{"months for ever", calendar.Window{LeadMonths: math.MaxInt, LagMonths: math.MaxInt}, year, "2030-01-01T00:00:00", true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			zone := tc.window.Zone
			if zone == nil {
				zone = oslo
			}
			now, err := time.ParseInLocation("2006-01-02T15:04:05", tc.now, zone)
			require.NoError(t, err)
			ps := periods(t, tc.periods)
			given := slices.Clone(ps)
			active, next := tc.window.Active(now.UTC(), ps...) // whatever the zone of now
			require.Equal(t, tc.active, active)
			got := ""
			if !next.IsZero() {
				got = next.Format(time.RFC3339)
			}
			require.Equal(t, tc.next, got)
			require.Equal(t, given, ps)
		})
	}
}

// holds says by the date on the zone's clocks whether one of the periods,
// prolonged by the days of the window, includes it.
func holds(w calendar.Window, at time.Time, ps []calendar.Period) bool {
	today := calendar.NewDate(at.In(w.Zone).Date())
	return slices.ContainsFunc(ps, func(p calendar.Period) bool {
		if !p.From.IsZero() && !p.To.IsZero() && p.From.Compare(p.To) > 0 {
			return false
		}
		from := calendar.NewDate(p.From.In(time.UTC).AddDate(0, 0, -w.LeadDays).Date())
		to := calendar.NewDate(p.To.In(time.UTC).AddDate(0, 0, w.LagDays).Date())
		return (p.From.IsZero() || today.Compare(from) >= 0) && (p.To.IsZero() || today.Compare(to) <= 0)
	})
}

func drawWindow(t *rapid.T) calendar.Window {
	zone := rapid.SampledFrom([]string{
		"Europe/Oslo", "America/Sao_Paulo", "America/Havana", "Asia/Beirut", "Pacific/Apia", "UTC",
	}).Draw(t, "zone")
	return calendar.Window{
		LeadDays: rapid.IntRange(-5, 40).Draw(t, "lead"),
		LagDays:  rapid.IntRange(-5, 40).Draw(t, "lag"),
		Zone:     location(t, zone),
	}
}

// base is in the years in which the zones of drawWindow do what is unusual.
var base = time.Date(2010, 8, 1, 0, 0, 0, 0, time.UTC)

func drawPeriods(t *rapid.T) []calendar.Period {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) calendar.Period {
		var p calendar.Period
		first := rapid.IntRange(0, 900).Draw(t, "first")
		if rapid.IntRange(0, 9).Draw(t, "has a start") > 0 {
			p.From = calendar.NewDate(base.AddDate(0, 0, first).Date())
		}
		if rapid.IntRange(0, 9).Draw(t, "has an end") > 0 {
			p.To = calendar.NewDate(base.AddDate(0, 0, first+rapid.IntRange(-3, 200).Draw(t, "days")).Date())
		}
		return p
	}), 0, 6).Draw(t, "periods")
}

// From any moment on, the answer stays as it is until next, and differs then;
// and so on from there, until it never differs again.
func TestActiveUntilNext(t *testing.T) {
	end := base.AddDate(4, 0, 0)
	rapid.Check(t, func(t *rapid.T) {
		w, ps := drawWindow(t), drawPeriods(t)
		now := base.Add(time.Duration(rapid.Int64Range(-90*24, 900*24*60*60).Draw(t, "seconds")) * time.Second)
		for changes := 0; ; changes++ {
			require.LessOrEqual(t, changes, 2*len(ps))
			active, next := w.Active(now, ps...)
			require.Equal(t, holds(w, now, ps), active, "at %v", now)
			until := next
			if next.IsZero() {
				until = end
			}
			require.True(t, until.After(now))
			for at := now; at.Before(until); at = at.Add(12 * time.Hour) {
				require.Equal(t, active, holds(w, at, ps), "at %v", at)
			}
			if next.IsZero() {
				return
			}
			require.Equal(t, active, holds(w, next.Add(-1), ps), "right before %v", next)
			require.Equal(t, !active, holds(w, next, ps), "at %v", next)
			now = next
		}
	})
}

// What is active for one period is active for all, whatever their order.
func TestActiveIsAUnion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, ps := drawWindow(t), drawPeriods(t)
		w.LeadMonths, w.LagMonths = rapid.IntRange(0, 3).Draw(t, "lead months"), rapid.IntRange(0, 3).Draw(t, "lag months")
		now := base.Add(time.Duration(rapid.Int64Range(0, 900*24*60).Draw(t, "minutes")) * time.Minute)
		active, next := w.Active(now, ps...)

		oneOf, earliest := false, time.Time{}
		for _, p := range ps {
			one, change := w.Active(now, p)
			oneOf = oneOf || one
			if !change.IsZero() && (earliest.IsZero() || change.Before(earliest)) {
				earliest = change
			}
		}
		require.Equal(t, oneOf, active)
		if !next.IsZero() {
			require.False(t, next.Before(earliest))
		}
		shuffled := rapid.Permutation(ps).Draw(t, "in another order")
		again, nextAgain := w.Active(now, append(shuffled, shuffled...)...)
		require.Equal(t, active, again)
		require.Equal(t, next, nextAgain)
	})
}
