package ldap_test

import (
	"strings"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink/ldap"
)

func TestDN(t *testing.T) {
	const base = ",ou=people,dc=example,dc=org"
	for _, tt := range []struct{ name, value, want string }{
		{"plain", "ada", "ada"},
		{"another part", "x,ou=admins", `x\2Cou\3Dadmins`},
		{"another attribute", "x+uid=root", `x\2Buid\3Droot`},
		{"backslash", `x\`, `x\5C`},
		{"escaped already", `x\2C`, `x\5C2C`},
		{"quote", `"x"`, `\22x\22`},
		{"angles and semicolon", `<x;y>`, `\3Cx\3By\3E`},
		{"hash in front", "#0401", `\230401`},
		{"hash inside", "a#b", "a#b"},
		{"blanks around", " a b ", `\20a b\20`},
		{"one blank and a letter", " a", `\20a`},
		{"zero byte", "a\x00b", `a\00b`},
		{"line break", "a\nb", `a\0Ab`},
		{"letters of others", "Åse æøå", "Åse æøå"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dn, err := ldap.DN("cn={cn}"+base, map[string]string{"cn": tt.value})
			require.NoError(t, err)
			require.Equal(t, "cn="+tt.want+base, dn)
			requireOne(t, dn, tt.value)
		})
	}
}

// requireOne checks that a DN has one attribute with a value in front of the
// three parts of the base.
func requireOne(t *testing.T, dn, value string) {
	t.Helper()
	parsed, err := goldap.ParseDN(dn)
	require.NoError(t, err)
	require.Len(t, parsed.RDNs, 4)
	require.Len(t, parsed.RDNs[0].Attributes, 1)
	require.Equal(t, "cn", parsed.RDNs[0].Attributes[0].Type)
	require.Equal(t, value, parsed.RDNs[0].Attributes[0].Value)
}

func FuzzDN(f *testing.F) {
	for _, seed := range []string{"a", " ", `\`, "a,b=c", "#", "å", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		dn, err := ldap.DN("cn={cn},ou=people,dc=example,dc=org", map[string]string{"cn": value})
		if strings.Trim(value, " ") == "" {
			require.Equal(t, failure.Rejected, failure.Of(err))
			return
		}
		require.NoError(t, err)
		parsed, err := goldap.ParseDN(dn)
		require.NoError(t, err)
		require.Len(t, parsed.RDNs, 4)
		if strings.ToValidUTF8(value, "") == value { // go-ldap reads runes
			requireOne(t, dn, value)
		}
	})
}

func TestDNErrors(t *testing.T) {
	for _, tt := range []struct{ name, template, text string }{
		{"no value", "cn={cn},dc=example", "ldap: DN: there is no value for {cn}"},
		{"empty value", "cn={empty},dc=example", "ldap: DN: the value for {empty} is empty"},
		{"blanks", "cn={blanks},dc=example", "ldap: DN: the value for {blanks} is empty"},
		{"open", "cn={cn,dc=example", "ldap: template: a { has no name and } after it"},
		{"no name", "cn={},dc=example", "ldap: template: a { has no name and } after it"},
		{"no DN", "{cn}", `ldap: template: is not a DN such as "uid={id},ou=people,dc=example,dc=org"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ldap.DN(tt.template, map[string]string{"empty": "", "blanks": "  "})
			require.EqualError(t, err, tt.text)
		})
	}
}

func TestBelow(t *testing.T) {
	below := ldap.Below("OU=People, DC=example,dc=org")
	for dn, want := range map[string]bool{
		"uid=ada,ou=people,dc=example,dc=org":         true,
		"UID=Ada, OU=a, ou=PEOPLE,dc=example,dc=org":  true,
		"ou=people,dc=example,dc=org":                 true,
		"uid=ada,ou=groups,dc=example,dc=org":         false,
		"dc=example,dc=org":                           false,
		"xou=people,dc=example,dc=org":                false,
		`uid=x\,ou=people,dc=example,dc=org`:          false,
		`uid=x\2Cou\3Dpeople,dc=example,dc=org`:       false,
		`uid=x\\,ou=people,dc=example,dc=org`:         true,
		`uid=x\2C,ou=people,dc=example,dc=org`:        true,
		"no dn":                                       false,
		"":                                            false,
		"uid=ada,ou=people,dc=example,dc=org,dc=evil": false,
		"uid=a+ou=people,dc=example,dc=org":           false,
		"1.3.6=#04024869,ou=people,dc=example,dc=org": true,
		"cn=\u00e5se,ou=people,dc=example,dc=org":     true,
	} {
		require.Equal(t, want, below(dn), dn)
	}
}
