package notification

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// textOf returns a value as text without white space around it, "" if there is
// none. Numbers and booleans are taken as they are written, since sloppy
// producers send ids so. Errors start with the field's name.
func textOf(field string, raw []byte) (string, error) {
	if len(raw) == 0 {
		return "", nil
	}
	switch raw[0] {
	case '"':
		b := unquote(raw)
		// A lone half of a surrogate pair has become the replacement character:
		// different ids would become the same.
		if len(b) != len(raw)-2 && bytes.ContainsRune(b, utf8.RuneError) {
			return "", fmt.Errorf("%s: has an escape that is no character", field)
		}
		return plain(field, string(b))
	case '{', '[':
		return "", fmt.Errorf("%s: is not text", field)
	default:
		return string(raw), nil
	}
}

// isSimple reports whether s is of printable ASCII only, without spaces, quotes
// and backslashes. Most values are, and then nothing else has to be looked at.
func isSimple(s string) bool {
	for i := range len(s) {
		if !isSimpleByte(s[i]) {
			return false
		}
	}
	return true
}

func isSimpleByte(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '\\' }

// plain returns s without white space around it. Control characters are an
// error, CloudEvents 1.0 section 3.1 forbids them.
func plain(field, s string) (string, error) {
	s = strings.TrimSpace(s)
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == 0x7f || c == 0xc2 && i+1 < len(s) && s[i+1] < 0xa0 {
			return "", fmt.Errorf("%s: has a control character in it", field)
		}
	}
	return s, nil
}

// idOf returns an entity's id: text, or a number that is written as an
// integer. Of 2.0 or 2e0, nobody can tell what the source calls it.
func idOf(field string, raw []byte) (string, error) {
	if len(raw) > 0 && raw[0] != '"' {
		if raw[0] != '-' && !isDigit(raw[0]) {
			return "", fmt.Errorf("%s: is neither text nor a number", field)
		}
		if bytes.ContainsAny(raw, ".eE") {
			return "", fmt.Errorf("%s: is a number that is not written as an integer", field)
		}
	}
	return textOf(field, raw)
}

// textsOf returns the texts of an array, or the one text that stands in its
// place. Anything else gives none: such a list only serves to discard what is
// irrelevant, and half a list would discard too much.
func textsOf(raw []byte, depth int) []string {
	elements := [][]byte{raw}
	if len(raw) > 0 && raw[0] == '[' {
		elements, _ = readArray(raw, depth)
	}
	var texts []string
	for _, element := range elements {
		if len(element) == 0 || element[0] != '"' {
			return nil
		}
		s, err := textOf("", element)
		if err != nil || s == "" {
			return nil
		}
		texts = append(texts, s)
	}
	return texts
}
