package notification

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// form is a text with slots to fill in. Nil is none.
type form []piece

// piece is text with a slot after it, but for the last, which has no slot.
type piece struct{ text, slot string }

func parseForm(field, text string, slots ...string) (form, error) {
	if text == "" {
		return nil, nil
	}
	var f form
	for {
		before, rest, open := strings.Cut(text, "{")
		if strings.Contains(before, "}") {
			return nil, fmt.Errorf("%s: has a } without a {", field)
		}
		if !open {
			return append(f, piece{text: before}), nil
		}
		slot, after, closed := strings.Cut(rest, "}")
		if !closed || !slices.Contains(slots, slot) {
			return nil, fmt.Errorf("%s: has other braces than {%s}", field, strings.Join(slots, "}, {"))
		}
		f = append(f, piece{text: before, slot: slot})
		text = after
	}
}

func (f form) has(slot string) bool {
	return slices.ContainsFunc(f, func(p piece) bool { return p.slot == slot })
}

func (f form) fill(values map[string]string) string {
	var b strings.Builder
	for _, p := range f {
		b.WriteString(p.text)
		b.WriteString(values[p.slot])
	}
	return b.String()
}

// words is fill for texts of words with dots between them: each value must be
// one word, so that no value changes the meaning of those after it.
func (f form) words(field string, values map[string]string) (string, error) {
	for _, p := range f {
		if p.slot != "" && !isWord(values[p.slot]) {
			return "", fmt.Errorf(`%s: the notification's {%s} is not one word, without dots, white space, "*" and "#": give the notification a %[1]s of its own`, field, p.slot)
		}
	}
	return f.fill(values), nil
}

// checkRoutingKey follows AMQP 0.9.1 and what patterns of topic exchanges can
// name.
func checkRoutingKey(key string) error {
	switch {
	case len(key) > maxShort:
		return fmt.Errorf("RoutingKey: %d bytes, at most %d: shorten it", len(key), maxShort)
	case slices.ContainsFunc(strings.Split(key, "."), func(word string) bool { return !isWord(word) }):
		return errors.New(`RoutingKey: is not of words with dots between them, without white space, "*" and "#": correct it; without one it is the event's type`)
	}
	return nil
}

func isWord(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.ContainsAny(s, ".*#") &&
		!strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}
