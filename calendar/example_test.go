package calendar_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/konnektor-go/konnektor/calendar"
	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/entity"
)

// job and employee are what an HR system answers.
type job struct {
	Title    string        `json:"title"`
	FirstDay calendar.Date `json:"firstDay"`
	LastDay  calendar.Date `json:"lastDay"`
}

func (j job) period() calendar.Period { return calendar.Period{From: j.FirstDay, To: j.LastDay} }

type employee struct {
	Name string `json:"name"`
	Jobs []job  `json:"jobs"`
}

type account struct {
	Name   string
	Titles []string
}

// An account exists from five days before a job until 30 days after it. A title
// is shown from the first to the last day.
var (
	accounts = calendar.Window{LeadDays: 5, LagDays: 30}
	titles   = calendar.Window{}
)

// toAccount is the Map of a connector.Flow.
func toAccount(_ context.Context, _ entity.Key, e employee) (connector.Desired[account], error) {
	now, want := time.Now(), account{Name: e.Name}
	var periods []calendar.Period
	var changes []time.Time
	for _, j := range e.Jobs {
		current, next := titles.Active(now, j.period())
		if current {
			want.Titles = append(want.Titles, j.Title)
		}
		periods, changes = append(periods, j.period()), append(changes, next)
	}

	exists, next := accounts.Active(now, periods...)
	if !exists {
		return connector.Absent[account]().RecheckAt(next), nil
	}
	desired := connector.Present(want).RecheckAt(next)
	for _, change := range changes {
		desired = desired.RecheckAt(change)
	}
	return desired, nil
}

// A mapping asks whether the account exists now, and which titles are shown; it
// is asked again when one of the answers changes.
func Example() {
	people := connector.Flow[employee, account]{Name: "people", Map: toAccount} // and its Source and Sink
	for _, answer := range []string{
		`{"name":"Kari","jobs":[{"title":"Dean","firstDay":"2020-08-01","lastDay":"2990-07-31"},{"title":"Professor","firstDay":"1999-01-01","lastDay":"9999-12-31"}]}`,
		`{"name":"Ola","jobs":[{"title":"Janitor","firstDay":"2990-08-01","lastDay":null}]}`,
		`{"name":"Per","jobs":[{"title":"Lecturer","firstDay":"2019-08-01","lastDay":"2020-07-31"}]}`,
	} {
		var e employee
		if err := json.Unmarshal([]byte(answer), &e); err != nil {
			fmt.Println(err)
			return
		}
		desired, _ := people.Map(context.Background(), entity.Key{Type: "employees", ID: "1"}, e)
		want, exists := desired.Value()
		fmt.Println(e.Name, exists, want.Titles)
		if next := desired.Recheck(time.Now()); !next.IsZero() {
			fmt.Println("  again at", next.Format(time.RFC3339))
		}
	}
	// Output:
	// Kari true [Dean Professor]
	//   again at 2990-08-01T00:00:00+02:00
	// Ola false []
	//   again at 2990-07-27T00:00:00+02:00
	// Per false []
}

// The lead and the lag are days of the calendar, though the clocks change
// between them, and the last day belongs to the period.
func ExampleWindow_Active() {
	employment := calendar.Period{From: calendar.NewDate(2026, time.April, 1), To: calendar.NewDate(2026, time.October, 1)}
	window := calendar.Window{LeadDays: 5, LagDays: 30}

	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC) // in a mapping: time.Now()
	for !now.IsZero() {
		active, next := window.Active(now, employment)
		fmt.Println(active, next.Format(time.RFC3339))
		now = next
	}
	// Output:
	// false 2026-03-27T00:00:00+01:00
	// true 2026-11-01T00:00:00+01:00
	// false 0001-01-01T00:00:00Z
}

// A source's dates are read with what they hold for "no date".
func ExampleParseDate() {
	for _, s := range []string{"2026-08-01", "20260801", "2026-08-01T00:00:00", "9999-12-31", "2026-02-30", "2026-07-31T22:00:00Z"} {
		d, err := calendar.ParseDate(s)
		fmt.Println(d, d.IsZero(), err)
	}
	// Output:
	// 2026-08-01 false <nil>
	// 2026-08-01 false <nil>
	// 2026-08-01 false <nil>
	//  true <nil>
	//  true date: is not a date such as 2006-01-02
	//  true date: is a moment, not a date: decode a time.Time and take NewDate(t.In(zone).Date())
}
