// Package suite runs the cases of a conformance suite, as the packages beside a
// contract do.
package suite

import (
	"maps"
	"reflect"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// Case is a rule and what shows it. E is what a case works with.
type Case[E any] struct {
	Name string
	Run  func(e E)
}

// Run runs each case as a subtest with an E of its own, in a bubble of
// testing/synctest if virtual is true. Cases that without names are skipped with
// the reason that it gives.
func Run[E any](t *testing.T, virtual bool, without map[string]string, open func(t *testing.T) E, cases []Case[E]) {
	left := maps.Clone(without)
	for _, c := range cases {
		reason, leftOut := without[c.Name]
		delete(left, c.Name)
		t.Run(c.Name, func(t *testing.T) {
			if leftOut {
				t.Skip("left out: " + reason) //nolint:forbidigo // asked for by name and with a reason; to pass would be a lie
			}
			if !virtual {
				c.Run(open(t))
				return
			}
			synctest.Test(t, func(t *testing.T) { c.Run(open(t)) })
		})
	}
	require.Empty(t, left, "Without: no case has such a name")
}

// Explain makes the functions that a harness, a pointer to a struct, lacks end
// the test with their name.
func Explain(t *testing.T, harness any) {
	t.Helper()
	h := reflect.ValueOf(harness).Elem()
	for i := range h.NumField() {
		if name, f := h.Type().Field(i).Name, h.Field(i); f.Kind() == reflect.Func && f.IsNil() {
			f.Set(reflect.MakeFunc(f.Type(), func([]reflect.Value) []reflect.Value {
				Missing(t, name)
				return nil
			}))
		}
	}
}

// Missing ends the test because the harness lacks a field.
func Missing(t *testing.T, field string) {
	t.Helper()
	require.FailNow(t, "Harness."+field+": is nil: set it, or leave the case out by Config.Without")
}
