package jsondoc_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/jsondoc"
)

// BenchmarkSet compares a group of 5,000 members with itself in another order.
func BenchmarkSet(b *testing.B) {
	const n = 5000
	have, want := make([]any, n), make([]any, n)
	for i := range n {
		id := fmt.Sprint(i)
		have[i] = jsondoc.Doc{"set": id, "a": id, "display": "x"}
		want[n-1-i] = jsondoc.Doc{"a": id}
	}
	h, w := jsondoc.Doc{"set": have}, jsondoc.Doc{"set": want}
	for b.Loop() {
		require.Empty(b, rules.Compare(h, w))
	}
}
