//go:build integration

package ldap_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/ldap"
)

var byNumber = ldap.Config{
	Key: "employeeNumber", DN: "cn={cn}," + peopleBase, Classes: []string{"inetOrgPerson"},
}

// byron is a person as a mapping would make her.
func byron(more ...string) ldap.Entry {
	return entry(append([]string{"cn: Ada Byron", "sn: Byron", "mail: ada@example.org", "mail: a.byron@example.org"}, more...)...)
}

const adaDN = "cn=Ada Byron," + peopleBase

func TestApply(t *testing.T) {
	const was = "objectClass: inetOrgPerson|cn: Ada Byron|sn: Byron|employeeNumber: 1|mail: ada@example.org|mail: a.byron@example.org|description: theirs"
	for _, tt := range []struct {
		name   string
		want   ldap.Entry
		change string
		writes []string
	}{
		{name: "unchanged", want: byron(), change: "unchanged"},
		{name: "case of an identifier", want: entry("mail: ADA@example.org", "mail: a.byron@example.org"), change: "unchanged"},
		{name: "order", want: entry("mail: a.byron@example.org", "mail: ada@example.org"), change: "unchanged"},
		{name: "twice the same", want: entry("mail: a.byron@example.org", "mail: ada@example.org", "mail: Ada@example.org"), change: "unchanged"},
		{name: "synonym and case of a name", want: entry("SURNAME: Byron"), change: "unchanged"},
		{name: "absent and no values", want: entry("telephoneNumber"), change: "unchanged"},
		{name: "class that is there", want: entry("objectClass: INETORGPERSON"), change: "unchanged"},
		{
			name: "one value of several", want: entry("mail: ada@example.org", "mail: countess@example.org"), change: "updated(mail)",
			writes: []string{"modify " + adaDN + ": add mail countess@example.org; delete mail a.byron@example.org"},
		},
		{
			name: "letter case that people see", want: entry("sn: BYRON"), change: "updated(sn)",
			writes: []string{"modify " + adaDN + ": delete sn Byron; add sn BYRON"},
		},
		{
			name: "no values", want: entry("mail"), change: "updated(mail)",
			writes: []string{"modify " + adaDN + ": delete mail ada@example.org; delete mail a.byron@example.org"},
		},
		{
			name: "a class, others are kept", want: entry("objectClass: posixAccount", "uidNumber: 7", "gidNumber: 7", "homeDirectory: /home/ada", "uid: ada"),
			change: "updated(gidNumber, homeDirectory, objectClass, uid, uidNumber)",
			writes: []string{"modify " + adaDN + ": add gidNumber 7; add homeDirectory /home/ada; add uidNumber 7; add objectClass posixAccount; add uid ada"},
		},
		{
			name: "option", want: entry("description;lang-nb: vår"), change: "updated(description;lang-nb)",
			writes: []string{"modify " + adaDN + ": add description;lang-nb: dsOlcg=="},
		},
		{
			name: "renamed", want: entry("cn: Ada King"), change: "updated(dn, cn)",
			writes: []string{"modrdn " + adaDN + ": newrdn cn=Ada King; deleteoldrdn 1"},
		},
		{
			name: "renamed, the old name is kept as another", want: entry("cn: Ada King", "cn: Ada Byron"), change: "updated(dn, cn)",
			writes: []string{"modrdn " + adaDN + ": newrdn cn=Ada King; deleteoldrdn 0"},
		},
		{
			name: "renamed in case only", want: entry("cn: ada byron"), change: "updated(dn, cn)",
			writes: []string{"modrdn " + adaDN + ": newrdn cn=ada byron; deleteoldrdn 1"},
		},
		{
			name: "moved", want: ldap.Entry{DN: "cn=Ada Byron,ou=left," + peopleBase}, change: "updated(dn)",
			writes: []string{"modrdn " + adaDN + ": newrdn cn=Ada Byron; deleteoldrdn 1; newsuperior ou=left," + peopleBase},
		},
		{
			name: "renamed, moved and changed", want: ldap.Entry{DN: `cn=Ada\2C Countess,ou=left,` + peopleBase, Attributes: attributes("cn: Ada, Countess", "sn: King")},
			change: "updated(dn, cn, sn)",
			writes: []string{
				"modrdn " + adaDN + `: newrdn cn=Ada\2C Countess; deleteoldrdn 1; newsuperior ou=left,` + peopleBase,
				`modify cn=Ada\2C Countess,ou=left,` + peopleBase + ": add sn King; delete sn Byron",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDirectory(t, server.OpenLDAPConfig{})
			d.add("ou=left,"+peopleBase, "objectClass: organizationalUnit")
			d.add(adaDN, strings.Split(was, "|")...)
			s := ensured(t, d.entries(peopleBase, byNumber))
			mark := d.mark()
			change, err := s.Apply(t.Context(), id("1"), tt.want)
			require.NoError(t, err)
			require.Equal(t, tt.change, change.String())
			require.Equal(t, tt.writes, d.writes(mark))
			found := d.search(peopleBase, "(employeeNumber=1)")
			require.Len(t, found, 1)
			require.Equal(t, []string{"theirs"}, found[0].GetAttributeValues("description"))

			change, err = s.Apply(t.Context(), id("1"), tt.want)
			require.NoError(t, err)
			require.Equal(t, "unchanged", change.String())
			require.Len(t, d.writes(mark), len(tt.writes))
		})
	}
}

func TestCreateAndRemove(t *testing.T) {
	d := newDirectory(t, server.OpenLDAPConfig{})
	s := ensured(t, d.entries(peopleBase, byNumber))
	change, err := s.Apply(t.Context(), id("1"), byron("telephoneNumber"))
	require.NoError(t, err)
	require.Equal(t, "created", change.String())
	require.Equal(t, []string{"1"}, d.values(adaDN, "employeeNumber"))
	require.Equal(t, []string{"a.byron@example.org", "ada@example.org"}, d.values(adaDN, "mail"))
	require.Equal(t, []string{"inetOrgPerson"}, d.values(adaDN, "objectClass"))

	change, err = s.Remove(t.Context(), id("1"))
	require.NoError(t, err)
	require.Equal(t, "removed", change.String())
	change, err = s.Remove(t.Context(), id("1"))
	require.NoError(t, err)
	require.Equal(t, "unchanged", change.String())
}

func TestRefusals(t *testing.T) {
	d := newDirectory(t, server.OpenLDAPConfig{Database: "overlay unique\nunique_uri ldap:///?uid?sub", Global: "moduleload unique"})
	d.add("ou=units,"+server.LDAPSuffix, "objectClass: organizationalUnit")
	d.add("cn=Eve,"+peopleBase, "objectClass: inetOrgPerson", "sn: Eve", "uid: eve", "employeeNumber: 2")
	d.add("ou=full,"+peopleBase, "objectClass: organizationalUnit", "description: 9")
	d.add("cn=leaf,ou=full,"+peopleBase, "objectClass: organizationalRole")
	for _, tt := range []struct {
		name  string
		id    string
		cfg   func(*ldap.Config)
		want  ldap.Entry
		class failure.Class
		text  string
	}{
		{name: "a class's attribute is missing", want: entry("cn: Bob"), class: failure.Rejected, text: "ldap: add: Object Class Violation, inetOrgPerson, sn (65)"},
		{name: "syntax", want: byron("mail: å"), class: failure.Rejected, text: "ldap: add: Invalid Attribute Syntax, mail (21)"},
		{name: "unknown attribute", want: byron("nonsense: x"), class: failure.Rejected, text: "ldap: add: Undefined Attribute Type (17)"},
		{name: "empty value", want: byron("title: "), class: failure.Rejected, text: "ldap: add: Invalid Attribute Syntax, title (21)"},
		{name: "two values for one", want: byron("displayName: a", "displayName: b"), class: failure.Rejected, text: "ldap: add: Constraint Violation, displayName (19)"},
		{name: "another has the name", want: entry("cn: Eve", "sn: Eve"), class: failure.Failed, text: "ldap: add: Entry Already Exists (68): another entry has the name"},
		{name: "another has the value", want: byron("uid: eve"), class: failure.Failed, text: "ldap: add: Constraint Violation (19)"},
		{
			name: "the parent is missing", want: ldap.Entry{DN: "cn=Ada,ou=nowhere," + peopleBase, Attributes: byron().Attributes},
			class: failure.Failed, text: "ldap: add: No Such Object (32): the entry above it is not there",
		},
		{
			name: "moved to where nothing is", id: "2", want: ldap.Entry{DN: "cn=Eve,ou=nowhere," + peopleBase},
			class: failure.Failed, text: "ldap: rename: noSuchObject (32): the entry above the new name is not there",
		},
		{name: "out of the base", want: ldap.Entry{DN: "cn=Ada," + groupsBase}, class: failure.Rejected, text: "ldap: DN: must be below the base, or the entry would not be found again"},
		{name: "no name to make the DN of", want: entry("sn: Byron"), class: failure.Rejected, text: "ldap: DN: an attribute of the template {cn} is not named"},
		{name: "named twice", want: byron("surname: x"), class: failure.Rejected, text: "ldap: Attributes: sn is named twice"},
		{name: "key taken away", want: byron("employeeNumber: 7"), class: failure.Rejected, text: "ldap: Attributes: employeeNumber must hold the key"},
		{name: "key that the server gives", cfg: func(c *ldap.Config) { c.Key = "entryUUID" }, want: byron(), class: failure.Rejected, text: "ldap: Key: entryUUID is given by the server, so that there can be no new entries"},
		{name: "no such attribute name", want: byron("x)(y: 1"), class: failure.Rejected, text: "ldap: Attributes: holds a name that is none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := byNumber
			if tt.cfg != nil {
				tt.cfg(&cfg)
			}
			if tt.id == "" {
				tt.id = "1"
			}
			_, err := ensured(t, d.entries(peopleBase, cfg)).Apply(t.Context(), id(tt.id), tt.want)
			require.EqualError(t, err, tt.text)
			require.Equal(t, tt.class, failure.Of(err))
		})
	}

	t.Run("it has entries below it", func(t *testing.T) {
		cfg := ldap.Config{Key: "description", Filter: "(objectClass=organizationalUnit)"}
		_, err := ensured(t, d.entries(peopleBase, cfg)).Remove(t.Context(), id("9"))
		require.EqualError(t, err, "ldap: delete: Not Allowed On Non Leaf (66)")
		require.Equal(t, failure.Failed, failure.Of(err))
	})
	t.Run("several match", func(t *testing.T) {
		d.add("cn=Eve 2,"+peopleBase, "objectClass: inetOrgPerson", "sn: Eve", "employeeNumber: 2")
		s := ensured(t, d.entries(peopleBase, byNumber))
		_, err := s.Apply(t.Context(), id("2"), entry("sn: Eve"))
		require.ErrorIs(t, err, sink.ErrAmbiguous)
		require.Equal(t, failure.Failed, failure.Of(err))

		d.add("cn=Eve 3,"+peopleBase, "objectClass: inetOrgPerson", "sn: Eve", "employeeNumber: 2")
		_, err = s.Remove(t.Context(), id("2")) // more than are asked for
		require.ErrorIs(t, err, sink.ErrAmbiguous)
	})
}
