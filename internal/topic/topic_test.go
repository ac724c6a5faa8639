package topic

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern, key string
		want         bool
	}{
		{"#", "", true},
		{"#", "a.b.c", true},
		{"*", "a", true},
		{"*", "", false}, // for RabbitMQ an empty routing key has no words
		{"", "", true},
		{"*", "a.", false},
		{"a.*", "a.", true},
		{"*", "a.b", false},
		{"a.*", "a", false},
		{"a.#", "a", true},
		{"a.#", "a.b.c", true},
		{"#.c", "c", true},
		{"#.c", "a.b.c", true},
		{"#.c", "a.c.b", false},
		{"a.#.c", "a.c", true},
		{"a.#.b.#.c", "a.x.b.y.b.c", true},
		{"a.#.*", "a", false},
		{"a.#.*", "a.b", true},
		{"no.uio.*.person.#", "no.uio.iga.person.update", true},
		{"no.uio.*.person.#", "no.uio.iga.group.update", false},
		{"a.b", "A.b", false},
	} {
		t.Run(tc.pattern+" "+tc.key, func(t *testing.T) {
			require.Equal(t, tc.want, Match(tc.pattern, tc.key))
		})
	}
}

// TestMatchAgainstDefinition compares with the definition written as a
// recursion.
func TestMatchAgainstDefinition(t *testing.T) {
	var define func(p, w []string) bool
	define = func(p, w []string) bool {
		switch {
		case len(p) == 0:
			return len(w) == 0
		case p[0] == "#":
			return define(p[1:], w) || len(w) > 0 && define(p, w[1:])
		case len(w) == 0:
			return false
		default:
			return (p[0] == "*" || p[0] == w[0]) && define(p[1:], w[1:])
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "*", "#"}), 1, 6).Draw(t, "pattern")
		w := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 7).Draw(t, "key")
		require.Equal(t, define(p, w), Match(strings.Join(p, "."), strings.Join(w, ".")))
	})
}
