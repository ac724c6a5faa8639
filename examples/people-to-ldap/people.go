package main

import (
	"context"
	"strings"
	"time"

	"github.com/konnektor-go/konnektor/calendar"
	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/ldap"
	"github.com/konnektor-go/konnektor/source"
)

// Person is a person as the register's API gives it.
type Person struct {
	GivenName  string        `json:"givenName"`
	FamilyName string        `json:"familyName"`
	Username   string        `json:"username"`
	Email      string        `json:"email"`
	Unit       string        `json:"unit"`
	FirstDay   calendar.Date `json:"firstDay"`
	LastDay    calendar.Date `json:"lastDay"`
}

// employed reports whether somebody is employed now, and when that changes.
func (p Person) employed() (now bool, changes time.Time) {
	return calendar.Window{}.Active(time.Now(), calendar.Period{From: p.FirstDay, To: p.LastDay})
}

// entries says where the people are: they are found by the register's id, so that
// they keep their entry when their user name changes.
var entries = ldap.Config{
	Key:     "employeeNumber",
	DN:      "uid={uid},ou=people,dc=example,dc=org",
	Classes: []string{"inetOrgPerson"},
	Read:    []string{"employeeType"}, // what the removal looks at
}

// employees is the group that all employees are in. It must exist.
const employees = "cn=employees,ou=groups,dc=example,dc=org"

// toEntry says what the directory must hold for a person. Attributes that it does
// not name are left alone.
func toEntry(_ context.Context, key entity.Key, p Person) (connector.Desired[ldap.Entry], error) {
	now, changes := p.employed()
	if !now {
		return connector.Absent[ldap.Entry]().RecheckAt(changes), nil
	}
	entry := ldap.Entry{Attributes: map[string][]string{
		"uid":              {p.Username},
		"cn":               {p.GivenName + " " + p.FamilyName},
		"givenName":        {p.GivenName},
		"sn":               {p.FamilyName},
		"mail":             optional(p.Email),
		"departmentNumber": optional(p.Unit),
		"employeeType":     {"employee"},
	}}
	return connector.Present(entry).RecheckAt(changes).Mark("groups", key), nil // the entry comes first
}

func optional(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

// removal marks who has left as former, with the time, and deletes them after 90
// days. Who comes back within them keeps the entry.
func removal() sink.Removal[ldap.Entry] {
	const former = "former since "
	return sink.Removal[ldap.Entry]{
		Disable: func(_ ldap.Entry, since time.Time) ldap.Entry {
			return ldap.Entry{Attributes: map[string][]string{"employeeType": {former + since.Format(time.RFC3339)}}}
		},
		Disabled: func(have ldap.Entry) (since time.Time, ok bool) {
			text, ok := strings.CutPrefix(strings.Join(have.Attributes["employeeType"], ""), former)
			since, err := time.Parse(time.RFC3339, text)
			return since, ok && err == nil
		},
		DeleteAfter: 90 * 24 * time.Hour,
	}
}

// toGroups returns the mapping that says which groups a person is in. Who has no
// entry yet is in none: the flow of people marks them when there is one.
func toGroups(find func(context.Context, entity.Key) (string, bool, error)) func(context.Context, entity.Key, Person) (connector.Desired[ldap.Membership], error) {
	return func(ctx context.Context, key entity.Key, p Person) (connector.Desired[ldap.Membership], error) {
		now, changes := p.employed()
		_, found, err := find(ctx, key)
		if err != nil || !found || !now {
			return connector.Absent[ldap.Membership]().RecheckAt(changes), err
		}
		return connector.Present(ldap.Membership{Groups: []string{employees}}).RecheckAt(changes), nil
	}
}

// newConnector joins the source, the mappings and the targets.
func newConnector(
	cfg connector.Config, register source.Source[Person],
	people sink.Target[ldap.Entry], groups sink.Target[ldap.Membership],
	find func(context.Context, entity.Key) (string, bool, error),
) (*connector.Connector, error) {
	entries, err := sink.Ensure(people, sink.EnsureConfig[ldap.Entry]{Removal: removal()})
	if err != nil {
		return nil, err
	}
	memberships, err := sink.Ensure(groups, sink.EnsureConfig[ldap.Membership]{})
	if err != nil {
		return nil, err
	}
	relevant := notification.RoutingKey("#.persons.#")
	return connector.New("people-to-ldap", cfg,
		connector.Flow[Person, ldap.Entry]{Name: "people", Match: relevant, Source: register, Map: toEntry, Sink: entries},
		connector.Flow[Person, ldap.Membership]{Name: "groups", Match: relevant, Source: register, Map: toGroups(find), Sink: memberships},
	)
}
