package sink_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/sink"
)

type card struct {
	Phone sink.Optional[string]   `json:"phone,omitzero"`
	Tags  sink.Optional[[]string] `json:"tags,omitzero"`
}

// TestOptional holds that absent, empty and null are three things.
func TestOptional(t *testing.T) {
	for _, tt := range []struct {
		name string
		want card
		json string
		// fields are what differs in a target that has no phone, an empty one, one.
		none, empty, some []string
	}{
		{name: "left alone", json: `{}`, none: []string{}, empty: []string{}, some: []string{}},
		{
			name: "null", want: card{Phone: sink.Null[string]()}, json: `{"phone":null}`,
			none: []string{}, empty: []string{"Phone"}, some: []string{"Phone"},
		},
		{
			name: "empty", want: card{Phone: sink.Set("")}, json: `{"phone":""}`,
			none: []string{"Phone"}, empty: []string{}, some: []string{"Phone"},
		},
		{
			name: "set", want: card{Phone: sink.Set("1")}, json: `{"phone":"1"}`,
			none: []string{"Phone"}, empty: []string{"Phone"}, some: []string{},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.none, names(sink.Diff(card{}, tt.want)))
			require.Equal(t, tt.none, names(sink.Diff(card{Phone: sink.Null[string]()}, tt.want)))
			require.Equal(t, tt.empty, names(sink.Diff(card{Phone: sink.Set("")}, tt.want)))
			require.Equal(t, tt.some, names(sink.Diff(card{Phone: sink.Set("1")}, tt.want)))

			text, err := json.Marshal(tt.want)
			require.NoError(t, err)
			require.JSONEq(t, tt.json, string(text))
			var back card
			require.NoError(t, json.Unmarshal(text, &back))
			require.Equal(t, tt.want, back)
		})
	}
}

func TestOptionalCompares(t *testing.T) {
	require.Empty(t, sink.Diff(card{Tags: sink.Set([]string{})}, card{Tags: sink.Set[[]string](nil)}))
	require.Equal(t, []string{"Tags"}, names(sink.Diff(card{Tags: sink.Set([]string{"a"})}, card{Tags: sink.Set([]string{"b"})})))
	type nested struct{ Card card }
	require.Empty(t, sink.Diff(nested{card{Phone: sink.Set("1")}}, nested{}), "left alone, deep inside too")
	require.Empty(t, sink.Diff(map[string]any{"a": "1"}, map[string]any{"a": sink.Set("1")}))
	require.Empty(t, sink.Diff(map[string]any{"a": "1"}, map[string]any{"a": sink.Optional[string]{}}))
	require.Equal(t, []string{"a"}, names(sink.Diff(map[string]any{"a": "1"}, map[string]any{"a": sink.Null[string]()})))
}

func TestOptionalRefusesOtherJSON(t *testing.T) {
	var c card
	require.Error(t, json.Unmarshal([]byte(`{"phone":1}`), &c))
	require.True(t, c.Phone.IsZero())
}

func TestOptionalAssign(t *testing.T) {
	var o sink.Optional[string]
	require.NoError(t, o.Assign(""))
	require.Equal(t, sink.Set(""), o)
	require.NoError(t, o.Assign(nil))
	require.Equal(t, sink.Null[string](), o)
	require.EqualError(t, o.Assign(7), "sink: a int is no string")
	require.Equal(t, sink.Null[string](), o, "left as it was")
}

func ExampleOptional() {
	for _, phone := range []sink.Optional[string]{{}, sink.Null[string](), sink.Set("")} {
		text, err := json.Marshal(card{Phone: phone})
		fmt.Println(string(text), err)
	}
	// Output:
	// {} <nil>
	// {"phone":null} <nil>
	// {"phone":""} <nil>
}
