package ldap

import (
	"context"
	"fmt"
	"slices"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
)

// Check reports what would stop the connector from using the entries: no server
// serves, the credentials are refused, the base is not there or may not be seen,
// the search by Key is refused, or the server does not know an attribute or a
// class that Config names. It writes nothing, so it cannot tell whether the user
// may write.
func (e *Entries) Check(ctx context.Context) error {
	s, err := e.client.load(ctx)
	if err != nil {
		return err
	}
	names := append([]string{e.cfg.Key}, e.dn.names...)
	for name := range e.cfg.Values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name != "id" && !s.knows(name) {
			return failure.As(failure.Unavailable, fmt.Errorf("ldap: the server knows no attribute %q; correct Config, or add a schema", name))
		}
	}
	for _, class := range e.cfg.Classes {
		if len(s.classes) > 0 && !s.classes[fold(class)] {
			return failure.As(failure.Unavailable, fmt.Errorf("ldap: Classes: the server knows no class %q; correct it, or add a schema", class))
		}
	}
	if err := e.client.checkBase(ctx, e.base); err != nil {
		return err
	}
	if e.cfg.ByDN {
		return nil
	}
	// No filter for a value is refused because there is no such value.
	req := goldap.NewSearchRequest(e.base, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases,
		2, e.client.seconds(), false, "("+e.cfg.Key+"=check)", []string{"1.1"}, nil)
	return e.client.read(ctx, opSearch, func(conn *goldap.Conn) error {
		_, err := conn.Search(req)
		if goldap.IsErrorWithCode(err, goldap.LDAPResultSizeLimitExceeded) {
			err = nil
		}
		return err
	})
}

// knows reports whether the server has the attribute. One that tells no schema
// may have any.
func (s *schema) knows(name string) bool {
	_, ok := s.lookup(name)
	return ok || len(s.types) == 0
}

// Check reports what would stop the connector from using the groups, as
// [Entries.Check] does. It writes nothing.
func (m *Memberships) Check(ctx context.Context) error {
	s, err := m.client.load(ctx)
	if err != nil {
		return err
	}
	if !s.knows(m.cfg.Attribute) {
		return failure.As(failure.Unavailable, fmt.Errorf("ldap: Attribute: the server knows no attribute %q; correct it, or add a schema", m.cfg.Attribute))
	}
	if err := m.client.checkBase(ctx, m.base); err != nil {
		return err
	}
	// Somebody who is not there is not found, which is all that is asked.
	_, _, err = m.read(ctx, entity.Key{Type: "check", ID: "check"})
	return err
}

// baseMissing says what was not found by a search.
func baseMissing(err error) error {
	if resultCode(err) != goldap.LDAPResultNoSuchObject {
		return err
	}
	return failure.As(failure.Of(err), fmt.Errorf("%w: the base is not there, or may not be seen", err))
}
