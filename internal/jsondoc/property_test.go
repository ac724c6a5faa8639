package jsondoc_test

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/konnektor-go/konnektor/internal/jsondoc"
)

// anyValue draws JSON of few names and few values, so that much of it is equal.
func anyValue(t *rapid.T, depth int) any {
	kinds := 5
	if depth == 0 {
		kinds = 3
	}
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "string")
	case 2:
		return json.Number(rapid.SampledFrom([]string{"1", "1.0", "10e-1", "-1", "0"}).Draw(t, "number"))
	case 3:
		return rapid.Bool().Draw(t, "bool")
	case 4:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			list = append(list, anyValue(t, depth-1))
		}
		return list
	default:
		return anyDoc(t, depth-1)
	}
}

func anyDoc(t *rapid.T, depth int) jsondoc.Doc {
	d := jsondoc.Doc{}
	for _, name := range []string{"a", "a.b", "set", "c"} {
		if rapid.Bool().Draw(t, name) {
			d[name] = anyValue(t, depth)
		}
	}
	return d
}

var rules = jsondoc.Rules{Set: func(path []string) (string, bool) { return "a", path[len(path)-1] == "set" }}

// mergePatch is the algorithm of RFC 7396 section 2.
func mergePatch(target, patch any) any {
	p, ok := patch.(jsondoc.Doc)
	if !ok {
		return patch
	}
	result := jsondoc.Doc{}
	if t, ok := target.(jsondoc.Doc); ok {
		result = maps.Clone(t)
	}
	for name, v := range p {
		if v == nil {
			delete(result, name)
			continue
		}
		result[name] = mergePatch(result[name], v)
	}
	return result
}

// requireUnnamedKept checks that what want does not name is in now as in have.
func requireUnnamedKept(t require.TestingT, have, want, now jsondoc.Doc) {
	for name, h := range have {
		w, named := want[name]
		if !named {
			require.Equal(t, h, now[name], name)
			continue
		}
		inner, ok := h.(jsondoc.Doc)
		wanted, isDoc := w.(jsondoc.Doc)
		if ok && isDoc {
			held, _ := now[name].(jsondoc.Doc)
			requireUnnamedKept(t, inner, wanted, held)
		}
	}
}

func TestWriteProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have, want := anyDoc(t, 3), anyDoc(t, 3)
		before := rules.Compare(have, want)

		merged := rules.Merge(have, want)
		require.Empty(t, rules.Compare(merged, want), "merged")
		requireUnnamedKept(t, have, want, merged)

		patched, _ := mergePatch(have, jsondoc.Patch(before)).(jsondoc.Doc)
		require.Empty(t, rules.Compare(patched, want), "patched")
		requireUnnamedKept(t, have, want, patched)

		if len(before) == 0 {
			require.Equal(t, have, merged, "nothing is written where nothing differs")
			require.Equal(t, have, patched)
		}
		require.Empty(t, rules.Compare(want, want))
		require.Equal(t, merged, rules.Merge(merged, want))
	})
}

// FuzzDecode feeds bytes of others to all that reads them.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"set":[{"a":1},{"a":2}]}],"b":{"c":null}}`), []byte(`{"a":[1.0],"b":{"c":"x"}}`))
	f.Add([]byte(`{"a":1e99999}`), []byte(`{"a":-0.00}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		have, err := jsondoc.Decode(a)
		if err != nil {
			return
		}
		want, err := jsondoc.Decode(b)
		if err != nil {
			return
		}
		require.Empty(t, rules.Compare(rules.Merge(have, want), want))
		patched, _ := mergePatch(have, jsondoc.Patch(rules.Compare(have, want))).(jsondoc.Doc)
		require.Empty(t, rules.Compare(patched, want))
		again, err := jsondoc.Of(have)
		require.NoError(t, err)
		require.Empty(t, rules.Compare(again, have))
		require.Empty(t, rules.Compare(have, again))
	})
}
