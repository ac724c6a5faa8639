package ldap

import (
	"math/big"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
)

// Match says which values of an attribute are the same.
type Match int

// The ways to compare. The zero Match is BySchema.
const (
	// BySchema compares as the server's schema says, see the package comment.
	BySchema Match = iota
	// Exact takes values for the same if all their bytes are.
	Exact
	// IgnoreCase takes values for the same that differ only in letter case, or
	// in blanks at their ends or beside other blanks.
	IgnoreCase
	// DistinguishedName takes values for the same that are the same DN, however
	// it is written.
	DistinguishedName
)

// matching is how the values of one attribute are compared.
type matching struct {
	// normal returns the same text for values that are the same to the server.
	normal func(string) string
	// spelling tells values apart that are the same to the server: people see
	// the difference, so it is written.
	spelling bool
	// whole says that the server cannot tell values apart, so that it cannot
	// delete a single one.
	whole bool
	// single says that there is one value at most.
	single bool
}

func (s *schema) matching(name string, m Match) matching {
	t, known := s.lookup(name)
	rule := byRule(t.equality)
	if t.equality == "" && known && !s.rules {
		rule = bySyntax(t.syntax)
	}
	rule.whole = known && s.rules && t.equality == ""
	rule.single = t.single
	switch m {
	case Exact:
		rule.spelling = true
	case IgnoreCase:
		rule.normal, rule.spelling = fold, false
	case DistinguishedName:
		rule.normal, rule.spelling = normalDN, false
	case BySchema:
	}
	return rule
}

// byRule returns the matching of an equality rule of RFC 4517, section 4.2. Where
// it is one of identifiers, a difference in spelling is none; in texts for people
// it is one.
func byRule(rule string) matching {
	switch rule {
	case "distinguishednamematch", "uniquemembermatch", "2.5.13.1", "2.5.13.23":
		return matching{normal: normalDN}
	case "caseignoreia5match", "1.3.6.1.4.1.1466.109.114.2", "objectidentifiermatch", "2.5.13.0", "booleanmatch", "2.5.13.13":
		return matching{normal: fold}
	case "integermatch", "2.5.13.14":
		return matching{normal: normalInteger}
	case "generalizedtimematch", "2.5.13.27":
		return matching{normal: normalTime}
	case "caseignorematch", "2.5.13.2", "caseignorelistmatch", "2.5.13.11":
		return matching{normal: fold, spelling: true}
	case "telephonenumbermatch", "2.5.13.20":
		return matching{normal: func(v string) string { return strings.NewReplacer(" ", "", "-", "").Replace(fold(v)) }, spelling: true}
	case "numericstringmatch", "2.5.13.8":
		return matching{normal: func(v string) string { return strings.ReplaceAll(v, " ", "") }, spelling: true}
	default:
		return matching{normal: exact, spelling: true}
	}
}

// bySyntax returns the matching for a syntax, where the server has no rules to
// tell (RFC 4517, section 3.3).
func bySyntax(syntax string) matching {
	switch strings.TrimPrefix(syntax, syntaxPrefix) {
	case "12", "1.2.840.113556.1.4.903", "1.2.840.113556.1.4.904":
		return matching{normal: normalDN}
	case "7", "38", "26":
		return matching{normal: fold}
	case "27", "1.2.840.113556.1.4.906":
		return matching{normal: normalInteger}
	case "24", "53":
		return matching{normal: normalTime}
	case "15", "44", "1.2.840.113556.1.4.905":
		return matching{normal: fold, spelling: true}
	default:
		return matching{normal: exact, spelling: true}
	}
}

func exact(v string) string { return v }

// fold makes one of texts that differ in letter case and blanks.
func fold(v string) string { return strings.ToLower(strings.Join(strings.Fields(v), " ")) }

func normalInteger(v string) string {
	if n, ok := new(big.Int).SetString(v, 10); ok {
		return n.String()
	}
	return v
}

// normalTime makes one of the ways to write the same time (RFC 4517, section
// 3.3.13).
func normalTime(v string) string {
	for _, layout := range []string{"20060102150405Z0700", "200601021504Z0700", "2006010215Z0700"} {
		if t, err := time.Parse(layout, strings.ReplaceAll(v, ",", ".")); err == nil {
			return t.UTC().Format("20060102150405.999999999Z")
		}
	}
	return v
}

// normalDN makes one of the ways to write the same DN. What is no DN is left as
// it is.
func normalDN(dn string) string {
	if text, ok := normalPlainDN(dn); ok {
		return text
	}
	parsed, err := goldap.ParseDN(dn)
	if err != nil {
		return dn
	}
	for _, rdn := range parsed.RDNs {
		for _, a := range rdn.Attributes {
			a.Value = fold(a.Value)
		}
	}
	return parsed.String()
}

// normalPlainDN is normalDN for the DNs that most are: nothing in them is
// escaped, and no part has several attributes.
func normalPlainDN(dn string) (string, bool) {
	blanks, parts, names := false, 1, 0
	for i := range len(dn) {
		switch c := dn[i]; c {
		case '\\', '"', '+', ';', '<', '>', '#':
			return "", false
		case ' ':
			blanks = true
		case ',':
			parts++
		case '=':
			names++
		default:
			if c >= 0x80 || c < ' ' {
				return "", false
			}
		}
	}
	if parts != names {
		return "", false
	}
	if !blanks {
		return strings.ToLower(dn), true
	}
	list := strings.Split(dn, ",")
	for i, part := range list {
		name, value, _ := strings.Cut(part, "=")
		list[i] = fold(name) + "=" + fold(value)
	}
	return strings.Join(list, ","), true
}
