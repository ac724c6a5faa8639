package scim

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/jsondoc"
)

// FuzzPage checks that no body of a listing is taken for what it is not.
func FuzzPage(f *testing.F) {
	for _, seed := range []string{
		`{"totalResults":1,"Resources":[{"id":"1","meta":{"version":"W/\"1\""},"active":"True"}]}`, `{}`, `[]`, ``, `null`,
		`{"totalResults":"1"}`, `{"totalResults":1e3}`, `{"totalResults":-1}`, `{"Resources":null}`, `{"Resources":[null,1,[]]}`,
		`{"totalResults":1,"Resources":[{"id":1}]}`, `{"TOTALRESULTS":0}`, `{"totalResults":0}{`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		a := &answer{status: 200, body: body, header: http.Header{}}
		p, err := a.page()
		if err != nil {
			require.NotContains(t, err.Error(), "\"")
			return
		}
		require.True(t, json.Valid(body))
		require.GreaterOrEqual(t, p.total, 0)
		for _, r := range p.resources {
			require.NotEmpty(t, r.id)
			checkTag(t, r.version)
		}
	})
}

func checkTag(t *testing.T, tag string) {
	t.Helper()
	if tag != "" {
		require.Regexp(t, `^(W/)?"[\x21\x23-\x7e]+"$`, tag)
	}
}

// FuzzError checks that nothing of an answer gets into an error.
func FuzzError(f *testing.F) {
	for _, status := range []int{200, 204, 301, 400, 401, 403, 404, 409, 412, 413, 428, 429, 500, 503, 999, 0, -1} {
		f.Add(status, []byte(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"scimType":"uniqueness","detail":"x"}`), "7")
		f.Add(status, []byte(`<html>`), "Fri, 27 Nov 2026 12:00:00 GMT")
	}
	words := regexp.MustCompile(`^scim: GET Users: -?[0-9]*( [a-zA-Z]+)?(: )?[a-zA-Z0-9 ',:.-]+$`)
	f.Fuzz(func(t *testing.T, status int, body []byte, after string) {
		a := &answer{request: request{method: "GET", route: "Users"}, status: status, body: body, header: http.Header{"Retry-After": {after}}}
		err := a.refused()
		require.Error(t, err)
		require.Regexp(t, words, err.Error())
		_ = a.isAbsence()
		checkTag(t, a.version())
	})
}

func FuzzEntityTag(f *testing.F) {
	for _, seed := range []string{`W/"1"`, `"1"`, `1`, ``, `""`, `W/""`, `"a"b"`, "\"a\r\nX: y\"", `W/W/"1"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) { checkTag(t, entityTag(s)) })
}

// FuzzQuote checks that a value is what it was, to who minds escapes, and cannot
// end the string, to who does not.
func FuzzQuote(f *testing.F) {
	for _, seed := range []string{`"`, `\`, `\"`, `a`, "\u2028", ` or `, `ø`, "\x00", "\xff", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := quote(s)
		if err != nil {
			return
		}
		var back string
		require.NoError(t, json.Unmarshal([]byte(q), &back))
		require.Equal(t, s, back)
		inside := q[1 : len(q)-1]
		require.NotContains(t, inside, `"`)
		require.NotRegexp(t, `\\[^u]`, inside)
		values, err := url.ParseQuery(url.Values{"filter": {q}}.Encode())
		require.NoError(t, err)
		require.Equal(t, url.Values{"filter": {q}}, values)
	})
}

var safePath = regexp.MustCompile(`^emails(\[(value|type) eq "[A-Za-z0-9._@:+=-]+"\](\.(value|type|display))?)?$`)

// FuzzPaths checks that no value gets into the path of an operation as more than
// a plain string, and that a PUT and a PATCH come to the same.
func FuzzPaths(f *testing.F) {
	f.Add("a", "work", "b", "home", "c", "work", "d")
	f.Add(`"] or x[y eq "`, "work", "a", "a", "a", "", "")
	f.Add("a", "t", "a", "t", "a", "u", "x.y[z")
	f.Add("", "", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, v1, t1, v2, t2, v3, t3, v4 string) {
		have := list(value(v1, t1), value(v2, t2), value(v4, ""))
		want := list(value(v3, t3), value(v2, t1), value(v1, t2))
		e := &Endpoint[User]{client: &client{}}
		held, wanted := jsondoc.Doc{"emails": have}, jsondoc.Doc{"emails": want}
		diffs := e.compare(held, wanted)
		for _, d := range diffs {
			for _, op := range d.operations() {
				require.Regexp(t, safePath, op.Path)
			}
		}
		after := merged(held, diffs)
		require.Empty(t, e.compare(after, wanted))
		require.Equal(t, have, held["emails"], "what was read is as it was")
		if len(diffs) == 0 {
			return
		}
		_, values := member(after, "emails")
		require.ElementsMatch(t, values, patchedValues(t, have, diffs[0].operations()))
	})
}

func list(values ...any) []any { return values }

func value(v, kind string) any {
	d := jsondoc.Doc{"value": v, "display": "display of " + v}
	if kind != "" {
		d["type"] = kind
	}
	return d
}

// patchedValues makes operations on values, as a provider does.
func patchedValues(t *testing.T, values []any, ops []operation) []any {
	t.Helper()
	for _, op := range ops {
		before, rest, selects := strings.Cut(op.Path, "[")
		require.Equal(t, "emails", before)
		if !selects {
			wanted, _ := op.Value.([]any)
			switch op.Op {
			case "add":
				values = append(slices.Clip(values), wanted...)
			default:
				values = wanted
			}
			continue
		}
		by, rest, _ := strings.Cut(rest, ` eq "`)
		is, sub, _ := strings.Cut(rest, `"]`)
		var kept []any
		found := 0
		for _, v := range values {
			d, _ := v.(jsondoc.Doc)
			if !strings.EqualFold(text(d, by), is) {
				kept = append(kept, v)
				continue
			}
			found++
			if sub == "" {
				continue
			}
			d = without(d, "")
			set(d, sub[1:], op.Value)
			kept = append(kept, d)
		}
		require.Equal(t, 1, found, "%s selects one value", op.Path)
		values = kept
	}
	return values
}
