package notification

import (
	"slices"
	"strings"

	"github.com/konnektor-go/konnektor/internal/topic"
)

// Filter says whether a notification is relevant.
type Filter interface {
	Match(n Notification) bool
}

// FilterFunc is a Filter made of a function.
type FilterFunc func(n Notification) bool

// Match calls f.
func (f FilterFunc) Match(n Notification) bool { return f(n) }

// Type matches notifications whose CloudEvents type is one of the patterns, in
// which "*" stands for any characters, dots included:
// "no.uio.iga.person.*".
func Type(patterns ...string) Filter {
	return FilterFunc(func(n Notification) bool { return glob(patterns, n.Event.Type()) })
}

// Source matches notifications whose CloudEvents source is one of the patterns,
// in which "*" stands for any characters.
func Source(patterns ...string) Filter {
	return FilterFunc(func(n Notification) bool { return glob(patterns, n.Event.Source()) })
}

// RoutingKey matches notifications by the routing key of their message, with
// the patterns of an AMQP topic exchange: "*" stands for one word between
// dots, "#" for any number of words.
func RoutingKey(patterns ...string) Filter {
	return FilterFunc(func(n Notification) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return topic.Match(p, n.RoutingKey) })
	})
}

func glob(patterns []string, s string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return globOne(p, s) })
}

func globOne(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	s, ok := strings.CutPrefix(s, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		_, after, found := strings.Cut(s, part)
		if !found {
			return false
		}
		s = after
	}
	return strings.HasSuffix(s, parts[last])
}
