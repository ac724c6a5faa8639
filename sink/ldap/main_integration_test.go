//go:build integration

package ldap_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/ldap"
)

func TestMain(m *testing.M) { server.Main(m) }

const (
	peopleBase = "ou=people," + server.LDAPSuffix
	groupsBase = "ou=groups," + server.LDAPSuffix
	nobody     = "cn=nobody," + server.LDAPSuffix
)

// directory is a slapd with a place for people and one for groups, and a
// connection of another writer.
type directory struct {
	*server.OpenLDAPServer
	tb    testing.TB
	other *goldap.Conn
}

func newDirectory(tb testing.TB, cfg server.OpenLDAPConfig) *directory {
	tb.Helper()
	d := &directory{OpenLDAPServer: server.OpenLDAP(tb, cfg), tb: tb}
	d.other = d.connect()
	d.add(server.LDAPSuffix, "objectClass: domain")
	d.add(peopleBase, "objectClass: organizationalUnit")
	d.add(groupsBase, "objectClass: organizationalUnit")
	return d
}

// connect returns a connection of go-ldap as the root.
func (d *directory) connect() *goldap.Conn {
	conn, err := goldap.DialURL(d.URL())
	require.NoError(d.tb, err)
	d.tb.Cleanup(func() { _ = conn.Close() })
	require.NoError(d.tb, conn.Bind(server.LDAPRoot, server.LDAPRootPassword))
	return conn
}

// add adds an entry with lines of LDIF.
func (d *directory) add(dn string, lines ...string) {
	d.tb.Helper()
	values := map[string][]string{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		values[name] = append(values[name], value)
	}
	req := goldap.NewAddRequest(dn, nil)
	for name, v := range values {
		req.Attribute(name, v)
	}
	require.NoError(d.tb, d.other.Add(req))
}

// replace sets an attribute of an entry.
func (d *directory) replace(dn, name string, values ...string) {
	d.tb.Helper()
	require.NoError(d.tb, d.tryReplace(dn, name, values...))
}

func (d *directory) tryReplace(dn, name string, values ...string) error {
	req := goldap.NewModifyRequest(dn, nil)
	req.Replace(name, values)
	return d.other.Modify(req)
}

func (d *directory) rename(dn, rdn string) { d.move(dn, rdn, "") }

func (d *directory) move(dn, rdn, parent string) {
	d.tb.Helper()
	require.NoError(d.tb, d.other.ModifyDN(goldap.NewModifyDNRequest(dn, rdn, true, parent)))
}

func (d *directory) remove(dn string) {
	d.tb.Helper()
	require.NoError(d.tb, d.other.Del(goldap.NewDelRequest(dn, nil)))
}

// search returns the entries that match, with all their attributes.
func (d *directory) search(base, filter string, names ...string) []*goldap.Entry {
	d.tb.Helper()
	result, err := d.other.Search(goldap.NewSearchRequest(base, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false, filter, names, nil))
	require.NoError(d.tb, err)
	return result.Entries
}

// values returns the sorted values of an attribute of the entry at dn.
func (d *directory) values(dn, name string) []string {
	d.tb.Helper()
	result, err := d.other.Search(goldap.NewSearchRequest(dn, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{name}, nil))
	require.NoError(d.tb, err)
	require.Len(d.tb, result.Entries, 1)
	values := result.Entries[0].GetAttributeValues(name)
	slices.Sort(values)
	return values
}

func (d *directory) client(cfg ldap.ClientConfig) *ldap.Client {
	d.tb.Helper()
	cfg.User, cfg.Password, cfg.Plaintext = server.LDAPRoot, password, true
	c, err := ldap.NewClient([]string{d.URL()}, cfg)
	require.NoError(d.tb, err)
	d.tb.Cleanup(c.Close)
	return c
}

func password(context.Context) (string, error) { return server.LDAPRootPassword, nil }

func (d *directory) entries(base string, cfg ldap.Config) *ldap.Entries {
	d.tb.Helper()
	e, err := ldap.New(d.client(ldap.ClientConfig{}), base, cfg)
	require.NoError(d.tb, err)
	return e
}

func ensured[T any](tb testing.TB, target sink.Target[T]) sink.Sink[T] {
	tb.Helper()
	s, err := sink.Ensure(target, sink.EnsureConfig[T]{})
	require.NoError(tb, err)
	return s
}

func id(s string) entity.Key { return entity.Key{Type: "persons", ID: s} }

// writes returns the changes in the server's own record since the mark, one
// string each: "modify uid=ada,…: add mail x; delete mail y".
func (d *directory) writes(from int) []string {
	d.tb.Helper()
	return auditlog(d.Changes(d.tb)[from:])
}

func (d *directory) mark() int { return len(d.Changes(d.tb)) }

// auditlog reads what the overlay auditlog wrote, without operational attributes.
func auditlog(text string) []string {
	text = strings.ReplaceAll(text, "\n ", "") // folded lines
	var changes []string
	for block := range strings.SplitSeq(text, "\n\n") {
		var dn, kind, op string
		var parts []string
		for line := range strings.SplitSeq(block, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			switch {
			case strings.HasPrefix(line, "#"), line == "", line == "-":
			case name == "dn":
				dn = value
			case name == "changetype":
				kind = value
			case kind == "modify" && (name == "add" || name == "delete" || name == "replace"):
				op = name
				if !operational(value) && !strings.Contains(block, "\n"+value+": ") && !strings.Contains(block, "\n"+value+":: ") {
					parts = append(parts, op+" "+value)
				}
			case kind == "modify" && !operational(name):
				parts = append(parts, op+" "+name+" "+value)
			case kind == "modrdn" && (name == "newrdn" || name == "deleteoldrdn" || name == "newsuperior"):
				parts = append(parts, name+" "+value)
			}
		}
		if dn != "" {
			changes = append(changes, strings.TrimSuffix(kind+" "+dn+": "+strings.Join(parts, "; "), ": "))
		}
	}
	return changes
}

func operational(name string) bool {
	return slices.Contains([]string{"entryCSN", "modifiersName", "modifyTimestamp"}, name)
}
