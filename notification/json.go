package notification

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// encoding/json does not serve here: it hides members that occur twice, has no
// limit of depth, and takes longer for a thin event than all the rest of its
// decoding. What follows accepts the same texts (RFC 8259) and finds the same
// values, which its fuzz test holds it to.

// A member is a name, unescaped, and a value as it stands in the text.
type member struct {
	name, value []byte
	// simple says that the value is a string by isSimple.
	simple bool
}

type object []member

// get returns a value as it stands in the text, nil if it is missing or null.
func (o object) get(name string) []byte {
	for i := range o {
		if m := &o[i]; string(m.name) == name {
			if string(m.value) == "null" {
				return nil
			}
			return m.value
		}
	}
	return nil
}

// text returns a value by textOf.
func (o object) text(name string) (string, error) { return textOf(name, o.get(name)) }

var errTwice = errors.New("message: has an object with two members of the same name")

// checkOnce reports a member that occurs twice: readers differ on which of the
// two counts. Its name is not told, it is the sender's.
func (o object) checkOnce() error {
	if len(o) <= 16 { // the most; it needs no copy
		for i := range o {
			for j := range i {
				if bytes.Equal(o[i].name, o[j].name) {
					return errTwice
				}
			}
		}
		return nil
	}
	sorted := slices.Clone(o)
	slices.SortFunc(sorted, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	for i := range sorted[1:] {
		if bytes.Equal(sorted[i].name, sorted[i+1].name) {
			return errTwice
		}
	}
	return nil
}

// readObject returns the members of a JSON object, appended to o. Nothing may
// follow but white space. The members point into text.
func readObject(text []byte, depth int, o object) (object, error) {
	s := scanner{text: text, depth: depth}
	s.space()
	o, err := s.object(o, true)
	if err == nil {
		err = s.end()
	}
	if err == nil {
		err = o.checkOnce()
	}
	return o, err
}

// readArray returns the elements of a JSON array as they stand in the text.
func readArray(text []byte, depth int) ([][]byte, error) {
	s := scanner{text: text, depth: depth}
	s.space()
	elements, err := s.array(true)
	if err == nil {
		err = s.end()
	}
	return elements, err
}

// checkString reports what keeps text from being a JSON string.
func checkString(text []byte) error {
	s := scanner{text: text}
	if err := s.string(); err != nil {
		return err
	}
	return s.end()
}

// scanner walks through a JSON text, once.
type scanner struct {
	text  []byte
	i     int // next byte
	depth int // how many more levels there may be
	// simple says whether the string that was read last is one by isSimple.
	simple bool
}

func (s *scanner) fail(why string) error {
	return fmt.Errorf("message: is not valid JSON at byte %d: %s", s.i+1, why)
}

// peek returns the next byte, 0 at the end. No JSON has a 0 outside of strings.
func (s *scanner) peek() byte {
	if s.i < len(s.text) {
		return s.text[s.i]
	}
	return 0
}

func (s *scanner) space() {
	for s.i < len(s.text) {
		switch s.text[s.i] {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return
		}
	}
}

func (s *scanner) end() error {
	if s.space(); s.i < len(s.text) {
		return s.fail("more follows after its end")
	}
	return nil
}

func (s *scanner) value() error {
	switch c := s.peek(); {
	case c == '"':
		return s.string()
	case c == '{':
		_, err := s.object(nil, false)
		return err
	case c == '[':
		_, err := s.array(false)
		return err
	case c == '-' || isDigit(c):
		return s.number()
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if len(s.text)-s.i >= len(word) && string(s.text[s.i:s.i+len(word)]) == word {
			s.i += len(word)
			return nil
		}
	}
	if s.i >= len(s.text) {
		return s.fail("it is cut off")
	}
	return s.fail("not a value")
}

// enter goes past an opening bracket, and reports whether the closing one
// follows at once.
func (s *scanner) enter(opening, closing byte) (empty bool, err error) {
	if s.peek() != opening {
		return false, s.fail("not a value")
	}
	if s.depth == 0 {
		return false, errors.New("message: is nested too deep")
	}
	s.depth--
	s.i++
	s.space()
	if s.peek() == closing {
		s.leave()
		return true, nil
	}
	return false, nil
}

func (s *scanner) leave() {
	s.i++
	s.depth++
}

// next goes past a comma, or else past the closing bracket.
func (s *scanner) next(closing byte) (more bool, err error) {
	s.space()
	switch c := s.peek(); {
	case c == closing:
		s.leave()
		return false, nil
	case c == ',':
		s.i++
		if s.space(); s.peek() == closing {
			return false, s.fail("a comma stands before a closing bracket")
		}
		return true, nil
	case s.i >= len(s.text):
		return false, s.fail("it is cut off")
	default:
		return false, s.fail("not a comma or a closing bracket")
	}
}

// object reads an object and appends its members to o, if they are to be kept.
func (s *scanner) object(o object, keep bool) (object, error) {
	empty, err := s.enter('{', '}')
	if empty || err != nil {
		return o, err
	}
	for more := true; more; {
		start := s.i
		if s.peek() != '"' {
			return o, s.fail("not the name of a member")
		}
		if err := s.string(); err != nil {
			return o, err
		}
		name := s.text[start+1 : s.i-1]
		if !s.simple {
			name = unquote(s.text[start:s.i])
		}
		if s.space(); s.peek() != ':' {
			return o, s.fail("not a colon")
		}
		s.i++
		s.space()
		start = s.i
		if err := s.value(); err != nil {
			return o, err
		}
		if keep {
			simple := s.simple && s.text[start] == '"'
			o = append(o, member{name: name, value: s.text[start:s.i], simple: simple})
		}
		if more, err = s.next('}'); err != nil {
			return o, err
		}
	}
	return o, nil
}

// array reads an array and returns its elements, if they are to be kept.
func (s *scanner) array(keep bool) (elements [][]byte, err error) {
	empty, err := s.enter('[', ']')
	if empty || err != nil {
		return nil, err
	}
	for more := true; more; {
		start := s.i
		if err := s.value(); err != nil {
			return nil, err
		}
		if keep {
			elements = append(elements, s.text[start:s.i])
		}
		if more, err = s.next(']'); err != nil {
			return nil, err
		}
	}
	return elements, nil
}

func (s *scanner) string() error {
	text := s.text
	s.simple = true
	for i := s.i + 1; i < len(text); i++ {
		switch c := text[i]; {
		case isSimpleByte(c):
		case c == '"':
			s.i = i + 1
			return nil
		case c < ' ':
			s.i = i
			return s.fail("a control character stands in a string")
		case c == '\\':
			s.i = i + 1
			if err := s.escape(); err != nil {
				return err
			}
			i = s.i
			s.simple = false
		default:
			s.simple = false
		}
	}
	s.i = len(text)
	return s.fail("it is cut off")
}

// escape stops at the escape's last byte.
func (s *scanner) escape() error {
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			s.i++
			if c := s.peek(); !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
				return s.fail("not a hexadecimal digit")
			}
		}
		return nil
	default:
		return s.fail("not an escape")
	}
}

func (s *scanner) number() error {
	if s.peek() == '-' {
		s.i++
	}
	if s.peek() == '0' {
		s.i++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.peek() == '.' {
		s.i++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if s.peek()|0x20 == 'e' {
		s.i++
		if c := s.peek(); c == '+' || c == '-' {
			s.i++
		}
		return s.digits()
	}
	return nil
}

func (s *scanner) digits() error {
	if !isDigit(s.peek()) {
		return s.fail("not a digit")
	}
	for isDigit(s.peek()) {
		s.i++
	}
	return nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// unquote returns what a valid JSON string stands for.
func unquote(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return raw // cannot be: the scanner has been through it
	}
	return []byte(s)
}
