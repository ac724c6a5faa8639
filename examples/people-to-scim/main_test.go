package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/calendar"
	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/scim"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/testkit"
)

// TestPeople plays the register, the broker and the provider around the flow, in
// virtual time.
func TestPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.start()()
		kari := Person{GivenName: "Kari", FamilyName: "Berg", Username: "karib", Email: "kari@example.org", Unit: "Physics"}
		w.put("1", kari)
		w.notify("1", "1")
		require.Equal(t, "karib, Kari Berg, [kari@example.org], Physics, active, Employee", w.user("1"))
		w.notify("1")
		require.Len(t, w.users.Log(), 1, "nothing new, nothing written")

		// Her new name is written, but the answer is lost.
		w.users.FailAfter(func(c testkit.Call) error {
			if c.Op != "update" {
				return nil
			}
			w.users.FailAfter(nil)
			return failure.As(failure.Unavailable, errors.New("connection lost"))
		})
		kari.FamilyName, kari.Email, kari.Unit = "Lie", "", ""
		w.put("1", kari)
		w.notify("1")
		require.Equal(t, "karib, Kari Lie, [], , active, Employee", w.user("1"))

		// Somebody to come.
		w.put("2", Person{GivenName: "Nora", FamilyName: "Vik", Username: "norav", FirstDay: calendar.NewDate(2000, time.February, 1)})
		w.notify("2")
		require.Empty(t, w.user("2"))
		w.until("2000-01-31T23:01:00Z") // it is February in Oslo
		require.Equal(t, "norav, Nora Vik, [], , active, Employee", w.user("2"))

		// Kari leaves, and comes back.
		kari.LastDay = calendar.NewDate(2000, time.March, 31)
		w.put("1", kari)
		w.notify("1")
		w.until("2000-03-31T22:01:00Z")
		require.Equal(t, "karib, Kari Lie, [], , inactive, Former since 2000-03-31T22:00:00Z", w.user("1"))
		kari.LastDay = calendar.Date{}
		w.put("1", kari)
		w.notify("1")
		require.Equal(t, "karib, Kari Lie, [], , active, Employee", w.user("1"))

		// Nora is not in the register any more. Her 30 days begin once.
		require.NoError(t, w.api.Delete("persons/2"))
		w.notify("2")
		require.Contains(t, w.user("2"), "inactive, Former since 2000-03-31T")
		w.until("2000-04-29T00:00:00Z")
		w.notify("2")
		require.Contains(t, w.user("2"), "inactive, Former since 2000-03-31T")
		w.until("2000-05-01T00:00:00Z")
		require.Empty(t, w.user("2"), "it was 30 days")
		require.Equal(t, "karib, Kari Lie, [], , active, Employee", w.user("1"))
	})
}

// world is what stands around the flow.
type world struct {
	t      *testing.T
	broker *testkit.Broker
	api    *testkit.Gateway
	users  testkit.Target[scim.User]
	c      *connector.Connector
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	var err error
	w.broker, err = testkit.NewBroker(testkit.BrokerConfig{})
	require.NoError(t, err)
	require.NoError(t, w.broker.Bind("queue", "#"))
	w.api, err = testkit.NewGateway(testkit.GatewayConfig{})
	require.NoError(t, err)
	gw, err := gateway.New("https://gateway.test/api", gateway.Config{Key: "secret", Transport: w.api})
	require.NoError(t, err)
	users, err := sink.Ensure(&w.users, sink.EnsureConfig[scim.User]{Removal: removal()})
	require.NoError(t, err)
	w.c, err = connector.New("test", connector.Config{Lease: 24 * time.Hour}, // a year has few of them
		people(source.REST[Person]{Gateway: gw, Path: "persons/{id}"}, users))
	require.NoError(t, err)
	return w
}

// start runs the connector until stop is called.
func (w *world) start() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.c.Run(ctx, connector.Input{Subscriber: w.broker, Topic: "queue"}) }()
	return func() {
		cancel()
		require.NoError(w.t, <-ended)
		require.NoError(w.t, w.broker.Close())
	}
}

func (w *world) put(id string, p Person) {
	w.t.Helper()
	require.NoError(w.t, w.api.Put("persons/"+id, p))
}

// notify says that people may have changed, and lets some time pass.
func (w *world) notify(ids ...string) {
	w.t.Helper()
	for _, id := range ids {
		msg := message.NewMessage(watermill.NewUUID(), []byte("persons/"+id))
		require.NoError(w.t, w.broker.Publish("no.uio.register.prod.persons.update", msg))
	}
	w.pass(10 * time.Second)
}

func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) until(moment string) {
	w.t.Helper()
	at, err := time.Parse(time.RFC3339, moment)
	require.NoError(w.t, err)
	w.pass(time.Until(at))
}

// user returns a user as "userName, displayName, emails, department, active,
// userType".
func (w *world) user(id string) string {
	u, found := w.users.Snapshot()[entity.Key{Type: "persons", ID: id}]
	if !found {
		return ""
	}
	emails, _ := u.Emails.Get()
	addresses := []string{}
	for _, e := range emails {
		addresses = append(addresses, e.Value)
	}
	active := "inactive"
	if a, _ := u.Active.Get(); a {
		active = "active"
	}
	return fmt.Sprintf("%s, %s, %v, %s, %s, %s", value(u.UserName), value(u.DisplayName), addresses, value(u.Enterprise.Department), active, value(u.UserType))
}

func value(o sink.Optional[string]) string {
	v, _ := o.Get()
	return v
}
