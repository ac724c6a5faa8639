//go:build integration

package main

import (
	"context"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/exampletest"
	"github.com/konnektor-go/konnektor/internal/server"
)

func TestMain(m *testing.M) { server.Main(m) }

// TestRun runs the program as README.md says, on real servers.
func TestRun(t *testing.T) {
	slapd := server.OpenLDAP(t, server.OpenLDAPConfig{
		Global: "moduleload refint", Database: "overlay refint\nrefint_attributes member",
	})
	directory, err := goldap.DialURL(slapd.URL())
	require.NoError(t, err)
	defer directory.Close()
	require.NoError(t, directory.Bind(server.LDAPRoot, server.LDAPRootPassword))
	addBase(t, directory)

	w := exampletest.Start(t, "-people", "30", "-positions", "0", "-orgunits", "0", "-changes", "150", "-every", "20ms")
	w.Usage()
	stop := w.Run("LDAP_URL="+slapd.URL(), "LDAP_PLAINTEXT=true", "LDAP_USER="+server.LDAPRoot, "LDAP_PASSWORD="+server.LDAPRootPassword)
	w.WaitForLastChange()

	people := exampletest.All[Person](w, "persons")
	want, members := make(map[string]map[string][]string), []string{}
	for id, p := range people {
		desired, err := toEntry(context.Background(), entity.Key{ID: id}, p)
		require.NoError(t, err)
		if e, present := desired.Value(); present {
			want[id] = e.Attributes
			members = append(members, "uid="+p.Username+",ou=people,"+server.LDAPSuffix)
			for name, values := range e.Attributes {
				if len(values) == 0 {
					delete(e.Attributes, name)
				}
			}
		}
	}
	require.NotEmpty(t, want)
	require.Less(t, len(want), 30, "some have left, or are to come")
	require.Eventually(t, func() bool {
		have := make(map[string]map[string][]string)
		for _, e := range search(t, directory, "ou=people,"+server.LDAPSuffix, "(employeeType=employee)") {
			have[e.GetAttributeValue("employeeNumber")] = attributes(e, "objectClass", "employeeNumber")
		}
		group := search(t, directory, employees, "(objectClass=*)")
		require.Len(t, group, 1)
		return reflect.DeepEqual(want, have) && sameSet(append(members, server.LDAPRoot), group[0].GetAttributeValues("member"))
	}, time.Minute, 100*time.Millisecond)
	for _, e := range search(t, directory, "ou=people,"+server.LDAPSuffix, "(!(employeeType=employee))") {
		if e.GetAttributeValue("employeeNumber") != "" {
			require.Contains(t, e.GetAttributeValue("employeeType"), "former since ")
		}
	}
	stop()
}

// addBase adds the entries of base.ldif.
func addBase(t *testing.T, directory *goldap.Conn) {
	t.Helper()
	text, err := os.ReadFile("base.ldif")
	require.NoError(t, err)
	for entry := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		lines := strings.Split(entry, "\n")
		add := goldap.NewAddRequest(strings.TrimPrefix(lines[0], "dn: "), nil)
		for _, line := range lines[1:] {
			name, value, _ := strings.Cut(line, ": ")
			add.Attribute(name, []string{value})
		}
		require.NoError(t, directory.Add(add))
	}
}

func search(t *testing.T, directory *goldap.Conn, base, filter string) []*goldap.Entry {
	t.Helper()
	found, err := directory.Search(goldap.NewSearchRequest(base, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false, filter, nil, nil))
	require.NoError(t, err)
	return found.Entries
}

// attributes returns an entry's attributes but for some.
func attributes(e *goldap.Entry, without ...string) map[string][]string {
	all := make(map[string][]string)
	for _, a := range e.Attributes {
		all[a.Name] = a.Values
	}
	for _, name := range without {
		delete(all, name)
	}
	return all
}

func sameSet(a, b []string) bool {
	in := make(map[string]bool)
	for _, v := range a {
		in[v] = true
	}
	for _, v := range b {
		if !in[v] {
			return false
		}
	}
	return len(a) == len(b)
}
