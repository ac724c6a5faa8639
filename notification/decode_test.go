package notification_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

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

func TestDecoderConfig(t *testing.T) {
	const greg = `{"id":"3","type":"person.update","source":"greg","specversion":"1.0",` +
		`"data":{"person_id":20077,"role_id":null,"contract":{"id":"c-5","employee":{"personId":"p-6"}},"orgreg":"x-7"}}`
	const dfo = `{"id":"01234567","uri":"dfo:ansatte","gyldigEtter":"2026-12-01"}`
	utc := func(ns []notification.Notification) any { return ns[0].NotBefore.UTC().Format(time.RFC3339) }
	key := func(ns []notification.Notification) any { return ns[0].Key }
	fields := func(paths ...string) notification.DecoderConfig {
		return notification.DecoderConfig{DataFields: paths}
	}
	for _, tc := range []struct {
		name    string
		config  notification.DecoderConfig
		payload string
		get     func([]notification.Notification) any
		want    any
		err     string
	}{
		{"Oslo by default", notification.DecoderConfig{}, dfo, utc, "2026-11-30T23:00:00Z", ""},
		{"another zone", notification.DecoderConfig{Location: time.UTC}, dfo, utc, "2026-12-01T00:00:00Z", ""},
		{"size that just fits", notification.DecoderConfig{MaxSize: len(dfo)}, dfo, utc, "2026-11-30T23:00:00Z", ""},
		{"too large", notification.DecoderConfig{MaxSize: len(dfo) - 1}, dfo, nil, nil, "message: 64 bytes, at most 63 are read"},
		{"too large by default", notification.DecoderConfig{}, strings.Repeat("x", notification.MaxSize+1), nil, nil, "message: 1048577 bytes, at most 1048576 are read"},
		{"depth that just fits", notification.DecoderConfig{MaxDepth: 4}, greg, key, entity.Key{Type: "person", ID: "20077"}, ""},
		{"too deep", notification.DecoderConfig{MaxDepth: 3}, greg, nil, nil, "message: is nested too deep"},
		{"batch that just fits", notification.DecoderConfig{MaxBatch: 2}, `["a/1","a/2"]`, key, entity.Key{Type: "a", ID: "1"}, ""},
		{"batch too large", notification.DecoderConfig{MaxBatch: 2}, `["a/1","a/2","a/3"]`, nil, nil, "message: is a batch of 3, at most 2 are read"},
		{"batch too large by default", notification.DecoderConfig{}, `["a/1"` + strings.Repeat(`,"a/1"`, 10_000) + "]", nil, nil, "message: is a batch of 10001, at most 10000 are read"},
		{"too many event URIs", notification.DecoderConfig{}, `{"sub":"a/1","eventUris":["u"` + strings.Repeat(`,"u"`, 32) + "]}", nil, nil, "eventUris: has 33 of them, at most 32 are read"},
		{"field by default", notification.DecoderConfig{}, greg, key, entity.Key{Type: "person", ID: "20077"}, ""},
		{"field", fields("orgreg"), greg, key, entity.Key{Type: "orgreg", ID: "x-7"}, ""},
		{"first field that is there", fields("role_id", "nothing", "person_id", "orgreg"), greg, key, entity.Key{Type: "person", ID: "20077"}, ""},
		{"nested field", fields("contract.id"), greg, key, entity.Key{Type: "contract", ID: "c-5"}, ""},
		{"deeply nested field", fields("contract.employee.personId"), greg, key, entity.Key{Type: "person", ID: "p-6"}, ""},
		{"field in what is no object", fields("orgreg.id"), greg, nil, nil, "data: has none of the DataFields, and there is no subject"},
		{"field that is an object", fields("contract"), greg, nil, nil, "data: is neither text nor a number"},
		{"a plain id", fields("id"), `{"id":"3","type":"x","source":"greg","specversion":"1.0","data":{"id":4}}`, key, entity.Key{Type: "id", ID: "4"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			decoder, err := notification.NewDecoder(tc.config)
			require.NoError(t, err)
			ns, err := decoder.Decode(received(tc.payload))
			if tc.err != "" {
				require.EqualError(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, tc.get(ns))
			checkSound(t, ns[0])
		})
	}
	for _, tc := range []struct {
		config notification.DecoderConfig
		want   string
	}{
		{notification.DecoderConfig{MaxSize: -1}, "MaxSize: must not be negative"},
		{notification.DecoderConfig{MaxDepth: -1}, "MaxDepth: must not be negative"},
		{notification.DecoderConfig{MaxBatch: -1}, "MaxBatch: must not be negative"},
		{fields("a", ""), "DataFields[1]: must be the name of a field"},
		{fields("a..b"), "DataFields[0]: must be the name of a field"},
	} {
		t.Run(tc.want, func(t *testing.T) {
			decoder, err := notification.NewDecoder(tc.config)
			require.ErrorContains(t, err, tc.want)
			require.Nil(t, decoder)
		})
	}
}

func TestConfigIsCopied(t *testing.T) {
	fields := []string{"person_id"}
	decoder, err := notification.NewDecoder(notification.DecoderConfig{DataFields: fields})
	require.NoError(t, err)
	fields[0] = "role_id"
	ns, err := decoder.Decode(received(`{"id":"3","type":"x","source":"greg","specversion":"1.0","data":{"person_id":1,"role_id":2}}`))
	require.NoError(t, err)
	require.Equal(t, "1", ns[0].Key.ID)
}

func TestDerivedIDs(t *testing.T) {
	id := func(payload string, metadata ...string) string {
		t.Helper()
		ns, err := notification.Default().Decode(received(payload, metadata...))
		require.NoError(t, err)
		require.True(t, utf8.ValidString(ns[0].Event.Type()+ns[0].Event.Source()))
		checkSound(t, ns[0])
		return ns[0].Event.ID()
	}
	const ref = "accounts/123456"
	plain := id(ref)
	require.Regexp(t, "^[0-9a-f]{32}$", plain)
	require.Equal(t, plain, id(ref, notification.MetaRedelivered, "true", "x-delivery-count", "3"), "a redelivery has the same")
	require.NotEqual(t, plain, id("accounts/123457"))
	require.NotEqual(t, plain, id(ref, notification.MetaRoutingKey, "a.b"))
	require.NotEqual(t, plain, id(ref, notification.MetaExchange, "from_x"))
	require.NotEqual(t, id(ref, notification.MetaExchange, "a", notification.MetaRoutingKey, "bc"),
		id(ref, notification.MetaExchange, "ab", notification.MetaRoutingKey, "c"))
	require.Equal(t, "m1", id(ref, notification.MetaMessageID, "m1"))
	for _, unusable := range []string{" ", "a\nb", "\xff"} {
		require.Regexp(t, "^[0-9a-f]{32}$", id(ref, notification.MetaMessageID, unusable,
			notification.MetaRoutingKey, unusable, notification.MetaExchange, unusable))
	}
	require.Equal(t, "s-1", id(`{"sub":"a/1","jti":"s-1","iss":"x"}`, notification.MetaMessageID, "m1"), "the dialect's own comes first")
}
