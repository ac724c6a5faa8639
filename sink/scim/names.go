package scim

import (
	"errors"
	"fmt"
	"strings"

	"github.com/konnektor-go/konnektor/internal/jsondoc"
)

// isName is for names of attributes: RFC 7643, section 2.1.
func isName(s string) bool {
	if s == "" || !isLetter(rune(s[0])) && s[0] != '$' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !isLetter(r) && (r < '0' || r > '9') && r != '$' && r != '-' && r != '_'
	})
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// isURN is for names of extensions.
func isURN(s string) bool {
	return hasURN(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return !isLetter(r) && (r < '0' || r > '9') && !strings.ContainsRune(":.-_", r)
	})
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }

func hasURN(s string) bool { return len(s) > 4 && strings.EqualFold(s[:4], "urn:") }

// checkNames reports names that could be taken for something else in a path.
func checkNames(d jsondoc.Doc, top bool) error {
	for name, v := range d {
		if !isName(name) && (!top || !isURN(name)) {
			return errors.New("T: has an attribute whose name none can have: it must be letters, digits, $, - or _, after a letter")
		}
		if err := checkValue(v); err != nil {
			return fmt.Errorf("%w, in %s", err, name)
		}
	}
	return nil
}

func checkValue(v any) error {
	switch v := v.(type) {
	case jsondoc.Doc:
		return checkNames(v, false)
	case []any:
		for _, e := range v {
			if err := checkValue(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// member returns a member of a document by its name, whose case does not
// matter: RFC 7643, section 2.1.
func member(d jsondoc.Doc, name string) (string, any) {
	if v, ok := d[name]; ok {
		return name, v
	}
	for n, v := range d {
		if strings.EqualFold(n, name) {
			return n, v
		}
	}
	return name, nil
}

// text returns a member that is a string, "" if it is none.
func text(d jsondoc.Doc, name string) string {
	_, v := member(d, name)
	s, _ := v.(string)
	return s
}

// path returns what a PATCH calls an attribute: RFC 7644, section 3.10.
func path(names []string) string {
	if hasURN(names[0]) && len(names) > 1 {
		return names[0] + ":" + strings.Join(names[1:], ".")
	}
	return strings.Join(names, ".")
}
