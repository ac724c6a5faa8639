package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
)

// Membership is which groups somebody is in, by their DNs, among the groups that
// are ours.
type Membership struct{ Groups []string }

// MembershipsConfig configures [Memberships]. The zero MembershipsConfig works:
// groups of class groupOfNames, whose members are DNs.
type MembershipsConfig struct {
	// Filter says which entries below the base are our groups. Others are left
	// alone. Default "(objectClass=groupOfNames)".
	Filter string
	// Attribute holds the members. It needs an index, as somebody's groups are
	// found by it. Default "member".
	Attribute string
	// Placeholder is put into a group that would lose its last member where its
	// class demands one. Default: such a removal is refused.
	Placeholder string
}

// Memberships is a [sink.Target] and a [sink.Observer]: which groups an entity is
// in. It never reads the members of a group, and each group that somebody enters
// or leaves costs one modify with one value, however large the group is.
type Memberships struct {
	client *Client
	base   string
	member func(context.Context, entity.Key) (string, bool, error)
	cfg    MembershipsConfig
}

// NewMemberships returns the Memberships in the groups below base. The function
// member returns what stands for an entity in a group: its DN, as [Entries.Find]
// does, or its uid; and false if the entity is not in the directory. It is called
// concurrently, and classifies its errors.
func NewMemberships(client *Client, base string, member func(context.Context, entity.Key) (value string, found bool, err error), cfg MembershipsConfig) (*Memberships, error) {
	switch {
	case client == nil:
		return nil, errors.New("ldap: client: must not be nil")
	case !isDN(base):
		return nil, errors.New(`ldap: base: must be a DN such as "ou=groups,dc=example,dc=org"`)
	case member == nil:
		return nil, errors.New("ldap: member: must not be nil")
	}
	if cfg.Filter == "" {
		cfg.Filter = "(objectClass=groupOfNames)"
	}
	if cfg.Attribute == "" {
		cfg.Attribute = "member"
	}
	if err := checkFilter(cfg.Filter); err != nil {
		return nil, fmt.Errorf("ldap: %w", err)
	}
	if !isName(cfg.Attribute) {
		return nil, errors.New("ldap: Attribute: is not an attribute")
	}
	return &Memberships{client: client, base: base, member: member, cfg: cfg}, nil
}

// groupsOf is what is kept from a read to a write.
type groupsOf struct{ member string }

// Get returns the groups that the entity is in, and false if it is in none.
func (m *Memberships) Get(ctx context.Context, key entity.Key) (sink.Found[Membership], bool, error) {
	have, found, err := m.read(ctx, key)
	return have, found && len(have.Value.Groups) > 0, err
}

// Observe compares the groups that the entity is in with those of want. Its only
// field is "groups". An entity is found unless it is in no group and is to be in
// one.
func (m *Memberships) Observe(ctx context.Context, key entity.Key, want Membership) (sink.Found[Membership], bool, []sink.Field, error) {
	have, found, err := m.read(ctx, key)
	switch {
	case err != nil:
		return have, false, nil, err
	case !found && len(want.Groups) > 0:
		return have, false, nil, failed("Membership: the member is not in the directory yet")
	}
	add, remove, err := m.differs(have.Value, want)
	switch {
	case err != nil:
		return have, false, nil, err
	case len(add)+len(remove) == 0:
		return have, true, nil, nil
	case len(have.Value.Groups) == 0:
		return have, false, nil, nil
	}
	return have, true, []sink.Field{{Name: "groups", Old: have.Value.Groups, New: want.Groups}}, nil
}

// Create puts the entity into the groups of want.
func (m *Memberships) Create(ctx context.Context, key entity.Key, want Membership) error {
	have, found, err := m.read(ctx, key)
	switch {
	case err != nil:
		return err
	case !found:
		return failed("Membership: the member is not in the directory yet")
	case len(have.Value.Groups) > 0:
		return fmt.Errorf("ldap: Membership: %w", sink.ErrExists)
	}
	return m.Update(ctx, key, have, want, nil)
}

// Update puts the entity into the groups that it lacks, and takes it out of the
// others.
func (m *Memberships) Update(ctx context.Context, _ entity.Key, have sink.Found[Membership], want Membership, _ []sink.Field) error {
	ref, ok := have.Ref.(groupsOf)
	if !ok {
		return rejected("the membership was not read by this target")
	}
	add, remove, err := m.differs(have.Value, want)
	if err != nil {
		return err
	}
	// Leaving comes first: nobody has for a moment what goes with two groups that
	// exclude each other, and a conflict shows before anything was added.
	for _, group := range remove {
		if err := m.leave(ctx, group, ref.member); err != nil {
			return err
		}
	}
	for _, group := range add {
		if err := m.enter(ctx, group, ref.member); err != nil {
			return err
		}
	}
	return nil
}

// Delete takes the entity out of all groups.
func (m *Memberships) Delete(ctx context.Context, key entity.Key, have sink.Found[Membership]) error {
	return m.Update(ctx, key, have, Membership{}, nil)
}

// read returns the groups that the entity is in, and false if it is not in the
// directory.
func (m *Memberships) read(ctx context.Context, key entity.Key) (have sink.Found[Membership], found bool, err error) {
	s, err := m.client.loaded(ctx)
	if err != nil {
		return have, false, err
	}
	member, found, err := m.member(ctx, key)
	if err != nil || !found {
		return have, false, err
	}
	if member == "" {
		return have, false, rejected("member: is empty")
	}
	entries, err := m.client.all(ctx, s, *goldap.NewSearchRequest(m.base, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases,
		0, m.client.seconds(), false, "(&("+m.cfg.Attribute+"="+goldap.EscapeFilter(member)+")"+m.cfg.Filter+")", []string{"1.1"}, nil))
	if err != nil {
		return have, false, baseMissing(err)
	}
	for _, entry := range entries {
		have.Value.Groups = append(have.Value.Groups, entry.DN)
	}
	slices.Sort(have.Value.Groups)
	have.Ref = groupsOf{member}
	return have, true, nil
}

// differs returns the groups to enter and to leave.
func (m *Memberships) differs(have, want Membership) (add, remove []string, err error) {
	base := normalDN(m.base)
	groups := matching{normal: normalDN}
	for _, g := range want.Groups {
		if !isDN(g) || !isBelow(normalDN(g), base) {
			return nil, nil, rejected("Groups: holds what is no DN below the base")
		}
	}
	d := attribute{values: groups.set(want.Groups), match: groups}.differs(have.Groups)
	return d.add, d.remove, nil
}

// enter adds a member. That it is there already is a conflict, as for any modify.
func (m *Memberships) enter(ctx context.Context, group, member string) error {
	req := goldap.ModifyRequest{DN: group}
	req.Add(m.cfg.Attribute, []string{member})
	err := m.send(ctx, req)
	if resultCode(err) == goldap.LDAPResultNoSuchObject {
		return failed("modify: noSuchObject (32): a group is not there")
	}
	return err
}

// leave removes a member. That it, or the group, is not there any more is a
// conflict.
func (m *Memberships) leave(ctx context.Context, group, member string) error {
	req := goldap.ModifyRequest{DN: group}
	req.Delete(m.cfg.Attribute, []string{member})
	err := m.send(ctx, req)
	if resultCode(err) == goldap.LDAPResultObjectClassViolation && m.cfg.Placeholder != "" {
		req.Changes = nil
		req.Add(m.cfg.Attribute, []string{m.cfg.Placeholder})
		req.Delete(m.cfg.Attribute, []string{member})
		err = m.send(ctx, req)
	}
	return err
}

func (m *Memberships) send(ctx context.Context, req goldap.ModifyRequest) error {
	return m.client.write(ctx, opModify, func(conn *goldap.Conn) error { return conn.Modify(&req) })
}
