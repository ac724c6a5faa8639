package jsondoc_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/jsondoc"
	"github.com/konnektor-go/konnektor/sink"
)

func doc(t *testing.T, text string) jsondoc.Doc {
	t.Helper()
	d, err := jsondoc.Decode([]byte(text))
	require.NoError(t, err, text)
	return d
}

func encode(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return string(data)
}

type name struct {
	Given  string                `json:"givenName,omitzero"`
	Family sink.Optional[string] `json:"familyName,omitzero"`
}

type person struct {
	Name  name                 `json:"name"`
	Age   sink.Optional[int64] `json:"age,omitzero"`
	Roles []string             `json:"roles"`
	Note  string               `json:"-"`
}

func TestOf(t *testing.T) {
	for _, tc := range []struct {
		name string
		v    any
		want string
	}{
		{"left alone is not named", person{Name: name{Given: "Ada"}}, `{"name":{"givenName":"Ada"},"roles":null}`},
		{
			"null and large numbers", person{Name: name{Family: sink.Null[string]()}, Age: sink.Set[int64](math.MaxInt64), Roles: []string{}},
			`{"age":9223372036854775807,"name":{"familyName":null},"roles":[]}`,
		},
		{"a map", map[string]any{"a": 1.5, "b": json.Number("1e2"), "c": nil}, `{"a":1.5,"b":1e2,"c":null}`},
		{"a pointer", &person{Roles: []string{"<&>"}}, `{"name":{},"roles":["\u003c\u0026\u003e"]}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := jsondoc.Of(tc.v)
			require.NoError(t, err)
			require.Equal(t, tc.want, encode(t, d))
		})
	}
}

type refusing struct{}

func (refusing) MarshalJSON() ([]byte, error) { return nil, errors.New("secret") }

func TestOfErrors(t *testing.T) {
	for _, tc := range []struct {
		name string
		v    any
		want string
	}{
		{"no object", "secret", "a string is not a JSON object"},
		{"nil", nil, "a <nil> is not a JSON object"},
		{"no JSON", map[string]any{"a": make(chan int)}, "a map[string]interface {} cannot be encoded as JSON: type chan int has no JSON"},
		{"not a number", map[string]float64{"a": math.Inf(1)}, "a map[string]float64 cannot be encoded as JSON"},
		{"refuses", map[string]any{"a": refusing{}}, "a map[string]interface {} cannot be encoded as JSON: type jsondoc_test.refusing refuses"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := jsondoc.Of(tc.v)
			require.EqualError(t, err, tc.want)
		})
	}
}

func TestDecode(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{`[]`, "not a JSON object"},
		{`null`, "not a JSON object"},
		{``, "not JSON, or not whole"},
		{`{"a":`, "not JSON, or not whole"},
		{`{"secret"x}`, "not JSON, or not whole"},
		{`{} {}`, "more than one JSON value"},
		{`{} secret`, "more than one JSON value"},
	} {
		_, err := jsondoc.Decode([]byte(tc.text))
		require.EqualError(t, err, tc.want, tc.text)
	}
}

func TestInto(t *testing.T) {
	var p person
	require.NoError(t, jsondoc.Into(doc(t, `{"name":{"familyName":null},"age":12,"unknown":1}`), &p))
	require.Equal(t, person{Name: name{Family: sink.Null[string]()}, Age: sink.Set[int64](12)}, p)

	var m map[string]any
	require.NoError(t, jsondoc.Into(doc(t, `{"n":9007199254740993}`), &m))
	require.Equal(t, map[string]any{"n": json.Number("9007199254740993")}, m)

	require.EqualError(t, jsondoc.Into(doc(t, `{"roles":["a",12345]}`), &p),
		"the document does not fit jsondoc_test.person: member roles is no string")
	require.NotContains(t, jsondoc.Into(doc(t, `{"age":99999999999999999999}`), &p).Error(), "999")
}

func TestDiff(t *testing.T) {
	sets := jsondoc.Rules{Set: func(path []string) (string, bool) {
		switch path[len(path)-1] {
		case "emails":
			return "value", true
		case "tags":
			return "", true
		}
		return "", false
	}}
	for _, tc := range []struct {
		name       string
		have, want string
		diff       []string
		patch      string
	}{
		{"equal", `{"a":"x"}`, `{"a":"x"}`, nil, `{}`},
		{"nothing is wanted", `{"a":"x"}`, `{}`, nil, `{}`},
		{"the target's own", `{"id":1,"a":"x","o":{"own":1,"b":true}}`, `{"a":"x","o":{"b":true}}`, nil, `{}`},
		{"changed", `{"a":"x","z":1}`, `{"z":2,"a":"y"}`, []string{"a", "z"}, `{"a":"y","z":2}`},
		{"nested", `{"name":{"g":"x","f":"y","own":1}}`, `{"name":{"g":"x","f":"z"}}`, []string{"name.f"}, `{"name":{"f":"z"}}`},
		{"nested in nothing", `{}`, `{"name":{"g":"x","f":null}}`, []string{"name.g"}, `{"name":{"g":"x"}}`},
		{"nested in null", `{"name":null}`, `{"name":{"g":"x"}}`, []string{"name.g"}, `{"name":{"g":"x"}}`},
		{"an object for a string", `{"name":"x"}`, `{"name":{"g":"x","f":null}}`, []string{"name"}, `{"name":{"g":"x"}}`},
		{"a string for an object", `{"name":{"g":"x"}}`, `{"name":"x"}`, []string{"name"}, `{"name":"x"}`},
		{"a name with dots", `{"urn:2.0:User":{"n":1}}`, `{"urn:2.0:User":{"n":2}}`, []string{"urn:2.0:User.n"}, `{"urn:2.0:User":{"n":2}}`},
		{"null for nothing", `{}`, `{"a":null,"o":{"b":null}}`, nil, `{}`},
		{"null for empty", `{"a":[],"b":{}}`, `{"a":null,"b":null}`, nil, `{}`},
		{"empty for nothing", `{"b":null}`, `{"a":[],"b":{}}`, nil, `{}`},
		{"null for a value", `{"a":1,"o":{"b":1,"own":1}}`, `{"a":null,"o":{"b":null}}`, []string{"a", "o.b"}, `{"a":null,"o":{"b":null}}`},
		{"null for an object", `{"o":{"b":1}}`, `{"o":null}`, []string{"o"}, `{"o":null}`},
		{"null for an empty string", `{"a":""}`, `{"a":null}`, []string{"a"}, `{"a":null}`},
		{"an empty string for null", `{"a":null}`, `{"a":""}`, []string{"a"}, `{"a":""}`},
		{"numbers by value", `{"a":1.0,"b":1e2,"c":-0,"d":0.10}`, `{"a":1,"b":100,"c":0,"d":1E-1}`, nil, `{}`},
		{"large numbers", `{"a":9007199254740993}`, `{"a":9007199254740992}`, []string{"a"}, `{"a":9007199254740992}`},
		{"huge numbers", `{"a":1e999999999,"b":1e99999999999999999999}`, `{"a":10e999999998,"b":1e99999999999999999998}`, []string{"b"}, `{"b":1e99999999999999999998}`},
		{"a number is no string", `{"a":"1"}`, `{"a":1}`, []string{"a"}, `{"a":1}`},
		{"false is not null", `{"a":null}`, `{"a":false}`, []string{"a"}, `{"a":false}`},
		{"a list in order", `{"l":[1,2]}`, `{"l":[2,1]}`, []string{"l"}, `{"l":[2,1]}`},
		{"a longer list", `{"l":[1,2]}`, `{"l":[1]}`, []string{"l"}, `{"l":[1]}`},
		{"an emptied list", `{"l":[1]}`, `{"l":[]}`, []string{"l"}, `{"l":[]}`},
		{"null in a list is a value", `{"l":[1]}`, `{"l":[1,null]}`, []string{"l"}, `{"l":[1,null]}`},
		{"objects in a list", `{"l":[{"v":1,"own":2}]}`, `{"l":[{"v":1,"none":null}]}`, nil, `{}`},
		{"written without null", `{"l":[]}`, `{"l":[{"v":1,"none":null}]}`, []string{"l"}, `{"l":[{"v":1}]}`},

		{"a set", `{"tags":["a","b","b"]}`, `{"tags":["b","a","b"]}`, nil, `{}`},
		{"a set counts", `{"tags":["a","a","b"]}`, `{"tags":["b","a","b"]}`, []string{"tags"}, `{"tags":["b","a","b"]}`},
		{"a set of objects", `{"emails":[{"value":"x","type":"w","id":1},{"value":"y"}]}`, `{"emails":[{"value":"y"},{"value":"x","type":"w"}]}`, nil, `{}`},
		{"a set of objects, one changed", `{"emails":[{"value":"x","type":"w"}]}`, `{"emails":[{"value":"x","type":"h"}]}`, []string{"emails"}, `{"emails":[{"type":"h","value":"x"}]}`},
		{"a set whose elements lack the member", `{"emails":[{"value":"x","type":"w"}]}`, `{"emails":[{"type":"w"}]}`, nil, `{}`},
		{"a set where the first fit is not the best", `{"tags":[{"t":"w","v":1},{"t":"w","v":2}]}`, `{"tags":[{"t":"w"},{"t":"w","v":1}]}`, nil, `{}`},
		{"a set in an object", `{"o":{"tags":[1,2]}}`, `{"o":{"tags":[2,1.0]}}`, nil, `{}`},
		{"a set in a list", `{"l":[{"tags":[1,2]}]}`, `{"l":[{"tags":[2,1]}]}`, nil, `{}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			have, want := doc(t, tc.have), doc(t, tc.want)
			var names []string
			for _, f := range sets.Diff(have, want) {
				names = append(names, f.Name)
			}
			require.Equal(t, tc.diff, names)
			require.Equal(t, tc.patch, encode(t, jsondoc.Patch(sets.Compare(have, want))))
			require.Empty(t, sets.Compare(sets.Merge(have, want), want))
			require.Equal(t, encode(t, doc(t, tc.have)), encode(t, have), "have is left as it was")
			require.Equal(t, encode(t, doc(t, tc.want)), encode(t, want), "want is left as it was")
		})
	}
}

func TestDiffHasOldAndNew(t *testing.T) {
	require.Equal(t, []sink.Field{
		{Name: "a", Old: "x"},
		{Name: "b.c", New: json.Number("1")},
	}, jsondoc.Rules{}.Diff(doc(t, `{"a":"x"}`), doc(t, `{"a":null,"b":{"c":1}}`)))
}

func TestMerge(t *testing.T) {
	for _, tc := range []struct{ name, have, want, merged string }{
		{"keeps the target's own", `{"id":1,"o":{"own":[1],"b":1}}`, `{"o":{"b":2},"a":"x"}`, `{"a":"x","id":1,"o":{"b":2,"own":[1]}}`},
		{"null takes away", `{"a":1,"b":2}`, `{"a":null}`, `{"b":2}`},
		{"what is equal stays as written", `{"a":1.0,"l":[{"v":1,"own":2}],"e":[]}`, `{"a":1,"l":[{"v":1}],"e":null}`, `{"a":1.0,"e":[],"l":[{"own":2,"v":1}]}`},
		{"what is not there is added without null", `{}`, `{"o":{"a":1,"b":null},"c":null,"l":[1]}`, `{"l":[1],"o":{"a":1}}`},
		{"an object for a string", `{"o":"x"}`, `{"o":{"a":{"b":1,"c":null}}}`, `{"o":{"a":{"b":1}}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.merged, encode(t, jsondoc.Rules{}.Merge(doc(t, tc.have), doc(t, tc.want))))
		})
	}
	require.Equal(t, `{"a":1}`, encode(t, jsondoc.Rules{}.Merge(nil, doc(t, `{"a":1}`))))
}
