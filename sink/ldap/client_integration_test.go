//go:build integration

package ldap_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/sink/ldap"
)

func trusting(t *testing.T, authority *server.Authority) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(authority.File)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(pem))
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// check returns what Check says of the people through a client.
func check(t *testing.T, cfg ldap.ClientConfig, urls ...string) error {
	t.Helper()
	c, err := ldap.NewClient(urls, cfg)
	require.NoError(t, err)
	defer c.Close()
	e, err := ldap.New(c, peopleBase, ldap.Config{})
	require.NoError(t, err)
	return e.Check(t.Context())
}

func TestTLS(t *testing.T) {
	authority := server.NewAuthority(t)
	d := newDirectory(t, server.OpenLDAPConfig{Authority: authority})
	good := trusting(t, authority)
	localhost := strings.NewReplacer("127.0.0.1", "localhost")
	for _, tt := range []struct {
		name, url string
		cfg       *tls.Config
		text      string // of the error
		lines     []string
	}{
		{name: "ldaps", url: d.TLSURL(), cfg: good, lines: []string{"TLS established"}},
		{name: "ldaps by name", url: localhost.Replace(d.TLSURL()), cfg: good, lines: []string{"TLS established"}},
		{name: "StartTLS", url: d.URL(), cfg: good, lines: []string{"STARTTLS", "TLS established"}},
		{name: "ldaps, unknown authority", url: d.TLSURL(), text: "certificate signed by unknown authority"},
		{name: "StartTLS, unknown authority", url: d.URL(), text: "certificate signed by unknown authority"},
		{name: "ldaps, another's name", url: d.TLSURL(), cfg: &tls.Config{RootCAs: good.RootCAs, ServerName: "ldap.example.org"}, text: "not ldap.example.org"},
		{name: "StartTLS, another's name", url: d.URL(), cfg: &tls.Config{RootCAs: good.RootCAs, ServerName: "ldap.example.org"}, text: "not ldap.example.org"},
		{name: "ldaps at the port of ldap", url: "ldaps" + strings.TrimPrefix(d.URL(), "ldap"), cfg: good, text: "TLS: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from := len(d.Log(t))
			err := check(t, ldap.ClientConfig{User: server.LDAPRoot, Password: password, TLS: tt.cfg}, tt.url)
			log := d.Log(t)[from:]
			if tt.text != "" {
				require.ErrorContains(t, err, tt.text)
				require.Equal(t, failure.Unavailable, failure.Of(err))
				require.NotContains(t, log, " BIND ", "the password is not sent")
				return
			}
			require.NoError(t, err)
			for _, line := range append(tt.lines, " BIND ") {
				before, after, ok := strings.Cut(log, line)
				require.True(t, ok, "%s, in this order: %s", line, before)
				log = after
			}
		})
	}

	t.Run("a server without TLS is not trusted with a password", func(t *testing.T) {
		plain := newDirectory(t, server.OpenLDAPConfig{})
		from := len(plain.Log(t))
		err := check(t, ldap.ClientConfig{User: server.LDAPRoot, Password: password, TLS: good}, plain.URL())
		require.ErrorContains(t, err, "StartTLS")
		require.Equal(t, failure.Unavailable, failure.Of(err))
		require.NotContains(t, plain.Log(t)[from:], "BIND")
	})
}

func TestClientCertificate(t *testing.T) {
	authority := server.NewAuthority(t)
	d := newDirectory(t, server.OpenLDAPConfig{
		Authority: authority, ClientCertificates: true,
		Database: `access to * by dn.exact="cn=connector" write by * none`,
	})
	with := trusting(t, authority)
	certificate, err := tls.LoadX509KeyPair(authority.Sign(t, "connector"))
	require.NoError(t, err)
	with.Certificates = []tls.Certificate{certificate}
	for _, url := range []string{d.TLSURL(), d.URL()} {
		require.NoError(t, check(t, ldap.ClientConfig{External: true, TLS: with}, url))
		err = check(t, ldap.ClientConfig{External: true, TLS: trusting(t, authority)}, url)
		require.Error(t, err)
		require.Equal(t, failure.Unavailable, failure.Of(err))
	}
}

func TestFailover(t *testing.T) {
	first, second := newDirectory(t, server.OpenLDAPConfig{}), newDirectory(t, server.OpenLDAPConfig{})
	c, err := ldap.NewClient([]string{first.URL(), second.URL()}, ldap.ClientConfig{User: server.LDAPRoot, Password: password, Plaintext: true})
	require.NoError(t, err)
	defer c.Close()
	e, err := ldap.New(c, peopleBase, ldap.Config{Classes: []string{"inetOrgPerson"}})
	require.NoError(t, err)
	s := ensured(t, e)
	apply := func() string {
		change, err := s.Apply(t.Context(), id("1"), entry("cn: Ada", "sn: Byron"))
		require.NoError(t, err)
		return change.String()
	}
	require.Equal(t, "created", apply())
	require.Len(t, first.values(personDN(1), "cn"), 1)
	require.NoError(t, first.Stop())
	require.Equal(t, "created", apply(), "at the other server")
	require.Len(t, second.values(personDN(1), "cn"), 1)
	require.NoError(t, second.Stop())
	_, err = s.Apply(t.Context(), id("1"), entry("cn: Ada", "sn: Byron"))
	require.ErrorContains(t, err, "connection refused")
	require.Equal(t, failure.Unavailable, failure.Of(err))
	require.NoError(t, first.Start())
	require.Equal(t, "unchanged", apply())
}

// TestReferralObject has a part of the directory in another server, which must
// never hear of us.
func TestReferralObject(t *testing.T) {
	elsewhere := newDirectory(t, server.OpenLDAPConfig{})
	d := newDirectory(t, server.OpenLDAPConfig{})
	ref := "ou=elsewhere," + peopleBase
	req := goldap.NewAddRequest(ref, []goldap.Control{goldap.NewControlManageDsaIT(true)})
	req.Attribute("objectClass", []string{"referral", "extensibleObject"})
	req.Attribute("ref", []string{elsewhere.URL() + "/" + ref})
	require.NoError(t, d.other.Add(req))
	heard := len(elsewhere.Log(t))

	s := ensured(t, d.entries(peopleBase, byNumber))
	_, err := s.Apply(t.Context(), id("1"), ldap.Entry{DN: "cn=Ada," + ref, Attributes: attributes("cn: Ada", "sn: Byron")})
	require.EqualError(t, err, "ldap: add: Referral (10)")
	require.Equal(t, failure.Unavailable, failure.Of(err))
	change, err := s.Apply(t.Context(), id("1"), entry("cn: Ada", "sn: Byron"))
	require.NoError(t, err, "that a search names it is of no account")
	require.Equal(t, "created", change.String())
	require.Len(t, elsewhere.Log(t), heard)
}

func TestCheck(t *testing.T) {
	d := newDirectory(t, server.OpenLDAPConfig{})
	mark := d.mark()
	for _, tt := range []struct {
		name, base, text string
		cfg              ldap.Config
	}{
		{name: "good", base: peopleBase, cfg: byNumber},
		{name: "found by DN", base: peopleBase, cfg: ldap.Config{ByDN: true}},
		{name: "key", base: peopleBase, cfg: ldap.Config{Key: "nonsense", DN: "cn={cn}," + peopleBase}, text: `ldap: the server knows no attribute "nonsense"; correct Config, or add a schema`},
		{name: "values", base: peopleBase, cfg: ldap.Config{Values: map[string]ldap.Values{"members": {}}}, text: `ldap: the server knows no attribute "members"; correct Config, or add a schema`},
		{name: "class", base: peopleBase, cfg: ldap.Config{Classes: []string{"inetOrgPersons"}}, text: `ldap: Classes: the server knows no class "inetOrgPersons"; correct it, or add a schema`},
		{name: "base", base: "ou=nowhere," + peopleBase, text: "ldap: search: No Such Object (32): the base is not there, or may not be seen"},
		{name: "suffix", base: "dc=elsewhere", text: "ldap: search: No Such Object (32): the base is not there, or may not be seen"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := d.entries(tt.base, tt.cfg).Check(t.Context())
			if tt.text == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, tt.text)
			require.Equal(t, failure.Unavailable, failure.Of(err))
		})
	}
	wrong := func(context.Context) (string, error) { return "wrong", nil }
	err := check(t, ldap.ClientConfig{User: server.LDAPRoot, Password: wrong, Plaintext: true}, d.URL())
	require.ErrorContains(t, err, "Invalid Credentials")
	require.Equal(t, failure.Unavailable, failure.Of(err))
	require.Equal(t, mark, d.mark(), "nothing is written")

	// A base that is gone is not that everybody is.
	for _, cfg := range []ldap.Config{byNumber, {ByDN: true, DN: "uid={id},ou=nowhere," + peopleBase}} {
		_, err = ensured(t, d.entries("ou=nowhere,"+peopleBase, withBase(cfg))).Remove(t.Context(), id("1"))
		require.ErrorContains(t, err, "the base is not there")
		require.Equal(t, failure.Unavailable, failure.Of(err))
	}
}

func withBase(cfg ldap.Config) ldap.Config {
	cfg.DN = strings.Replace(cfg.DN, "},ou=people", "},ou=nowhere,ou=people", 1)
	return cfg
}
