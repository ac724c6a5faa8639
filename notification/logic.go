package notification

// All matches what every one of the filters matches; without any, everything.
func All(filters ...Filter) Filter {
	return filter(func(n Notification) truth {
		result := yes
		for _, f := range filters {
			if result = min(result, weigh(f, n)); result == no {
				break
			}
		}
		return result
	})
}

// Any matches what at least one of the filters matches; without any, nothing.
func Any(filters ...Filter) Filter {
	return filter(func(n Notification) truth {
		result := no
		for _, f := range filters {
			if result = max(result, weigh(f, n)); result == yes {
				break
			}
		}
		return result
	})
}

// Not matches what f does not match, and what f only matches because the
// notification does not tell: Not(Operation("delete")) drops what is known to be
// a delete, and nothing else.
func Not(f Filter) Filter {
	return filter(func(n Notification) truth { return yes - weigh(f, n) })
}

// truth is Kleene's: what is unknown stays so through All, Any and Not, and
// matches in the end.
type truth int

const (
	no truth = iota
	unknown
	yes
)

// filter is a Filter that can be unsure.
type filter func(n Notification) truth

// Match implements Filter.
func (f filter) Match(n Notification) bool { return f(n) != no }

// Weigh implements unsure.
func (f filter) Weigh(n Notification) (match, sure bool) {
	t := f(n)
	return t != no, t != unknown
}

// unsure is implemented by filters that can be unsure, those of other packages
// of this module too. If sure is false, match is true.
type unsure interface {
	Weigh(n Notification) (match, sure bool)
}

func weigh(f Filter, n Notification) truth {
	u, ok := f.(unsure)
	if !ok {
		return knownIf(true, f.Match(n))
	}
	match, sure := u.Weigh(n)
	return knownIf(sure, match)
}

func knownIf(known, match bool) truth {
	switch {
	case !known:
		return unknown
	case match:
		return yes
	default:
		return no
	}
}
