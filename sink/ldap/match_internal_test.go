package ldap

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// openldap has definitions as OpenLDAP sends them.
func openldap() *schema {
	s := &schema{controls: map[string]bool{}, types: map[string]*attributeType{}, classes: map[string]bool{}}
	for _, text := range []string{
		`( 2.5.4.0 NAME 'objectClass' DESC 'RFC4512: object classes of the entity' EQUALITY objectIdentifierMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.38 )`,
		`( 2.5.4.41 NAME 'name' DESC 'RFC4519: common supertype of name attributes' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15{32768} )`,
		`( 2.5.4.3 NAME ( 'cn' 'commonName' ) DESC 'RFC4519: it''s a name, (not SINGLE-VALUE)' SUP name )`,
		`( 2.5.4.49 NAME 'distinguishedName' DESC 'x' EQUALITY distinguishedNameMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.12 )`,
		`( 2.5.4.31 NAME 'member' SUP distinguishedName )`,
		`( 0.9.2342.19200300.100.1.3 NAME ( 'mail' 'rfc822Mailbox' ) EQUALITY caseIgnoreIA5Match SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.26{256} )`,
		`( 2.5.4.20 NAME 'telephoneNumber' EQUALITY telephoneNumberMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.50{32} )`,
		`( 0.9.2342.19200300.100.1.60 NAME 'jpegPhoto' SYNTAX 1.3.6.1.4.1.1466.115.121.1.28 )`,
		`( 1.3.6.1.1.1.1.0 NAME 'uidNumber' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )`,
		`( 1.3.6.1.1.16.4 NAME 'entryUUID' EQUALITY UUIDMatch SYNTAX 1.3.6.1.1.16.1 SINGLE-VALUE NO-USER-MODIFICATION USAGE directoryOperation )`,
		`( 2.5.18.1 NAME 'createTimestamp' EQUALITY generalizedTimeMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.24 SINGLE-VALUE NO-USER-MODIFICATION USAGE directoryOperation )`,
		`( 2.5.4.24 NAME 'x121Address' EQUALITY numericStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.36{15} )`,
	} {
		s.addType(text)
	}
	return s
}

// activeDirectory has definitions as Active Directory sends them.
func activeDirectory() *schema {
	s := &schema{controls: map[string]bool{}, types: map[string]*attributeType{}, classes: map[string]bool{}}
	for _, text := range []string{
		`( 2.5.4.3 NAME 'cn' SYNTAX '1.3.6.1.4.1.1466.115.121.1.15' SINGLE-VALUE )`,
		`( 2.5.4.31 NAME 'member' SYNTAX '1.3.6.1.4.1.1466.115.121.1.12' )`,
		`( 1.2.840.113556.1.4.8 NAME 'userAccountControl' SYNTAX '1.3.6.1.4.1.1466.115.121.1.27' SINGLE-VALUE )`,
		`( 1.2.840.113556.1.4.2 NAME 'objectGUID' SYNTAX '1.3.6.1.4.1.1466.115.121.1.40' SINGLE-VALUE NO-USER-MODIFICATION )`,
	} {
		s.addType(text)
	}
	return s
}

func TestMatching(t *testing.T) {
	for _, tt := range []struct {
		name            string
		schema          *schema
		attribute       string
		match           Match
		a, b            string
		same, different bool // to the server; to people
	}{
		{name: "letter case in a name", attribute: "cn", a: "Ada", b: "ADA", same: true, different: true},
		{name: "blanks in a name", attribute: "commonName", a: "Ada  Byron", b: " ada byron", same: true, different: true},
		{name: "by its number", attribute: "2.5.4.3", a: "Ada", b: "ADA", same: true, different: true},
		{name: "with an option", attribute: "cn;lang-nb", a: "Ada", b: "ADA", same: true, different: true},
		{name: "mail", attribute: "MAIL", a: "a@example.org", b: "A@Example.org", same: true},
		{name: "another mail", attribute: "mail", a: "a@example.org", b: "b@example.org", different: true},
		{name: "member", attribute: "member", a: "uid=ada,dc=x", b: "UID=Ada, DC=X", same: true},
		{name: "member, escaped", attribute: "member", a: `cn=a\2Cb,dc=x`, b: `CN=A\,b,dc=x`, same: true},
		{name: "member, other letters", attribute: "member", a: `cn=Åse,dc=x`, b: `cn=\C3\A5se,dc=x`, same: true},
		{name: "telephone", attribute: "telephoneNumber", a: "+47 22 85", b: "+472285", same: true, different: true},
		{name: "integer", attribute: "uidNumber", a: "7", b: "007", same: true},
		{name: "time", attribute: "createTimestamp", a: "20261127120000Z", b: "20261127130000.0+0100", same: true},
		{name: "another time", attribute: "createTimestamp", a: "20261127120000Z", b: "20261127120001Z", different: true},
		{name: "numeric", attribute: "x121Address", a: "1 2", b: "12", same: true, different: true},
		{name: "class", attribute: "objectClass", a: "person", b: "PERSON", same: true},
		{name: "no rule", attribute: "jpegPhoto", a: "a", b: "A", different: true},
		{name: "unknown", attribute: "nonsense", a: "a", b: "A", different: true},
		{name: "exact by configuration", attribute: "mail", match: Exact, a: "a", b: "A", same: true, different: true},
		{name: "case by configuration", attribute: "cn", match: IgnoreCase, a: "a", b: "A", same: true},
		{name: "DN by configuration", attribute: "nonsense", match: DistinguishedName, a: "a=b, c=d", b: "A=B,C=D", same: true},
		{name: "AD: name", schema: activeDirectory(), attribute: "cn", a: "a", b: "A", same: true, different: true},
		{name: "AD: member", schema: activeDirectory(), attribute: "member", a: "CN=A,DC=x", b: "cn=a,dc=x", same: true},
		{name: "AD: bytes", schema: activeDirectory(), attribute: "objectGUID", a: "a", b: "A", different: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.schema
			if s == nil {
				s = openldap()
			}
			m := s.matching(tt.attribute, tt.match)
			require.Equal(t, tt.same, m.normal(tt.a) == m.normal(tt.b))
			d := attribute{values: []string{tt.a}, match: m}.differs([]string{tt.b})
			require.Equal(t, tt.different, !d.none())
		})
	}
}

func TestSchema(t *testing.T) {
	s := openldap()
	require.Equal(t, "cn", s.canonical("CommonName"))
	require.Equal(t, "cn;a;lang-nb", s.canonical("2.5.4.3;lang-nb;a"))
	require.Equal(t, "nonsense", s.canonical("Nonsense"))
	for name, want := range map[string]struct{ single, readOnly, whole bool }{
		"cn": {}, "uidNumber": {single: true}, "entryUUID": {single: true, readOnly: true}, "jpegPhoto": {whole: true}, "nonsense": {},
	} {
		def, _ := s.lookup(name)
		require.Equal(t, want.single, def.single, name)
		require.Equal(t, want.readOnly, def.readOnly, name)
		require.Equal(t, want.whole, s.matching(name, BySchema).whole, name)
	}
	require.False(t, activeDirectory().matching("cn", BySchema).whole, "without rules nothing is known")
	s.classes["person"] = true
	require.Equal(t, []string{"mail"}, s.named("mail: value #0 invalid per syntax"))
	require.Equal(t, []string{"person", "cn"}, s.named("object class 'person' requires attribute 'cn'"))
	require.Empty(t, s.named("no such value 'Ada Byron'"))
	require.Empty(t, (*schema)(nil).named("mail: x"))
}

func FuzzDefinition(f *testing.F) {
	for _, seed := range []string{
		"( 2.5.4.3 NAME ( 'cn' 'commonName' ) SUP name )", "( 1 NAME 'a' SYNTAX '1.2' X-ORIGIN ( 'b' 'c' ) )", "(", "'", "( ( (", "( 1 EQUALITY )",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := openldap()
		s.addType(text)
		for name := range s.types {
			def, ok := s.lookup(name)
			require.True(t, ok)
			s.matching(name, BySchema).normal(def.name)
		}
	})
}

func FuzzNormalDN(f *testing.F) {
	for _, seed := range []string{"uid=ada, dc=x", `cn=a\,b+c=d,dc=x`, "", `\`, "=", "a=#0401"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, dn string) {
		n := normalDN(dn)
		require.True(t, isBelow(n, ""))
		if isDN(dn) {
			_, _, _, err := splitDN(dn)
			require.NoError(t, err)
		}
	})
}

func TestCutRange(t *testing.T) {
	for name, want := range map[string]part{
		"member;range=0-1499":                {[]string{"member"}, 1500},
		"member;range=1500-*":                {[]string{"member"}, 0},
		"member;range=0-0;binary":            {[]string{"member;binary"}, 1},
		"member;range=9-1":                   {[]string{"member"}, 0},
		"member;range=nonsense":              {[]string{"member"}, 0},
		"member;range=0-9223372036854775807": {[]string{"member"}, 0},
		"member;lang-nb;range=0-4":           {[]string{"member;lang-nb"}, 5},
	} {
		rest, next, ranged := cutRange(name)
		require.True(t, ranged)
		require.Equal(t, want, part{[]string{rest}, next}, name)
	}
	_, _, ranged := cutRange("member")
	require.False(t, ranged)
}

// FuzzAnswer has what else a server sends that is taken apart: the names of
// attributes, and diagnostic messages, of which only names of the schema are kept.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{"member;range=0-1499", "cn;lang-nb;range=1-*;x", "mail: value #0", "a 'cn' b 'Ada' c", ";range=", "'"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := openldap()
		name, next, ranged := cutRange(text)
		require.Equal(t, ranged, strings.Contains(text, ";range="))
		require.GreaterOrEqual(t, next, 0)
		require.Equal(t, s.canonical(s.canonical(name)), s.canonical(name))
		for _, known := range s.named(text) {
			require.NotNil(t, s.types[strings.ToLower(known)])
		}
	})
}
