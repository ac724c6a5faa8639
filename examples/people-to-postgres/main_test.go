package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/testkit"
)

// TestPeople plays the register, the broker and the table around the flow, in
// virtual time.
func TestPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker, err := testkit.NewBroker(testkit.BrokerConfig{})
		require.NoError(t, err)
		require.NoError(t, broker.Bind("queue", "#"))
		api, err := testkit.NewGateway(testkit.GatewayConfig{})
		require.NoError(t, err)
		gw, err := gateway.New("https://gateway.test/api", gateway.Config{Key: "secret", Transport: api})
		require.NoError(t, err)
		var table testkit.Target[Row]
		rows, err := sink.Ensure(&table, sink.EnsureConfig[Row]{})
		require.NoError(t, err)
		c, err := connector.New("test", connector.Config{}, people(source.REST[Person]{Gateway: gw, Path: "persons/{id}"}, rows))
		require.NoError(t, err)

		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx, connector.Input{Subscriber: broker, Topic: "queue"}) }()
		notify := func(id string) {
			msg := message.NewMessage(watermill.NewUUID(), []byte("persons/"+id))
			require.NoError(t, broker.Publish("no.uio.register.prod.persons.update", msg))
			time.Sleep(time.Second)
			synctest.Wait()
		}
		kari, nora := entity.Key{Type: "persons", ID: "1"}, entity.Key{Type: "persons", ID: "2"}
		email := "kari@example.org"

		require.NoError(t, api.Put("persons/1", Person{GivenName: "Kari", FamilyName: "Berg", Email: &email}))
		notify("1")
		require.Equal(t, map[entity.Key]Row{kari: {Name: "Kari Berg", Email: &email}}, table.Snapshot())

		notify("1")
		require.Len(t, table.Log(), 1, "nothing new, nothing written")

		start := time.Now().Add(14 * 24 * time.Hour)
		require.NoError(t, api.Put("persons/2", Person{GivenName: "Nora", FamilyName: "Vik", Start: start}))
		notify("2")
		require.NotContains(t, table.Snapshot(), nora, "not before the start date")
		time.Sleep(time.Until(start) + time.Second)
		require.Equal(t, Row{Name: "Nora Vik"}, table.Snapshot()[nora])

		require.NoError(t, api.Delete("persons/1"))
		notify("1")
		require.NotContains(t, table.Snapshot(), kari)

		stop()
		require.NoError(t, <-ended)
		require.NoError(t, broker.Close())
	})
}
