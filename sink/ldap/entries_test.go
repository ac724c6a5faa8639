package ldap_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/ldap"
)

func TestConfig(t *testing.T) {
	c := client(t, ldap.ClientConfig{}, "ldap://127.0.0.1:1")
	values := func(name string, v ldap.Values) ldap.Config {
		return ldap.Config{Values: map[string]ldap.Values{name: v}}
	}
	for _, tt := range []struct {
		base string
		cfg  ldap.Config
		text string
	}{
		{"people", ldap.Config{}, `base: must be a DN such as "ou=people,dc=example,dc=org"`},
		{"", ldap.Config{}, `base: must be a DN such as "ou=people,dc=example,dc=org"`},
		{people, ldap.Config{DN: "cn={cn}"}, "DN: must end with the base"},
		{people, ldap.Config{DN: "{"}, "DN: a { has no name and } after it"},
		{people, ldap.Config{DN: "cn={c n}," + people}, "DN: {c n} is not an attribute"},
		{people, ldap.Config{DN: "cn={cn}," + people, ByDN: true}, "DN: must hold no other name than {id}, for ByDN"},
		{people, ldap.Config{Key: "a=b", DN: "cn={cn}," + people}, "Key: is not an attribute"},
		{people, ldap.Config{Filter: "(x"}, `Filter: must be one such as "(objectClass=person)"`},
		{people, ldap.Config{Filter: "x=y"}, `Filter: must be one such as "(objectClass=person)"`},
		{people, ldap.Config{Filter: "(x=y)(z=*)"}, `Filter: must be one such as "(objectClass=person)"`},
		{people, ldap.Config{Read: []string{"a b"}}, "Read: holds what is not an attribute"},
		{people, values("a b", ldap.Values{}), `Values["a b"]: is not an attribute`},
		{people, values("member", ldap.Values{Match: 9}), `Values["member"]: Match: is none`},
		{people, values("x", ldap.Values{Bits: 2, Placeholder: "1"}), `Values["x"]: Bits: leave no room for Owned and Placeholder`},
	} {
		_, err := ldap.New(c, tt.base, tt.cfg)
		require.EqualError(t, err, "ldap: "+tt.text)
	}
	_, err := ldap.New(nil, people, ldap.Config{})
	require.EqualError(t, err, "ldap: client: must not be nil")

	member := func(context.Context, entity.Key) (string, bool, error) { return "", true, nil }
	for _, tt := range []struct {
		base string
		cfg  ldap.MembershipsConfig
		text string
	}{
		{"people", ldap.MembershipsConfig{}, `base: must be a DN such as "ou=groups,dc=example,dc=org"`},
		{people, ldap.MembershipsConfig{Filter: "x"}, `Filter: must be one such as "(objectClass=person)"`},
		{people, ldap.MembershipsConfig{Attribute: "x)"}, "Attribute: is not an attribute"},
	} {
		_, err := ldap.NewMemberships(c, tt.base, member, tt.cfg)
		require.EqualError(t, err, "ldap: "+tt.text)
	}
	_, err = ldap.NewMemberships(nil, people, member, ldap.MembershipsConfig{})
	require.EqualError(t, err, "ldap: client: must not be nil")
	_, err = ldap.NewMemberships(c, people, nil, ldap.MembershipsConfig{})
	require.EqualError(t, err, "ldap: member: must not be nil")
	m, err := ldap.NewMemberships(client(t, ldap.ClientConfig{}, newFake(t, plain(isAda)).url()), people, member, ldap.MembershipsConfig{})
	require.NoError(t, err)
	_, _, err = m.Get(t.Context(), ada)
	require.EqualError(t, err, "ldap: member: is empty")
	require.Equal(t, failure.Rejected, failure.Of(err))
}

// TestOnlyWhatIsOursIsRead checks what the server is asked for.
func TestOnlyWhatIsOursIsRead(t *testing.T) {
	f := newFake(t, plain(isAda))
	e := entries(t, client(t, ldap.ClientConfig{}, f.url()), ldap.Config{Filter: "(objectClass=person)", Read: []string{"title"}})
	last := func() string { return f.asked()[len(f.asked())-1] }
	_, _, fields, err := e.Observe(t.Context(), ada, entry("sn: Byron", "mail"))
	require.NoError(t, err)
	require.Empty(t, fields)
	const search = "search " + people + " (&(uid=ada-1815)(objectClass=person)) "
	require.Equal(t, search+"mail sn", last())
	_, _, _, err = e.Observe(t.Context(), ada, ldap.Entry{})
	require.NoError(t, err)
	require.Equal(t, search+"1.1", last())
	_, _, err = e.Get(t.Context(), ada)
	require.NoError(t, err)
	require.Equal(t, search+"title", last())
	_, _, err = e.Find(t.Context(), ada)
	require.NoError(t, err)
	require.Equal(t, search+"1.1", last())
}

func TestForeignReference(t *testing.T) {
	e := entries(t, client(t, ldap.ClientConfig{}, newFake(t, plain(isAda)).url()), ldap.Config{})
	err := e.Update(t.Context(), ada, sink.Found[ldap.Entry]{}, entry("sn: x"), []sink.Field{{Name: "sn"}})
	require.EqualError(t, err, "ldap: the entry was not read by this target")
	err = e.Delete(t.Context(), ada, sink.Found[ldap.Entry]{})
	require.EqualError(t, err, "ldap: the entry was not read by this target")
	_, _, err = e.Get(t.Context(), entity.Key{})
	require.EqualError(t, err, "ldap: the key has no ID")
}
