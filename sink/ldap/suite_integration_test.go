//go:build integration

package ldap_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/ldap"
	"github.com/konnektor-go/konnektor/testkit/sinktest"
)

const (
	connectorDN = "cn=connector," + server.LDAPSuffix
	writersDN   = "cn=writers," + server.LDAPSuffix
)

// restricted is a directory in which an ordinary user may write as long as it is
// in a group.
func restricted(tb testing.TB) (*directory, *ldap.Client) {
	tb.Helper()
	d := newDirectory(tb, server.OpenLDAPConfig{Database: `
access to attrs=userPassword by anonymous auth by * none
access to * by group.exact="` + writersDN + `" write by * none
`})
	d.add(connectorDN, "objectClass: organizationalRole", "objectClass: simpleSecurityObject", "userPassword: s3cret")
	d.add(writersDN, "objectClass: groupOfNames", "member: "+connectorDN)
	client, err := ldap.NewClient([]string{d.URL()}, ldap.ClientConfig{
		User: connectorDN, Plaintext: true,
		Password: func(context.Context) (string, error) { return "s3cret", nil },
	})
	require.NoError(tb, err)
	tb.Cleanup(client.Close)
	return d, client
}

func (d *directory) refuse(on bool) {
	d.replace(writersDN, "member", map[bool]string{true: server.LDAPRoot, false: connectorDN}[on])
}

func (d *directory) down(on bool) {
	if on {
		_ = d.other.Close()
		require.NoError(d.tb, d.Stop())
		return
	}
	require.NoError(d.tb, d.Start())
	d.other = d.connect()
}

// find returns the one entry that matches.
func (d *directory) find(base, name, value string) *goldap.Entry {
	entries := d.search(base, "("+name+"="+goldap.EscapeFilter(value)+")")
	require.Len(d.tb, entries, 1)
	return entries[0]
}

// harness is what people and groups have in common. The foreign attribute is
// businessCategory.
func harness(d *directory, target sink.Target[ldap.Entry], base, key string) sinktest.Harness[ldap.Entry] {
	return sinktest.Harness[ldap.Entry]{
		Target: target,
		Foreign: func(k entity.Key) (string, error) {
			return d.find(base, key, k.ID).GetAttributeValue("businessCategory"), nil
		},
		SetForeign: func(k entity.Key, value string) error {
			d.replace(d.find(base, key, k.ID).DN, "businessCategory", value)
			return nil
		},
		Down: d.down, Refuse: d.refuse,
		Removal: sink.Removal[ldap.Entry]{
			Disable: func(_ ldap.Entry, since time.Time) ldap.Entry {
				return entry("description: disabled " + since.Format(time.RFC3339))
			},
			Disabled: func(have ldap.Entry) (time.Time, bool) {
				text, ok := strings.CutPrefix(strings.Join(have.Attributes["description"], ""), "disabled ")
				since, err := time.Parse(time.RFC3339, text)
				return since, ok && err == nil
			},
		},
	}
}

func TestSuitePeople(t *testing.T) {
	for _, tt := range []struct {
		name    string
		cfg     ldap.Config
		without map[string]string
	}{
		{name: "found by number, named by cn", cfg: byNumber},
		{name: "found by uid, named by it", cfg: ldap.Config{Classes: []string{"inetOrgPerson"}}},
		{
			name: "found by DN", cfg: ldap.Config{ByDN: true, Classes: []string{"inetOrgPerson"}},
			without: map[string]string{"several that match are an error of the entity": "there is one entry at a DN"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sinktest.Run(t, sinktest.Config{Without: tt.without}, func(t *testing.T) sinktest.Harness[ldap.Entry] {
				d, client := restricted(t)
				target, err := ldap.New(client, peopleBase, tt.cfg)
				require.NoError(t, err)
				key := "uid"
				if tt.cfg.Key != "" {
					key = tt.cfg.Key
				}
				h := harness(d, target, peopleBase, key)
				h.Want = func(n, version int) ldap.Entry {
					return entry("cn: Person "+strconv.Itoa(n), "sn: "+fmt.Sprint(n, ".", version),
						"mail: "+strconv.Itoa(version)+"@example.org", "mail: always@example.org",
						"title: "+strconv.Itoa(version), "description")
				}
				h.Text = func(n int, text string) ldap.Entry {
					return entry("cn: "+text, "sn: "+text, "title: "+text, "ou: "+text, "ou: other", "l: "+strconv.Itoa(n), "description")
				}
				h.Refused = func(n int) ldap.Entry { return entry("cn: Person "+strconv.Itoa(n), "sn: x", "mail: å") }
				h.Duplicate = func(k entity.Key) error {
					d.add("cn=Other,"+peopleBase, "objectClass: inetOrgPerson", "sn: x", key+": "+k.ID)
					return nil
				}
				return h
			})
		})
	}
}

func TestSuiteGroups(t *testing.T) {
	cfg := ldap.Config{
		Key: "cn", Classes: []string{"groupOfNames"},
		Values: map[string]ldap.Values{"member": {Placeholder: nobody}},
	}
	sinktest.Run(t, sinktest.Config{}, func(t *testing.T) sinktest.Harness[ldap.Entry] {
		d, client := restricted(t)
		target, err := ldap.New(client, groupsBase, cfg)
		require.NoError(t, err)
		h := harness(d, target, groupsBase, "cn")
		h.Want = func(n, version int) ldap.Entry {
			want := entry("ou: "+strconv.Itoa(version), "description")
			for k := range n + 4 {
				want.Attributes["member"] = append(want.Attributes["member"], fmt.Sprintf("uid=%d,%s", version+k, peopleBase))
			}
			return want
		}
		h.Text = func(n int, text string) ldap.Entry {
			want := entry("ou: "+text, "description")
			dn, err := ldap.DN("uid={uid},"+peopleBase, map[string]string{"uid": text})
			if err == nil { // blanks alone are no name
				want.Attributes["member"] = []string{dn}
			} else {
				want.Attributes["member"] = nil
			}
			return want
		}
		h.Refused = func(int) ldap.Entry { return entry("member: no DN") }
		h.Duplicate = func(k entity.Key) error {
			d.add("ou=below,"+groupsBase, "objectClass: organizationalUnit")
			d.add("cn="+k.ID+",ou=below,"+groupsBase, "objectClass: groupOfNames", "member: "+nobody)
			return nil
		}
		return h
	})
}

func TestSuiteMemberships(t *testing.T) {
	group := func(name string) string { return "cn=" + name + "," + groupsBase }
	without := map[string]string{
		"two apply different states at once":            "each group is an entry of its own, no write spans two",
		"several that match are an error of the entity": "who stands for an entity is one value",
		"to disable and delete after a time":            "a membership has no place for a time",
	}
	sinktest.Run(t, sinktest.Config{Without: without}, func(t *testing.T) sinktest.Harness[ldap.Membership] {
		d, client := restricted(t)
		for _, name := range []string{"0", "1", "2", "3", "4", "5", "disabled"} {
			d.add(group(name), "objectClass: groupOfNames", "member: "+nobody)
		}
		d.add(group("theirs"), "objectClass: organizationalRole")
		member := func(_ context.Context, k entity.Key) (string, bool, error) {
			dn, err := ldap.DN("uid={id},"+peopleBase, map[string]string{"id": k.ID})
			return dn, true, err
		}
		target, err := ldap.NewMemberships(client, groupsBase, member, ldap.MembershipsConfig{})
		require.NoError(t, err)
		return sinktest.Harness[ldap.Membership]{
			Target: target,
			Want: func(_, version int) ldap.Membership {
				return ldap.Membership{Groups: []string{group("0"), group(strconv.Itoa(version))}}
			},
			Text: func(_ int, text string) ldap.Membership {
				return ldap.Membership{Groups: []string{group("0"), text}}
			},
			Refused:    func(int) ldap.Membership { return ldap.Membership{Groups: []string{peopleBase}} },
			SetForeign: func(_ entity.Key, v string) error { d.replace(group("theirs"), "description", v); return nil },
			Foreign:    func(entity.Key) (string, error) { return d.values(group("theirs"), "description")[0], nil },
			Down:       d.down, Refuse: d.refuse,
			Removal: sink.Removal[ldap.Membership]{Disable: func(ldap.Membership, time.Time) ldap.Membership {
				return ldap.Membership{Groups: []string{group("disabled")}}
			}},
		}
	})
}
