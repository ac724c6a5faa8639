package notification

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/konnektor-go/konnektor/entity"
)

// Template says which parts of a subject are the entity's type and id, where
// the rule of [KeyOf] does not fit. It is a flow's Keys, and a [Filter] of the
// notifications that it fits:
//
//	accounts, err := notification.NewTemplate("/api/v2/accounts/{id}")
//	flow := connector.Flow[Account, Entry]{Match: accounts, Keys: accounts.Keys, …}
type Template struct{ patterns []pattern }

type pattern struct {
	urn   bool
	whole bool // must fit from the start of the path, not only its end
	parts []part
	id    int  // which part holds the id
	rest  bool // the id takes all that follows
}

// part is what stands between two slashes, or colons in a URN.
type part struct {
	// hole is "id", "type" or "*". Without one, before is all of the part.
	hole, before, after string
}

// NewTemplate returns a template of one or several patterns, of which the
// first that fits a subject counts:
//
//	/api/v2/accounts/{id}     a path, all of it
//	personer/{id}             a path that ends like this
//	/api/*/{type}/{id}        "*" is any one segment
//	/groups/{id...}           the id takes all the rest, slashes too
//	/accounts/acc-{id}.json   text around the id belongs to the pattern
//	urn:eksempeltjeneste:{id} a URN, all of it; colons separate its parts
//
// Scheme, host and a slash at the start or the end of the subject never matter.
// Parts are compared and returned percent-decoded; the letters' case matters
// but for "urn:" and what follows it directly. Without {type}, the type is what
// KeyOf says: the segment before the id, or all parts of the URN before it.
// Errors start with the pattern's place.
func NewTemplate(patterns ...string) (*Template, error) {
	if len(patterns) == 0 {
		return nil, errors.New(`patterns: must be at least one, such as "accounts/{id}"`)
	}
	t := &Template{}
	for i, text := range patterns {
		p, err := parsePattern(text)
		if err != nil {
			return nil, fmt.Errorf("patterns[%d]: %w", i, err)
		}
		t.patterns = append(t.patterns, p)
	}
	return t, nil
}

func parsePattern(text string) (pattern, error) {
	p := pattern{id: -1}
	if strings.Contains(text, "://") {
		return p, errors.New("must not name a scheme or a host, they never matter: begin with the path")
	}
	path, urn, err := pathOf("pattern", text)
	if err != nil {
		return p, errors.New(`must be a path such as "accounts/{id}" or a URN, without a query or a fragment`)
	}
	separator := "/"
	if p.urn = urn; urn {
		separator = ":"
	} else if path, p.whole = strings.CutPrefix(path, "/"); !p.whole {
		path = strings.TrimSpace(path)
	}
	for i, text := range strings.Split(path, separator) {
		if p.rest {
			return p, errors.New("must have {id...} as its last part only")
		}
		one, err := p.parsePart(text)
		if err != nil {
			return p, err
		}
		switch {
		case one.hole == "id" && p.id >= 0:
			return p, errors.New("must hold {id} once only")
		case one.hole == "id":
			p.id = i
		case one.hole == "type" && slices.ContainsFunc(p.parts, func(o part) bool { return o.hole == "type" }):
			return p, errors.New("must hold {type} once only")
		}
		p.parts = append(p.parts, one)
	}
	if p.id < 0 {
		return p, errors.New("must say where the id stands: {id} or {id...}")
	}
	return p, nil
}

func (p *pattern) parsePart(text string) (one part, err error) {
	before, rest, hole := strings.Cut(text, "{")
	switch {
	case text == "":
		return one, errors.New("must not have an empty part")
	case text == "*":
		return part{hole: "*"}, nil
	case strings.Contains(text, "*"):
		return one, errors.New("must have * as a whole part only")
	}
	after := ""
	if hole {
		var closed bool
		if one.hole, after, closed = strings.Cut(rest, "}"); !closed {
			return one, errors.New("must close each { with a }")
		}
		switch one.hole {
		case "id", "type":
		case "id...":
			one.hole, p.rest = "id", true
			if after != "" {
				return one, errors.New("must have {id...} as its last part only")
			}
		default:
			return one, errors.New("must not have other names in braces than {type}, {id} and {id...}")
		}
	}
	if strings.ContainsAny(before+after, "{}") {
		return one, errors.New("must have at most one pair of braces in a part")
	}
	if one.before, err = url.PathUnescape(before); err == nil {
		one.after, err = url.PathUnescape(after)
	}
	if err != nil {
		return one, errors.New("must be percent-encoded correctly")
	}
	return one, nil
}

// Key returns the entity that a subject names. A subject that no pattern fits
// is an error. Errors do not hold the subject.
func (t *Template) Key(subject string) (entity.Key, error) {
	key, fits, err := t.find(subject)
	if err == nil && !fits {
		err = errors.New("subject: does not fit the template")
	}
	return key, err
}

// Keys returns the entity that a notification's subject names; it is a flow's
// Keys. A subject that no pattern fits is an error, so that the message is set
// aside as rejected and no slip in a pattern loses notifications unseen. Where
// one queue brings other notifications too, let the flow's Match keep them away:
// the template itself is such a filter.
func (t *Template) Keys(_ context.Context, n Notification) ([]entity.Key, error) {
	key, err := t.Key(n.Event.Subject())
	if err != nil {
		return nil, err
	}
	return []entity.Key{key}, nil
}

// Match implements [Filter]: it reports whether a pattern fits the subject. A
// subject that cannot be understood matches, so that Keys can reject it.
func (t *Template) Match(n Notification) bool {
	_, fits, err := t.find(n.Event.Subject())
	return fits || err != nil
}

func (t *Template) find(subject string) (key entity.Key, fits bool, err error) {
	path, urn, err := pathOf("subject", subject)
	if err != nil {
		return entity.Key{}, false, err
	}
	separator := "/"
	if urn {
		separator = ":"
	}
	parts := strings.Split(strings.TrimPrefix(path, "/"), separator)
	for i := range t.patterns {
		if p := &t.patterns[i]; p.urn == urn {
			if key, fits, err = p.find(parts, separator); fits || err != nil {
				return key, fits, err
			}
		}
	}
	return entity.Key{}, false, nil
}

// find tries the places of the subject at which the pattern can stand.
func (p *pattern) find(parts []string, separator string) (key entity.Key, fits bool, err error) {
	spare := len(parts) - len(p.parts)
	first, last := spare, spare
	switch {
	case spare < 0 || spare > 0 && (p.whole || p.urn) && !p.rest:
		return entity.Key{}, false, nil
	case p.whole || p.urn:
		first, last = 0, 0
	case p.rest:
		first = 0
	}
	for start := first; start <= last; start++ {
		if key, fits, err = p.fit(parts, start, separator); fits || err != nil {
			return key, fits, err
		}
	}
	return entity.Key{}, false, nil
}

func (p *pattern) fit(parts []string, start int, separator string) (key entity.Key, fits bool, err error) {
	kind, typed := "", false
	for i, want := range p.parts {
		text := parts[start+i]
		if i == p.id && p.rest {
			text = strings.Join(parts[start+i:], separator)
		}
		text, err = url.PathUnescape(text)
		if err != nil {
			return entity.Key{}, false, errors.New("subject: is not percent-encoded correctly")
		}
		found, ok := want.fit(text, p.urn && i == 0)
		if !ok {
			return entity.Key{}, false, nil
		}
		switch want.hole {
		case "id":
			key.ID = found
		case "type":
			kind, typed = found, true
		}
	}
	if key.Type = kind; !typed {
		before := parts[:start+p.id]
		if !p.urn {
			before = before[max(len(before)-1, 0):]
		}
		if key.Type, err = url.PathUnescape(strings.Join(before, separator)); err != nil {
			return entity.Key{}, false, errors.New("subject: is not percent-encoded correctly")
		}
	}
	key, err = checkKey("subject", key)
	return key, err == nil, err
}

// fit returns what stands in the part's hole.
func (one part) fit(text string, fold bool) (found string, ok bool) {
	switch {
	case one.hole == "*":
		return "", text != ""
	case one.hole == "" && fold:
		return "", strings.EqualFold(one.before, text)
	case one.hole == "":
		return "", one.before == text
	}
	found, ok = strings.CutPrefix(text, one.before)
	if !ok {
		return "", false
	}
	found, ok = strings.CutSuffix(found, one.after)
	return found, ok && found != ""
}
