//go:build integration

package ldap_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/ldap"
)

// between is a target with another writer between its reads and its writes.
type between struct {
	*ldap.Entries

	other func()
}

func (b *between) Update(ctx context.Context, key entity.Key, have sink.Found[ldap.Entry], want ldap.Entry, fields []sink.Field) error {
	if b.other != nil {
		other := b.other
		b.other = nil
		other()
	}
	return b.Entries.Update(ctx, key, have, want, fields)
}

func (b *between) Delete(ctx context.Context, key entity.Key, have sink.Found[ldap.Entry]) error {
	if b.other != nil {
		other := b.other
		b.other = nil
		other()
	}
	return b.Entries.Delete(ctx, key, have)
}

// TestAnotherWriter lets another writer in between the read and the write.
func TestAnotherWriter(t *testing.T) {
	theirs := func(d *directory) { d.replace(adaDN, "description", "theirs") }
	for _, tt := range []struct {
		name  string
		other func(d *directory)
		want  ldap.Entry
		dn    string
		is    []string // of the attribute
		attr  string
	}{
		{name: "their attribute", other: theirs, want: byron("mail: new@example.org"), attr: "description", is: []string{"theirs"}},
		{
			name: "adds a value to our set", want: byron("mail: new@example.org"), attr: "mail",
			other: func(d *directory) {
				d.replace(adaDN, "mail", "ada@example.org", "a.byron@example.org", "x@example.org")
			},
			is: []string{"a.byron@example.org", "ada@example.org", "new@example.org"},
		},
		{
			name: "writes what we would", want: byron("mail: new@example.org"), attr: "mail",
			other: func(d *directory) {
				d.replace(adaDN, "mail", "ada@example.org", "a.byron@example.org", "new@example.org")
			},
			is: []string{"a.byron@example.org", "ada@example.org", "new@example.org"},
		},
		{
			name: "replaces our one value", want: entry("sn: King"), attr: "sn",
			other: func(d *directory) { d.replace(adaDN, "sn", "Lovelace") }, is: []string{"King"},
		},
		{
			name: "gives a value to what holds one", want: entry("displayName: Ada"), attr: "displayName",
			other: func(d *directory) { d.replace(adaDN, "displayName", "Countess") }, is: []string{"Ada"},
		},
		{
			name: "removes a value", want: entry("mail: ada@example.org"), attr: "mail",
			other: func(d *directory) { d.replace(adaDN, "mail") }, is: []string{"ada@example.org"},
		},
		{
			name: "renames the entry", want: entry("sn: King"), attr: "sn", dn: "cn=Countess," + peopleBase,
			other: func(d *directory) { d.rename(adaDN, "cn=Countess") }, is: []string{"King"},
		},
		{
			name: "deletes the entry", want: byron("title: x"), attr: "title",
			other: func(d *directory) { d.remove(adaDN) }, is: []string{"x"},
		},
		{
			name: "puts another entry in its place", want: byron("title: x"), attr: "title", dn: "cn=Ada Byron,ou=left," + peopleBase,
			other: func(d *directory) {
				d.move(adaDN, "cn=Ada Byron", "ou=left,"+peopleBase)
				d.add(adaDN, "objectClass: inetOrgPerson", "sn: Another", "employeeNumber: 2")
			},
			is: []string{"x"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDirectory(t, server.OpenLDAPConfig{})
			d.add("ou=left,"+peopleBase, "objectClass: organizationalUnit")
			cfg := byNumber
			cfg.DN = "cn=Ada Byron," + peopleBase
			b := &between{Entries: d.entries(peopleBase, cfg)}
			if tt.dn != "" {
				tt.want.DN = tt.dn
			}
			_, err := ensured[ldap.Entry](t, b).Apply(t.Context(), id("1"), byron())
			require.NoError(t, err)
			b.other = func() { tt.other(d) }
			_, err = ensured[ldap.Entry](t, b).Apply(t.Context(), id("1"), tt.want)
			require.NoError(t, err)
			dn := adaDN
			if tt.dn != "" {
				dn = tt.dn
			}
			require.Equal(t, tt.is, d.values(dn, tt.attr))
			require.Len(t, d.search(peopleBase, "(employeeNumber=1)"), 1)
			require.Empty(t, d.search(peopleBase, "(&(employeeNumber=2)(title=x))"), "the other entry is not ours")
		})
	}

	t.Run("a deletion meets another entry", func(t *testing.T) {
		d := newDirectory(t, server.OpenLDAPConfig{})
		b := &between{Entries: d.entries(peopleBase, byNumber)}
		s := ensured[ldap.Entry](t, b)
		_, err := s.Apply(t.Context(), id("1"), byron())
		require.NoError(t, err)
		b.other = func() { d.replace(adaDN, "employeeNumber", "2") }
		change, err := s.Remove(t.Context(), id("1"))
		require.NoError(t, err)
		require.Equal(t, sink.Unchanged, change.Op)
		require.Len(t, d.search(peopleBase, "(employeeNumber=2)"), 1, "it is another's now")
	})
}

// TestTwoInstances has two instances apply the same entities, while a third
// writer changes what is theirs all the time.
func TestTwoInstances(t *testing.T) {
	const people, rounds = 10, 8
	d := newDirectory(t, server.OpenLDAPConfig{})
	want := func(n, version int) ldap.Entry {
		return entry(fmt.Sprintf("cn: Person %d of %d", n, version%3), "sn: x", fmt.Sprint("title: ", version),
			fmt.Sprint("mail: ", version, "@example.org"), fmt.Sprint("mail: ", version+1, "@example.org"))
	}
	ctx, stop := context.WithCancel(t.Context())
	var third sync.WaitGroup
	third.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			for _, p := range d.search(peopleBase, "(employeeNumber=*)", "1.1") {
				_ = d.tryReplace(p.DN, "description", strconv.Itoa(i)) // it may have been renamed
			}
		}
	})
	for version := range rounds {
		var wg sync.WaitGroup
		for range 2 {
			s, err := sink.Ensure(d.entries(peopleBase, byNumber), sink.EnsureConfig[ldap.Entry]{Tries: 50})
			require.NoError(t, err)
			for n := range people {
				wg.Go(func() {
					_, err := s.Apply(t.Context(), id(strconv.Itoa(n)), want(n, version))
					require.NoError(t, err)
				})
			}
		}
		wg.Wait()
		s := ensured(t, d.entries(peopleBase, byNumber))
		for n := range people {
			change, err := s.Apply(t.Context(), id(strconv.Itoa(n)), want(n, version))
			require.NoError(t, err)
			require.Equal(t, sink.Unchanged, change.Op)
		}
	}
	stop()
	third.Wait()
	found := d.search(peopleBase, "(employeeNumber=*)", "description")
	require.Len(t, found, people)
	for _, p := range found {
		require.Len(t, p.GetAttributeValues("description"), 1)
	}
}
