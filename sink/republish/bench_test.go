package republish_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/republish"
	"github.com/konnektor-go/konnektor/testkit"
)

// BenchmarkApply shows what publishing adds to a sink whose target takes no time.
func BenchmarkApply(b *testing.B) {
	for _, journal := range []struct {
		name string
		open func(b *testing.B) republish.Journal
	}{
		{"none", func(*testing.B) republish.Journal { return nil }},
		{"memory", func(*testing.B) republish.Journal { return &republish.Memory{} }},
		{"SQLite", func(b *testing.B) republish.Journal {
			return openSQL(b, sqlite(b, filepath.Join(b.TempDir(), "journal.db")), "people")
		}},
	} {
		for _, changes := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/changes=%t", journal.name, changes), func(b *testing.B) {
				s, err := sink.Ensure[row](new(testkit.Target[row]), sink.EnsureConfig[row]{})
				require.NoError(b, err)
				if j := journal.open(b); j != nil {
					s, err = republish.New(s, j, func(context.Context, republish.Publication) error { return nil }, republish.Config{Limit: -1})
					require.NoError(b, err)
				}
				n := 0
				for b.Loop() {
					if changes {
						n++
					}
					if _, err := s.Apply(b.Context(), key, row{Name: fmt.Sprint(n)}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
