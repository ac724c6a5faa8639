//go:build integration

package ldap_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/sink/ldap"
)

// BenchmarkApply compares Ensure over Entries with the same by hand: a search, a
// comparison in Go, and an add or a modify where something differs.
func BenchmarkApply(b *testing.B) {
	for _, impl := range []struct {
		name  string
		apply func(b *testing.B, d *directory) func(ctx context.Context, uid, title string) error
	}{{"sink", bySink}, {"by hand", byHand}} {
		b.Run(impl.name, func(b *testing.B) {
			d := newDirectory(b, server.OpenLDAPConfig{})
			apply := impl.apply(b, d)
			ctx := context.Background()
			require.NoError(b, apply(ctx, "1", "0"))
			n := 0
			for _, bb := range []struct {
				name       string
				uid, title func(n int) string
			}{
				{"unchanged", func(int) string { return "1" }, func(int) string { return "0" }},
				{"changed", func(int) string { return "1" }, func(n int) string { return fmt.Sprint(n) }},
				{"new", func(n int) string { return fmt.Sprint("new", n) }, func(int) string { return "0" }},
			} {
				b.Run(bb.name, func(b *testing.B) {
					for b.Loop() {
						n++
						if err := apply(ctx, bb.uid(n), bb.title(n)); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}

func bySink(b *testing.B, d *directory) func(context.Context, string, string) error {
	s := ensured(b, d.entries(peopleBase, ldap.Config{Classes: []string{"inetOrgPerson"}}))
	return func(ctx context.Context, uid, title string) error {
		_, err := s.Apply(ctx, id(uid), ldap.Entry{Attributes: map[string][]string{
			"cn": {"Ada"}, "sn": {"Byron"}, "mail": {"ada@example.org", "byron@example.org"}, "title": {title},
		}})
		return err
	}
}

func byHand(_ *testing.B, d *directory) func(context.Context, string, string) error {
	conn := d.other
	return func(_ context.Context, uid, title string) error {
		want := map[string][]string{
			"objectClass": {"inetOrgPerson"}, "cn": {"Ada"}, "sn": {"Byron"}, "mail": {"ada@example.org", "byron@example.org"}, "title": {title},
		}
		result, err := conn.Search(goldap.NewSearchRequest(peopleBase, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 2, 0, false,
			"(uid="+goldap.EscapeFilter(uid)+")", []string{"objectClass", "cn", "sn", "mail", "title"}, nil))
		if err != nil {
			return err
		}
		if len(result.Entries) == 0 {
			req := goldap.NewAddRequest("uid="+goldap.EscapeDN(uid)+","+peopleBase, nil)
			for name, values := range want {
				req.Attribute(name, values)
			}
			return conn.Add(req)
		}
		req := goldap.NewModifyRequest(result.Entries[0].DN, nil)
		for name, values := range want {
			have := result.Entries[0].GetAttributeValues(name)
			slices.Sort(have)
			if !slices.Equal(have, values) {
				req.Replace(name, values)
			}
		}
		if len(req.Changes) == 0 {
			return nil
		}
		return conn.Modify(req)
	}
}

// BenchmarkMember compares the ways to change one member of a group of 5,000: by
// the person's memberships, by the group's own entry, and by hand, which is a
// modify that does not look first.
func BenchmarkMember(b *testing.B) {
	d := newDirectory(b, large)
	ctx := context.Background()
	groups := ensured(b, d.entries(groupsBase, ldap.Config{Key: "cn", Classes: []string{"groupOfNames"}}))
	members := make([]string, 5000)
	for n := range members {
		members[n] = personDN(n)
	}
	want := func(n int) ldap.Entry { // one more every other time
		w := members
		if n%2 == 1 {
			w = append(slices.Clip(members), personDN(5000))
		}
		return ldap.Entry{Attributes: map[string][]string{"member": w}}
	}
	_, err := groups.Apply(ctx, id("everybody"), want(0))
	require.NoError(b, err)
	name := func(context.Context, entity.Key) (string, bool, error) { return personDN(5000), true, nil }
	m, err := ldap.NewMemberships(d.client(ldap.ClientConfig{}), groupsBase, name, ldap.MembershipsConfig{})
	require.NoError(b, err)
	memberships := ensured(b, m)
	for _, bb := range []struct {
		name  string
		apply func(n int) error
	}{
		{"membership", func(n int) error {
			_, err := memberships.Apply(ctx, id("5000"), ldap.Membership{Groups: []string{everybodyDN}[:n%2]})
			return err
		}},
		{"group", func(n int) error { _, err := groups.Apply(ctx, id("everybody"), want(n)); return err }},
		{"by hand", func(n int) error {
			req := goldap.NewModifyRequest(everybodyDN, nil)
			if n%2 == 1 {
				req.Add("member", []string{personDN(5000)})
			} else {
				req.Delete("member", []string{personDN(5000)})
			}
			return d.other.Modify(req)
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				n++
				if err := bb.apply(n); err != nil {
					b.Fatal(err)
				}
			}
			if n%2 == 1 {
				require.NoError(b, bb.apply(n+1)) // as it was
			}
		})
	}
}
