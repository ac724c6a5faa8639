package calendar

import (
	_ "embed"
	"sync"
	"time"
)

// osloRules are the rules of Europe/Oslo from the public domain time zone
// database (2025), for machines that have none. The package time/tzdata would
// serve too, but every program that imports this package would carry its 450 kB.
//
//go:embed oslo.tzif
var osloRules []byte

var oslo = sync.OnceValue(func() *time.Location {
	if zone, err := time.LoadLocation("Europe/Oslo"); err == nil {
		return zone
	}
	return embeddedOslo()
})

// Oslo returns Europe/Oslo, by preference as the machine knows it: its database
// is the newer one. It needs none, as in a container without files.
func Oslo() *time.Location { return oslo() }

func embeddedOslo() *time.Location {
	zone, err := time.LoadLocationFromTZData("Europe/Oslo", osloRules)
	if err != nil {
		return time.FixedZone("CET", 3600) // cannot be: a test loads the rules
	}
	return zone
}

// startOfDay returns the first moment at which the clocks of zone show the date
// of day, which is midnight UTC, or a later one: some zones leave out midnight,
// or a whole day, when they change their clocks.
func startOfDay(day time.Time, zone *time.Location) time.Time {
	if zone == nil {
		zone = Oslo()
	}
	t := day.Add(-48 * time.Hour).In(zone) // the day has begun nowhere
	for {
		_, offset := t.Zone()
		_, change := t.ZoneBounds()
		start := day.Add(-time.Duration(offset) * time.Second).In(zone)
		if start.Before(t) {
			start = t // midnight was left out, right before t
		}
		if change.IsZero() || start.Before(change) {
			return start
		}
		t = change
	}
}
