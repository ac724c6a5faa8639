//go:build integration

package ldap_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/ldap"
)

const everybodyDN = "cn=everybody," + groupsBase

func personDN(n int) string { return fmt.Sprintf("uid=%d,%s", n, peopleBase) }

// large is a server for large groups: it keeps the values of an attribute apart.
var large = server.OpenLDAPConfig{Global: "sortvals member", Database: "multival member 100,10"}

// TestInStep keeps 5,000 people and a group of 5,000 members in step with a source
// through 10,000 random changes, and looks into the server's own record of what
// that took.
func TestInStep(t *testing.T) {
	const people, changes = 5000, 10_000
	d := newDirectory(t, large)
	e := d.entries(peopleBase, ldap.Config{Classes: []string{"inetOrgPerson"}})
	persons := ensured(t, e)
	groups := ensured(t, d.entries(groupsBase, ldap.Config{
		Key: "cn", Classes: []string{"groupOfNames"}, Values: map[string]ldap.Values{"member": {Placeholder: nobody}},
	}))
	m, err := ldap.NewMemberships(d.client(ldap.ClientConfig{}), groupsBase, e.Find, ldap.MembershipsConfig{})
	require.NoError(t, err)
	memberships := ensured(t, m)

	model := struct { // what the source says
		title  map[int]int
		member map[int]bool
	}{map[int]int{}, map[int]bool{}}
	everybody := func() ldap.Entry {
		want := ldap.Entry{Attributes: map[string][]string{"member": {}}}
		for n := range model.member {
			want.Attributes["member"] = append(want.Attributes["member"], personDN(n))
		}
		return want
	}
	person := func(n int) ldap.Entry {
		return entry(fmt.Sprint("cn: Person ", n), fmt.Sprint("sn: ", n), fmt.Sprint("title: ", model.title[n]))
	}
	inParallel(people, func(n int) {
		_, err := persons.Apply(t.Context(), id(fmt.Sprint(n)), entry(fmt.Sprint("cn: Person ", n), fmt.Sprint("sn: ", n), "title: 0"))
		require.NoError(t, err)
	})
	for n := range people {
		model.title[n], model.member[n] = 0, true
	}
	_, err = groups.Apply(t.Context(), id("everybody"), everybody())
	require.NoError(t, err)

	// Each change runs the flow that it concerns. What it is to write is known
	// beforehand.
	mark, logged := d.mark(), len(d.Log(t))
	var expected []string
	random := rand.New(rand.NewPCG(4, 2))
	for i := range changes {
		n := random.IntN(people)
		switch k := random.IntN(10); {
		case k < 6: // joins or leaves the group
			want, what := ldap.Membership{}, "delete"
			if !model.member[n] {
				want, what = ldap.Membership{Groups: []string{everybodyDN}}, "add"
			}
			_, err = memberships.Apply(t.Context(), id(fmt.Sprint(n)), want)
			flip(model.member, n)
			expected = append(expected, "modify "+everybodyDN+": "+what+" member "+personDN(n))
		case k < 9: // gets another title
			old := model.title[n]
			model.title[n] = i + 1
			_, err = persons.Apply(t.Context(), id(fmt.Sprint(n)), person(n))
			expected = append(expected, fmt.Sprintf("modify %s: add title %d; delete title %d", personDN(n), i+1, old))
		default: // a duplicate, a change of something else
			_, err = persons.Apply(t.Context(), id(fmt.Sprint(n)), person(n))
		}
		require.NoError(t, err)
		if i%500 == 0 { // the group's own flow, a change at a time
			flip(model.member, n)
			what := map[bool]string{true: "add", false: "delete"}[model.member[n]]
			change, err := groups.Apply(t.Context(), id("everybody"), everybody())
			require.NoError(t, err)
			require.Equal(t, "updated(member)", change.String())
			expected = append(expected, "modify "+everybodyDN+": "+what+" member "+personDN(n))
		}
	}
	require.Equal(t, expected, d.writes(mark), "each change is one small write")
	log := d.Log(t)[logged:]
	require.Equal(t, len(expected), strings.Count(log, " MOD dn="))
	require.Zero(t, strings.Count(log, " ADD dn=")+strings.Count(log, " DEL dn=")+strings.Count(log, " MODRDN dn="))

	require.Equal(t, slices.Sorted(slices.Values(append(everybody().Attributes["member"], nobody))), d.values(everybodyDN, "member"))
	found := d.search(peopleBase, "(objectClass=inetOrgPerson)", "uid", "title")
	require.Len(t, found, people)
	for _, p := range found {
		var n int
		_, err := fmt.Sscan(p.GetAttributeValue("uid"), &n)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(model.title[n]), p.GetAttributeValue("title"))
	}
}

func flip(set map[int]bool, n int) {
	if set[n] {
		delete(set, n)
	} else {
		set[n] = true
	}
}

// inParallel calls f with 0 to n-1, eight at a time.
func inParallel(n int, f func(int)) {
	var wg sync.WaitGroup
	numbers := make(chan int)
	for range 8 {
		wg.Go(func() {
			for k := range numbers {
				f(k)
			}
		})
	}
	for k := range n {
		numbers <- k
	}
	close(numbers)
	wg.Wait()
}

// TestLargeGroup creates a group of 5,000 members, and exchanges them all.
func TestLargeGroup(t *testing.T) {
	d := newDirectory(t, large)
	groups := ensured(t, d.entries(groupsBase, ldap.Config{Key: "cn", Classes: []string{"groupOfNames"}}))
	want := func(from int) ldap.Entry {
		w := ldap.Entry{Attributes: map[string][]string{"member": {}}}
		for n := range 5000 {
			w.Attributes["member"] = append(w.Attributes["member"], personDN(from+n))
		}
		return w
	}
	for _, from := range []int{0, 5000, 7500} {
		mark := d.mark()
		_, err := groups.Apply(t.Context(), id("everybody"), want(from))
		require.NoError(t, err)
		require.Equal(t, slices.Sorted(slices.Values(want(from).Attributes["member"])), d.values(everybodyDN, "member"))
		for _, w := range d.writes(mark) {
			require.LessOrEqual(t, strings.Count(w, " member "), 1000, "a request has 1,000 values at most")
		}
		change, err := groups.Apply(t.Context(), id("everybody"), want(from))
		require.NoError(t, err)
		require.Equal(t, sink.Unchanged, change.Op)
	}
}

func TestMemberships(t *testing.T) {
	a, b, c := "cn=a,"+groupsBase, "cn=b,"+groupsBase, "cn=c,"+groupsBase
	d := newDirectory(t, server.OpenLDAPConfig{})
	for _, dn := range []string{a, b, c} {
		d.add(dn, "objectClass: groupOfNames", "member: "+personDN(2))
	}
	d.add("cn=theirs,"+groupsBase, "objectClass: groupOfNames", "member: "+personDN(1), "description: not ours")
	d.add(personDN(1), "objectClass: inetOrgPerson", "cn: x", "sn: x")
	people := d.entries(peopleBase, ldap.Config{})
	m, err := ldap.NewMemberships(d.client(ldap.ClientConfig{}), groupsBase, people.Find, ldap.MembershipsConfig{
		Filter: "(&(objectClass=groupOfNames)(!(description=*)))", Placeholder: nobody,
	})
	require.NoError(t, err)
	require.NoError(t, m.Check(t.Context()))
	s := ensured(t, m)
	apply := func(key string, groups ...string) (string, error) {
		change, err := s.Apply(t.Context(), id(key), ldap.Membership{Groups: groups})
		return change.String(), err
	}
	for _, tt := range []struct {
		groups []string
		change string
		writes []string
	}{
		{nil, "unchanged", nil},
		{[]string{a, b}, "created", []string{"modify " + a + ": add member " + personDN(1), "modify " + b + ": add member " + personDN(1)}},
		{[]string{strings.ToUpper(b), a, a}, "unchanged", nil},
		{[]string{b, c}, "updated(groups)", []string{"modify " + a + ": delete member " + personDN(1), "modify " + c + ": add member " + personDN(1)}},
		{nil, "updated(groups)", []string{"modify " + b + ": delete member " + personDN(1), "modify " + c + ": delete member " + personDN(1)}},
	} {
		mark := d.mark()
		change, err := apply("1", tt.groups...)
		require.NoError(t, err)
		require.Equal(t, tt.change, change)
		require.Equal(t, tt.writes, d.writes(mark))
	}

	t.Run("the last one leaves", func(t *testing.T) {
		d.replace(a, "member", personDN(1))
		change, err := apply("1")
		require.NoError(t, err)
		require.Equal(t, "updated(groups)", change)
		require.Equal(t, []string{nobody}, d.values(a, "member"))
	})
	t.Run("the last one leaves, and there is no placeholder", func(t *testing.T) {
		d.replace(a, "member", personDN(1))
		m, err := ldap.NewMemberships(d.client(ldap.ClientConfig{}), groupsBase, people.Find, ldap.MembershipsConfig{})
		require.NoError(t, err)
		_, err = ensured(t, m).Apply(t.Context(), id("1"), ldap.Membership{Groups: []string{b}})
		require.EqualError(t, err, "ldap: modify: Object Class Violation, groupOfNames, member (65)")
		require.Equal(t, failure.Rejected, failure.Of(err))
	})
	t.Run("who is not there yet", func(t *testing.T) {
		_, err := apply("9", a)
		require.EqualError(t, err, "ldap: Membership: the member is not in the directory yet")
		require.Equal(t, failure.Failed, failure.Of(err))
		change, err := s.Remove(t.Context(), id("9"))
		require.NoError(t, err)
		require.Equal(t, sink.Unchanged, change.Op)
	})
	t.Run("a group that is not there", func(t *testing.T) {
		_, err := apply("1", "cn=nowhere,"+groupsBase)
		require.EqualError(t, err, "ldap: modify: noSuchObject (32): a group is not there")
		require.Equal(t, failure.Failed, failure.Of(err))
	})
	require.Equal(t, []string{personDN(1)}, d.values("cn=theirs,"+groupsBase, "member"), "other groups are left alone")
}

// TestMemberUid keeps groups whose members are names, and may be none.
func TestMemberUid(t *testing.T) {
	d := newDirectory(t, server.OpenLDAPConfig{})
	dn := "cn=staff," + groupsBase
	d.add(dn, "objectClass: posixGroup", "gidNumber: 7", "memberUid: eve")
	name := func(_ context.Context, key entity.Key) (string, bool, error) { return key.ID, true, nil }
	m, err := ldap.NewMemberships(d.client(ldap.ClientConfig{}), groupsBase, name, ldap.MembershipsConfig{
		Filter: "(objectClass=posixGroup)", Attribute: "memberUid",
	})
	require.NoError(t, err)
	s := ensured(t, m)
	for _, hostile := range []string{"ada", "*", "*)(uid=*", `\2a`, "a,b+c=d"} {
		change, err := s.Apply(t.Context(), id(hostile), ldap.Membership{Groups: []string{dn}})
		require.NoError(t, err)
		require.Equal(t, sink.Created, change.Op, hostile)
		require.Len(t, d.values(dn, "memberUid"), 2)
		change, err = s.Remove(t.Context(), id(hostile))
		require.NoError(t, err)
		require.Equal(t, sink.Removed, change.Op, hostile)
		require.Equal(t, []string{"eve"}, d.values(dn, "memberUid"))
	}
}

// TestOwnedMembers has a group with members of ours and of others.
func TestOwnedMembers(t *testing.T) {
	d := newDirectory(t, server.OpenLDAPConfig{})
	theirs := "cn=machine," + server.LDAPSuffix
	d.add(everybodyDN, "objectClass: groupOfNames", "member: "+theirs, "member: "+personDN(1), "member: "+personDN(2))
	groups := ensured(t, d.entries(groupsBase, ldap.Config{
		Key: "cn", Values: map[string]ldap.Values{"member": {Owned: ldap.Below(peopleBase), Placeholder: nobody}},
	}))
	mark := d.mark()
	change, err := groups.Apply(t.Context(), id("everybody"), entry("member: "+personDN(2), "member: "+personDN(3)))
	require.NoError(t, err)
	require.Equal(t, "updated(member)", change.String())
	require.Equal(t, []string{"modify " + everybodyDN + ": add member " + nobody + "; add member " + personDN(3) + "; delete member " + personDN(1)}, d.writes(mark))
	change, err = groups.Apply(t.Context(), id("everybody"), entry("member"))
	require.NoError(t, err)
	require.Equal(t, "updated(member)", change.String())
	require.Equal(t, []string{theirs, nobody}, d.values(everybodyDN, "member"))
}
