package sink_test

import (
	"encoding/json"
	"math"
	"math/big"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/sink"
)

type address struct {
	Street string
	Lines  []string
}

type audit struct{ Source string }

type folded string

func (f folded) Equal(o folded) bool { return len(f) == len(o) }

type everything struct {
	audit
	Name    string
	Nick    *string
	Start   time.Time
	Tags    []string
	Home    address
	Work    *address
	Extra   map[string]any
	Any     any
	Size    float64
	Addr    netip.Addr
	Folded  folded
	Big     *big.Int
	private string
}

func names(fields []sink.Field) []string {
	out := []string{}
	for _, f := range fields {
		out = append(out, f.Name)
	}
	return out
}

func TestDiffStruct(t *testing.T) {
	oslo := time.FixedZone("Oslo", 3600)
	noon := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name       string
		have, want everything
		fields     []string
	}{
		{name: "zero", fields: []string{}},
		{name: "string", have: everything{Name: "a"}, want: everything{Name: "b"}, fields: []string{"Name"}},
		{
			name: "order of the struct",
			have: everything{Size: 1, Name: "a"}, want: everything{Size: 2, Name: "b"}, fields: []string{"Name", "Size"},
		},
		{name: "unexported", have: everything{private: "a"}, want: everything{private: "b"}, fields: []string{}},
		{
			name: "embedded counts as its own",
			have: everything{audit: audit{"a"}}, want: everything{audit: audit{"b"}}, fields: []string{"Source"},
		},
		{name: "pointer to equal", have: everything{Nick: new("a")}, want: everything{Nick: new("a")}, fields: []string{}},
		{name: "pointer to other", have: everything{Nick: new("a")}, want: everything{Nick: new("b")}, fields: []string{"Nick"}},
		{name: "pointer and nil", have: everything{Nick: new("")}, want: everything{}, fields: []string{"Nick"}},
		{name: "same time", have: everything{Start: noon}, want: everything{Start: noon.In(oslo)}, fields: []string{}},
		{name: "other time", have: everything{Start: noon}, want: everything{Start: noon.Add(1)}, fields: []string{"Start"}},
		{name: "nil and empty slice", have: everything{Tags: []string{}}, want: everything{}, fields: []string{}},
		{
			name: "order of a slice",
			have: everything{Tags: []string{"a", "b"}}, want: everything{Tags: []string{"b", "a"}}, fields: []string{"Tags"},
		},
		{name: "longer slice", have: everything{}, want: everything{Tags: []string{"b"}}, fields: []string{"Tags"}},
		{
			name: "nested nil and empty slice",
			have: everything{Home: address{Lines: []string{}}}, want: everything{}, fields: []string{},
		},
		{
			name: "nested",
			have: everything{Home: address{Street: "a"}}, want: everything{Home: address{Street: "b"}}, fields: []string{"Home"},
		},
		{
			name: "behind a pointer",
			have: everything{Work: &address{Street: "a"}}, want: everything{Work: &address{Street: "a"}}, fields: []string{},
		},
		{name: "nil and empty map", have: everything{Extra: map[string]any{}}, want: everything{}, fields: []string{}},
		{
			name: "key missing in a nested map",
			have: everything{Extra: map[string]any{"a": nil}}, want: everything{Extra: map[string]any{"b": nil}}, fields: []string{"Extra"},
		},
		{name: "number in any", have: everything{Any: float64(5)}, want: everything{Any: 5}, fields: []string{}},
		{name: "other number in any", have: everything{Any: 5.5}, want: everything{Any: 5}, fields: []string{"Any"}},
		{
			name: "numbers beyond 2^53",
			have: everything{Any: float64(1 << 53)}, want: everything{Any: int64(1<<53 + 1)}, fields: []string{"Any"},
		},
		{name: "NaN and number", have: everything{Any: math.NaN()}, want: everything{Any: 1}, fields: []string{"Any"}},
		{name: "uint and int in any", have: everything{Any: uint8(5)}, want: everything{Any: -5}, fields: []string{"Any"}},
		{name: "list in any", have: everything{Any: []any{"a", 1.0}}, want: everything{Any: []any{"a", 1}}, fields: []string{}},
		{name: "typed list in any", have: everything{Any: []any{"a"}}, want: everything{Any: []string{"a"}}, fields: []string{}},
		{
			name: "typed map in any",
			have: everything{Any: map[string]any{"a": "b"}}, want: everything{Any: map[string]string{"a": "b"}}, fields: []string{},
		},
		{name: "string and number in any", have: everything{Any: "5"}, want: everything{Any: 5}, fields: []string{"Any"}},
		{name: "nil in any", have: everything{Any: 5}, want: everything{}, fields: []string{"Any"}},
		{name: "bool in any", have: everything{Any: true}, want: everything{Any: false}, fields: []string{"Any"}},
		{name: "NaN", have: everything{Size: math.NaN()}, want: everything{Size: math.NaN()}, fields: []string{}},
		{name: "own Equal", have: everything{Folded: "ab"}, want: everything{Folded: "cd"}, fields: []string{}},
		{name: "own Equal says no", have: everything{Folded: "ab"}, want: everything{Folded: "c"}, fields: []string{"Folded"}},
		{
			name: "hidden inside",
			have: everything{Addr: netip.MustParseAddr("::1")}, want: everything{Addr: netip.MustParseAddr("::2")}, fields: []string{"Addr"},
		},
		{
			name: "hidden inside, equal",
			have: everything{Addr: netip.MustParseAddr("::1")}, want: everything{Addr: netip.MustParseAddr("::1")}, fields: []string{},
		},
		{name: "big", have: everything{Big: big.NewInt(7)}, want: everything{Big: big.NewInt(7)}, fields: []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.fields, names(sink.Diff(tt.have, tt.want)))
			require.Equal(t, tt.fields, names(sink.Diff(tt.want, tt.have)), "the other way round")
		})
	}
}

func TestDiffStructValues(t *testing.T) {
	fields := sink.Diff(everything{Name: "a"}, everything{Name: "b"})
	require.Equal(t, []sink.Field{{Name: "Name", Old: "a", New: "b"}}, fields)
}

func TestDiffMap(t *testing.T) {
	type m = map[string]any
	for _, tt := range []struct {
		name       string
		have, want m
		fields     []string
	}{
		{name: "nil", fields: []string{}},
		{name: "alphabetical", have: m{"b": 1, "a": 1}, want: m{"b": 2, "a": 2}, fields: []string{"a", "b"}},
		{name: "others of have", have: m{"a": 1, "objectClass": "top"}, want: m{"a": 1}, fields: []string{}},
		{name: "new key", have: m{}, want: m{"a": 1}, fields: []string{"a"}},
		{name: "wanted absent", have: m{"a": 1}, want: m{"a": nil}, fields: []string{"a"}},
		{name: "wanted absent and so", have: m{}, want: m{"a": nil}, fields: []string{}},
		{name: "wanted absent, there as nil", have: m{"a": nil}, want: m{"a": nil}, fields: []string{}},
		{name: "deep", have: m{"a": m{"b": []any{1.0}}}, want: m{"a": m{"b": []int{1}}}, fields: []string{}},
		{name: "deep, other", have: m{"a": m{"b": []any{1.0, nil}}}, want: m{"a": m{"b": []any{1, 2}}}, fields: []string{"a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.fields, names(sink.Diff(tt.have, tt.want)))
		})
	}
	lists := sink.Diff(map[string][]string{"mail": {"a"}, "cn": nil}, map[string][]string{"mail": {"b"}, "cn": {}})
	require.Equal(t, []sink.Field{{Name: "mail", Old: []string{"a"}, New: []string{"b"}}}, lists)
}

// TestDiffJSON holds that what comes back from JSON equals what went in.
func TestDiffJSON(t *testing.T) {
	want := map[string]any{"n": 1, "list": []string{"a"}, "map": map[string]int{"x": 2}, "s": "s", "b": true, "none": nil}
	text, err := json.Marshal(want)
	require.NoError(t, err)
	var have map[string]any
	require.NoError(t, json.Unmarshal(text, &have))
	require.Empty(t, sink.Diff(have, want))
}

func TestDiffOtherTypes(t *testing.T) {
	require.Empty(t, sink.Diff("a", "a"))
	require.Equal(t, []string{"value"}, names(sink.Diff("a", "b")))
	require.Empty(t, sink.Diff[any](nil, nil))
	require.Equal(t, []string{"value"}, names(sink.Diff[any](nil, 1)))
}
