//go:build integration

package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
)

func TestOpenLDAP(t *testing.T) {
	authority := server.NewAuthority(t)
	s := server.OpenLDAP(t, server.OpenLDAPConfig{Authority: authority})
	pem, err := os.ReadFile(authority.File)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(pem))

	dial := func(url string) *goldap.Conn {
		conn, err := goldap.DialURL(url, goldap.DialWithTLSConfig(&tls.Config{RootCAs: roots}))
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		require.NoError(t, conn.Bind(server.LDAPRoot, server.LDAPRootPassword))
		return conn
	}
	add := goldap.NewAddRequest(server.LDAPSuffix, nil)
	add.Attribute("objectClass", []string{"domain"})
	require.NoError(t, dial(s.TLSURL()).Add(add))

	require.NoError(t, s.Stop())
	require.NoError(t, s.Start())
	found, err := dial(s.URL()).Search(goldap.NewSearchRequest(server.LDAPSuffix, goldap.ScopeBaseObject,
		goldap.NeverDerefAliases, 0, 0, false, "(dc=example)", nil, nil))
	require.NoError(t, err)
	require.Len(t, found.Entries, 1)
	require.Contains(t, s.Log(t), `ADD dn="dc=example,dc=org"`)
	require.Contains(t, s.Changes(t), "objectClass: domain")
}
