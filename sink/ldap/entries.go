package ldap

import (
	"context"
	"errors"
	"fmt"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
)

// Entry is an entry of a directory: a person, a group.
type Entry struct {
	// DN is where the entry is to be. Default: where Config.DN says. Use [DN] to
	// make one of values.
	DN string
	// Attributes has the values of each attribute that is ours, in any order.
	// One that is not there is left alone; one that has no values is to have
	// none. The classes in objectClass are added to those that the entry has.
	Attributes map[string][]string
}

// Config configures [Entries]. The zero Config works: people below a base whose
// uid is entity.Key.ID.
type Config struct {
	// Key is the attribute that holds entity.Key.ID, by which an entry is found
	// wherever it is below the base. It should have an index. Default "uid".
	Key string
	// KeyValue returns what Key holds for an ID, such as [GUID]. Default: the ID
	// itself.
	KeyValue func(id string) (string, error) `json:"-"`
	// ByDN looks for an entry at its DN instead. Then entries are never renamed,
	// and DN must hold no other name than {id}.
	ByDN bool
	// DN is the template for an entry's DN, as for the function [DN]. In it,
	// {id} is entity.Key.ID, and any other name is the first value of that
	// attribute of the Entry. When it comes to mean another DN, the entry is
	// renamed, or moved. Default: Key={id}, below the base.
	DN string
	// Filter is what an entry must match besides, "(objectClass=person)".
	Filter string
	// Classes are added to the objectClass of each Entry.
	Classes []string
	// Values says how attributes are compared and owned, by name.
	Values map[string]Values
	// Read lists the attributes that are read of an entry that is to be removed,
	// for sink.Removal to look at. Default: all.
	Read []string
}

// Values says how the values of an attribute are compared, and which of them
// are ours.
type Values struct {
	// Match says which values are the same. Default: the server's schema.
	Match Match
	// Owned reports whether a value is ours. The others are left alone, and
	// never compared. Default: all are.
	Owned func(value string) bool `json:"-"`
	// Placeholder is a value that the attribute always has, for groups whose
	// class demands a member.
	Placeholder string
	// Bits are the bits that are ours, of an attribute that holds an integer,
	// such as userAccountControl. A new entry gets all bits of the wanted value.
	Bits uint32
}

// Entries is a [sink.Target] and a [sink.Observer]: the entries below a base,
// one for each entity.
type Entries struct {
	client *Client
	base   string
	cfg    Config
	dn     template
}

// New returns the Entries below base. Nothing is asked of the server yet, see
// [Entries.Check].
func New(client *Client, base string, cfg Config) (*Entries, error) {
	switch {
	case client == nil:
		return nil, errors.New("ldap: client: must not be nil")
	case !isDN(base):
		return nil, errors.New(`ldap: base: must be a DN such as "ou=people,dc=example,dc=org"`)
	}
	if cfg.Key == "" {
		cfg.Key = "uid"
	}
	if cfg.DN == "" {
		cfg.DN = cfg.Key + "={id}," + base
	}
	if cfg.KeyValue == nil {
		cfg.KeyValue = func(id string) (string, error) { return id, nil }
	}
	e := &Entries{client: client, base: base, cfg: cfg}
	if err := e.validate(); err != nil {
		return nil, fmt.Errorf("ldap: %w", err)
	}
	return e, nil
}

func isDN(s string) bool {
	dn, err := goldap.ParseDN(s)
	return err == nil && len(dn.RDNs) > 0
}

func (e *Entries) validate() (err error) {
	if e.dn, err = parseTemplate(e.cfg.DN); err != nil {
		return fmt.Errorf("DN: %w", err)
	}
	sample, _ := e.dn.dn(func(string) (string, error) { return "x", nil }) // was parsed
	if !isBelow(normalDN(sample), normalDN(e.base)) {
		return errors.New("DN: must end with the base")
	}
	for _, name := range e.dn.names {
		switch {
		case e.cfg.ByDN && name != "id":
			return errors.New("DN: must hold no other name than {id}, for ByDN")
		case name != "id" && !isName(name):
			return fmt.Errorf("DN: {%s} is not an attribute", name)
		}
	}
	if !isName(e.cfg.Key) {
		return errors.New("Key: is not an attribute")
	}
	for name, v := range e.cfg.Values {
		switch {
		case !isName(name):
			return fmt.Errorf("Values[%q]: is not an attribute", name)
		case v.Match < BySchema || v.Match > DistinguishedName:
			return fmt.Errorf("Values[%q]: Match: is none", name)
		case v.Bits != 0 && (v.Owned != nil || v.Placeholder != ""):
			return fmt.Errorf("Values[%q]: Bits: leave no room for Owned and Placeholder", name)
		}
	}
	for _, name := range e.cfg.Read {
		if !isName(name) && name != "*" && name != "+" {
			return errors.New("Read: holds what is not an attribute")
		}
	}
	return checkFilter(e.cfg.Filter)
}

func checkFilter(filter string) error {
	if filter == "" {
		return nil
	}
	if _, err := goldap.CompileFilter(filter); err != nil || filter[0] != '(' {
		return errors.New(`Filter: must be one such as "(objectClass=person)"`)
	}
	return nil
}

// isName reports whether s can be the name of an attribute, or its number, and
// its options (RFC 4512, section 2.5).
func isName(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && strings.IndexByte("-.;", s[i]) < 0 {
			return false
		}
	}
	return s != ""
}

// Get reads the entry of key, with the attributes of Config.Read.
func (e *Entries) Get(ctx context.Context, key entity.Key) (sink.Found[Entry], bool, error) {
	s, err := e.client.loaded(ctx)
	if err != nil {
		return sink.Found[Entry]{}, false, err
	}
	read := e.cfg.Read
	if read == nil {
		read = []string{"*"}
	}
	have, found, err := e.find(ctx, s, key, read)
	if err != nil || !found {
		return sink.Found[Entry]{}, false, err
	}
	return sink.Found[Entry]{Value: Entry{DN: have.dn, Attributes: have.spelled}, Ref: have}, true, nil
}

// Observe reads the entry of key and compares it with want. The fields have the
// names of their attributes; "dn" is where the entry is.
func (e *Entries) Observe(ctx context.Context, key entity.Key, want Entry) (sink.Found[Entry], bool, []sink.Field, error) {
	s, err := e.client.loaded(ctx)
	if err != nil {
		return sink.Found[Entry]{}, false, nil, err
	}
	w, err := e.wanted(s, key, want)
	if err != nil {
		return sink.Found[Entry]{}, false, nil, err
	}
	have, found, err := e.find(ctx, s, key, w.names())
	if err != nil || !found {
		return sink.Found[Entry]{}, false, nil, err
	}
	value := Entry{DN: have.dn, Attributes: make(map[string][]string, len(w.attributes))}
	var fields []sink.Field
	if w.dn != "" && !s.sameDN(have.dn, w.dn) {
		fields = append(fields, sink.Field{Name: "dn", Old: have.dn, New: w.dn})
	}
	for _, a := range w.attributes {
		old := have.attributes[a.canonical]
		value.Attributes[a.name] = old
		if !a.differs(old).none() {
			fields = append(fields, sink.Field{Name: a.name, Old: old, New: a.values})
		}
	}
	return sink.Found[Entry]{Value: value, Ref: have}, true, fields, nil
}

// Find returns the DN of the entry of key, and false if there is none. It serves
// as the member of [NewMemberships].
func (e *Entries) Find(ctx context.Context, key entity.Key) (dn string, found bool, err error) {
	s, err := e.client.loaded(ctx)
	if err != nil {
		return "", false, err
	}
	have, found, err := e.find(ctx, s, key, []string{"1.1"})
	if err != nil || !found {
		return "", false, err
	}
	return have.dn, true, nil
}

// keyValue returns what the attribute Key holds for key.
func (e *Entries) keyValue(key entity.Key) (string, error) {
	if key.ID == "" {
		return "", rejected("the key has no ID")
	}
	v, err := e.cfg.KeyValue(key.ID)
	if err != nil {
		return "", rejected("KeyValue: the ID does not fit attribute %s", e.cfg.Key)
	}
	return v, nil
}

// isKey returns the filter for the entry of key.
func (e *Entries) isKey(key entity.Key) (string, error) {
	v, err := e.keyValue(key)
	if err != nil {
		return "", err
	}
	return "(" + e.cfg.Key + "=" + goldap.EscapeFilter(v) + ")", nil
}

// failed returns an error of this entity that may heal.
func failed(format string, args ...any) error {
	return failure.As(failure.Failed, fmt.Errorf("ldap: "+format, args...))
}
