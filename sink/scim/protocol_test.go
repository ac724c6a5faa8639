package scim_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/scim"
)

// The tests of the protocol run on the fake, and as integration tests on a real
// provider.
var protocol = map[string]func(t *testing.T, h *handle){
	"a PATCH has what differs only":          patchesMinimally,
	"one member of a large group":            patchesOneMember,
	"many members are sent in pieces":        patchesInPieces,
	"a PUT has all but what is not ours":     putsTheWhole,
	"values of other types are left alone":   keepsOtherTypes,
	"user names are keys in whatever case":   findsUserNames,
	"a taken user name":                      meetsTakenName,
	"entity tags keep others' changes":       keepsOthersChanges,
	"ids of entities":                        tellsIDs,
	"a user is deactivated":                  deactivates,
	"a resource of one's own type":           appliesOwnType,
	"what is null has no value":              clears,
	"hostile values are values only":         survivesHostileValues,
	"check finds nothing wrong":              checks,
	"what others change at once is not lost": races,
}

func TestProtocol(t *testing.T) {
	for name, f := range protocol {
		t.Run(name, func(t *testing.T) { f(t, (&fake{}).start(t)) })
	}
}

func patched(t *testing.T, s sent) []object {
	t.Helper()
	require.Equal(t, "PATCH", s.method)
	var body struct {
		Schemas    []string
		Operations []object
	}
	require.NoError(t, json.Unmarshal([]byte(s.body), &body))
	require.Equal(t, []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, body.Schemas)
	return body.Operations
}

func applied[T any](t *testing.T, s sink.Sink[T], key entity.Key, want T) string {
	t.Helper()
	change, err := s.Apply(t.Context(), key, want)
	require.NoError(t, err)
	return change.String()
}

func ada() scim.User {
	return scim.User{
		UserName:   sink.Set("ada"),
		Name:       scim.Name{GivenName: sink.Set("Ada"), FamilyName: sink.Set("King")},
		Active:     sink.Set(true),
		Emails:     sink.Set([]scim.Value{{Value: "ada@example.org", Type: "work"}, {Value: "ada@example.com", Type: "home"}}),
		Enterprise: scim.Enterprise{Department: sink.Set("Analysis")},
	}
}

func patchesMinimally(t *testing.T, h *handle) {
	s := ensured[scim.User](t, h, h.config())
	require.Equal(t, "created", applied(t, s, id("1"), ada()))
	for _, tt := range []struct {
		name   string
		change func(u *scim.User)
		says   string
		ops    []object
	}{
		{"an attribute", func(u *scim.User) { u.Title = sink.Set("Countess") }, "updated(title)",
			[]object{{"op": "add", "path": "title", "value": "Countess"}}},
		{"another value", func(u *scim.User) { u.Title = sink.Set("Lady") }, "updated(title)",
			[]object{{"op": "replace", "path": "title", "value": "Lady"}}},
		{"no value", func(u *scim.User) { u.Title = sink.Null[string]() }, "updated(title)",
			[]object{{"op": "remove", "path": "title"}}},
		{"a part", func(u *scim.User) { u.Name.FamilyName = sink.Set("Lovelace") }, "updated(name.familyName)",
			[]object{{"op": "replace", "path": "name.familyName", "value": "Lovelace"}}},
		{"a boolean", func(u *scim.User) { u.Active = sink.Set(false) }, "updated(active)",
			[]object{{"op": "replace", "path": "active", "value": false}}},
		{"one of several values", func(u *scim.User) {
			u.Emails = sink.Set([]scim.Value{{Value: "ada@example.com", Type: "home"}, {Value: "lovelace@example.org", Type: "work"}})
		}, "updated(emails)", []object{{"op": "replace", "path": `emails[type eq "work"].value`, "value": "lovelace@example.org"}}},
		{"a value less and one more", func(u *scim.User) {
			u.Emails = sink.Set([]scim.Value{{Value: "lovelace@example.org", Type: "work"}, {Value: "x@example.org", Type: "other"}})
		}, "updated(emails)", []object{
			{"op": "remove", "path": `emails[value eq "ada@example.com"]`},
			{"op": "add", "path": "emails", "value": []any{object{"value": "x@example.org", "type": "other"}}},
		}},
		{"the extension", func(u *scim.User) { u.Enterprise.Department = sink.Set("Engines") }, "updated(" + enterprise + ":department)",
			[]object{{"op": "replace", "path": enterprise + ":department", "value": "Engines"}}},
		{"a part that is not there", func(u *scim.User) { u.Enterprise.Manager = sink.Set(scim.Manager{Value: "m1"}) },
			"updated(" + enterprise + ":manager)", []object{{"op": "add", "path": enterprise + ":manager", "value": object{"value": "m1"}}}},
		{"a part of a part", func(u *scim.User) { u.Enterprise.Manager = sink.Set(scim.Manager{Value: "m2"}) },
			"updated(" + enterprise + ":manager.value)", []object{{"op": "add", "path": enterprise + ":manager", "value": object{"value": "m2"}}}},
		{"no values", func(u *scim.User) { u.Emails = sink.Null[[]scim.Value]() }, "updated(emails)",
			[]object{{"op": "remove", "path": "emails"}}},
	} {
		h.requests()
		require.Equal(t, tt.says, applied(t, s, id("1"), onto(t, h, tt.change)), tt.name)
		sent := h.requests()
		require.Equal(t, tt.ops, patched(t, sent[len(sent)-1]), tt.name)
		require.NotEmpty(t, sent[len(sent)-1].match, tt.name)
		require.Equal(t, "unchanged", applied(t, s, id("1"), onto(t, h, tt.change)), tt.name)
		require.Len(t, h.requests(), 1, "one request finds that nothing differs")
	}
}

// onto returns a user that differs from what is held by change only.
func onto(t *testing.T, h *handle, change func(u *scim.User)) scim.User {
	t.Helper()
	e := endpoint[scim.User](t, h, scim.Config{Auth: h.auth, Transport: quiet{}})
	have, found, err := e.Get(t.Context(), id("1"))
	require.NoError(t, err)
	require.True(t, found)
	change(&have.Value)
	return have.Value
}

func members(from, to int) sink.Optional[[]scim.Member] {
	var list []scim.Member
	for i := from; i < to; i++ {
		list = append(list, scim.Member{Value: fmt.Sprintf("member-%d", i)})
	}
	return sink.Set(list)
}

func patchesOneMember(t *testing.T, h *handle) {
	s := ensured[scim.Group](t, h, h.config())
	n := h.large
	everybody := scim.Group{DisplayName: sink.Set("everybody"), Members: members(0, n)}
	require.Equal(t, "created", applied(t, s, id("g"), everybody))
	for _, tt := range []struct {
		members sink.Optional[[]scim.Member]
		ops     []object
	}{
		{members(0, n+1), []object{{"op": "add", "path": "members", "value": []any{object{"value": fmt.Sprint("member-", n)}}}}},
		{members(1, n+1), []object{{"op": "remove", "path": `members[value eq "member-0"]`}}},
		{members(2, n+2), []object{
			{"op": "remove", "path": `members[value eq "member-1"]`},
			{"op": "add", "path": "members", "value": []any{object{"value": fmt.Sprint("member-", n+1)}}},
		}},
	} {
		h.requests()
		require.Equal(t, "updated(members)", applied(t, s, id("g"), scim.Group{Members: tt.members}))
		sent := h.requests()
		require.Len(t, sent, 2, "a read and a write")
		require.Equal(t, tt.ops, patched(t, sent[1]))
		require.Less(t, len(sent[1].body), 300)
	}
	require.Len(t, h.one("Groups", id("g"))["members"], n)
}

func patchesInPieces(t *testing.T, h *handle) {
	cfg := h.config()
	cfg.PatchSize = 100
	s := ensured[scim.Group](t, h, cfg)
	require.Equal(t, "created", applied(t, s, id("g"), scim.Group{DisplayName: sink.Set("g"), Members: members(0, 130)}))
	h.requests()
	require.Equal(t, "updated(displayName, members)", applied(t, s, id("g"), scim.Group{DisplayName: sink.Set("h"), Members: members(120, 350)}))
	sizes := []int{}
	for _, s := range h.requests()[1:] {
		n := 0
		for _, op := range patched(t, s) {
			list, _ := op["value"].([]any)
			n += max(1, len(list))
		}
		sizes = append(sizes, n)
		require.NotEmpty(t, s.match, "each piece is for the resource as the one before left it")
	}
	require.Equal(t, []int{100, 100, 100, 41}, sizes)
	require.Equal(t, "unchanged", applied(t, s, id("g"), scim.Group{Members: members(120, 350)}))
}

func putsTheWhole(t *testing.T, h *handle) {
	cfg := h.config()
	cfg.Write = scim.Put
	s := ensured[scim.User](t, h, cfg)
	require.Equal(t, "created", applied(t, s, id("1"), ada()))
	require.NoError(t, h.patch("Users", id("1"), object{"op": "add", "path": "nickName", "value": "A"},
		object{"op": "add", "path": "emails", "value": []any{object{"value": "x@example.org", "type": "other"}}}))
	h.requests()
	want := ada()
	want.Emails = sink.Optional[[]scim.Value]{}
	want.Title = sink.Set("Countess")
	want.Name.FamilyName = sink.Null[string]()
	require.Equal(t, "updated(name.familyName, title)", applied(t, s, id("1"), want))
	requests := h.requests()
	put := requests[len(requests)-1]
	require.Equal(t, "PUT", put.method)
	require.NotEmpty(t, put.match)
	var body object
	require.NoError(t, json.Unmarshal([]byte(put.body), &body))
	require.NotContains(t, body, "meta")
	require.Len(t, body["emails"], 3)
	require.Equal(t, "A", body["nickName"])
	require.Contains(t, body["schemas"], enterprise)
	r := h.one("Users", id("1"))
	require.Equal(t, object{"givenName": "Ada"}, r["name"])
	require.Equal(t, "Countess", r["title"])
	require.Equal(t, "A", r["nickName"])
	require.Len(t, r["emails"], 3)
}

func keepsOtherTypes(t *testing.T, h *handle) {
	for name, write := range map[string]scim.Write{"1": scim.Patch, "2": scim.Put} {
		cfg := h.config()
		cfg.Types = map[string][]string{"emails": {"work"}}
		cfg.Write = write
		s := ensured[scim.User](t, h, cfg)
		require.NoError(t, h.post("Users", object{"userName": name, "externalId": name, "emails": []object{
			{"value": "private@example.org", "type": "home"}, {"value": "none@example.org"},
		}}))
		for _, tt := range []struct {
			emails []scim.Value
			says   string
		}{
			{[]scim.Value{{Value: "a@example.org", Type: "work"}}, "updated(emails)"},
			{[]scim.Value{{Value: "a@example.org", Type: "work"}}, "unchanged"},
			{[]scim.Value{{Value: "b@example.org", Type: "work"}}, "updated(emails)"},
			{nil, "updated(emails)"},
			{nil, "unchanged"},
		} {
			require.Equal(t, tt.says, applied(t, s, id(name), scim.User{UserName: sink.Set(name), Emails: sink.Set(tt.emails)}))
			held := fmt.Sprint(h.one("Users", id(name))["emails"])
			require.Contains(t, held, "private@example.org")
			require.Contains(t, held, "none@example.org")
			for _, e := range tt.emails {
				require.Contains(t, held, e.Value)
			}
		}
		require.Len(t, h.one("Users", id(name))["emails"], 2)
	}
}

func findsUserNames(t *testing.T, h *handle) {
	require.NoError(t, h.post("Users", object{"userName": "Ada", "title": "Countess"}))
	cfg := h.config()
	cfg.Key = "userName"
	cfg.Value = func(key entity.Key) string { return key.ID + "A" }
	s := ensured[scim.User](t, h, cfg)
	require.Equal(t, "unchanged", applied(t, s, id("AD"), scim.User{Title: sink.Set("Countess")}))
	require.Equal(t, "updated(externalId)", applied(t, s, id("ad"), scim.User{ExternalID: sink.Set("x")}))
	require.Equal(t, "created", applied(t, s, id("ev"), scim.User{}))
	require.Len(t, h.list("Users", ""), 2)

	other := ensured[scim.User](t, h, h.config())
	require.Equal(t, "unchanged", applied(t, other, id("x"), scim.User{UserName: sink.Set("ADA")}))
}

func meetsTakenName(t *testing.T, h *handle) {
	s := ensured[scim.User](t, h, h.config())
	require.Equal(t, "created", applied(t, s, id("1"), scim.User{UserName: sink.Set("ada")}))
	require.Equal(t, "created", applied(t, s, id("2"), scim.User{UserName: sink.Set("eve")}))
	for _, key := range []entity.Key{id("2"), id("3")} {
		_, err := s.Apply(t.Context(), key, scim.User{UserName: sink.Set("ADA")})
		require.Equal(t, failure.Failed, failure.Of(err))
		require.NotErrorIs(t, err, sink.ErrExists)
		var answered *scim.Error
		require.ErrorAs(t, err, &answered)
		require.Equal(t, "uniqueness", answered.Type)
		require.Equal(t, 409, answered.Status)
	}
	require.Len(t, h.list("Users", ""), 2)
}

func tellsIDs(t *testing.T, h *handle) {
	e := endpoint[scim.User](t, h, h.config())
	_, found, err := e.ID(t.Context(), id("1"))
	require.NoError(t, err)
	require.False(t, found)
	require.NoError(t, h.post("Users", object{"userName": "ada", "externalId": "1"}))
	got, found, err := e.ID(t.Context(), id("1"))
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, h.one("Users", id("1"))["id"], got)
}

func deactivates(t *testing.T, h *handle) {
	s, err := sink.Ensure(endpoint[scim.User](t, h, h.config()), sink.EnsureConfig[scim.User]{Removal: scim.Deactivate()})
	require.NoError(t, err)
	require.Equal(t, "created", applied(t, s, id("1"), ada()))
	for _, says := range []string{"disabled(active)", "unchanged"} {
		change, err := s.Remove(t.Context(), id("1"))
		require.NoError(t, err)
		require.Equal(t, says, change.String())
		require.Equal(t, false, h.one("Users", id("1"))["active"])
	}
	require.Equal(t, "updated(active)", applied(t, s, id("1"), ada()))
}

func checks(t *testing.T, h *handle) {
	for _, write := range []scim.Write{scim.Advertised, scim.Patch, scim.Put} {
		cfg := h.config()
		cfg.Write = write
		require.NoError(t, endpoint[scim.User](t, h, cfg).Check(t.Context()))
	}
	for _, s := range h.requests() {
		require.Equal(t, "GET", s.method)
	}
	cfg := h.config()
	cfg.Path = "Nothing"
	err := endpoint[scim.User](t, h, cfg).Check(t.Context())
	require.Equal(t, failure.Unavailable, failure.Of(err))
	require.ErrorContains(t, err, "404")
}
