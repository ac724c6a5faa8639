package notification

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/calendar"
)

var jsonTexts = []string{
	`{}`, `[]`, ` { "a" : [ 1 , -0.5e+10 , true , false , null ] , "b" : { "c" : "\u00e5\n\"\\\/" } } `,
	`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"":0}`, `[[[]]]`, `[{"x":[]},2]`, `"s"`, `"\ud83d\ude00"`, `"\ud83d"`,
	`0`, `-1`, `01`, `1.`, `.5`, `-`, `1e`, `1e999999`, `nul`, `nulll`, `tru`, `{"a"}`, `{"a":}`, `{"a":1,}`, `[1,]`, `[,]`,
	`{,}`, `{"a":1 "b":2}`, `[1 2]`, `{'a':1}`, `{a:1}`, `"` + "\x01" + `"`, `"\x"`, `"\u12"`, `"\u12g4"`, `"`, `"\`, `{"a":1`, `[`, `{`,
	"\x00", "{}\x00", "{} {}", "\ufeff{}", "/* */{}", `{"a":"b"}x`, `"a" "b"`, `[1]]`, "\u00a0{}", `{"a":NaN}`, `{"a":Infinity}`, `[+1]`,
}

// compareJSON checks that the scanner accepts what encoding/json accepts, and
// finds the same values.
func compareJSON(t *testing.T, text []byte) {
	t.Helper()
	if !utf8.Valid(text) {
		return // the decoder refuses it before
	}
	body := bytes.TrimLeft(text, " \t\r\n")
	if len(body) == 0 {
		return
	}
	switch body[0] {
	case '{':
		compareObject(t, text)
	case '[':
		got, err := readArray(text, 10000)
		var want []json.RawMessage
		if wantErr := json.Unmarshal(text, &want); wantErr != nil {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, string(want[i]), string(got[i]))
		}
	case '"':
		if len(body) != len(text) {
			return // is never asked with white space before it
		}
		var want string
		if wantErr := json.Unmarshal(text, &want); wantErr != nil {
			require.Error(t, checkString(text))
			return
		}
		require.NoError(t, checkString(text))
		require.Equal(t, want, string(unquote(bytes.TrimRight(text, " \t\r\n"))))
	default:
		require.Equal(t, json.Valid(text), scanAny(text) == nil)
	}
}

func scanAny(text []byte) error {
	s := scanner{text: text, depth: 10000}
	s.space()
	if err := s.value(); err != nil {
		return err
	}
	return s.end()
}

func compareObject(t *testing.T, text []byte) {
	t.Helper()
	require.Equal(t, json.Valid(text), scanAny(text) == nil)
	got, err := readObject(text, 10000, nil)
	var want map[string]json.RawMessage
	if wantErr := json.Unmarshal(text, &want); wantErr != nil {
		require.Error(t, err)
		return
	}
	if err != nil {
		require.EqualError(t, err, "message: has an object with two members of the same name")
		require.Less(t, len(want), strings.Count(string(text), ":"), "there can be two of the same name")
		names := map[string]bool{}
		all, _ := (&scanner{text: bytes.TrimLeft(text, " \t\r\n"), depth: 10000}).object(nil, true)
		for _, m := range all {
			names[string(m.name)] = true
		}
		require.Less(t, len(names), len(all))
		return
	}
	found := map[string]string{}
	for _, m := range got {
		found[string(m.name)] = string(m.value)
	}
	require.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(found)))
	for name, value := range want {
		require.Equal(t, string(value), found[name])
	}
}

func TestJSONAsTheStandardLibrary(t *testing.T) {
	for _, text := range jsonTexts {
		t.Run(text, func(t *testing.T) { compareJSON(t, []byte(text)) })
	}
}

func FuzzJSON(f *testing.F) {
	for _, text := range jsonTexts {
		f.Add([]byte(text))
	}
	f.Fuzz(compareJSON)
}

func TestMembersOfTheSameName(t *testing.T) {
	for _, count := range []int{2, 16, 17, 1000} {
		var text strings.Builder
		for i := range count - 1 {
			text.WriteString(`"m` + strings.Repeat("x", i) + `":0,`)
		}
		_, err := readObject([]byte("{"+text.String()+`"other":1}`), 1, nil)
		require.NoError(t, err)
		_, err = readObject([]byte("{"+text.String()+`"\u006d":1}`), 1, nil)
		require.EqualError(t, err, "message: has an object with two members of the same name")
	}
}

func TestDepth(t *testing.T) {
	for _, text := range []string{`{"a":[{}]}`, `{"a":1,"b":[[]]}`, `{"a":[[1],[2]],"b":{"c":{}}}`} {
		_, err := readObject([]byte(text), 3, nil)
		require.NoError(t, err, "brackets side by side are not deep")
		_, err = readObject([]byte(text), 2, nil)
		require.EqualError(t, err, "message: is nested too deep")
	}
}

func TestTexts(t *testing.T) {
	for _, tc := range []struct {
		raw  string
		want []string
	}{
		{``, nil}, {`null`, nil}, {`[]`, nil}, {`"a"`, []string{"a"}}, {`["a"," b "]`, []string{"a", "b"}},
		{`["a",5]`, nil}, {`["a",null]`, nil}, {`["a",""]`, nil}, {`["a",["b"]]`, nil}, {`["a\u0000"]`, nil}, {`5`, nil}, {`{"a":1}`, nil},
	} {
		require.Equal(t, tc.want, textsOf([]byte(tc.raw), 8), tc.raw)
	}
}

func TestInstantsAndDates(t *testing.T) {
	utc := func(text string) string {
		at, err := instant("at", text)
		if err != nil {
			return err.Error()
		}
		return at.UTC().Format(time.RFC3339Nano)
	}
	const none, noNumber, noDate = "0001-01-01T00:00:00Z", "at: is not a number of seconds or milliseconds since 1970",
		"at: is not a date or a time such as 2006-01-02 or 2006-01-02T15:04:05Z"
	for text, want := range map[string]string{
		"": none, "0": "1970-01-01T00:00:00Z", "1458496404": "2016-03-20T17:53:24Z", "1458496404.5": "2016-03-20T17:53:24.5Z",
		"1.458496404e9": "2016-03-20T17:53:24Z", "1582344412462": "2020-02-22T04:06:52.462Z", "99999999999": "5138-11-16T09:46:39Z",
		"100000000000": "1973-03-03T09:46:40Z", "99999999999999": "5138-11-16T09:46:39.999Z", "100000000000000": noNumber,
		"-1": noNumber, "1e999999": noNumber, "1e-999999": "1970-01-01T00:00:00Z", "--": noDate, "1.2.3": noNumber, "e": noNumber,
		"2026-02-03T04:05:06Z": "2026-02-03T04:05:06Z", "2026-02-03t04:05:06.5z": "2026-02-03T04:05:06.5Z",
		"2026-02-03T04:05:06+01:00": "2026-02-03T03:05:06Z", "2026-02-03T04:05:06+0100": "2026-02-03T03:05:06Z",
		"2026-02-03 04:05:06": "2026-02-03T04:05:06Z", "2026-02-03T04:05": "2026-02-03T04:05:00Z", "2026-02-03": "2026-02-03T00:00:00Z",
		"9999-12-31": none, "9999-12-31T23:59:59.999Z": none, "9999-12-31T00:00:00+14:00": none, "0001-01-01T00:00:00": none,
		"2026-02-30": noDate, "2026-13-01": noDate, "2026-02-03T25:00:00Z": noDate, "2026-02-03T04:05:06+25:00": noDate,
		"03.02.2026": noNumber, "NaN": noDate, "Inf": noDate, "0x10": noDate, "1_000": noDate, "igår": noDate,
	} {
		require.Equal(t, want, utc(text), text)
	}
	for text, want := range map[string]string{
		"2026-12-01": "2026-11-30T23:00:00Z", "20260701": "2026-06-30T22:00:00Z", "2026-12-01T08:00:00": "2026-12-01T07:00:00Z",
		"2026-12-01T08:00:00Z": "2026-12-01T08:00:00Z", "00000000": none, "0000-00-00": none, "99991231": none, "": none,
	} {
		at, err := date("at", text, calendar.Oslo())
		require.NoError(t, err)
		require.Equal(t, want, at.UTC().Format(time.RFC3339), text)
	}
}
