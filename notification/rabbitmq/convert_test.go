package rabbitmq

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/notification"
)

func TestHeadersOfAnyTypeBecomeStrings(t *testing.T) {
	oslo := time.FixedZone("CET", 3600)
	tests := []struct {
		name   string
		header any
		want   string
	}{
		{"string", "Æsj \x00\xff", "Æsj \x00\xff"},
		{"empty string", "", ""},
		{"no value", nil, ""},
		{"bool", true, "true"},
		{"int8", int8(-7), "-7"},
		{"byte", byte(200), "200"},
		{"int16", int16(-300), "-300"},
		{"uint16", uint16(65535), "65535"},
		{"int32", int32(7), "7"},
		{"uint32", uint32(4294967295), "4294967295"},
		{"int64", int64(math.MinInt64), "-9223372036854775808"},
		{"float32", float32(0.1), "0.1"},
		{"float64", 1e21, "1000000000000000000000"},
		{"not a number", math.NaN(), "NaN"},
		{"decimal", amqp.Decimal{Scale: 2, Value: 12345}, "123.45"},
		{"negative decimal", amqp.Decimal{Scale: 4, Value: -5}, "-0.0005"},
		{"decimal without scale", amqp.Decimal{Value: 5}, "5"},
		{"time", time.Date(2026, 12, 1, 1, 2, 3, 0, oslo), "2026-12-01T00:02:03Z"},
		{"milliseconds taken for seconds", time.Unix(1795000000000, 0), "58851-04-14T23:06:40Z"},
		{"text as bytes", []byte("æ"), "æ"},
		{"other bytes", []byte{0xff, 0x00}, "/wA="},
		{"array", []any{"a<b", int32(1), nil, true}, `["a<b",1,null,true]`},
		{"table", amqp.Table{
			"bytes": []byte("x"), "decimal": amqp.Decimal{Scale: 1, Value: 15}, "float": float32(0.5),
			"inf": math.Inf(1), "list": []any{amqp.Table{"n": int64(1)}}, "time": time.Unix(1795000000000, 0),
		}, `{"bytes":"x","decimal":1.5,"float":0.5,"inf":"+Inf","list":[{"n":1}],"time":"58851-04-14T23:06:40Z"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			msg := fromDelivery(t.Context(), amqp.Delivery{Headers: amqp.Table{"h": tt.header}})
			require.Equal(t, message.Metadata{"h": tt.want}, msg.Metadata)
		})
	}
}

func TestMessageOfADelivery(t *testing.T) {
	tests := []struct {
		name     string
		delivery amqp.Delivery
		want     message.Metadata
	}{
		{"nothing known", amqp.Delivery{}, message.Metadata{}},
		{
			"properties",
			amqp.Delivery{
				RoutingKey: "no.uio.iga.person.update", Exchange: "from_iga", ContentType: "text/plain",
				MessageId: "m-1", Redelivered: true,
			},
			message.Metadata{
				notification.MetaRoutingKey: "no.uio.iga.person.update", notification.MetaExchange: "from_iga",
				notification.MetaContentType: "text/plain", notification.MetaMessageID: "m-1",
				notification.MetaRedelivered: "true",
			},
		},
		{
			"reserved headers are dropped",
			amqp.Delivery{Headers: amqp.Table{
				notification.MetaRoutingKey: "forged", notification.MetaRedelivered: "true", "amqp.other": "x", "kept": "y",
			}},
			message.Metadata{"kept": "y"},
		},
		{
			"a delivery count on a first delivery is not the broker's",
			amqp.Delivery{Headers: amqp.Table{"x-delivery-count": int64(54), "kept": "y"}},
			message.Metadata{"kept": "y"},
		},
		{
			"a delivery count on a redelivery is",
			amqp.Delivery{Headers: amqp.Table{"x-delivery-count": int64(3)}, Redelivered: true},
			message.Metadata{"x-delivery-count": "3", notification.MetaRedelivered: "true"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.delivery.Body = []byte("body")
			msg := fromDelivery(t.Context(), tt.delivery)
			require.Equal(t, tt.want, msg.Metadata)
			require.Equal(t, "body", string(msg.Payload))
		})
	}
}

func TestTypedHeadersByTheContext(t *testing.T) {
	_, ok := Headers(t.Context())
	require.False(t, ok)

	in := amqp.Table{"x-delivery-count": int64(54), "n": int32(7)}
	got, ok := Headers(fromDelivery(t.Context(), amqp.Delivery{Headers: in}).Context())
	require.True(t, ok)
	require.Equal(t, amqp.Table{"n": int32(7)}, got)
	require.Len(t, in, 2, "the delivery's own table stays as it was")

	in = amqp.Table{"x-delivery-count": int64(1)}
	got, _ = Headers(fromDelivery(t.Context(), amqp.Delivery{Headers: in, Redelivered: true}).Context())
	require.Equal(t, in, got)
}

func TestUUID(t *testing.T) {
	tests := []struct {
		name      string
		messageID string
		watermill any
		want      string // empty: a new one
	}{
		{"message id", "4d3559ec67504aaba65d40b0363faad8", "w", "4d3559ec67504aaba65d40b0363faad8"},
		{"watermill-amqp's header", "", "w", "w"},
		{"unusable message id: control character", "a\nb", "w", "w"},
		{"unusable message id: not UTF-8", "a\xff", "w", "w"},
		{"header of another type", "", int32(3), ""},
		{"unusable header", "", "a\x00", ""},
		{"none", "", nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := amqp.Delivery{MessageId: tt.messageID, Headers: amqp.Table{watermillUUID: tt.watermill}}
			msg := fromDelivery(t.Context(), d)
			require.NotContains(t, msg.Metadata, watermillUUID)
			if tt.want != "" {
				require.Equal(t, tt.want, msg.UUID)
				return
			}
			require.Len(t, msg.UUID, 36)
			require.NotEqual(t, msg.UUID, fromDelivery(t.Context(), d).UUID)
		})
	}
}

func TestPublishingOfAMessage(t *testing.T) {
	msg := message.NewMessage("m-1", []byte("body"))
	msg.Metadata = message.Metadata{
		notification.MetaContentType: "application/cloudevents+json",
		notification.MetaRoutingKey:  "old", notification.MetaMessageID: "old", notification.MetaRedelivered: "true",
		"x-delivery-count": "3", "x-death": "[]", "x-first-death-queue": "q", "x-last-death-reason": "r",
		"CC": "a", "BCC": "b", watermillUUID: "old", "kept": "y",
	}
	p, err := toPublishing(msg)
	require.NoError(t, err)
	require.Equal(t, amqp.Publishing{
		Headers: amqp.Table{"kept": "y"}, ContentType: "application/cloudevents+json",
		DeliveryMode: amqp.Persistent, MessageId: "m-1", Body: []byte("body"),
	}, p)

	msg.UUID = ""
	p, err = toPublishing(msg)
	require.NoError(t, err)
	require.Equal(t, "old", p.MessageId, "better than none")
}

func TestWhatAMQPCannotCarry(t *testing.T) {
	long := strings.Repeat("x", 256)
	with := func(key, value string) *message.Message {
		msg := message.NewMessage("m", nil)
		msg.Metadata.Set(key, value)
		return msg
	}
	tests := []struct {
		name string
		msg  *message.Message
		want string
	}{
		{"no message", nil, "message: nil: leave it out"},
		{"uuid", message.NewMessage(long, nil), "message.UUID: 256 bytes, at most 255: shorten it"},
		{"name of a header", with(long, "v"), "message.Metadata: a key has 256 bytes, a header's name at most 255: shorten it"},
		{"content type", with(notification.MetaContentType, long), "message.Metadata: the content type has 256 bytes, at most 255: shorten it"},
		{"headers over a frame", with("h", strings.Repeat("x", 70000)), "message.Metadata: 70001 bytes, at most 65536: put large values in the payload"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := toPublishing(tt.msg)
			require.EqualError(t, err, tt.want)
			_, err = Marshaler{}.Marshal(tt.msg)
			require.EqualError(t, err, tt.want)
		})
	}
}

func TestMarshalerThereAndBack(t *testing.T) {
	msg := message.NewMessage("m-1", []byte("body"))
	msg.Metadata.Set("key", "value")
	msg.Metadata.Set(notification.MetaContentType, "text/plain")
	p, err := Marshaler{}.Marshal(msg)
	require.NoError(t, err)
	require.Equal(t, amqp.Table{"key": "value", "_watermill_message_uuid": "m-1"}, p.Headers)

	back, err := Marshaler{}.Unmarshal(amqp.Delivery{
		Headers: p.Headers, ContentType: p.ContentType, MessageId: p.MessageId, Body: p.Body,
	})
	require.NoError(t, err)
	msg.Metadata.Set(notification.MetaMessageID, "m-1")
	require.True(t, msg.Equals(back), "%v", back.Metadata)
}

func FuzzHeaders(f *testing.F) {
	f.Add("name", "text", []byte("bytes"), int64(1), 0.5, uint8(2), int32(-3), true)
	f.Add("amqp.routing_key", "\xff", []byte{0xff}, int64(-1), math.NaN(), uint8(255), int32(0), false)
	f.Add("x-delivery-count", "", []byte{}, int64(1<<53), math.Inf(-1), uint8(0), int32(9), true)
	f.Fuzz(func(t *testing.T, name, s string, b []byte, i int64, x float64, scale uint8, n int32, redelivered bool) {
		values := []any{s, b, i, x, float32(x), amqp.Decimal{Scale: scale, Value: n}, time.Unix(i, 0), redelivered, nil}
		table := amqp.Table{name: values, s: amqp.Table{"deep": values}}
		headers := amqp.Table{name: table, "_text": s, "_bytes": b, "_array": values}
		d := amqp.Delivery{Headers: headers, MessageId: s, Redelivered: redelivered}
		msg := fromDelivery(t.Context(), d)

		require.True(t, usable(msg.UUID))
		dropped := notification.ReservedMeta(name) || name == watermillUUID || name == deliveryCount && !redelivered
		for key := range headers {
			if !dropped || key != name {
				require.Contains(t, msg.Metadata, key)
			}
		}
		require.True(t, json.Valid([]byte(msg.Metadata["_array"])) || name == "_array")
		if name != "_text" && name != "_bytes" {
			require.Equal(t, s, msg.Metadata["_text"])
			if utf8.Valid(b) {
				require.Equal(t, string(b), msg.Metadata["_bytes"])
			} else {
				require.Equal(t, base64.StdEncoding.EncodeToString(b), msg.Metadata["_bytes"])
			}
		}
		if !dropped && !strings.HasPrefix(name, "_") {
			require.True(t, json.Valid([]byte(msg.Metadata[name])), msg.Metadata[name])
		}
		if len(name) > maxShort || len(s) > maxHeaders/8 || len(b) > maxHeaders/32 {
			return
		}
		p, err := toPublishing(msg) // what was received can be published
		require.NoError(t, err)
		for key := range p.Headers {
			require.False(t, notification.ReservedMeta(key))
		}
	})
}
