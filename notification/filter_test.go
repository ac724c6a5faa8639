package notification_test

import (
	"fmt"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/notification"
)

func TestFilters(t *testing.T) {
	e := event.New()
	e.SetType("no.uio.iga.person.update")
	e.SetSource("https://iga.uio.no")
	n := notification.Notification{Event: e, RoutingKey: "no.uio.iga.prod.persons.update"}
	for _, tc := range []struct {
		name   string
		filter notification.Filter
		want   bool
	}{
		{"type", notification.Type("no.uio.iga.person.update"), true},
		{"type, star", notification.Type("no.uio.iga.person.*"), true},
		{"type, star over dots", notification.Type("no.*.update"), true},
		{"type, stars", notification.Type("*.iga.*.up*te"), true},
		{"type, overlap", notification.Type("no.uio.iga.person.update*update"), false},
		{"type, other", notification.Type("no.uio.iga.group.*"), false},
		{"type, prefix only", notification.Type("no.uio.iga.person"), false},
		{"type, one of several", notification.Type("x", "*"), true},
		{"type, none", notification.Type(), false},
		{"source", notification.Source("https://iga.*"), true},
		{"source, other", notification.Source("https://iga"), false},
		{"routing key", notification.RoutingKey("no.uio.iga.*.persons.#"), true},
		{"routing key, other", notification.RoutingKey("no.*"), false},
	} {
		t.Run(tc.name, func(t *testing.T) { require.Equal(t, tc.want, tc.filter.Match(n)) })
	}
}

func ExampleDefault() {
	msg := received(cerebrum)
	notifications, err := notification.Default().Decode(msg)
	if err != nil {
		fmt.Println(err)
		return
	}
	relevant := notification.Type("no.uio.cerebrum.account.*")
	for _, n := range notifications {
		fmt.Println(n, relevant.Match(n))
	}
	// Output: no.uio.cerebrum.account.create accounts/*** true
}
