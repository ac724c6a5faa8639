package entity_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
)

func TestKeyIsRedactedWhereverItIsPrinted(t *testing.T) {
	key := entity.Key{Type: "persons", ID: "01017012345"}
	in := struct{ K entity.Key }{key}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", key)
	for _, printed := range []string{
		key.String(), fmt.Sprint(key), fmt.Sprintf("%v %+v %#v %s %q", key, key, key, key, key),
		fmt.Sprintf("%v %+v %#v", in, in, in), log.String(),
	} {
		require.NotContains(t, printed, "01017012345")
		require.Contains(t, printed, "persons/***")
	}
}

func TestKeyValidate(t *testing.T) {
	for _, tc := range []struct {
		name string
		key  entity.Key
		want string
	}{
		{"plain", entity.Key{Type: "persons", ID: "123"}, ""},
		{"no type", entity.Key{ID: "123"}, ""},
		{"odd characters", entity.Key{Type: "å/ø", ID: "a:b@c d/é"}, ""},
		{"no id", entity.Key{Type: "persons"}, "ID: must not be empty"},
		{"NUL", entity.Key{ID: "1\x002"}, "ID: must not hold control characters"},
		{"C1 control", entity.Key{ID: "1\u0085"}, "ID: must not hold control characters"},
		{"newline in type", entity.Key{Type: "a\nb", ID: "1"}, "Type: must not hold control characters"},
		{"not UTF-8", entity.Key{ID: "\xff"}, "ID: must be valid UTF-8"},
		{"too long", entity.Key{ID: strings.Repeat("1", 1025)}, "ID: 1025 bytes, at most 1024 are allowed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.key.Validate()
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, tc.want)
		})
	}
}

func ExampleHasher_Hash() {
	hasher := entity.NewHasher([]byte("a secret of 32 bytes, kept safe."))
	key := entity.Key{Type: "persons", ID: "123"}
	fmt.Println(key, len(hasher.Hash(key)), hasher.Hash(key) == hasher.Hash(key))
	fmt.Println(hasher.Hash(key) == entity.NewHasher([]byte("another")).Hash(key))
	// Output:
	// persons/*** 16 true
	// false
}

func TestHashTellsTypeFromID(t *testing.T) {
	var h entity.Hasher
	require.NotEqual(t, h.Hash(entity.Key{Type: "ab", ID: "c"}), h.Hash(entity.Key{Type: "a", ID: "bc"}))
	require.Regexp(t, `^[a-z2-7]{16}$`, h.Hash(entity.Key{ID: "1"}))
}
