package postgres

import (
	"errors"
	"fmt"
	"slices"

	"github.com/konnektor-go/konnektor/entity"
)

// Config configures a [Table]. The zero Config works.
type Config struct {
	// Key is the name of the column that holds entity.Key.ID. It must be
	// unique. Default "id".
	Key string
	// Keys are the columns of a key of several columns, in place of Key. They
	// must be unique together.
	Keys []KeyColumn
	// Version is the name of a column with whole numbers, which every write
	// counts up. A row is written and deleted only if its version is still the
	// one that was read: else it is a conflict. Other writers must count it up
	// too. Default: none.
	Version string
	// Children are the tables with rows that belong to the entity, in an order
	// in which rows can be inserted. They are deleted in the other.
	Children []Child
}

// KeyColumn is a column of a key of several columns.
type KeyColumn struct {
	// Name is the column's name.
	Name string
	// Value returns what the column holds for key, as text. Default: key.ID.
	Value func(key entity.Key) string
}

// Child is a table of rows that belong to an entity, as a person's employments
// do. They are owned as a set: rows that are not wanted are deleted.
type Child struct {
	// Field is the name of the field of T that holds the rows: a slice of
	// structs, or a [sink.Optional] of one. The structs are rows as T is one,
	// without fields for the columns in Parent, and without Optionals.
	Field string
	// Table is the table's name, as for [New]. Default: the field's db tag, or
	// its name in lower case.
	Table string
	// Parent are the columns that refer to the entity's row. Default
	// "parent_id".
	Parent []string
	// References are the columns of the entity's row that Parent refers to, in
	// the same order: a surrogate key, say. Default: its key.
	References []string
	// Key are the columns, among those of the structs, that tell apart the rows
	// of an entity. Together with Parent they must be unique. A row whose key
	// stays is updated. Default: all columns of the structs, so that rows are
	// inserted and deleted only.
	Key []string
}

func (c Config) withDefaults() Config {
	if len(c.Keys) == 0 {
		if c.Key == "" {
			c.Key = "id"
		}
		c.Keys = []KeyColumn{{Name: c.Key}}
	}
	c.Keys = slices.Clone(c.Keys)
	names := make([]string, len(c.Keys))
	for i := range c.Keys {
		if c.Keys[i].Value == nil {
			c.Keys[i].Value = func(key entity.Key) string { return key.ID }
		}
		names[i] = c.Keys[i].Name
	}
	c.Children = slices.Clone(c.Children)
	for i := range c.Children {
		if len(c.Children[i].Parent) == 0 {
			c.Children[i].Parent = []string{"parent_id"}
		}
		if len(c.Children[i].References) == 0 {
			c.Children[i].References = names
		}
	}
	return c
}

func (c Config) validate() error {
	if c.Key != "" && len(c.Keys) > 0 {
		return errors.New("Key: leaves no room for Keys; set one of them")
	}
	if c.Key != "" {
		if err := checkName(c.Key); err != nil {
			return fmt.Errorf("Key: %w", err)
		}
	}
	seen := map[string]bool{}
	for i, k := range c.Keys {
		if err := checkName(k.Name); err != nil {
			return fmt.Errorf("Keys[%d].Name: %w", i, err)
		}
		if seen[k.Name] {
			return fmt.Errorf("Keys[%d].Name: %q is there twice", i, k.Name)
		}
		seen[k.Name] = true
	}
	if c.Version != "" {
		if err := checkName(c.Version); err != nil {
			return fmt.Errorf("Version: %w", err)
		}
	}
	return nil
}
