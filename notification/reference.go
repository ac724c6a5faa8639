package notification

import (
	"strings"
	"unicode"
)

// reference reads a bare reference, "accounts/123456": nothing but the entity.
func (d *decoder) reference(in delivery, ref string) (Notification, error) {
	if !isReference(ref) {
		return Notification{}, ErrUnknown
	}
	key, err := KeyOf(ref)
	if err != nil {
		return Notification{}, err
	}
	return in.notification(said{dialect: "reference", subject: ref, key: key}, []byte(ref))
}

// isReference tells a reference from other text: one word with a type in it.
func isReference(s string) bool {
	return len(s) <= 2048 &&
		(strings.Contains(s, "/") || len(s) > 4 && strings.EqualFold(s[:4], "urn:")) &&
		!strings.ContainsAny(s, "{}[]<>\"") &&
		!strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}
