//go:build integration

package ldap_test

import (
	"slices"
	"strings"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/ldap"
)

// attempts are strings that mean something in a filter, a DN, or LDIF.
var attempts = []string{
	"*", "*)(uid=*", "*)(|(objectClass=*", "x)(|(uid=victim)", ")(&)", "(uid=victim)", "&", "|", "!", ">=a", "~=victim", ":dn:=victim",
	`\2a`, `\29\28uid=\2a`, `\`, `\\`, `\00`, "victim\x00", "\x00", "vict\\69m",
	"x,ou=admins", "x,cn=victim", "x+cn=victim", "x;cn=victim", `x\,cn=victim`, `"x",cn=victim`, "<x>", "#0406766963746d", "=", "cn=victim", "1.2.3=#04", "x=y",
	" x", "x ", "\tx", "x\r\ny", "x\ndn: cn=victim", "\n-\ndelete: sn", "x\nchangetype: delete", ": dmljdGlt", ":< file:///etc/passwd",
	"{id}", "{cn}", "${cn}", "%s", "member;range=0-*", "ldap://127.0.0.1/", "\u202emitciv", "e\u0301", "\xff\xfe", "\ufeffx",
}

// TestInjection has each string in each place where a string can go. Beside it
// there is always a victim, and a part for admins, which must stay as they are.
func TestInjection(t *testing.T) {
	const victimDN = "cn=victim," + peopleBase
	for _, tt := range []struct {
		name string
		cfg  ldap.Config
		id   func(text string) string
		want func(text string) ldap.Entry
		attr string // holds the text
	}{
		{
			name: "key in a filter", cfg: ldap.Config{Key: "employeeNumber", DN: "cn=x," + peopleBase, Classes: []string{"inetOrgPerson"}},
			id: same, want: func(string) ldap.Entry { return entry("sn: x") }, attr: "employeeNumber",
		},
		{
			name: "key in a DN and a filter", cfg: ldap.Config{Classes: []string{"inetOrgPerson"}},
			id: same, want: func(string) ldap.Entry { return entry("cn: x", "sn: x") }, attr: "uid",
		},
		{
			name: "key in a DN", cfg: ldap.Config{ByDN: true, Key: "ou", Classes: []string{"organizationalUnit"}},
			id: same, want: func(string) ldap.Entry { return entry("l: x") }, attr: "ou",
		},
		{
			name: "value in a DN", cfg: byNumber,
			id: one, want: func(text string) ldap.Entry { return entry("cn: "+text, "sn: x") }, attr: "cn",
		},
		{
			name: "value", cfg: ldap.Config{Key: "employeeNumber", DN: "cn=x," + peopleBase, Classes: []string{"inetOrgPerson"}},
			id: one, want: func(text string) ldap.Entry { return entry("sn: x", "description: "+text) }, attr: "description",
		},
		{
			name: "value of bytes", cfg: ldap.Config{Key: "employeeNumber", DN: "cn=x," + peopleBase, Classes: []string{"inetOrgPerson"}},
			id: one, want: func(text string) ldap.Entry { return entry("sn: x", "jpegPhoto: "+text) }, attr: "jpegPhoto",
		},
		{
			name: "member", cfg: ldap.Config{Key: "cn", DN: "cn=x," + peopleBase, Classes: []string{"groupOfNames"}},
			id: func(string) string { return "x" }, want: func(text string) ldap.Entry {
				dn, err := ldap.DN("uid={uid},"+peopleBase, map[string]string{"uid": text})
				if err != nil {
					dn = ""
				}
				return entry("member: " + dn)
			},
		},
		{
			name: "DN", cfg: byNumber,
			id: one, want: func(text string) ldap.Entry {
				return ldap.Entry{DN: text + "," + peopleBase, Attributes: attributes("cn: x", "sn: x")}
			},
		},
		{
			name: "name of an attribute", cfg: byNumber,
			id: one, want: func(text string) ldap.Entry {
				return ldap.Entry{Attributes: map[string][]string{"cn": {"x"}, "sn": {"x"}, text: {"x"}}}
			},
		},
		{
			name: "class", cfg: byNumber,
			id: one, want: func(text string) ldap.Entry { return entry("cn: x", "sn: x", "objectClass: "+text) },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDirectory(t, server.OpenLDAPConfig{})
			d.add("ou=admins,"+peopleBase, "objectClass: organizationalUnit")
			d.add(victimDN, "objectClass: inetOrgPerson", "sn: victim", "uid: victim", "employeeNumber: victim", "description: victim")
			rest := d.everything()
			s := ensured(t, d.entries(peopleBase, tt.cfg))
			stored := 0
			for _, text := range attempts {
				key := id(tt.id(text))
				change, err := s.Apply(t.Context(), key, tt.want(text))
				if err != nil {
					// That a DN is another's may change, so it is no reason to give up.
					another := strings.HasSuffix(err.Error(), "another entry has the name")
					require.True(t, failure.Of(err) == failure.Rejected || another, "%q: %v", text, err)
					require.NotErrorIs(t, err, sink.ErrAmbiguous)
					if len(text) > 6 {
						require.NotContains(t, err.Error(), text)
					}
					require.Equal(t, rest, d.everything(), "%q", text)
					continue
				}
				stored++
				require.Equal(t, sink.Created, change.Op, "%q finds nobody else", text)
				now := d.everything()
				require.Len(t, now, len(rest)+1, "%q", text)
				require.Subset(t, now, rest, "%q", text)
				if tt.attr != "" {
					require.True(t, slices.ContainsFunc(d.search(peopleBase, "(objectClass=*)", tt.attr), func(e *goldap.Entry) bool {
						return slices.Contains(e.GetAttributeValues(tt.attr), text)
					}), "%q is stored as it is", text)
				}
				change, err = s.Remove(t.Context(), key)
				require.NoError(t, err)
				require.Equal(t, sink.Removed, change.Op, "%q", text)
				require.Equal(t, rest, d.everything(), "%q", text)
			}
			if tt.attr != "" {
				require.Greater(t, stored, len(attempts)*3/4, "few of them are refused")
			}
		})
	}
}

func same(text string) string { return text }

func one(string) string { return "1" }

// everything returns all entries with their attributes, as text.
func (d *directory) everything() []string {
	var list []string
	for _, e := range d.search(server.LDAPSuffix, "(objectClass=*)", "*", "entryCSN") {
		text := e.DN
		for _, a := range e.Attributes {
			for _, v := range a.Values {
				text += "|" + a.Name + "=" + v
			}
		}
		list = append(list, text)
	}
	slices.Sort(list)
	return list
}
