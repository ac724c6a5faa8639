package notification_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/notification"
)

// modes are all ways to write an event.
var modes = []notification.PublisherConfig{
	{AllowData: true},
	{AllowData: true, HeaderPrefix: "cloudEvents:"},
	{AllowData: true, HeaderPrefix: "cloudEvents_"},
}

// requireSame compares what was published with what was read back. What can
// differ is how it is written: the zone of a time, the type of an extension,
// whether data stands in base64.
func requireSame(t require.TestingT, want, got notification.Notification) {
	require.Equal(t, want.Event.ID(), got.Event.ID())
	require.Equal(t, want.Event.Source(), got.Event.Source())
	require.Equal(t, want.Event.Type(), got.Event.Type())
	require.Equal(t, want.Event.Subject(), got.Event.Subject())
	require.True(t, want.Event.Time().Equal(got.Event.Time()), "time")
	require.Equal(t, want.Event.DataContentType(), got.Event.DataContentType())
	require.Equal(t, want.Event.DataSchema(), got.Event.DataSchema())
	require.Equal(t, string(want.Event.DataEncoded), string(got.Event.DataEncoded))
	require.Len(t, got.Event.Extensions(), len(want.Event.Extensions()))
	for name, value := range want.Event.Extensions() {
		text, err := types.Format(value)
		require.NoError(t, err)
		require.Equal(t, text, got.Event.Extensions()[name], name)
	}
	require.Equal(t, want.Key, got.Key)
	require.True(t, want.NotBefore.Equal(got.NotBefore), "not before")
	require.Equal(t, want.Changed, got.Changed)
	require.Equal(t, want.Audience, got.Audience)
	require.Equal(t, want.Operation, got.Operation)
	require.Equal(t, want.RoutingKey, got.RoutingKey)
}

// Whatever a decoder of any dialect understands can be published, and arrives
// as it was.
func TestPublishEveryDialect(t *testing.T) {
	published := 0
	for _, dialect := range dialects {
		for _, s := range samples(t, dialect) {
			ns, err := notification.Default().Decode(s.message())
			if err != nil {
				continue
			}
			for i, n := range ns {
				if n.RoutingKey == "" {
					n.RoutingKey = "a.b"
				}
				if string(n.Event.DataEncoded) == "null" {
					n.Event.DataEncoded = nil
				}
				for _, config := range modes {
					p, out := publisher(t, config)
					err := p.Publish(t.Context(), n)
					if len(n.Event.ID()) > 255 {
						require.ErrorContains(t, err, "id: 400 bytes, at most 255: shorten it")
						continue
					}
					require.NoError(t, err, "%s: %s [%d]", dialect, s.name, i)
					_, got := out.last(t)
					requireSame(t, n, got)
					published++
				}
			}
		}
	}
	require.Greater(t, published, 150)
}

// text returns texts that CloudEvents can hold, with all that is special to
// JSON, URLs, headers and lists.
func text() *rapid.Generator[string] {
	special := rapid.SampledFrom([]rune("aZ09.-_:/%?#&=+@\"\\<>[]{}, \u00a0åø\u2028\u200b\ufeff𝒳"))
	return rapid.Custom(func(t *rapid.T) string {
		return strings.TrimSpace(rapid.StringOfN(rapid.OneOf(special, rapid.Rune()), 1, 12, -1).Filter(func(s string) bool {
			return strings.TrimSpace(s) != "" && !strings.ContainsFunc(s, unicode.IsControl) && !strings.ContainsRune(s, '\ufffd')
		}).Draw(t, "text"))
	})
}

func instants() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		zone := time.FixedZone("", 60*rapid.IntRange(-14*60, 14*60).Draw(t, "zone"))
		second := rapid.Int64Range(time.Date(2, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(9998, 12, 31, 0, 0, 0, 0, time.UTC).Unix())
		return time.Unix(second.Draw(t, "second"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanosecond")).In(zone)
	})
}

func listOf(t *rapid.T, name string) []string {
	list := rapid.SliceOfN(text(), 0, 4).Draw(t, name)
	if len(list) == 0 {
		return nil
	}
	return list
}

func drawNotification(t *rapid.T) (n notification.Notification) {
	key := entity.Key{
		Type: rapid.OneOf(rapid.Just(""), text()).Draw(t, "type of entity"),
		ID:   text().Draw(t, "id of entity"),
	}
	e := event.New()
	e.SetType(rapid.OneOf(rapid.SampledFrom([]string{"no.uio.iga.person.update", "urn:ietf:params:event:SCIM:create"}), text()).Draw(t, "type"))
	e.SetSource(rapid.SampledFrom([]string{iga, "FS-prod", "urn:a:b", "/x?y=z", "dfo:ansatte", "greg:uio:prod"}).Draw(t, "source"))
	if rapid.Bool().Draw(t, "has an id") {
		e.SetID(text().Draw(t, "id"))
	}
	if e.ID() == "" || rapid.Bool().Draw(t, "has a time") {
		e.SetTime(instants().Draw(t, "time"))
	}
	for range rapid.IntRange(0, 3).Draw(t, "extensions") {
		name := rapid.StringMatching("[a-z0-9]{1,20}").Filter(func(s string) bool {
			return !slices.Contains([]string{"data", "id", "source", "type", "subject", "time"}, s)
		}).Draw(t, "name")
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			e.SetExtension(name, rapid.Int32().Draw(t, "value"))
		case 1:
			e.SetExtension(name, rapid.Bool().Draw(t, "value"))
		case 2:
			e.SetExtension(name, instants().Draw(t, "value"))
		default:
			e.SetExtension(name, text().Draw(t, "value"))
		}
	}
	switch rapid.IntRange(0, 3).Draw(t, "data") {
	case 0:
		require.NoError(t, e.SetData("application/json", map[string]any{"a": text().Draw(t, "value"), "person_id": 5}))
	case 1:
		require.NoError(t, e.SetData("text/plain; charset=utf-8", "å"+text().Draw(t, "value"))) // no byte order mark
	case 2:
		if data := rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "bytes"); len(data) > 0 && !strings.HasPrefix(string(data), "\ufeff") {
			require.NoError(t, e.SetData("application/octet-stream", data))
		}
	}
	return notification.Notification{
		Event: e, Key: key, NotBefore: rapid.OneOf(rapid.Just(time.Time{}), instants()).Draw(t, "not before"),
		Changed: listOf(t, "changed"), Audience: listOf(t, "audience"),
		Operation:  rapid.OneOf(rapid.SampledFrom([]string{"", "update", "UPDATE"}), text()).Draw(t, "operation"),
		RoutingKey: rapid.StringMatching(`[a-zåø:_-]{1,5}(\.[a-z0-9]{1,8}){0,5}`).Draw(t, "routing key"),
	}
}

func TestPublishAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawNotification(t)
		var ids []string
		for i, config := range modes {
			p, out := publisher(t, config)
			if isDots(n.Key) {
				require.ErrorContains(t, p.Publish(t.Context(), n), "has a dot segment")
				return
			}
			require.NoError(t, p.Publish(t.Context(), n), "mode %d", i)
			msg, got := out.last(t)
			require.Equal(t, msg.UUID, got.Event.ID())
			ids = append(ids, got.Event.ID())
			want := n
			want.Event = n.Event.Clone()
			if want.Event.ID() == "" {
				want.Event.SetID(got.Event.ID())
			}
			if want.Event.SetSubject(got.Event.Subject()); want.Operation == "" {
				want.Operation = got.Operation
			}
			requireSame(t, want, got)
		}
		require.Equal(t, ids[0], ids[1])
		require.Equal(t, ids[0], ids[2])
	})
}

func isDots(key entity.Key) bool {
	return key.ID == "." || key.ID == ".." || key.Type == "." || key.Type == ".."
}

// Whatever is accepted is read back as it was. Most of what a fuzzer finds is
// refused; then the reason starts with a field and holds no value.
func FuzzPublish(f *testing.F) {
	f.Add(uint8(0), "e-1", "no.uio.iga.person.update", iga, "https://iga.uio.no/persons/90017", "", "", int64(1), "traceparent", "00-4b", "name", "AD", "update", "a.b", "application/json", []byte(`{"person_id":2}`))
	f.Add(uint8(1), "", "person.update", "greg:uio:prod", "", "persons", "90017", int64(5e18), "notbefore", "2026-12-01", "", "", "", "", "", []byte(nil))
	f.Add(uint8(2), "\u2028", "t", "./a:b", "urn:a:b", "", "", int64(0), "operation", "x", "\"", "[", "\\", "x", "text/plain; charset=utf-8", []byte("\xef\xbb\xbfhei"))
	f.Add(uint8(5), "1", "t", "s", "/5", "", "5", int64(-1), "changedattributes", `["a"]`, "", "", "", "x", "application/xml", []byte("\xff"))
	f.Add(uint8(1), "1", "t", "s", "/5", "", "5", int64(-1), "audience", `["a"] x`, "", "", "", "x", "application/cloudevents+json", []byte(`{"specversion":"1.0"}`))
	f.Add(uint8(0), "1", "t", "s", "/5", "", "5", int64(-1), "a", `b`, "", "", "", "x", "", []byte(`1,"subject":"/6"`))
	f.Fuzz(func(t *testing.T, how uint8, id, kind, source, subject, keyType, keyID string, at int64, name, value, changed, audience, operation, routingKey, contentType string, data []byte) {
		e := event.New()
		c := e.Context.(*event.EventContextV1)
		c.ID, c.Type, c.Subject, c.DataContentType = id, kind, &subject, nil
		e.SetSource(source)
		if contentType != "" {
			c.DataContentType = &contentType
		}
		c.Extensions = map[string]any{name: value}
		e.DataEncoded, e.DataBase64 = data, how&4 > 0
		n := notification.Notification{
			Event: e, Key: entity.Key{Type: keyType, ID: keyID}, Operation: operation, RoutingKey: routingKey,
		}
		if at != 0 {
			e.SetTime(time.Unix(at, at%1e9))
			n.NotBefore = time.Unix(at/2, 0)
		}
		if changed != "" {
			n.Changed = []string{changed, name}
		}
		if audience != "" {
			n.Audience = []string{audience}
		}
		p, out := publisher(t, modes[how%3])
		err := p.Publish(t.Context(), n)
		if err != nil {
			require.Empty(t, out.sent)
			require.Regexp(t, `^((extension )?\w+|(Changed|Audience)\[\d\]): `, reason(t, err).Error())
			for _, text := range []string{id, source, subject, keyID, value, changed, audience, operation} {
				if len(text) > 8 && strings.ContainsAny(text, "0123456789") {
					require.NotContains(t, err.Error(), text)
				}
			}
			return
		}
		_, got := out.last(t)
		if subject == "" {
			subject = got.Event.Subject()
		}
		if n.Key == (entity.Key{}) {
			n.Key = got.Key
		}
		if id == "" {
			c.ID = got.Event.ID()
		}
		if e.Source() == "" { // "#" is none either
			e.SetSource(iga)
		}
		if operation == "" {
			n.Operation = got.Operation
		}
		if routingKey == "" {
			n.RoutingKey = kind
		}
		n.Event = e
		if media := e.DataContentType(); media == "" || strings.Contains(media, "json") { // white space around JSON means nothing
			n.Event.DataEncoded = []byte(strings.TrimSpace(string(data)))
			if string(n.Event.DataEncoded) == "null" {
				n.Event.DataEncoded = nil
			}
		}
		requireSame(t, n, got)
	})
}

func TestPublishOnlyThinData(t *testing.T) {
	for _, test := range []struct {
		data, contentType string
		thin              bool
	}{
		{"", "application/json", true},
		{`{"person_id":2}`, "application/json", true},
		{`{"personId":"90017","employment_id":5,"id":"x"}`, "", true},
		{`{"person":{"id":2}}`, "application/vnd.x+json", true},
		{`{"id":"e","attributes":["name.familyName","urn:ietf:params:scim:schemas:core:2.0:User:name","$ref"]}`, "", true},
		{"{}\n", "application/json", true},
		{"null", "application/json", true},
		{`{"name":"Kari Nordmann"}`, "application/json", false},
		{`{"person_id":2,"name":"Kari"}`, "application/json", false},
		{`{"person":{"id":2,"name":"Kari"}}`, "application/json", false},
		{`{"person_id":{"name":"Kari"}}`, "application/json", false},
		{`{"person_id":["Kari"]}`, "application/json", false},
		{`{"person_id":true}`, "application/json", false},
		{`{"attributes":["Kari Nordmann"]}`, "application/json", false},
		{`{"attributes":{"name":"Kari"}}`, "application/json", false},
		{`{"attributes":[{"name":"Kari"}]}`, "application/json", false},
		{`{"x":[1]}`, "application/json", false},
		{`[{"id":1}]`, "application/json", false},
		{`"Kari"`, "application/json", false},
		{`{"id":1`, "application/json", false},
		{strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), "application/json", false},
		{"Kari", "text/plain", false},
		{`{"person_id":2}`, "text/plain", false},
	} {
		for _, prefix := range []string{"", "cloudEvents:"} {
			for _, base64 := range []bool{false, true} {
				t.Run(fmt.Sprint(test.data, prefix, base64), func(t *testing.T) {
					p, out := publisher(t, notification.PublisherConfig{HeaderPrefix: prefix})
					n := change(func(n *notification.Notification) {
						n.Event.SetDataContentType(test.contentType)
						n.Event.DataEncoded, n.Event.DataBase64 = []byte(test.data), base64
					})
					err := p.Publish(t.Context(), n)
					if !test.thin {
						require.EqualError(t, reason(t, err), `data: is more than ids of entities and, in "attributes", names of attributes: leave it out, receivers fetch the rest, or set AllowData`)
						return
					}
					require.NoError(t, err)
					_, got := out.last(t)
					require.Equal(t, strings.TrimPrefix(strings.TrimSpace(test.data), "null"), string(got.Event.DataEncoded))
				})
			}
		}
	}
}

func TestPublishRefusesDataOutOfForm(t *testing.T) {
	for _, test := range []struct{ data, contentType, want, prefix string }{
		{`1,"subject":"/persons/5"`, "application/json", "data: is not JSON", ""},
		{`1,"foo":"bar"`, "", "data: is not JSON", ""},
		{"\xff", "text/plain", "data: is not valid UTF-8: set DataBase64", ""},
		{`{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"/6"}`, "application/json", "id: would not be read back as it is", "cloudEvents:"},
	} {
		p, out := publisher(t, notification.PublisherConfig{AllowData: true, HeaderPrefix: test.prefix})
		n := change(func(n *notification.Notification) {
			n.Event.SetDataContentType(test.contentType)
			n.Event.DataEncoded = []byte(test.data)
		})
		require.ErrorContains(t, reason(t, p.Publish(t.Context(), n)), test.want)
		require.Empty(t, out.sent)
	}
}

// Extensions are taken for what this package writes only if they have its form:
// a list that was misread would have filters drop what they should not.
func TestDecoderTakesExtensions(t *testing.T) {
	decode := func(extensions string) notification.Notification {
		msg := message.NewMessage("u", []byte(`{"specversion":"1.0","id":"1","source":"s","type":"a.update","subject":"/persons/5"`+extensions+`}`))
		ns, err := notification.Default().Decode(msg)
		require.NoError(t, err)
		return ns[0]
	}
	n := decode(`,"notbefore":"2026-12-01","changedattributes":" [\"a\"] ","audience":"[\"x\",\"y\"]","operation":"rename","other":"1"`)
	require.Equal(t, "2026-11-30T23:00:00Z", n.NotBefore.UTC().Format(time.RFC3339), "a date holds in Oslo")
	require.Equal(t, []string{"a"}, n.Changed)
	require.Equal(t, []string{"x", "y"}, n.Audience)
	require.Equal(t, "rename", n.Operation)
	require.Equal(t, map[string]any{"other": "1"}, n.Event.Extensions())

	for _, list := range []string{`true`, `"a"`, `"[]"`, `"[1]"`, `"[\"a\""`, `"[\"a\"] x"`, `"[\"a\",\"\"]"`, `"\"a\""`, `"2026-01-01T00:00:00Z"`} {
		n = decode(`,"changedattributes":` + list + `,"audience":` + list + `,"notbefore":"soon"`)
		require.Empty(t, n.Changed, list)
		require.Empty(t, n.Audience, list)
		require.Zero(t, n.NotBefore)
		require.Len(t, n.Event.Extensions(), 3)
		require.Equal(t, "update", n.Operation)
	}
	n = decode(`,"notbefore":"9999-12-31"`)
	require.Zero(t, n.NotBefore)
	require.Empty(t, n.Event.Extensions())
}
