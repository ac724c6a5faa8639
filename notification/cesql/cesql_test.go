package cesql_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/notification/cesql"
)

func sample() notification.Notification {
	e := event.New()
	e.SetID("1")
	e.SetType("no.uio.iga.person.update")
	e.SetSource("https://iga.uio.no")
	e.SetSubject("/persons/5")
	e.SetExtension("sequence", "17")
	return notification.Notification{Event: e}
}

func TestFilter(t *testing.T) {
	for _, tc := range []struct {
		name, expression string
		match, not       bool
	}{
		{"like", "type LIKE 'no.uio.iga.%'", true, false},
		{"like, other", "type LIKE 'no.uio.fs.%'", false, true},
		{"equal", "source = 'https://iga.uio.no'", true, false},
		{"and", "type LIKE '%.update' AND subject LIKE '/persons/%'", true, false},
		{"and, one of them false", "type LIKE '%.update' AND subject LIKE '/groups/%'", false, true},
		{"in", "type IN ('a', 'no.uio.iga.person.update')", true, false},
		{"not", "NOT (type LIKE 'no.uio.iga.%')", false, true},
		{"case of keywords", "type like '%.update' and exists subject", true, false},
		{"extension", "INT(sequence) > 16", true, false},
		{"function", "LEFT(subject, 9) = '/persons/'", true, false},
		{"missing attribute, asked for", "EXISTS tenant", false, true},
		{"missing attribute", "tenant = 'uio'", true, true},
		{"missing attribute, negated", "NOT (tenant = 'uio')", true, true},
		{"missing attribute that does not matter", "type = 'x' AND tenant = 'uio'", false, true},
		{"no number", "INT(subject) > 3", true, true},
		{"no boolean", "subject", true, true},
		{"division by zero", "1 / 0 = 1", true, true},
		{"text that is a boolean", "'false'", false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			filter, err := cesql.Filter(tc.expression)
			require.NoError(t, err)
			require.Equal(t, tc.match, filter.Match(sample()))
			require.Equal(t, tc.not, notification.Not(filter).Match(sample()))
		})
	}
}

func TestNotValid(t *testing.T) {
	for _, expression := range []string{
		"", " ", "type =", "type LIKE", "AND", "(", "type = 'x", "type = 'x' $$", "type == 'x'", "type LIKE 5",
		"NOSUCH(type)", "type = 'a' type = 'b'", "type IN ()", "NOT", "'\xff", "EXISTS", "99999999999999999999 = 1",
	} {
		t.Run(expression, func(t *testing.T) {
			filter, err := cesql.Filter(expression)
			require.ErrorContains(t, err, "expression: ")
			require.Nil(t, filter)
		})
	}
}

func TestConcurrentUse(t *testing.T) {
	filter, err := cesql.Filter("type LIKE 'no.uio.iga.%' AND INT(sequence) = 17")
	require.NoError(t, err)
	var all sync.WaitGroup
	matches := make([]bool, 8)
	for i := range matches {
		all.Go(func() {
			ok := true
			for range 100 {
				ok = ok && filter.Match(sample())
			}
			matches[i] = ok
		})
	}
	all.Wait()
	require.NotContains(t, matches, false)
}

func FuzzFilter(f *testing.F) {
	for _, expression := range []string{
		"type LIKE 'no.uio.%' AND EXISTS subject", "INT(sequence) + 1 > -17", "type IN ('a', \"b\") OR NOT (id = 1)",
		"'a' LIKE 'a_\\%'", "SUBSTRING(subject, 1, 2)", "type =", "((", "a$",
	} {
		f.Add(expression)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		filter, err := cesql.Filter(expression)
		if err != nil {
			require.ErrorContains(t, err, "expression: ")
			return
		}
		match := filter.Match(sample())
		require.Equal(t, match, filter.Match(sample()))
		if !match {
			require.True(t, notification.Not(filter).Match(sample()))
		}
	})
}

func ExampleFilter() {
	persons, err := cesql.Filter("type LIKE 'no.uio.iga.person.%' AND source = 'https://iga.uio.no'")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(persons.Match(sample()))
	_, err = cesql.Filter("type = 'x' $")
	fmt.Println(err)
	// Output:
	// true
	// expression: is not valid CloudEvents SQL at line 1, column 12
}
