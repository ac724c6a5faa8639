package ldap

import (
	"context"
	"fmt"
	"slices"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
)

// entryCSN is the version of an entry in OpenLDAP: it changes with each write.
const entryCSN = "entryCSN"

// versions reports whether a write can be bound to the version that was read.
func (s *schema) versions() bool {
	return s.controls[oidAssertion] && s.types[strings.ToLower(entryCSN)] != nil
}

// state is an entry as it was read.
type state struct {
	dn         string
	csn        string              // its version, "" if the server has none
	attributes map[string][]string // by canonical name
	spelled    map[string][]string // by the server's name
}

// find reads the entry of key.
func (e *Entries) find(ctx context.Context, s *schema, key entity.Key, attributes []string) (*state, bool, error) {
	if s.versions() {
		attributes = append(slices.Clip(attributes), entryCSN)
	}
	req, err := e.request(key, attributes)
	if err != nil {
		return nil, false, err
	}
	var entries []*goldap.Entry
	missing := false
	err = e.client.read(ctx, opSearch, func(conn *goldap.Conn) error {
		result, err := conn.Search(req)
		if result != nil {
			entries = result.Entries
		}
		if goldap.IsErrorWithCode(err, goldap.LDAPResultSizeLimitExceeded) && len(entries) > 1 {
			return nil // there are more than the two that were asked for
		}
		if e.cfg.ByDN && goldap.IsErrorWithCode(err, goldap.LDAPResultNoSuchObject) {
			missing = true
			return nil
		}
		return err
	})
	switch {
	case err != nil:
		return nil, false, baseMissing(err)
	case missing:
		// Is it the entry that is not there, or all of the base?
		return nil, false, e.checkBase(ctx)
	case len(entries) == 0:
		return nil, false, nil
	case len(entries) > 1:
		return nil, false, failed("search: %w", sink.ErrAmbiguous)
	}
	have, err := e.client.stateOf(ctx, s, entries[0])
	return have, err == nil, err
}

// request returns the search for the entry of key.
func (e *Entries) request(key entity.Key, attributes []string) (*goldap.SearchRequest, error) {
	filter, err := e.isKey(key)
	if err != nil {
		return nil, err
	}
	if !e.cfg.ByDN {
		if e.cfg.Filter != "" {
			filter = "(&" + filter + e.cfg.Filter + ")"
		}
		return goldap.NewSearchRequest(e.base, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases,
			2, e.seconds(), false, filter, attributes, nil), nil
	}
	filter = "(objectClass=*)"
	if e.cfg.Filter != "" {
		filter = e.cfg.Filter
	}
	dn, err := e.dn.dn(func(string) (string, error) { return key.ID, nil })
	if err != nil {
		return nil, err
	}
	return goldap.NewSearchRequest(dn, goldap.ScopeBaseObject, goldap.NeverDerefAliases,
		2, e.seconds(), false, filter, attributes, nil), nil
}

// seconds is the time limit that a server is told.
func (e *Entries) seconds() int { return e.client.seconds() }

func (c *Client) seconds() int { return max(1, int(c.cfg.Timeout.Seconds())) }

// checkBase returns an error if the base is not there.
func (e *Entries) checkBase(ctx context.Context) error { return e.client.checkBase(ctx, e.base) }

func (c *Client) checkBase(ctx context.Context, base string) error {
	n := 0
	err := c.read(ctx, opSearch, func(conn *goldap.Conn) error {
		result, err := conn.Search(goldap.NewSearchRequest(base, goldap.ScopeBaseObject, goldap.NeverDerefAliases,
			0, c.seconds(), false, "(objectClass=*)", []string{"1.1"}, nil))
		if result != nil {
			n = len(result.Entries)
		}
		return err
	})
	if err == nil && n == 0 {
		err = c.ofServer(opSearch, goldap.LDAPResultNoSuchObject, "")
	}
	return baseMissing(err)
}

// stateOf returns what was read of an entry. Values that the server sends in
// ranges only are fetched.
func (c *Client) stateOf(ctx context.Context, s *schema, entry *goldap.Entry) (*state, error) {
	have := &state{
		dn:         entry.DN,
		attributes: make(map[string][]string, len(entry.Attributes)),
		spelled:    make(map[string][]string, len(entry.Attributes)),
	}
	for _, a := range entry.Attributes {
		if strings.EqualFold(a.Name, entryCSN) {
			have.csn = first(a.Values)
			continue
		}
		name, next, ranged := cutRange(a.Name)
		values := a.Values
		for ranged && next > 0 {
			more, err := c.rangeOf(ctx, entry.DN, name, next)
			if err != nil {
				return nil, err
			}
			values, next = append(values, more.values...), more.next
		}
		canonical := s.canonical(name)
		have.attributes[canonical] = append(have.attributes[canonical], values...)
		have.spelled[name] = append(have.spelled[name], values...)
	}
	return have, nil
}

// part is a range of an attribute's values. Its next is where the next range
// begins, 0 after the last.
type part struct {
	values []string
	next   int
}

// rangeOf reads the values of an attribute from a position on. Active Directory
// sends 1,500 at a time.
func (c *Client) rangeOf(ctx context.Context, dn, name string, from int) (part, error) {
	var p part
	err := c.read(ctx, opSearch, func(conn *goldap.Conn) error {
		result, err := conn.Search(goldap.NewSearchRequest(dn, goldap.ScopeBaseObject, goldap.NeverDerefAliases,
			0, c.seconds(), false, "(objectClass=*)", []string{fmt.Sprintf("%s;range=%d-*", name, from)}, nil))
		if err != nil {
			return err
		}
		p = part{}
		for _, entry := range result.Entries {
			for _, a := range entry.Attributes {
				if got, next, ok := cutRange(a.Name); ok && strings.EqualFold(got, name) {
					p.values, p.next = append(p.values, a.Values...), next
				}
			}
		}
		return nil
	})
	if err == nil && p.next > 0 && (p.next <= from || len(p.values) == 0) {
		err = failed("search: the ranges of attribute %s do not end", name)
	}
	return p, err
}

// cutRange cuts the option range off a name. It returns where the next range
// begins, 0 after the last.
func cutRange(name string) (rest string, next int, ranged bool) {
	before, option, ok := strings.Cut(name, ";range=")
	if !ok {
		return name, 0, false
	}
	option, after, has := strings.Cut(option, ";")
	if has {
		before += ";" + after
	}
	var from, to int
	if n, _ := fmt.Sscanf(option, "%d-%d", &from, &to); n == 2 && to >= from && to < 1<<31-1 {
		return before, to + 1, true
	}
	return before, 0, true
}

// all runs a search to its end, page by page if the server can.
func (c *Client) all(ctx context.Context, s *schema, req goldap.SearchRequest) ([]*goldap.Entry, error) {
	const page = 500
	var entries []*goldap.Entry
	err := c.read(ctx, opSearch, func(conn *goldap.Conn) error {
		entries = nil
		paging := goldap.NewControlPaging(page)
		for {
			r := req
			if s.controls[oidPaging] {
				r.Controls = append(slices.Clip(r.Controls), paging)
			}
			result, err := conn.Search(&r)
			if err != nil {
				return err
			}
			entries = append(entries, result.Entries...)
			answer, ok := goldap.FindControl(result.Controls, oidPaging).(*goldap.ControlPaging)
			if !ok || len(answer.Cookie) == 0 {
				return nil
			}
			paging.SetCookie(answer.Cookie)
		}
	})
	return entries, err
}
