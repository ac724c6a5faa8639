package notification_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/notification"
)

const cerebrum = `{"specversion":"1.0","type":"no.uio.cerebrum.account.create","source":"https://cerebrum-uio.uio.no",` +
	`"subject":"https://cerebrum-uio.uio.no/api/v2/accounts/123456","id":"4d3559ec67504aaba65d40b0363faad8",` +
	`"time":"2020-10-29T09:01:14Z"}`

func received(payload string, metadata ...string) *message.Message {
	msg := message.NewMessage("uuid", []byte(payload))
	for i := 0; i < len(metadata); i += 2 {
		msg.Metadata.Set(metadata[i], metadata[i+1])
	}
	return msg
}

func TestCloudEvent(t *testing.T) {
	msg := received(cerebrum, notification.MetaRoutingKey, "cerebrum.event.account.create", notification.MetaContentType, "application/octet-stream")
	ns, err := notification.Default().Decode(msg)
	require.NoError(t, err)
	require.Len(t, ns, 1)
	n := ns[0]
	require.Equal(t, entity.Key{Type: "accounts", ID: "123456"}, n.Key)
	require.Equal(t, "no.uio.cerebrum.account.create", n.Event.Type())
	require.Equal(t, "https://cerebrum-uio.uio.no", n.Event.Source())
	require.Equal(t, "https://cerebrum-uio.uio.no/api/v2/accounts/123456", n.Event.Subject())
	require.Equal(t, "4d3559ec67504aaba65d40b0363faad8", n.Event.ID())
	require.True(t, time.Date(2020, 10, 29, 9, 1, 14, 0, time.UTC).Equal(n.Event.Time()))
	require.Equal(t, "cerebrum.event.account.create", n.RoutingKey)
	require.NoError(t, n.Event.Validate())
	for _, printed := range []string{fmt.Sprint(n), fmt.Sprintf("%+v %#v", n, n)} {
		require.NotContains(t, printed, "123456")
	}
}

func TestCloudEventKeepsDataAndExtensions(t *testing.T) {
	ns, err := notification.Default().Decode(received(" " + `{"specversion":"1.0","type":"t","source":"s","subject":"/persons/5","id":5,
		"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","sequence":99999999999,
		"Not-A-Name":"x","data":{"b":1}}` + "\n"))
	require.NoError(t, err)
	e := ns[0].Event
	require.Equal(t, "5", e.ID())
	require.Equal(t, `{"b":1}`, string(e.Data()))
	require.Equal(t, map[string]any{
		"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"sequence":    "99999999999",
	}, e.Extensions())
	require.NoError(t, e.Validate())

	ns, err = notification.Default().Decode(received(`{"specversion":"1.0","type":"t","source":"s","subject":"/persons/5","id":"5","data_base64":"aGVp"}`))
	require.NoError(t, err)
	require.Equal(t, "hei", string(ns[0].Event.Data()))
}

func TestBareReference(t *testing.T) {
	msg := received("accounts/123456\n", notification.MetaRoutingKey, "cerebrum.event.account.modify", notification.MetaExchange, "from_system-test-iga")
	ns, err := notification.Default().Decode(msg)
	require.NoError(t, err)
	n := ns[0]
	require.Equal(t, entity.Key{Type: "accounts", ID: "123456"}, n.Key)
	require.Equal(t, "cerebrum.event.account.modify", n.Event.Type())
	require.Equal(t, "from_system-test-iga", n.Event.Source())
	require.NoError(t, n.Event.Validate())

	again, err := notification.Default().Decode(msg)
	require.NoError(t, err)
	require.Equal(t, n.Event.ID(), again[0].Event.ID(), "the derived id is stable")

	bare, err := notification.Default().Decode(received("accounts/123456"))
	require.NoError(t, err)
	require.NoError(t, bare[0].Event.Validate())
	require.Equal(t, "reference", bare[0].Event.Type())

	named, err := notification.Default().Decode(received("accounts/123456", notification.MetaMessageID, "m1"))
	require.NoError(t, err)
	require.Equal(t, "m1", named[0].Event.ID())
}

func TestRefused(t *testing.T) {
	event := func(replace, with string) string { return strings.Replace(cerebrum, replace, with, 1) }
	for _, tc := range []struct{ name, payload, want string }{
		{"empty", "", "message: is empty"},
		{"too large", strings.Repeat("x", notification.MaxSize+1), "message: 1048577 bytes, at most 1048576 are read"},
		{"not UTF-8", "accounts/\xff", "message: is not valid UTF-8"},
		{"cut off", cerebrum[:40], "message: is not valid JSON at byte 40"},
		{"trailing garbage", cerebrum + "x", "message: is not valid JSON at byte"},
		{"a word", "hello", "not a known dialect of notifications"},
		{"a sentence", "accounts/1 has changed", "not a known dialect of notifications"},
		{"another object", `{"a":1}`, "not a known dialect of notifications"},
		{"HTML", "<html></html>", "not a known dialect of notifications"},
		{"specversion", event(`"1.0"`, `"0.3"`), "specversion: is not 1.0"},
		{"no id", event(`"id"`, `"di"`), "id: is missing or empty"},
		{"empty type", event(`"no.uio.cerebrum.account.create"`, `""`), "type: is missing or empty"},
		{"null source", event(`"https://cerebrum-uio.uio.no",`, `null,`), "source: is missing or empty"},
		{"object as id", event(`"4d3559ec67504aaba65d40b0363faad8"`, `{"a":1}`), "id: is not text"},
		{"time", event(`2020-10-29T09:01:14Z`, `yesterday`), "time: is not an RFC 3339 timestamp"},
		{"no subject", event(`"subject"`, `"tcejbus"`), "subject: is empty"},
		{"subject with a query", event(`accounts/123456`, `accounts?id=123456`), "subject: has a query or a fragment"},
		{"subject ends in dots", event(`accounts/123456`, `accounts/%2e%2e`), "subject: ends in a dot segment"},
		{"subject with a NUL", event(`accounts/123456`, `accounts/1%00`), "subject: ID: must not hold control characters"},
		{"reference badly encoded", "accounts/%zz", "subject: is not percent-encoded correctly"},
		{"data twice", event(`"specversion"`, `"data":1,"data_base64":"aGVp","specversion"`), "data_base64: stands beside data"},
		{"not base64", event(`"specversion"`, `"data_base64":"###","specversion"`), "data_base64: is not base64"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := notification.Default().Decode(received(tc.payload))
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "123456")
		})
	}
}

func TestKeyOf(t *testing.T) {
	for _, tc := range []struct{ subject, kind, id string }{
		{"https://cerebrum-uio.uio.no/api/v2/accounts/123456", "accounts", "123456"},
		{"HTTPS://HOST/accounts/123456/", "accounts", "123456"},
		{"personer/56154", "personer", "56154"},
		{"/personer/56154", "personer", "56154"},
		{"/5", "", "5"},
		{"5", "", "5"},
		{"urn:eksempeltjeneste:5", "eksempeltjeneste", "5"},
		{"URN:a:b:5", "a:b", "5"},
		{"accounts/ola%40uio.no", "accounts", "ola@uio.no"},
		{"groups/a%2Fb", "groups", "a/b"},
		{" accounts/1 ", "accounts", "1"},
		{"https://other.example/%C3%A5/1", "å", "1"},
	} {
		t.Run(tc.subject, func(t *testing.T) {
			key, err := notification.KeyOf(tc.subject)
			require.NoError(t, err)
			require.Equal(t, entity.Key{Type: tc.kind, ID: tc.id}, key)
		})
	}
	for _, subject := range []string{"", " ", "/", "https://host", "https://host/", "a/..", "urn:", "urn:a:", "a/1?x=2", "a/1#x"} {
		t.Run("refuses "+subject, func(t *testing.T) {
			_, err := notification.KeyOf(subject)
			require.ErrorContains(t, err, "subject: ")
		})
	}
}

func TestOwnDialectGoesFirst(t *testing.T) {
	mine := notification.DecoderFunc(func(msg *message.Message) ([]notification.Notification, error) {
		id, ok := strings.CutPrefix(string(msg.Payload), "changed ")
		if !ok {
			return nil, notification.ErrUnknown
		}
		return []notification.Notification{{Key: entity.Key{Type: "persons", ID: id}}}, nil
	})
	d := notification.Decoders{mine, notification.Default()}
	ns, err := d.Decode(received("changed 5"))
	require.NoError(t, err)
	require.Equal(t, "5", ns[0].Key.ID)
	ns, err = d.Decode(received("persons/6"))
	require.NoError(t, err)
	require.Equal(t, "6", ns[0].Key.ID)

	silent := notification.DecoderFunc(func(*message.Message) ([]notification.Notification, error) { return nil, nil })
	_, err = notification.Decoders{silent}.Decode(received("x"))
	require.ErrorContains(t, err, "neither a notification nor an error")
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(cerebrum))
	f.Add([]byte("accounts/123456"))
	f.Add([]byte(`{"specversion":"1.0","id":1,"source":"s","type":"t","subject":"urn:a:b","data":null,"data_base64":""}`))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"%zz","type":"t","subject":"a/b","time":"2020-01-01T00:00:00+25:00"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		ns, err := notification.Default().Decode(message.NewMessage("u", payload))
		if err != nil {
			require.Empty(t, ns)
			return
		}
		require.NotEmpty(t, ns)
		for _, n := range ns {
			require.NoError(t, n.Key.Validate())
			require.NoError(t, n.Event.Validate())
		}
	})
}
