package ldap

import (
	"errors"
	"fmt"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"
)

// DN returns the DN of a template in which "{name}" stands for a value:
//
//	ldap.DN("uid={uid},ou={unit},dc=example,dc=org", map[string]string{"uid": "ada", "unit": "R&D, Oslo"})
//
// Values are escaped (RFC 4514, section 2.4): whatever they hold, they become
// that one value and nothing else. It returns an error for a name that has no
// value, and for an empty value, which no part of a name can have.
func DN(template string, values map[string]string) (string, error) {
	t, err := parseTemplate(template)
	if err != nil {
		return "", fmt.Errorf("ldap: template: %w", err)
	}
	return t.dn(func(name string) (string, error) {
		v, ok := values[name]
		if !ok {
			return "", rejected("DN: there is no value for {%s}", name)
		}
		return v, nil
	})
}

// Below returns a function that reports whether a DN lies below base, or is no
// DN's but base's own. It serves as the Owned of [Values]: members in one part
// of the directory are ours, others are not.
func Below(base string) func(dn string) bool {
	base = normalDN(base)
	return func(dn string) bool { return isBelow(normalDN(dn), base) }
}

// isBelow reports whether a normal DN is base, or ends with it.
func isBelow(dn, base string) bool {
	for dn != base {
		end := endOfRDN(dn)
		if end == len(dn) {
			return base == ""
		}
		dn = dn[end+1:]
	}
	return true
}

// endOfRDN returns where the first part of a DN ends.
func endOfRDN(dn string) int {
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++
		case ',':
			return i
		}
	}
	return len(dn)
}

// template is a DN with places for values: its texts stand around the names.
type template struct {
	texts, names []string
}

func parseTemplate(text string) (template, error) {
	var t template
	rest := text
	for {
		before, after, ok := strings.Cut(rest, "{")
		t.texts = append(t.texts, before)
		if !ok {
			break
		}
		name, tail, ok := strings.Cut(after, "}")
		if !ok || name == "" {
			return t, errors.New("a { has no name and } after it")
		}
		t.names = append(t.names, name)
		rest = tail
	}
	sample, err := t.dn(func(string) (string, error) { return "x", nil })
	if err != nil {
		return t, err
	}
	if parsed, err := goldap.ParseDN(sample); err != nil || len(parsed.RDNs) == 0 {
		return t, errors.New(`is not a DN such as "uid={id},ou=people,dc=example,dc=org"`)
	}
	return t, nil
}

func (t template) dn(value func(name string) (string, error)) (string, error) {
	var dn strings.Builder
	for i, text := range t.texts {
		dn.WriteString(text)
		if i == len(t.names) {
			break
		}
		v, err := value(t.names[i])
		if err != nil {
			return "", err
		}
		if strings.Trim(v, " ") == "" {
			return "", rejected("DN: the value for {%s} is empty", t.names[i])
		}
		dn.WriteString(escapeDN(v))
	}
	return dn.String(), nil
}

// escapeDN escapes a value for a DN. All that could mean something is written as
// its bytes, which is always right.
func escapeDN(value string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		edge := (i == 0 || i == len(value)-1) && c == ' ' || i == 0 && c == '#'
		if edge || c < ' ' || c == 0x7f || strings.IndexByte(`"+,;<>\=`, c) >= 0 {
			b.WriteByte('\\')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// splitDN splits a DN after its first part, which it returns with its
// attributes. It takes what servers send and [DN] makes.
func splitDN(dn string) (rdn string, attributes []*goldap.AttributeTypeAndValue, parent string, err error) {
	parsed, err := goldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 {
		return "", nil, "", errors.New("is not a DN")
	}
	end := endOfRDN(dn)
	return dn[:end], parsed.RDNs[0].Attributes, dn[min(end+1, len(dn)):], nil
}
