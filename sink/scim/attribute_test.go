package scim_test

import (
	"net/http"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/scim"
)

// quiet is a transport of which nobody notes anything.
type quiet struct{}

func (quiet) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("X-Plain", "true")
	return http.DefaultTransport.RoundTrip(r)
}

// person is a resource type of a user of the package: a user with an attribute
// of its own, whose password is known at the start only.
type person struct {
	scim.User

	Password sink.Optional[string] `json:"password,omitzero"`
	Groups   []string              `json:"groups,omitempty"`
	ID       string                `json:"id,omitempty"`
}

func appliesOwnType(t *testing.T, h *handle) {
	s := ensured[person](t, h, h.config())
	want := person{User: ada(), Password: sink.Set("s3cret"), Groups: []string{"ours to ask, not to say"}, ID: "no"}
	require.Equal(t, "created", applied(t, s, id("1"), want))
	sent := h.requests()
	require.Contains(t, sent[len(sent)-1].body, `"password":"s3cret"`)
	require.NotContains(t, sent[len(sent)-1].body, "groups")
	want.Password = sink.Set("another")
	require.Equal(t, "unchanged", applied(t, s, id("1"), want))

	byMap := ensured[map[string]any](t, h, scim.Config{
		Auth: h.auth, Transport: h, Path: "Users", Schemas: []string{"urn:ietf:params:scim:schemas:core:2.0:User"},
	})
	require.Equal(t, "updated(name.givenName, title)", applied(t, byMap, id("1"),
		map[string]any{"title": "Countess", "name": map[string]any{"givenName": "Augusta"}, "emails": []any{
			map[string]any{"value": "ada@example.com"}, map[string]any{"type": "work"},
		}}))
	require.Equal(t, "created", applied(t, byMap, id("2"), map[string]any{"userName": "eve", "nickName": nil}))
}

func clears(t *testing.T, h *handle) {
	for name, write := range map[string]scim.Write{"1": scim.Patch, "2": scim.Put} {
		cfg := h.config()
		cfg.Write = write
		s := ensured[scim.User](t, h, cfg)
		full := ada()
		full.UserName = sink.Set("user" + name)
		full.Enterprise.Manager = sink.Set(scim.Manager{Value: "m"})
		require.Equal(t, "created", applied(t, s, id(name), full))
		none := scim.User{
			Name:   scim.Name{GivenName: sink.Null[string](), FamilyName: sink.Null[string]()},
			Emails: sink.Set([]scim.Value{}), Title: sink.Null[string](),
			Enterprise: scim.Enterprise{Manager: sink.Null[scim.Manager](), Department: sink.Set("")},
		}
		require.Equal(t, "updated(emails, name.familyName, name.givenName, "+enterprise+":department, "+enterprise+":manager)",
			applied(t, s, id(name), none))
		require.Equal(t, "unchanged", applied(t, s, id(name), none))
		r := h.one("Users", id(name))
		require.NotContains(t, r, "emails")
		require.Equal(t, object{"department": ""}, r[enterprise])
		require.Equal(t, "user"+name, r["userName"])
	}
}

// hostile are attempts to get out of a filter, a path or a URL.
var hostile = []string{
	`" or userName pr or externalId eq "`, `\" or userName pr or externalId eq \"`, `"`, `\`, `\\"`, `a"]`, `"].value`, `x"] or emails[value eq "y`,
	`ada") or (userName pr`, `*`, `../Users`, `..`, `%2e%2e%2f`, `?filter=userName%20pr`, `a&count=1`, `#`, `/`, `;x`, `a b`, ` `, `a.b[c`,
	`{"op":"remove"}`, `"}],"Operations":[`, `null`, `true`, `1`, `${x}`, `{{x}}`, "\u2028", "\u202e", "é", "e\u0301", "\U0001F469\u200d\U0001F52C",
}

func survivesHostileValues(t *testing.T, h *handle) {
	witness := ensured[scim.User](t, h, h.config())
	require.Equal(t, "created", applied(t, witness, id("witness"), ada()))
	for _, write := range []scim.Write{scim.Patch, scim.Put} {
		cfg := h.config()
		cfg.Write = write
		users, groups := ensured[scim.User](t, h, cfg), ensured[scim.Group](t, h, cfg)
		for i, text := range hostile {
			user := func(text, more string) scim.User {
				return scim.User{
					UserName: sink.Set("u" + text), Title: sink.Set(text),
					Emails:     sink.Set([]scim.Value{{Value: text, Type: "other"}, {Value: more, Type: "work"}}),
					Enterprise: scim.Enterprise{Manager: sink.Set(scim.Manager{Value: text})},
				}
			}
			group := func(text ...string) scim.Group {
				g := scim.Group{DisplayName: sink.Set(text[0])}
				var list []scim.Member
				for _, m := range append(text, "another") {
					list = append(list, scim.Member{Value: m})
				}
				g.Members = sink.Set(list)
				return g
			}
			next := hostile[(i+1)%len(hostile)]
			for _, want := range []scim.User{user(text, "x"), user(text, next), user(next, text)} {
				require.NotEqual(t, "unchanged", applied(t, users, id(text), want), text)
				require.Equal(t, "unchanged", applied(t, users, id(text), want), text)
			}
			for _, want := range []scim.Group{group(text), group(next, text), group(next)} {
				require.NotEqual(t, "unchanged", applied(t, groups, id(text), want), text)
				require.Equal(t, "unchanged", applied(t, groups, id(text), want), text)
			}
			for _, s := range []interface {
				Remove() (sink.Change, error)
			}{remover[scim.User]{t, users, text}, remover[scim.Group]{t, groups, text}} {
				change, err := s.Remove()
				require.NoError(t, err, text)
				require.Equal(t, sink.Removed, change.Op, text)
			}
			require.Equal(t, "unchanged", applied(t, witness, id("witness"), ada()), text)
		}
	}
	require.Len(t, h.list("Users", ""), 1)
	require.Empty(t, h.list("Groups", ""))
}

type remover[T any] struct {
	t    *testing.T
	sink sink.Sink[T]
	id   string
}

func (r remover[T]) Remove() (sink.Change, error) { return r.sink.Remove(r.t.Context(), id(r.id)) }

// keepsOthersChanges holds that a resource is written only as it was read.
func keepsOthersChanges(t *testing.T, h *handle) {
	for name, write := range map[string]scim.Write{"1": scim.Patch, "2": scim.Put} {
		cfg := h.config()
		cfg.Write = write
		e := endpoint[scim.User](t, h, cfg)
		require.NoError(t, h.post("Users", object{"userName": name, "externalId": name}))
		have, found, fields, err := e.Observe(t.Context(), id(name), scim.User{Title: sink.Set("Countess")})
		require.NoError(t, err)
		require.True(t, found)
		require.NoError(t, h.patch("Users", id(name), object{"op": "add", "path": "nickName", "value": "A"}))
		require.ErrorIs(t, e.Update(t.Context(), id(name), have, scim.User{Title: sink.Set("Countess")}, fields), sink.ErrConflict)
		require.ErrorIs(t, e.Delete(t.Context(), id(name), have), sink.ErrConflict)
		require.Equal(t, "A", h.one("Users", id(name))["nickName"])
	}
}

// races has two instances of a connector and another writer change a user and a
// group at the same time. Each has attributes of its own; none is lost.
func races(t *testing.T, h *handle) {
	const rounds = 15
	cfg := h.config()
	cfg.Types = map[string][]string{"members": {"User"}}
	user := func(n int) scim.User {
		return scim.User{UserName: sink.Set("ada"), Title: sink.Set(strconv.Itoa(n)), Name: scim.Name{GivenName: sink.Set(strconv.Itoa(n))}}
	}
	group := func(n int) scim.Group {
		list := []scim.Member{{Value: "always", Type: "User"}, {Value: "m" + strconv.Itoa(n), Type: "User"}}
		return scim.Group{DisplayName: sink.Set("group"), Members: sink.Set(list)}
	}
	require.Equal(t, "created", applied(t, ensured[scim.User](t, h, cfg), id("1"), user(0)))
	require.Equal(t, "created", applied(t, ensured[scim.Group](t, h, cfg), id("1"), group(0)))
	userID, groupID := h.one("Users", id("1"))["id"].(string), h.one("Groups", id("1"))["id"].(string)
	var wg sync.WaitGroup
	errs := make(chan error, 10*rounds)
	for range 2 {
		ensure := sink.EnsureConfig[scim.User]{Tries: 100}
		users, err := sink.Ensure(endpoint[scim.User](t, h, cfg), ensure)
		require.NoError(t, err)
		groups, err := sink.Ensure(endpoint[scim.Group](t, h, cfg), sink.EnsureConfig[scim.Group]{Tries: 100})
		require.NoError(t, err)
		wg.Go(func() {
			for n := range rounds {
				_, err := users.Apply(t.Context(), id("1"), user(n+1))
				errs <- err
				_, err = groups.Apply(t.Context(), id("1"), group(n+1))
				errs <- err
			}
		})
	}
	wg.Go(func() {
		for n := range rounds {
			text := strconv.Itoa(n)
			h.do("PATCH", "Users/"+userID, patchOp(object{"op": "add", "path": "nickName", "value": text},
				object{"op": "add", "path": "phoneNumbers", "value": []any{object{"value": text}}}), nil)
			h.do("PATCH", "Groups/"+groupID, patchOp(object{"op": "add", "path": "members", "value": []any{object{"value": "g" + text, "type": "Group"}}}), nil)
		}
	})
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	u, g := h.one("Users", id("1")), h.one("Groups", id("1"))
	require.Equal(t, strconv.Itoa(rounds), u["title"])
	require.Equal(t, object{"givenName": strconv.Itoa(rounds)}, u["name"])
	require.Equal(t, strconv.Itoa(rounds-1), u["nickName"])
	require.Len(t, u["phoneNumbers"], rounds)
	require.Len(t, g["members"], rounds+2)
}
