//go:build integration

package ldap_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/ldap"
)

// exampleTB lets an example, which has no testing.TB, start a server.
type exampleTB struct {
	testing.TB
	cleanups []func()
}

func (e *exampleTB) Helper()                   {}
func (e *exampleTB) FailNow()                  { panic("failed") }
func (e *exampleTB) Fatal(args ...any)         { panic(fmt.Sprint(args...)) }
func (e *exampleTB) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (e *exampleTB) Errorf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (e *exampleTB) Cleanup(f func())          { e.cleanups = append(e.cleanups, f) }
func (e *exampleTB) end() {
	for i := range e.cleanups {
		e.cleanups[len(e.cleanups)-1-i]()
	}
}

// People, and the groups that they are in.
func Example() {
	tb := &exampleTB{}
	defer tb.end()
	d := newDirectory(tb, server.OpenLDAPConfig{})
	d.add("cn=staff,"+groupsBase, "objectClass: groupOfNames", "member: "+nobody)
	client := d.client(ldap.ClientConfig{})
	ctx := context.Background()

	people, err := ldap.New(client, "ou=people,dc=example,dc=org", ldap.Config{
		Key:     "employeeNumber",
		DN:      "cn={cn},ou=people,dc=example,dc=org",
		Classes: []string{"inetOrgPerson"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := people.Check(ctx); err != nil {
		fmt.Println(err)
		return
	}
	persons, err := sink.Ensure(people, sink.EnsureConfig[ldap.Entry]{})
	if err != nil {
		fmt.Println(err)
		return
	}
	memberships, err := ldap.NewMemberships(client, "ou=groups,dc=example,dc=org", people.Find, ldap.MembershipsConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	groups, err := sink.Ensure(memberships, sink.EnsureConfig[ldap.Membership]{})
	if err != nil {
		fmt.Println(err)
		return
	}

	for _, name := range []string{"Ada Byron", "Ada Byron", "Ada King, Countess of Lovelace"} {
		change, err := persons.Apply(ctx, id("1815"), ldap.Entry{Attributes: map[string][]string{
			"cn": {name}, "sn": {"Byron"}, "mail": {"ada@example.org", "countess@example.org"}, "title": nil,
		}})
		fmt.Println(change, err)
	}
	for range 2 {
		change, err := groups.Apply(ctx, id("1815"), ldap.Membership{Groups: []string{"cn=staff,ou=groups,dc=example,dc=org"}})
		fmt.Println(change, err)
	}
	fmt.Println(d.values("cn=staff,ou=groups,dc=example,dc=org", "member")[0])
	// Output:
	// created <nil>
	// unchanged <nil>
	// updated(dn, cn) <nil>
	// created <nil>
	// unchanged <nil>
	// cn=Ada King\2C Countess of Lovelace,ou=people,dc=example,dc=org
}
