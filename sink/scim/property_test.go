package scim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/scim"
)

// TestHistories applies random states of a user, by PATCH and by PUT, at
// providers with random quirks, while another writer changes what is not ours.
// After each the user is as wanted, a second apply writes nothing, and what is
// not ours is as the other left it.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &fake{
			quirks: quirks{
				noPatch: rapid.Bool().Draw(t, "noPatch"), noTags: rapid.Bool().Draw(t, "noTags"), noContent: rapid.Bool().Draw(t, "noContent"),
				textBools: rapid.Bool().Draw(t, "textBools"), bareTags: rapid.Bool().Draw(t, "bareTags"),
			},
			resources: map[string][]object{"Users": nil},
		}
		cfg := scim.Config{
			Auth:  scim.Bearer("token"),
			Types: map[string][]string{"phoneNumbers": {"work", "fax"}},
			Transport: transport(func(r *http.Request) (*http.Response, error) {
				w := httptest.NewRecorder()
				f.ServeHTTP(w, r)
				return w.Result(), nil
			}),
			PatchSize: rapid.IntRange(1, 3).Draw(t, "size"),
		}
		e, err := scim.New[scim.User]("https://idm.example.no/scim/v2", cfg)
		require.NoError(t, err)
		s, err := sink.Ensure(e, sink.EnsureConfig[scim.User]{})
		require.NoError(t, err)
		theirs := []any{}
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			want := randomUser(t)
			_, err := s.Apply(t.Context(), id("1"), want)
			require.NoError(t, err)
			_, found, fields, err := e.Observe(t.Context(), id("1"), want)
			require.NoError(t, err)
			require.True(t, found)
			require.Empty(t, fields)
			change, err := s.Apply(t.Context(), id("1"), want)
			require.NoError(t, err)
			require.Equal(t, sink.Change{}, change)

			r := f.resources["Users"][0]
			if len(theirs) > 0 {
				require.Equal(t, theirs[0], r["nickName"])
				for _, v := range theirs {
					require.True(t, slices.ContainsFunc(listOf(r["phoneNumbers"]), func(p any) bool { return p.(object)["value"] == v }))
				}
			}
			if rapid.Bool().Draw(t, "another writer") {
				v := fmt.Sprint("theirs", len(theirs))
				r["nickName"] = v
				r["phoneNumbers"] = append(listOf(r["phoneNumbers"]), object{"value": v, "type": "home"})
				theirs = append([]any{v}, theirs...)
			}
		}
	})
}

func listOf(v any) []any {
	list, _ := v.([]any)
	return list
}

// randomUser names some attributes, with few different values, so that they meet.
func randomUser(t *rapid.T) scim.User {
	text := rapid.SampledFrom([]string{"a", "b", "c", "", "A", `"]`, "x.y[z", "ø"})
	optional := rapid.Custom(func(t *rapid.T) sink.Optional[string] {
		switch rapid.IntRange(0, 3).Draw(t, "state") {
		case 0:
			return sink.Optional[string]{}
		case 1:
			return sink.Null[string]()
		}
		return sink.Set(text.Draw(t, "text"))
	})
	values := func(types ...string) *rapid.Generator[[]scim.Value] {
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) scim.Value {
			return scim.Value{
				Value: text.Draw(t, "value"), Type: rapid.SampledFrom(types).Draw(t, "type"),
				Display: rapid.SampledFrom([]string{"", "", "x"}).Draw(t, "display"), Primary: rapid.Bool().Draw(t, "primary"),
			}
		}), 0, 4)
	}
	u := scim.User{
		UserName: sink.Set("ada"), Title: optional.Draw(t, "title"), Active: sink.Set(rapid.Bool().Draw(t, "active")),
		Name:       scim.Name{GivenName: optional.Draw(t, "givenName"), FamilyName: optional.Draw(t, "familyName")},
		Enterprise: scim.Enterprise{Department: optional.Draw(t, "department")},
	}
	if rapid.Bool().Draw(t, "emails") {
		u.Emails = sink.Set(values("work", "home", "other", "").Draw(t, "values"))
	}
	if rapid.Bool().Draw(t, "phones") {
		u.PhoneNumbers = sink.Set(values("work", "fax").Draw(t, "numbers"))
	}
	if m := optional.Draw(t, "manager"); !m.IsZero() {
		u.Enterprise.Manager = sink.Null[scim.Manager]()
		if v, ok := m.Get(); ok {
			u.Enterprise.Manager = sink.Set(scim.Manager{Value: v})
		}
	}
	return u
}
