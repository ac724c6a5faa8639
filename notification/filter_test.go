package notification_test

import (
	"fmt"
	"testing"
	"time"

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

// Filters that look at what a provider may leave out: what is not told cannot
// make a notification irrelevant.
func TestFiltersOfWhatMayBeUntold(t *testing.T) {
	told := notification.Notification{
		Audience:  []string{"AD_account", "exchange_acc@uio.no"},
		Changed:   []string{"id", "name.familyName", "urn:ietf:params:scim:schemas:core:2.0:User:Active"},
		Operation: "update",
	}
	for _, tc := range []struct {
		name   string
		filter notification.Filter
		want   bool
	}{
		{"audience", notification.Audience("AD_account"), true},
		{"audience, pattern", notification.Audience("x", "exchange_*"), true},
		{"audience, other", notification.Audience("ad_account", "exchange_acc"), false},
		{"audience, none", notification.Audience(), false},
		{"changed", notification.Changed("id"), true},
		{"changed, one of several", notification.Changed("emails", "ID"), true},
		{"changed, other", notification.Changed("emails", "familyName", "na"), false},
		{"changed, part of it", notification.Changed("name"), true},
		{"changed, whole of it", notification.Changed("id.value"), true},
		{"changed, other part", notification.Changed("name.givenName"), false},
		{"changed, without the schema", notification.Changed("active"), true},
		{"changed, with the schema", notification.Changed("urn:ietf:params:scim:schemas:core:2.0:User:id"), true},
		{"changed, another schema", notification.Changed("urn:other:active"), false},
		{"operation", notification.Operation("create", "UPDATE"), true},
		{"operation, other", notification.Operation("create", "updat"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.want, tc.filter.Match(told))
			require.Equal(t, !tc.want, notification.Not(tc.filter).Match(told))
			require.Equal(t, tc.want, notification.Not(notification.Not(tc.filter)).Match(told))

			untold := notification.Notification{}
			require.True(t, tc.filter.Match(untold))
			require.True(t, notification.Not(tc.filter).Match(untold))
		})
	}
}

func TestAllAnyNot(t *testing.T) {
	is := func(b bool) notification.Filter {
		return notification.FilterFunc(func(notification.Notification) bool { return b })
	}
	yes, no, unsure := is(true), is(false), notification.Operation("create")
	for _, tc := range []struct {
		name        string
		filter      notification.Filter
		match, knot bool
	}{
		{"all of none", notification.All(), true, false},
		{"all of yes", notification.All(yes, yes), true, false},
		{"all of yes and no", notification.All(yes, no), false, true},
		{"all of yes and unsure", notification.All(yes, unsure), true, true},
		{"all of unsure and no", notification.All(unsure, no), false, true},
		{"any of none", notification.Any(), false, true},
		{"any of no", notification.Any(no, no), false, true},
		{"any of no and yes", notification.Any(no, yes), true, false},
		{"any of no and unsure", notification.Any(no, unsure), true, true},
		{"any of unsure and yes", notification.Any(unsure, yes), true, false},
		{"nested", notification.All(notification.Any(no, notification.Not(unsure)), notification.Not(no)), true, true},
		{"nested, known", notification.All(notification.Any(no, notification.Not(unsure)), notification.Not(yes)), false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.match, tc.filter.Match(notification.Notification{}))
			require.Equal(t, tc.knot, notification.Not(tc.filter).Match(notification.Notification{}))
		})
	}
}

func ExampleAll() {
	relevant := notification.All(
		notification.Type("no.uio.iga.person.*", "urn:ietf:params:event:SCIM:*"),
		notification.Changed("name", "emails"),
		notification.Not(notification.Operation("delete")),
	)
	e := event.New()
	e.SetType("urn:ietf:params:event:SCIM:modify")
	fmt.Println(relevant.Match(notification.Notification{Event: e, Operation: "modify", Changed: []string{"emails"}}))
	fmt.Println(relevant.Match(notification.Notification{Event: e, Operation: "modify", Changed: []string{"phoneNumbers"}}))
	fmt.Println(relevant.Match(notification.Notification{Event: e, Operation: "modify"}))
	fmt.Println(relevant.Match(notification.Notification{Event: e, Operation: "delete"}))
	// Output:
	// true
	// false
	// true
	// false
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

func ExampleNewDecoder() {
	decoder, err := notification.NewDecoder(notification.DecoderConfig{MaxSize: 64 << 10, DataFields: []string{"person.id"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, payload := range []string{
		`{"specversion":"1.0","id":"7","type":"changed","source":"greg:uio:prod","data":{"person":{"id":2}}}`,
		`{"sub":"personer/56154","iss":"FS-prod","iat":"1582344412462","operation":"update","jti":"35380ac0"}`,
		`{"id":"01234567","uri":"dfo:ansatte","gyldigEtter":"2026-12-01"}`,
		`accounts/123456`,
		`{"specversion":"1.0","id":"7","type":"changed","source":"greg:uio:prod"}`,
	} {
		notifications, err := decoder.Decode(received(payload))
		if err != nil {
			fmt.Println(err)
		}
		for _, n := range notifications {
			fmt.Printf("%v from %s, %q, not before %s\n", n.Key, n.Event.Source(), n.Operation, n.NotBefore.Format(time.RFC3339))
		}
	}
	// Output:
	// person/*** from greg:uio:prod, "changed", not before 0001-01-01T00:00:00Z
	// personer/*** from FS-prod, "update", not before 0001-01-01T00:00:00Z
	// ansatte/*** from dfo:ansatte, "", not before 2026-12-01T00:00:00+01:00
	// accounts/*** from unknown, "", not before 0001-01-01T00:00:00Z
	// subject: is missing, and data is no object that could name the entity
}
