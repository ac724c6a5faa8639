package notification

import (
	"slices"
	"strings"

	"github.com/konnektor-go/konnektor/internal/topic"
)

// Filter says whether a notification is relevant. What is not is acked and
// forgotten, so a filter must not match less than it knows: what a notification
// does not tell cannot make it irrelevant. [Audience], [Changed] and
// [Operation] match a notification that does not tell theirs, and so does their
// [Not].
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

// Audience matches notifications that are meant for one of the systems, by
// patterns in which "*" stands for any characters, and those that do not say
// whom they are meant for.
func Audience(patterns ...string) Filter {
	return filter(func(n Notification) truth {
		return knownIf(len(n.Audience) > 0, slices.ContainsFunc(n.Audience, func(a string) bool { return glob(patterns, a) }))
	})
}

// Changed matches notifications by which one of the attributes changed, and
// those that do not say what changed. Case does not matter. "name" covers
// "name.familyName" and is covered by it; a schema's URN before an attribute
// ("urn:…:User:name") may be left out.
func Changed(attributes ...string) Filter {
	return filter(func(n Notification) truth {
		return knownIf(len(n.Changed) > 0, slices.ContainsFunc(n.Changed, func(changed string) bool {
			return slices.ContainsFunc(attributes, func(a string) bool { return overlap(a, changed) })
		}))
	})
}

// overlap compares attributes by SCIM's rules (RFC 7643 section 2.1, RFC 7644
// section 3.10).
func overlap(attribute, changed string) bool {
	a, c := strings.ToLower(attribute), strings.ToLower(changed)
	if !strings.Contains(a, ":") {
		c = c[strings.LastIndexByte(c, ':')+1:]
	} else if !strings.Contains(c, ":") {
		a = a[strings.LastIndexByte(a, ':')+1:]
	}
	return a == c || strings.HasPrefix(c, a+".") || strings.HasPrefix(a, c+".")
}

// Operation matches notifications of one of the operations, such as "create",
// and those that do not tell theirs. Case does not matter. The names are the
// provider's: one says "update", another "modify".
func Operation(names ...string) Filter {
	return filter(func(n Notification) truth {
		return knownIf(n.Operation != "", slices.ContainsFunc(names, func(name string) bool {
			return strings.EqualFold(name, n.Operation)
		}))
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
