package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/calendar"
	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/testkit"
)

// TestHolders: a notification about a position reaches everybody who holds it.
func TestHolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.start()()
		w.put("positions/7", Position{Title: "Lecturer", Holders: []string{"1", "2"}})
		w.put("persons/1", Person{GivenName: "Kari", FamilyName: "Berg", Position: "7"})
		w.put("persons/2", Person{GivenName: "Ola", FamilyName: "Lie", Position: "7"})
		w.put("persons/3", Person{GivenName: "Nora", FamilyName: "Vik"})
		w.notify("persons/1", "persons/2", "persons/1", "positions/7", "persons/3")
		require.Equal(t, map[string]string{"1": "Kari Berg, Lecturer", "2": "Ola Lie, Lecturer", "3": "Nora Vik"}, w.accounts())

		writes := len(w.table.Log())
		w.notify("positions/7", "positions/7")
		require.Len(t, w.table.Log(), writes, "nothing new, nothing written")

		w.put("positions/7", Position{Title: "Professor", Holders: []string{"1", "2"}})
		w.notify("positions/7")
		require.Equal(t, map[string]string{"1": "Kari Berg, Professor", "2": "Ola Lie, Professor", "3": "Nora Vik"}, w.accounts())

		// The API is down when the next one comes, and for a while after that.
		w.api.SetBackendDown(true)
		w.put("positions/7", Position{Title: "Dean", Holders: []string{"2"}})
		w.put("persons/1", Person{GivenName: "Kari", FamilyName: "Berg"})
		w.notify("positions/7", "persons/1")
		w.api.SetBackendDown(false)
		w.pass(10 * time.Minute)
		require.Equal(t, map[string]string{"1": "Kari Berg", "2": "Ola Lie, Dean", "3": "Nora Vik"}, w.accounts())

		require.NoError(t, w.api.Delete("persons/2"))
		w.notify("persons/2")
		require.NotContains(t, w.accounts(), "2")
	})
}

// TestFirstDay: an account comes five days before the first day, at midnight in
// Oslo, and a corrected date corrects that.
func TestFirstDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.start()()
		nora := Person{GivenName: "Nora", FamilyName: "Vik", FirstDay: calendar.NewDate(2000, time.June, 20)}
		set := func() {
			w.put("persons/1", nora)
			w.notify("persons/1")
		}
		set()
		require.Empty(t, w.accounts(), "it is January")
		w.until("2000-06-14T21:59:00Z")
		require.Empty(t, w.accounts())
		w.until("2000-06-14T22:01:00Z") // it is June 15 in Oslo
		require.Contains(t, w.accounts(), "1")

		nora.FirstDay = calendar.NewDate(2000, time.August, 1)
		set()
		require.Empty(t, w.accounts(), "she begins later after all")
		nora.FirstDay = calendar.NewDate(2000, time.July, 1)
		set()
		w.until("2000-06-25T21:59:00Z")
		require.Empty(t, w.accounts())
		requests := w.api.Requests()
		w.until("2000-06-25T22:01:00Z")
		require.Contains(t, w.accounts(), "1", "the earlier of the two corrections is the last one")
		require.Equal(t, requests+1, w.api.Requests(), "one look, at the right time")

		nora.LastDay = calendar.NewDate(2000, time.December, 31)
		set()
		w.until("2000-12-31T22:59:00Z")
		require.Contains(t, w.accounts(), "1", "the last day is hers")
		w.until("2000-12-31T23:01:00Z")
		require.Empty(t, w.accounts())
	})
}

// world is what stands around the flows: the register, the broker and the table,
// in virtual time.
type world struct {
	t      *testing.T
	broker *testkit.Broker
	api    *testkit.Gateway
	table  testkit.Target[Account]
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
	register, err := gateway.New("https://gateway.test/api", gateway.Config{Key: "secret", Transport: w.api})
	require.NoError(t, err)
	accounts, err := sink.Ensure(&w.table, sink.EnsureConfig[Account]{})
	require.NoError(t, err)
	people, positions := flows(register, accounts)
	w.c, err = connector.New("test", connector.Config{Lease: 24 * time.Hour}, people, positions) // a year has few of them
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

func (w *world) put(path string, state any) {
	w.t.Helper()
	require.NoError(w.t, w.api.Put(path, state))
}

// notify says that something may have changed, and lets a second pass.
func (w *world) notify(paths ...string) {
	w.t.Helper()
	for _, path := range paths {
		kind, _, _ := strings.Cut(path, "/")
		msg := message.NewMessage(watermill.NewUUID(), []byte(path))
		require.NoError(w.t, w.broker.Publish("no.uio.register.prod."+kind+".update", msg))
	}
	w.pass(time.Second)
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

// accounts returns the table as "name, title" by id.
func (w *world) accounts() map[string]string {
	all := make(map[string]string)
	for key, a := range w.table.Snapshot() {
		all[key.ID] = a.Name
		if a.Title != nil {
			all[key.ID] += ", " + *a.Title
		}
	}
	return all
}
