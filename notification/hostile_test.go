package notification_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/notification"
)

// TestLargeMessages decodes messages of the largest size whose parts are as many
// as they can be. Where time grew with the square of their number, this would
// take minutes.
func TestLargeMessages(t *testing.T) {
	const half, all = notification.MaxSize/2 - 200, notification.MaxSize - 200
	many := func(size int, format string) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	event := func(kind, more string) string {
		return `{"specversion":"1.0","id":"1","source":"s","type":"` + kind + `"` + more + "}"
	}
	for name, payload := range map[string]string{
		"extensions":        event("t", `,"subject":"a/1"`+many(all, `,"e%d":0`)),
		"fields of data":    event("person.update", `,"data":{"person_id":2`+many(all, `,"f%d":0`)+"}"),
		"ids in data":       event(strings.Repeat("a.", half/2), `,"data":{"a_id":2`+many(half, `,"f%d_id":0`)+"}"),
		"words of the type": event(strings.Repeat("a.", half), `,"data":{"a_id":2}`),
		"claims":            `{"sub":"a/1","iss":"x","aud":["y"` + many(all, `,"a%d"`) + "]}",
		"event URIs":        `{"sub":"a/1","eventUris":["y"]` + many(all, `,"urn:ietf:params:event:SCIM:%d":{}`) + "}",
		"escapes":           event("t", `,"subject":"a/1","x":"`+many(all, `\u0041`)+`"`),
		"deep":              strings.Repeat("[", notification.MaxSize),
		"slashes":           strings.Repeat("/", notification.MaxSize),
		"references":        `["a/1"` + many(all, `,"a/%d"`) + "]",
	} {
		t.Run(name, func(t *testing.T) {
			require.LessOrEqual(t, len(payload), notification.MaxSize)
			ns, err := notification.Default().Decode(received(payload))
			require.NotEqual(t, err == nil, len(ns) == 0)
			for _, n := range ns {
				checkSound(t, n)
			}
		})
	}
}
