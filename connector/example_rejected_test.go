package connector_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/testkit"
)

// A provider has begun to send messages of another form, which were rejected.
// With a decoder that understands them, they are replayed.
func ExampleConnector_Replay() {
	ctx := context.Background()
	store := work.NewMemory() // a real connector has one that is durable
	_ = store.Reject(ctx, []work.Rejected{
		{Reason: "message: not a known dialect of notifications", Topic: "from_system-test-iga", Payload: []byte("changed 5")},
		{Reason: "message: not a known dialect of notifications", Topic: "from_system-test-iga", Payload: []byte("hello")},
	})
	entries, _ := sink.Ensure(&testkit.Target[entry]{}, sink.EnsureConfig[entry]{})
	c, err := connector.New("people", connector.Config{Store: store, Logger: slog.New(slog.DiscardHandler)}, connector.Flow[person, entry]{
		Name:   "people",
		Source: source.Func[person](func(context.Context, source.Request) (person, error) { return person{Name: "Kari"}, nil }),
		Map:    toEntry,
		Sink:   entries,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mended := notification.DecoderFunc(func(msg *message.Message) ([]notification.Notification, error) {
		id, ok := strings.CutPrefix(string(msg.Payload), "changed ")
		if !ok {
			return nil, notification.ErrUnknown
		}
		return []notification.Notification{{Key: entity.Key{Type: "persons", ID: id}}}, nil
	})

	rejected, _ := c.Rejected(ctx, "", 10)
	for _, r := range rejected {
		err := c.Replay(ctx, []string{r.ID}, connector.Input{Topic: "from_system-test-iga", Decoder: mended})
		fmt.Println(r.ID, err)
	}
	row, _, _ := store.Get(ctx, "people", entity.Key{Type: "persons", ID: "5"})
	fmt.Println(row.State)

	n, _ := c.Discard(ctx, "2")
	fmt.Println(n, "discarded")
	// Output:
	// 2 connector "people": replay "2": message: not a known dialect of notifications
	// 1 <nil>
	// due
	// 1 discarded
}
