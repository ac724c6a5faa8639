package ldap_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/ldap"
)

func members(from, to int) []string {
	var list []string
	for n := from; n <= to; n++ {
		list = append(list, fmt.Sprintf("CN=%d,%s", n, people))
	}
	return list
}

// TestRanges has a group of 4,000 members, of which 1,500 are sent at a time.
func TestRanges(t *testing.T) {
	const dn = "CN=all," + people
	attributes := func(names []string) map[string][]string {
		switch strings.Join(names, ",") {
		case "member":
			return map[string][]string{"member": {}, "member;range=0-1499": members(0, 1499)}
		case "member;range=1500-*":
			return map[string][]string{"member;range=1500-2999": members(1500, 2999)}
		case "member;range=3000-*":
			return map[string][]string{"member;range=3000-*": members(3000, 3999)}
		}
		return map[string][]string{}
	}
	f := newFake(t, plain(func(r request) []answer {
		return []answer{{dn: dn, attributes: attributes(r.names)}, ok}
	}))
	e := entries(t, client(t, ldap.ClientConfig{}, f.url()), ldap.Config{Key: "cn"})
	want := ldap.Entry{Attributes: map[string][]string{"member": members(0, 3999)}}
	_, found, fields, err := e.Observe(t.Context(), entity.Key{ID: "all"}, want)
	require.NoError(t, err)
	require.True(t, found)
	require.Empty(t, fields)

	t.Run("that do not end", func(t *testing.T) {
		f.respond(plain(func(request) []answer {
			return []answer{{dn: dn, attributes: map[string][]string{"member;range=0-1499": {}}}, ok}
		}))
		_, _, _, err := e.Observe(t.Context(), entity.Key{ID: "all"}, want)
		require.EqualError(t, err, "ldap: search: the ranges of attribute member do not end")
		require.Equal(t, failure.Failed, failure.Of(err))
	})
}

// TestPages has somebody in 1,200 groups, of which 500 are sent at a time.
func TestPages(t *testing.T) {
	groups := func(from, to int, cookie string) []answer {
		var list []answer
		for n := from; n < to; n++ {
			list = append(list, answer{dn: fmt.Sprintf("CN=%04d,%s", n, people), attributes: map[string][]string{}})
		}
		return append(list, answer{cookie: cookie})
	}
	f := newFake(t, plain(func(r request) []answer {
		switch r.cookie {
		case "first":
			return groups(0, 500, "a")
		case "firsta":
			return groups(500, 1000, "b")
		case "firstb":
			return groups(1000, 1200, "last")
		}
		return []answer{{code: 4}}
	}))
	member := func(context.Context, entity.Key) (string, bool, error) { return "CN=ada," + people, true, nil }
	m, err := ldap.NewMemberships(client(t, ldap.ClientConfig{}, f.url()), people, member, ldap.MembershipsConfig{})
	require.NoError(t, err)
	have, found, err := m.Get(t.Context(), ada)
	require.NoError(t, err)
	require.True(t, found)
	require.Len(t, have.Value.Groups, 1200)
}

func TestAccountDisabled(t *testing.T) {
	cfg := ldap.Config{Values: map[string]ldap.Values{"userAccountControl": {Bits: ldap.AccountDisabled}}}
	for _, tt := range []struct {
		name, have string
		want       ldap.Entry
		to         string // what is written, "" for nothing
	}{
		{name: "enabled, others are kept", have: "66050", want: entry("useraccountcontrol: 512"), to: "66048"},
		{name: "is enabled", have: "66048", want: entry("userAccountControl: 512")},
		{name: "disabled, others are kept", have: "66048", want: ldap.DisableAccount(ldap.Entry{}, timeNone), to: "66050"},
		{name: "is disabled", have: "66050", want: ldap.DisableAccount(ldap.Entry{}, timeNone)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, plain(func(r request) []answer {
				if r.op == "search" {
					return []answer{{dn: "uid=ada-1815," + people, attributes: map[string][]string{"userAccountControl": {tt.have}}}, ok}
				}
				return []answer{ok}
			}))
			e := entries(t, client(t, ldap.ClientConfig{}, f.url()), cfg)
			s, err := sink.Ensure(e, sink.EnsureConfig[ldap.Entry]{})
			require.NoError(t, err)
			change, err := s.Apply(t.Context(), ada, tt.want)
			require.NoError(t, err)
			written := f.asked()[len(f.asked())-1]
			if tt.to == "" {
				require.Equal(t, sink.Unchanged, change.Op)
				return
			}
			require.Equal(t, sink.Updated, change.Op)
			require.Equal(t, "modify uid=ada-1815,"+people+" delete "+tt.have+" add "+tt.to, written)
		})
	}
}

func TestGUID(t *testing.T) {
	guid, err := ldap.GUID("00112233-4455-6677-8899-AABBccddeeff")
	require.NoError(t, err)
	require.Equal(t, "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff", guid)
	for _, bad := range []string{"", "x", "00112233-4455-6677-8899", "0011223-34455-6677-8899-aabbccddeeff", "g0112233-4455-6677-8899-aabbccddeeff"} {
		_, err := ldap.GUID(bad)
		require.Error(t, err)
	}

	f := newFake(t, plain(func(request) []answer { return []answer{ok} }))
	e := entries(t, client(t, ldap.ClientConfig{}, f.url()), ldap.Config{Key: "objectGUID", KeyValue: ldap.GUID, DN: "cn={cn}," + people})
	key := entity.Key{ID: "00112233-4455-6677-8899-aabbccddeeff"}
	_, found, err := e.Get(t.Context(), key)
	require.NoError(t, err)
	require.False(t, found)
	require.Contains(t, f.asked()[len(f.asked())-1], `(objectGUID=3"`+"\x11"+`\00UDwf\88\99\aa\bb\cc\dd\ee\ff)`)
	err = e.Create(t.Context(), key, entry("cn: Ada"))
	require.EqualError(t, err, "ldap: Key: objectGUID is given by the server, so that there can be no new entries")
	_, _, err = e.Get(t.Context(), entity.Key{ID: "secret"})
	require.EqualError(t, err, "ldap: KeyValue: the ID does not fit attribute objectGUID")
	require.Equal(t, failure.Rejected, failure.Of(err))
}
