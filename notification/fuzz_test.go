package notification_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/notification"
)

// decodeAny decodes and checks what holds for every message: an error with a
// field in front, or sound notifications, the same each time.
func decodeAny(t *testing.T, msg *message.Message) []notification.Notification {
	t.Helper()
	before := string(msg.Payload)
	ns, err := notification.Default().Decode(msg)
	again, errAgain := notification.Default().Decode(msg)
	require.Equal(t, err, errAgain)
	require.Equal(t, ns, again)
	require.Equal(t, before, string(msg.Payload))
	if err != nil {
		require.Empty(t, ns)
		require.Regexp(t, `^(\[\d+\]|(\[\d+\]\.)?\w+): `, err.Error())
		return nil
	}
	require.NotEmpty(t, ns)
	for _, n := range ns {
		require.NoError(t, n.Event.Validate())
		key, err := notification.KeyOf(n.Event.Subject())
		require.NoError(t, err)
		require.Equal(t, n.Key, key)
		require.NotContains(t, n.Changed, "")
		require.NotContains(t, n.Audience, "")
		if utf8.Valid(msg.Payload) { // the event can be written as JSON again
			text, err := n.Event.MarshalJSON()
			require.NoError(t, err)
			require.True(t, json.Valid(text))
		}
	}
	return ns
}

// checkNoLeak checks that a reason does not hold a value that is too special to
// be in it by chance.
func checkNoLeak(t *testing.T, msg *message.Message, values ...string) {
	t.Helper()
	_, err := notification.Default().Decode(msg)
	for _, value := range values {
		if err != nil && len(value) > 6 && strings.ContainsAny(value, "0123456789") {
			require.NotContains(t, err.Error(), value)
		}
	}
}

func addAll(f *testing.F) {
	f.Helper()
	for _, dialect := range dialects {
		for _, s := range samples(f, dialect) {
			f.Add(s.payload)
		}
	}
}

func FuzzDecode(f *testing.F) {
	addAll(f)
	f.Fuzz(func(t *testing.T, payload []byte) { decodeAny(t, message.NewMessage("u", payload)) })
}

func FuzzBatch(f *testing.F) {
	for _, s := range samples(f, "batch") {
		f.Add(s.payload, "a.b", "from_x", "m-1")
	}
	f.Fuzz(func(t *testing.T, payload []byte, routingKey, exchange, id string) {
		ns := decodeAny(t, received("["+string(payload)+"]", notification.MetaRoutingKey, routingKey,
			notification.MetaExchange, exchange, notification.MetaMessageID, id))
		for _, n := range ns {
			require.Equal(t, routingKey, n.RoutingKey)
		}
	})
}

func quoted(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.NewEncoder(&b).Encode(s))
	return b.String()
}

func FuzzStructured(f *testing.F) {
	f.Add("1.0", "4d35", "no.uio.iga.person.update", "https://iga.uio.no", "https://iga.uio.no/persons/123456", "2020-10-29T09:01:14Z", "application/json", `{"a":1}`)
	f.Add("1", "\u00e5", "t", "10.0.0.1:8080", "urn:a:b", "1582344412", "text/plain", `"hei"`)
	f.Add("0.3", "\x00", " ", "%zz", "a/..", "x", "a/b; c", `[`)
	f.Add("1.0", "1", "person.update", "?", "", "", "", `{"person_id":2}`)
	f.Fuzz(func(t *testing.T, version, id, kind, source, subject, at, contentType, data string) {
		var text strings.Builder
		text.WriteString(`{"data":` + data)
		for name, value := range map[string]string{
			"specversion": version, "id": id, "type": kind, "source": source, "subject": subject, "time": at,
			"datacontenttype": contentType, "dataschema": source, "ext": id,
		} {
			text.WriteString("," + quoted(t, name) + ":" + quoted(t, value))
		}
		msg := received(text.String() + "}")
		for _, n := range decodeAny(t, msg) {
			require.Equal(t, strings.TrimSpace(id), n.Event.ID())
			require.Equal(t, strings.TrimSpace(kind), n.Event.Type())
		}
		checkNoLeak(t, msg, version, id, source, subject, at)
	})
}

func FuzzBinary(f *testing.F) {
	f.Add("cloudEvents:", "1.0", "4d35", "no.uio.iga.person.update", "https://iga.uio.no", "persons/123456", "2020-10-29T09:01:14Z", "application/json", []byte(`{}`))
	f.Add("ce_", "", "1", "person.update", "greg", "", "", "", []byte(`{"person_id":2}`))
	f.Add("CE-", "1.0", "1", "t", "s", "a/1", "x", "application/json", []byte("\xff"))
	f.Fuzz(func(t *testing.T, prefix, version, id, kind, source, subject, at, contentType string, body []byte) {
		msg := received(string(body), prefix+"specversion", version, prefix+"id", id, prefix+"type", kind, prefix+"source", source,
			prefix+"subject", subject, prefix+"time", at, "ce-ext", id, notification.MetaContentType, contentType)
		decodeAny(t, msg)
		checkNoLeak(t, msg, version, id, source, subject, at)
	})
}

func FuzzData(f *testing.F) {
	for _, s := range samples(f, "data") {
		f.Add("person.update", string(s.payload), "person_id")
	}
	f.Add("person.update", `{"person_id":2}`, "person_id")
	f.Add("a.b", `{"x":{"id":"å/1"}}`, "x.id")
	f.Fuzz(func(t *testing.T, kind, data, field string) {
		msg := received(`{"specversion":"1.0","id":"1","source":"s","type":` + quoted(t, kind) + `,"data":` + data + "}")
		decodeAny(t, msg)
		decoder, err := notification.NewDecoder(notification.DecoderConfig{DataFields: []string{field}})
		if err != nil {
			require.ErrorContains(t, err, "DataFields[0]: ")
			return
		}
		if ns, err := decoder.Decode(msg); err == nil {
			require.NoError(t, ns[0].Event.Validate())
			require.NoError(t, ns[0].Key.Validate())
		}
	})
}

func FuzzSCIM(f *testing.F) {
	f.Add("4d35", "urn:ietf:params:event:SCIM:create", "1458496404", "https://cerebrum-uio.uio.no", `["AD_account"]`, "https://x/v1/accounts/123456", `["id","name"]`)
	f.Add("", "urn:ietf:params:event:scim:", `"1582344412462"`, "", `"a"`, "/5", `"id"`)
	f.Add("1", "x", `1e999999`, "%", `[1]`, "urn:a:b", `{}`)
	f.Fuzz(func(t *testing.T, id, uri, iat, issuer, audience, subject, attributes string) {
		decodeAny(t, received(`{"jti":`+quoted(t, id)+`,"eventUris":[`+quoted(t, uri)+`],"iat":`+iat+`,"iss":`+quoted(t, issuer)+
			`,"aud":`+audience+`,"sub":`+quoted(t, subject)+`,`+quoted(t, uri)+`:{"attributes":`+attributes+`}}`))
	})
}

func FuzzClaims(f *testing.F) {
	f.Add("personer/56154", "FS-prod", `"1582344412462"`, "update", "35380ac0", "no.uio.fs.FS-prod.personer.update")
	f.Add("/5", "", `1582344412.5`, "", "", "")
	f.Add("a/%2e", " ", `"2020-01-01"`, "\x00", "\u2028", ".")
	f.Fuzz(func(t *testing.T, subject, issuer, iat, operation, id, routingKey string) {
		msg := received(`{"sub":`+quoted(t, subject)+`,"iss":`+quoted(t, issuer)+`,"iat":`+iat+`,"operation":`+quoted(t, operation)+
			`,"jti":`+quoted(t, id)+`}`, notification.MetaRoutingKey, routingKey)
		decodeAny(t, msg)
		checkNoLeak(t, msg, subject, issuer, id, operation)
	})
}

func FuzzDFO(f *testing.F) {
	f.Add(`"01234567"`, "dfo:ansatte", "2026-12-01")
	f.Add(`1234567`, "dfo:organisasjon/enheter/", "9999-12-31")
	f.Add(`"a/b"`, ":", "20261201")
	f.Add(`1.0`, "/", "2026-12-01T08:00:00+01:00")
	f.Fuzz(func(t *testing.T, id, uri, from string) {
		msg := received(`{"id":` + id + `,"uri":` + quoted(t, uri) + `,"gyldigEtter":` + quoted(t, from) + `}`)
		for _, n := range decodeAny(t, msg) {
			require.True(t, n.NotBefore.IsZero() || n.NotBefore.Year() > 1 && n.NotBefore.Year() < 9999)
			require.Equal(t, n.NotBefore.UnixMilli(), n.NotBefore.Truncate(time.Millisecond).UnixMilli())
		}
		checkNoLeak(t, msg, uri, from)
	})
}

func FuzzReference(f *testing.F) {
	for _, s := range samples(f, "reference") {
		f.Add(string(s.payload), "a.b", "from_x", "m-1")
	}
	f.Fuzz(func(t *testing.T, ref, routingKey, exchange, id string) {
		metadata := []string{notification.MetaRoutingKey, routingKey, notification.MetaExchange, exchange, notification.MetaMessageID, id}
		decodeAny(t, received(ref, metadata...))
		decodeAny(t, received(quoted(t, ref), metadata...))
	})
}

func FuzzTemplate(f *testing.F) {
	f.Add("/api/v2/accounts/{id}", "https://host/api/v2/accounts/123456")
	f.Add("personer/{id}", "/personer/56154")
	f.Add("urn:eksempeltjeneste:{id}", "URN:eksempeltjeneste:5")
	f.Add("*/{type}/x-{id...}", "a/b/x-c/d%2Fe")
	f.Add("{type}/a{id}b/*", "t/a%61b/x/")
	f.Fuzz(func(t *testing.T, pattern, subject string) {
		template, err := notification.NewTemplate(pattern)
		if err != nil {
			require.Regexp(t, `^patterns\[0\]: must `, err.Error())
			return
		}
		n := about(subject)
		key, err := template.Key(subject)
		keys, keysErr := template.Keys(t.Context(), n)
		if err != nil {
			require.Regexp(t, `^subject: `, err.Error())
			require.Error(t, keysErr)
			require.Zero(t, key)
			return
		}
		require.NoError(t, key.Validate())
		if utf8.ValidString(subject) {
			require.Equal(t, []entity.Key{key}, keys)
			require.True(t, template.Match(n))
		}
	})
}

func FuzzKeyOf(f *testing.F) {
	for _, subject := range []string{"https://host/api/v2/accounts/123456", "/personer/56154", "urn:a:b:5", "a%2Fb/c%3Ad", "a/..", "https://", "5"} {
		f.Add(subject)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		if key, err := notification.KeyOf(subject); err == nil {
			require.NoError(t, key.Validate())
		} else {
			require.Regexp(t, `^subject: `, err.Error())
			require.Zero(t, key)
		}
		// Host and scheme never matter.
		if !strings.Contains(subject, ":") && strings.TrimSpace(subject) != "" {
			path := strings.TrimPrefix(strings.TrimSpace(subject), "/")
			a, errA := notification.KeyOf("https://a.example/" + path)
			b, errB := notification.KeyOf("http://b.example:8080/" + path)
			require.Equal(t, errA, errB)
			require.Equal(t, a, b)
		}
	})
}
