// Package entity holds the identity that every part of a connector shares: the
// key of a person, an employment, a course or a group in its source system.
//
// A key is personal data. It therefore prints redacted everywhere (see
// [Key.String]); where an operator must be able to tell two entities apart,
// use [Hasher], whose short hashes mean nothing without its secret.
package entity

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"
)

// MaxLen is the longest Type and the longest ID that a valid key has, in bytes.
const MaxLen = 1024

// Key names one entity of a source system.
type Key struct {
	// Type is the kind of entity, as the source names it: "persons",
	// "accounts". It may be empty where the source has only one kind.
	Type string `json:"type"`
	// ID identifies the entity within its type. It may hold any character but
	// control characters.
	ID string `json:"id"`
}

// Validate reports why k cannot be the key of an entity. The error names the
// field and never its value.
func (k Key) Validate() error {
	if k.ID == "" {
		return errors.New("ID: must not be empty")
	}
	for _, f := range []struct{ name, value string }{{"Type", k.Type}, {"ID", k.ID}} {
		switch {
		case len(f.value) > MaxLen:
			return fmt.Errorf("%s: %d bytes, at most %d are allowed", f.name, len(f.value), MaxLen)
		case !utf8.ValidString(f.value):
			return fmt.Errorf("%s: must be valid UTF-8", f.name)
		case strings.ContainsFunc(f.value, isControl):
			return fmt.Errorf("%s: must not hold control characters", f.name)
		}
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }

// String returns the type with the ID redacted: "persons/***". It is what the
// fmt verbs %v, %+v and %s print.
func (k Key) String() string { return k.Type + "/***" }

// GoString redacts the ID for %#v.
func (k Key) GoString() string { return "entity.Key{" + k.String() + "}" }

// LogValue redacts the ID in logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
