package rest_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/rest"
	"github.com/konnektor-go/konnektor/testkit/sinktest"
)

type office struct {
	Room     string                `json:"room"`
	Building sink.Optional[string] `json:"building,omitzero"`
}

type user struct {
	Name   string                   `json:"name"`
	Email  sink.Optional[string]    `json:"email,omitzero"`
	Office office                   `json:"office"`
	Roles  []string                 `json:"roles"`
	Active bool                     `json:"active"`
	Since  sink.Optional[time.Time] `json:"disabled_since"`
}

func wanted(n, version int) user {
	return user{
		Name: fmt.Sprintf("Name %d of %d", version, n), Email: sink.Set(fmt.Sprintf("%d.%d@example.org", n, version)),
		Office: office{Room: fmt.Sprint(version), Building: sink.Set("B")}, Roles: []string{"student"}, Active: true,
		Since: sink.Null[time.Time](),
	}
}

var auth = http.Header{"Authorization": {"Bearer s3cret"}}

// canvas is how the users are declared for the API under /api/v1.
func canvas() rest.Config {
	return rest.Config{
		Item: "users/{id}", Search: "users?sis_user_id={key}", Match: "sis_user_id",
		Wrap: "user", Update: rest.PutChanges, Header: auth,
	}
}

// summary is the same with a read of what the search found.
func summary() rest.Config {
	cfg := canvas()
	cfg.Search, cfg.Summary = "users?search_term={key}", true
	return cfg
}

// people is how they are declared for the API under /people.
func people(update rest.UpdateMethod) rest.Config {
	return rest.Config{Create: rest.PutNew, Update: update, Match: "sis_user_id", Header: auth, Sets: map[string]string{"roles": ""}}
}

func open[T any](t testing.TB, c *campus, path string, cfg rest.Config) *rest.Target[T] {
	t.Helper()
	target, err := rest.New[T](c.Client(), c.URL+path, cfg)
	require.NoError(t, err)
	return target
}

// disabled is how users are disabled.
var disabled = sink.Removal[user]{
	Disable: func(u user, since time.Time) user {
		u.Active, u.Since = false, sink.Set(since)
		return u
	},
	Disabled: func(u user) (time.Time, bool) {
		since, ok := u.Since.Get()
		return since, ok && !u.Active
	},
}

func TestTarget(t *testing.T) {
	oneEach := map[string]string{"several that match are an error of the entity": "a path leads to one entity"}
	for _, tc := range []struct {
		name, path string
		cfg        rest.Config
		without    map[string]string
	}{
		{"search", "/api/v1", canvas(), nil},
		{"search and read", "/api/v1", summary(), nil},
		{"by key, merge patch", "/people", people(rest.MergePatch), oneEach},
		{"by key, put", "/people", people(rest.PutWhole), oneEach},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sinktest.Run(t, sinktest.Config{Without: tc.without}, func(t *testing.T) sinktest.Harness[user] {
				c := newCampus(t)
				return sinktest.Harness[user]{
					Target: open[user](t, c, tc.path, tc.cfg),
					Want:   wanted,
					Text: func(n int, text string) user {
						u := wanted(n, 1)
						u.Name, u.Email, u.Office.Room, u.Roles = text, sink.Set(text), text, []string{text}
						return u
					},
					Refused: func(int) user { return user{Name: "forbidden"} },
					Foreign: func(key entity.Key) (note string, err error) {
						c.with(key, func(u object) { note, _ = u["note"].(string) })
						return note, nil
					},
					SetForeign: func(key entity.Key, value string) error {
						c.with(key, func(u object) { u["note"] = value })
						return nil
					},
					Duplicate: func(key entity.Key) error {
						c.locked(func() { c.store(object{"sis_user_id": key.ID, "name": "twin"}) })
						return nil
					},
					Down:    func(down bool) { c.locked(func() { c.down = down }) },
					Refuse:  func(refuse bool) { c.locked(func() { c.refuse = refuse }) },
					Removal: disabled,
				}
			})
		})
	}
}
