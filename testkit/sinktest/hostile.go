package sinktest

import (
	"strings"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/suite"
	"github.com/konnektor-go/konnektor/sink"
)

// hostile are strings that mean something to some system that they pass.
var hostile = []string{
	`*`, `*)(uid=*`, `*)(|(objectClass=*)`, `\2a`, `\`, `\\`, `a,b+c=d;e<f>`, `#0401`, `cn=x,dc=y`, // LDAP
	`'; DROP TABLE people; --`, `' OR '1'='1`, `$1`, `%`, `_`, `E'\''`, "a\u00a0b", // SQL
	`" or userName pr or "`, `" eq "`, `a]b[c`, `value eq "x"`, `urn:a:b`, // SCIM
	`..`, `.`, `../../x`, `a/b`, `//x`, `%2e%2e%2f`, `%00`, `?all=true`, `a&b=c`, `#x`, `a b`, `+`, `;x`, // URLs
	` leading`, `trailing `, `  `, `"`, `""`, `'`, "`", `${x}`, `{{x}}`, `{id}`, `<b>&amp;</b>`, `null`, `true`, `-1`, `1e3`, `0x1`,
	"\u202eabc", "é", "e\u0301", "\U0001F469\u200d\U0001F52C", strings.Repeat("ø", 100),
}

func hostileCases[T any]() []testCase[T] {
	return []testCase[T]{
		{Name: "hostile identifiers", Run: func(e *env[T]) {
			e.put(1, 0)
			for k, id := range hostile {
				key := entity.Key{Type: e.Key(0).Type, ID: id}
				if key.Validate() != nil {
					continue
				}
				e.survives(key, e.Want(k+1, 1), id)
			}
			e.is(0, 1)
		}},
		{Name: "hostile values", Run: func(e *env[T]) {
			e.put(1, 0)
			for k, text := range hostile {
				e.survives(e.Key(k+1), e.Text(k+1, text), text)
			}
			e.is(0, 1)
		}},
		{Name: "errors hold no values", Run: func(e *env[T]) {
			const secret = "Kari Nordmann Hemmelig"
			e.Down(true)
			_, err := e.sink(sink.Removal[T]{}).Apply(e.t.Context(), e.Key(0), e.Text(0, secret))
			e.Down(false)
			e.silent(err, 0)
			e.NotContains(err.Error(), secret)
			e.put(1, 0)
			e.spy.interpose(first(update, func() error { return e.rewrite(0, 2) }), nil)
			if _, err = e.sink(sink.Removal[T]{}).Apply(e.t.Context(), e.Key(0), e.Text(0, secret)); err != nil {
				e.NotContains(err.Error(), secret)
			}
		}},
	}
}

// survives applies and removes an entity with a hostile string: it is stored as
// it is or rejected, and the first entity is as it was.
func (e *env[T]) survives(key entity.Key, want T, text string) {
	e.t.Helper()
	s := e.sink(sink.Removal[T]{})
	change, err := s.Apply(e.t.Context(), key, want)
	if err != nil {
		e.Equal(failure.Rejected, failure.Of(err), "with %q: %v", text, err)
		e.is(0, 1)
		return
	}
	e.Equal(sink.Created, change.Op, "with %q: there was nothing that it could match", text)
	e.holds(key, want)
	change, err = s.Apply(e.t.Context(), key, want)
	e.NoError(err, "with %q", text)
	e.Equal(sink.Unchanged, change.Op, "with %q: %v", text, change)
	e.is(0, 1)
	change, err = s.Remove(e.t.Context(), key)
	e.NoError(err, "with %q", text)
	e.Equal(sink.Removed, change.Op, "with %q", text)
	e.is(0, 1)
}

// missing ends the test because the harness lacks a field.
func (e *env[T]) missing(field string) {
	e.t.Helper()
	suite.Missing(e.t, field)
}
