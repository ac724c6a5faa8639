package ldap

import (
	"context"
	"slices"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"
)

// Controls and syntaxes by their numbers.
const (
	oidAssertion = "1.3.6.1.1.12"           // RFC 4528
	oidPaging    = "1.2.840.113556.1.4.319" // RFC 2696

	syntaxPrefix = "1.3.6.1.4.1.1466.115.121.1."
)

// schema is what a server says of itself: which controls it knows, and how it
// compares the values of which attributes.
type schema struct {
	controls map[string]bool
	types    map[string]*attributeType // by name and by OID, in lower case
	classes  map[string]bool           // names in lower case
	rules    bool                      // matching rules are told; Active Directory does not
}

// attributeType is a definition of RFC 4512, section 4.1.2.
type attributeType struct {
	name, sup, equality, syntax string
	single, readOnly            bool
}

// loaded returns the schema, which it reads at the first call.
func (c *Client) loaded(ctx context.Context) (*schema, error) {
	if s := c.schema.Load(); s != nil {
		return s, nil
	}
	return c.load(ctx)
}

func (c *Client) load(ctx context.Context) (*schema, error) {
	root, err := c.readEntry(ctx, "", "(objectClass=*)", []string{"supportedControl", "subschemaSubentry"})
	if err != nil {
		return nil, err
	}
	s := &schema{controls: map[string]bool{}, types: map[string]*attributeType{}, classes: map[string]bool{}}
	for _, oid := range root.GetEqualFoldAttributeValues("supportedControl") {
		s.controls[oid] = true
	}
	if dn := root.GetEqualFoldAttributeValue("subschemaSubentry"); dn != "" {
		entry, err := c.readEntry(ctx, dn, "(objectClass=subschema)", []string{"attributeTypes", "objectClasses"})
		if err != nil {
			return nil, err
		}
		for _, text := range entry.GetEqualFoldAttributeValues("attributeTypes") {
			s.addType(text)
		}
		for _, text := range entry.GetEqualFoldAttributeValues("objectClasses") {
			for _, name := range definition(text)["NAME"] {
				s.classes[strings.ToLower(name)] = true
			}
		}
	}
	c.schema.Store(s)
	return s, nil
}

// readEntry reads one entry that everybody may read. A server that has none has
// nothing to say.
func (c *Client) readEntry(ctx context.Context, dn, filter string, attributes []string) (*goldap.Entry, error) {
	var entry *goldap.Entry
	err := c.read(ctx, opSchema, func(conn *goldap.Conn) error {
		result, err := conn.Search(goldap.NewSearchRequest(dn, goldap.ScopeBaseObject, goldap.NeverDerefAliases,
			0, 0, false, filter, attributes, nil))
		if err == nil && len(result.Entries) > 0 {
			entry = result.Entries[0]
		}
		if goldap.IsErrorAnyOf(err, goldap.LDAPResultNoSuchObject, goldap.LDAPResultInsufficientAccessRights) {
			err = nil
		}
		return err
	})
	if entry == nil {
		entry = &goldap.Entry{}
	}
	return entry, err
}

func (s *schema) addType(text string) {
	d := definition(text)
	oid := d[""]
	if len(oid) == 0 || !isType(oid[0]) {
		return
	}
	t := &attributeType{
		name: oid[0], sup: first(d["SUP"]), equality: strings.ToLower(first(d["EQUALITY"])), syntax: first(d["SYNTAX"]),
		single: d["SINGLE-VALUE"] != nil, readOnly: d["NO-USER-MODIFICATION"] != nil,
	}
	t.syntax, _, _ = strings.Cut(t.syntax, "{")
	s.rules = s.rules || t.equality != ""
	s.types[strings.ToLower(oid[0])] = t
	for _, name := range slices.Backward(d["NAME"]) {
		if isType(name) {
			t.name = name // the first at last
			s.types[strings.ToLower(name)] = t
		}
	}
}

func isType(name string) bool { return isName(name) && !strings.Contains(name, ";") }

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// definition splits a definition of RFC 4512, section 4.1: the values of each
// keyword, and under "" the number in front.
func definition(text string) map[string][]string {
	d := map[string][]string{}
	keyword, inList := "", false
	for text != "" {
		var word string
		word, text = token(text)
		switch {
		case word == "" || word == ")" && !inList:
			continue
		case word == "(":
			inList = len(d) > 0 // not the one around everything
		case word == ")":
			inList = false
		case word == "$":
		case word[0] == '\'':
			d[keyword] = append(d[keyword], strings.Trim(word, "'"))
		case inList || keyword == "" || isValue(keyword, d[keyword]):
			d[keyword] = append(d[keyword], word)
			if keyword == "" {
				keyword = " " // until the first keyword
			}
		default:
			keyword = word
			d[keyword] = []string{}
		}
	}
	return d
}

// isValue reports whether a word after the keyword is its value, and no keyword
// itself.
func isValue(keyword string, have []string) bool {
	return len(have) == 0 && slices.Contains([]string{"SUP", "EQUALITY", "ORDERING", "SUBSTR", "SYNTAX", "USAGE", "MUST", "MAY"}, keyword)
}

// token returns the first word of a definition: a bracket, a dollar sign, what
// stands in quotes, or what ends with a blank.
func token(text string) (word, rest string) {
	text = strings.TrimLeft(text, " \t\n")
	if text == "" {
		return "", ""
	}
	switch text[0] {
	case '(', ')', '$':
		return text[:1], text[1:]
	case '\'':
		if end := strings.IndexByte(text[1:], '\''); end >= 0 {
			return text[:end+2], text[end+2:]
		}
		return text, ""
	}
	if end := strings.IndexAny(text, " \t\n()$'"); end > 0 {
		return text[:end], text[end:]
	}
	return text, ""
}

// canonical returns the name by which an attribute is known here, whatever its
// spelling and its synonyms, its options included.
func (s *schema) canonical(name string) string {
	base, options, has := strings.Cut(strings.ToLower(name), ";")
	if t := s.types[base]; t != nil {
		base = strings.ToLower(t.name)
	}
	if !has {
		return base
	}
	list := strings.Split(options, ";")
	slices.Sort(list)
	return base + ";" + strings.Join(list, ";")
}

// lookup returns the definition of an attribute with what it inherits, and false
// if the server does not tell it.
func (s *schema) lookup(name string) (attributeType, bool) {
	base, _, _ := strings.Cut(strings.ToLower(name), ";")
	t := s.types[base]
	if t == nil {
		return attributeType{}, false
	}
	all := *t
	for range 10 { // more than any schema has
		sup := s.types[strings.ToLower(t.sup)]
		if sup == nil {
			break
		}
		if all.equality == "" {
			all.equality = sup.equality
		}
		if all.syntax == "" {
			all.syntax = sup.syntax
		}
		t = sup
	}
	return all, true
}

// named returns the attributes and object classes of which a diagnostic message
// speaks. They are all of it that is no value.
func (s *schema) named(diagnostic string) []string {
	if s == nil {
		return nil
	}
	var names []string
	for i, part := range strings.Split(diagnostic, "'") {
		if i == 0 {
			part, _, _ = strings.Cut(part, ":") // "mail: value #0 invalid per syntax"
		} else if i%2 == 0 {
			continue // between two quoted words
		}
		base := strings.ToLower(part)
		if (s.types[base] != nil || s.classes[base]) && !slices.Contains(names, part) {
			names = append(names, part)
		}
	}
	return names
}
