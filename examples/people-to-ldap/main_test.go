package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
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
	"github.com/konnektor-go/konnektor/sink/ldap"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/testkit"
)

// TestPeople plays the register, the broker and the directory around the flows,
// in virtual time.
func TestPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.start()()
		kari := Person{GivenName: "Kari", FamilyName: "Berg", Username: "karib", Email: "kari@example.org"}
		w.put("1", kari)
		w.notify("1", "1")
		require.Equal(t, "Kari Berg, karib, kari@example.org, employee", w.entry("1"))
		require.True(t, w.isEmployee("1"))
		w.notify("1")
		require.Len(t, w.people.Log(), 1, "nothing new, nothing written")

		// The directory writes her new name, but the answer is lost.
		w.people.FailAfter(func(c testkit.Call) error {
			if c.Op != "update" {
				return nil
			}
			w.people.FailAfter(nil)
			return failure.As(failure.Unavailable, errors.New("connection lost"))
		})
		kari.FamilyName, kari.Email = "Lie", ""
		w.put("1", kari)
		w.notify("1")
		require.Equal(t, "Kari Lie, karib, , employee", w.entry("1"))

		// Somebody to come.
		w.put("2", Person{GivenName: "Nora", FamilyName: "Vik", Username: "norav", FirstDay: calendar.NewDate(2000, time.February, 1)})
		w.notify("2")
		require.Empty(t, w.entry("2"))
		w.until("2000-01-31T23:01:00Z") // it is February in Oslo
		require.Equal(t, "Nora Vik, norav, , employee", w.entry("2"))
		require.True(t, w.isEmployee("2"))

		// Kari leaves, and comes back.
		kari.LastDay = calendar.NewDate(2000, time.March, 31)
		w.put("1", kari)
		w.notify("1")
		w.until("2000-03-31T22:01:00Z")
		require.Equal(t, "Kari Lie, karib, , former since 2000-03-31T22:00:00Z", w.entry("1"))
		require.False(t, w.isEmployee("1"))
		kari.LastDay = calendar.Date{}
		w.put("1", kari)
		w.notify("1")
		require.Equal(t, "Kari Lie, karib, , employee", w.entry("1"))
		require.True(t, w.isEmployee("1"))

		// Nora is not in the register any more.
		require.NoError(t, w.api.Delete("persons/2"))
		w.notify("2")
		require.Contains(t, w.entry("2"), "former since ")
		require.False(t, w.isEmployee("2"))
		w.until("2000-07-01T00:00:00Z")
		require.Empty(t, w.entry("2"), "it was 90 days")
		require.Equal(t, "Kari Lie, karib, , employee", w.entry("1"))
	})
}

// world is what stands around the flows.
type world struct {
	t      *testing.T
	broker *testkit.Broker
	api    *testkit.Gateway
	people directory
	groups testkit.Target[ldap.Membership]
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
	w.c, err = newConnector(connector.Config{Lease: 24 * time.Hour}, // a year has few of them
		source.REST[Person]{Gateway: gw, Path: "persons/{id}"}, &w.people, &w.groups, w.people.find)
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

// entry returns somebody's entry as "cn, uid, mail, employeeType".
func (w *world) entry(id string) string {
	e, found := w.people.Snapshot()[entity.Key{Type: "persons", ID: id}]
	if !found {
		return ""
	}
	var values []string
	for _, name := range []string{"cn", "uid", "mail", "employeeType"} {
		values = append(values, strings.Join(e.Attributes[name], " "))
	}
	return strings.Join(values, ", ")
}

func (w *world) isEmployee(id string) bool {
	return slices.Contains(w.groups.Snapshot()[entity.Key{Type: "persons", ID: id}].Groups, employees)
}

// directory is a directory in memory. As in a real one, attributes that are not
// named are left alone.
type directory struct{ testkit.Target[ldap.Entry] }

// Observe implements [sink.Observer].
func (d *directory) Observe(ctx context.Context, key entity.Key, want ldap.Entry) (sink.Found[ldap.Entry], bool, []sink.Field, error) {
	have, found, err := d.Get(ctx, key)
	for name, values := range want.Attributes {
		if found && !slices.Equal(values, have.Value.Attributes[name]) {
			return have, true, []sink.Field{{Name: "Attributes"}}, err
		}
	}
	return have, found, nil, err
}

// Update implements [sink.Target].
func (d *directory) Update(ctx context.Context, key entity.Key, have sink.Found[ldap.Entry], want ldap.Entry, fields []sink.Field) error {
	all := maps.Clone(have.Value.Attributes)
	maps.Copy(all, want.Attributes)
	want.Attributes = all
	return d.Target.Update(ctx, key, have, want, fields)
}

func (d *directory) find(_ context.Context, key entity.Key) (string, bool, error) {
	_, found := d.Snapshot()[key]
	return "", found, nil
}
