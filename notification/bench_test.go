package notification_test

import (
	"errors"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/konnektor-go/konnektor/notification"
)

// BenchmarkDecode compares a thin event's way through the default decoder, key
// and checks included, with what the CloudEvents SDK does to parse and validate
// it.
func BenchmarkDecode(b *testing.B) {
	payload := []byte(cerebrum)
	b.Run("konnektor", func(b *testing.B) {
		decoder := notification.Default()
		msg := message.NewMessage("uuid", payload)
		msg.Metadata.Set(notification.MetaRoutingKey, "no.uio.cerebrum.prod.accounts.create")
		b.ReportAllocs()
		for b.Loop() {
			if _, err := decoder.Decode(msg); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sdk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var e event.Event
			if err := errors.Join(e.UnmarshalJSON(payload), e.Validate()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
