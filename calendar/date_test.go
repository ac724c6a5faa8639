package calendar_test

import (
	"encoding/json"
	"encoding/xml"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/konnektor-go/konnektor/calendar"
)

const (
	noDate   = "date: is not a date such as 2006-01-02"
	noMoment = "date: is a moment, not a date: decode a time.Time and take NewDate(t.In(zone).Date())"
	noText   = "date: must be a JSON string or null"
)

// day reads a date that the test itself holds.
func day(t require.TestingT, s string) calendar.Date {
	d, err := calendar.ParseDate(s)
	require.NoError(t, err)
	return d
}

func TestParseDate(t *testing.T) {
	for _, tc := range []struct {
		name, text, want, err string
	}{
		{"ISO", "2026-08-01", "2026-08-01", ""},
		{"SAP", "20260801", "2026-08-01", ""},
		{"leap day", "2028-02-29", "2028-02-29", ""},
		{"leap day of a century", "2000-02-29", "2000-02-29", ""},
		{"first", "0002-01-01", "0002-01-01", ""},
		{"last", "9998-12-31", "9998-12-31", ""},
		{"midnight without a zone", "2026-08-01T00:00:00", "2026-08-01", ""},
		{"end of the day without a zone", "2026-07-31T23:59:59.9999999", "2026-07-31", ""},
		{"without seconds", "2026-08-01T08:30", "2026-08-01", ""},
		{"a space before the time", "2026-08-01 08:30:00", "2026-08-01", ""},
		{"lower case", "2026-08-01t00:00:00z", "2026-08-01", ""},
		{"midnight UTC", "2026-08-01T00:00:00Z", "2026-08-01", ""},
		{"midnight UTC with a fraction", "2026-08-01T00:00:00.000Z", "2026-08-01", ""},
		{"midnight of an offset", "2026-08-01T00:00:00+02:00", "2026-08-01", ""},
		{"midnight of an offset without colon", "2026-08-01T00:00:00.0+0200", "2026-08-01", ""},
		{"midnight without seconds", "2026-08-01T00:00-03:00", "2026-08-01", ""},

		{"empty", "", "", ""},
		{"year 9999", "9999-12-31", "", ""},
		{"year 9999, SAP", "99991231", "", ""},
		{"year 9999, first day", "9999-01-01", "", ""},
		{"year 9999 with a time", "9999-12-31T23:59:59.9999999", "", ""},
		{"year 9999 as a moment", "9999-12-31T23:59:59Z", "", ""},
		{"year 9999 as a moment of an offset", "9999-12-31T00:00:00+14:00", "", ""},
		{"year 1", "0001-01-01", "", ""},
		{"year 1 as a moment", "0001-01-01T00:00:00Z", "", ""},
		{"year 1 in Norway as a moment", "0000-12-31T23:17:00Z", "", ""},
		{"year 1, last day", "0001-12-31", "", ""},
		{"zeros", "00000000", "", ""},
		{"zeros with hyphens", "0000-00-00", "", ""},
		{"zeros with a time", "0000-00-00T00:00:00", "", ""},
		{"zeros with a space and a time", "0000-00-00 00:00:00", "", ""},

		{"a moment of yesterday or today", "2026-07-31T22:00:00Z", "", noMoment},
		{"a moment with an offset", "2026-08-01T00:00:00.001+02:00", "", noMoment},
		{"a moment without seconds", "2026-08-01T00:01Z", "", noMoment},
		{"30 February", "2026-02-30", "", noDate},
		{"30 February, SAP", "20260230", "", noDate},
		{"29 February", "2026-02-29", "", noDate},
		{"29 February of a century", "2100-02-29", "", noDate},
		{"31 April at midnight", "2026-04-31T00:00:00Z", "", noDate},
		{"month 13", "2026-13-01", "", noDate},
		{"day 0", "2026-08-00", "", noDate},
		{"31 November 9999", "9999-11-31", "", noDate},
		{"no zeros", "2026-8-1", "", noDate},
		{"Norwegian", "01.08.2026", "", noDate},
		{"seconds", "1785535200", "", noDate},
		{"hour 25", "2026-08-01T25:00:00", "", noDate},
		{"offset of 25 hours", "2026-08-01T00:00:00+25:00", "", noDate},
		{"space around", " 2026-08-01", "", noDate},
		{"more after it", "2026-08-01x", "", noDate},
		{"time missing", "2026-08-01T", "", noDate},
		{"zeros and more", "00000000x", "", noDate},
		{"zeros and no time", "0000-00-00Tx", "", noDate},
		{"five digits", "10000-01-01", "", noDate},
		{"before Christ", "-0044-03-15", "", noDate},
		{"word", "i morgen", "", noDate},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := calendar.ParseDate(tc.text)
			if tc.err != "" {
				require.EqualError(t, err, tc.err)
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, tc.want, d.String())
			require.Equal(t, tc.want == "", d == calendar.Date{})
			require.Equal(t, tc.want == "", d.IsZero())
		})
	}
}

func TestNewDate(t *testing.T) {
	for _, tc := range []struct {
		year  int
		month time.Month
		day   int
		want  string
	}{
		{2026, time.August, 1, "2026-08-01"},
		{2028, time.February, 29, "2028-02-29"},
		{2026, time.February, 30, "2026-03-02"},
		{2026, 13, 0, "2026-12-31"},
		{2, time.January, 1, "0002-01-01"},
		{2, time.January, 0, ""},
		{9998, time.December, 31, "9998-12-31"},
		{9998, time.December, 32, ""},
		{9999, time.December, 31, ""},
		{1, time.January, 1, ""},
		{-44, time.March, 15, ""},
		{100_000, time.January, 1, ""},
	} {
		d := calendar.NewDate(tc.year, tc.month, tc.day)
		require.Equal(t, tc.want, d.String())
		require.Equal(t, day(t, tc.want), d, "equals what was read")
	}
	evening := time.Date(2026, 7, 31, 22, 0, 0, 0, time.UTC)
	require.Equal(t, day(t, "2026-08-01"), calendar.NewDate(evening.In(calendar.Oslo()).Date()))
}

func TestDateCompare(t *testing.T) {
	want := []calendar.Date{{}, day(t, "2025-12-31"), day(t, "2026-01-31"), day(t, "2026-02-01"), day(t, "2026-02-02")}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, calendar.Date.Compare)
	require.Equal(t, want, got)
	require.Zero(t, want[1].Compare(day(t, "2025-12-31")))
}

// What an API answers, decoded over what an earlier answer left.
func TestDateInJSON(t *testing.T) {
	type employment struct {
		From  calendar.Date         `json:"from"`
		To    calendar.Date         `json:"to,omitzero"`
		Ended *calendar.Date        `json:"ended"`
		Days  map[calendar.Date]int `json:"days,omitempty"`
	}
	ended := day(t, "2026-09-01")
	for _, tc := range []struct {
		name, json, again, err string
		want                   employment
	}{
		{
			name: "dates", json: `{"from":"2026-08-01","to":"2027-07-31T00:00:00","ended":"20260901","days":{"2026-08-01":1}}`,
			again: `{"from":"2026-08-01","to":"2027-07-31","ended":"2026-09-01","days":{"2026-08-01":1}}`,
			want: employment{
				From: day(t, "2026-08-01"), To: day(t, "2027-07-31"), Ended: &ended,
				Days: map[calendar.Date]int{day(t, "2026-08-01"): 1},
			},
		},
		{name: "null", json: `{"from":null,"to":null,"ended":null}`, again: `{"from":null,"ended":null}`},
		{name: "empty", json: `{"from":"","to":"9999-12-31","ended":null}`, again: `{"from":null,"ended":null}`},
		{name: "escaped", json: `{"from":"\u0032026-08-01","to":""}`, again: `{"from":"2026-08-01","ended":null}`, want: employment{From: day(t, "2026-08-01")}},
		{name: "number", json: `{"from":20260801}`, err: noText},
		{name: "object", json: `{"from":{}}`, err: noText},
		{name: "30 February", json: `{"from":"2026-02-30"}`, err: noDate},
		{name: "moment", json: `{"from":"2026-07-31T22:00:00Z"}`, err: noMoment},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := employment{From: day(t, "1999-01-01"), To: day(t, "1999-01-02")}
			err := json.Unmarshal([]byte(tc.json), &got)
			if tc.err != "" {
				require.EqualError(t, err, tc.err)
				require.Equal(t, day(t, "1999-01-01"), got.From, "is left alone")
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
			again, err := json.Marshal(got)
			require.NoError(t, err)
			require.JSONEq(t, tc.again, string(again))
		})
	}
}

func TestDateInXML(t *testing.T) {
	type employment struct {
		From calendar.Date `xml:"from,attr"`
		To   calendar.Date `xml:"to"`
	}
	var got employment
	require.NoError(t, xml.Unmarshal([]byte(`<employment from="2026-08-01"><to></to></employment>`), &got))
	require.Equal(t, employment{From: day(t, "2026-08-01")}, got)
	text, err := xml.Marshal(got)
	require.NoError(t, err)
	require.Equal(t, `<employment from="2026-08-01"><to></to></employment>`, string(text))
}

func TestDateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(-65e9, 260e9).Draw(t, "seconds"), 0).UTC() // the years -90 to 10209
		d := calendar.NewDate(at.Date())
		require.Equal(t, at.Year() < 2 || at.Year() > 9998, d.IsZero())
		if !d.IsZero() {
			require.Equal(t, at.Format(time.DateOnly), d.String())
			require.Equal(t, at.Truncate(24*time.Hour), d.In(time.UTC))
		}

		text, err := json.Marshal(d)
		require.NoError(t, err)
		read := calendar.NewDate(1999, 1, 1)
		require.NoError(t, json.Unmarshal(text, &read))
		require.Equal(t, d, read)

		text, err = d.MarshalText()
		require.NoError(t, err)
		read = calendar.NewDate(1999, 1, 1)
		require.NoError(t, read.UnmarshalText(text))
		require.Equal(t, d, read)
	})
}

func FuzzParseDate(f *testing.F) {
	for _, s := range []string{
		"", "2026-08-01", "20260801", "9999-12-31", "0000-00-00", "00000000", "2026-02-30", "0001-01-01T00:00:00Z",
		"2026-08-01T00:00:00", "2026-08-01 12:30", "2026-07-31T22:00:00Z", "2026-08-01T00:00:00.5+0200", "2026-08-01t00:00z",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := calendar.ParseDate(s)
		quoted, quoteErr := json.Marshal(s)
		require.NoError(t, quoteErr)
		fromJSON := calendar.NewDate(1999, 1, 1)
		jsonErr := json.Unmarshal(quoted, &fromJSON)
		if err != nil {
			require.Contains(t, []string{noDate, noMoment}, err.Error())
			require.True(t, d.IsZero())
			require.EqualError(t, jsonErr, err.Error())
			return
		}
		require.NoError(t, jsonErr)
		require.Equal(t, d, fromJSON)
		require.Equal(t, d, day(t, d.String()))
		digits := strings.ReplaceAll(s, "-", "")
		if !d.IsZero() {
			require.True(t, strings.HasPrefix(digits, strings.ReplaceAll(d.String(), "-", "")), "the date as written")
			return
		}
		require.Regexp(t, `^$|^9999|^000[01]`, digits)
	})
}
