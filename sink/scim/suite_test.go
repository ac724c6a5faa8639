package scim_test

import (
	"fmt"
	"strconv"
	"time"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/scim"
	"github.com/konnektor-go/konnektor/testkit/sinktest"
)

// userWithout are the cases that users leave out.
var userWithout = map[string]string{}

// groupWithout are the cases that groups leave out.
var groupWithout = map[string]string{
	"to disable":                         "a group has no attribute for it",
	"to disable and delete after a time": "a group has no attribute for it",
}

// users is the suite's handle on users. What a user is disabled since stands in
// the user's type.
func users(h *handle, cfg scim.Config) sinktest.Harness[scim.User] {
	want := func(n int, text string) scim.User {
		return scim.User{
			UserName:    sink.Set(fmt.Sprintf("user%d", n)),
			DisplayName: sink.Set(text),
			Name:        scim.Name{FamilyName: sink.Set(text), GivenName: sink.Set("Ada")},
			Active:      sink.Set(true),
			UserType:    sink.Null[string](),
			Emails:      sink.Set([]scim.Value{{Value: text, Type: "work"}, {Value: "home", Type: "home"}}),
			Enterprise:  scim.Enterprise{Department: sink.Set(text), Manager: sink.Set(scim.Manager{Value: text})},
		}
	}
	return sinktest.Harness[scim.User]{
		Target:  endpoint[scim.User](h.tb, h, cfg),
		Want:    func(n, version int) scim.User { return want(n, "version "+strconv.Itoa(version)) },
		Text:    want,
		Refused: func(int) scim.User { return scim.User{UserName: sink.Null[string]()} },
		SetForeign: func(key entity.Key, value string) error {
			return h.patch("Users", key, object{"op": "add", "path": "title", "value": value})
		},
		Foreign: func(key entity.Key) (string, error) { return fmt.Sprint(h.one("Users", key)["title"]), nil },
		Duplicate: func(key entity.Key) error {
			return h.post("Users", object{"externalId": key.ID, "userName": "another"})
		},
		Down:   h.setDown,
		Refuse: h.setRefuse,
		Removal: sink.Removal[scim.User]{
			Disable: func(have scim.User, since time.Time) scim.User {
				have = scim.Deactivate().Disable(have, since)
				have.UserType = sink.Set(since.Format(time.RFC3339))
				return have
			},
			Disabled: func(have scim.User) (time.Time, bool) {
				text, _ := have.UserType.Get()
				since, err := time.Parse(time.RFC3339, text)
				return since, err == nil
			},
		},
	}
}

// groups is the suite's handle on groups whose members that are groups are
// somebody else's.
func groups(h *handle, cfg scim.Config) sinktest.Harness[scim.Group] {
	cfg.Types = map[string][]string{"members": {"User"}}
	want := func(text string, members ...string) scim.Group {
		var list []scim.Member
		for _, m := range members {
			list = append(list, scim.Member{Value: m, Type: "User"})
		}
		return scim.Group{DisplayName: sink.Set(text), Members: sink.Set(list)}
	}
	return sinktest.Harness[scim.Group]{
		Target: endpoint[scim.Group](h.tb, h, cfg),
		Want: func(n, version int) scim.Group {
			return want(fmt.Sprintf("group %d.%d", n, version), "always", "member"+strconv.Itoa(version))
		},
		Text:    func(_ int, text string) scim.Group { return want(text, text, "another") },
		Refused: func(int) scim.Group { return scim.Group{DisplayName: sink.Null[string]()} },
		SetForeign: func(key entity.Key, value string) error {
			return h.patch("Groups", key, object{"op": "add", "path": "members", "value": []any{object{"value": value, "type": "Group"}}})
		},
		Foreign: func(key entity.Key) (string, error) {
			for _, m := range h.one("Groups", key)["members"].([]any) {
				if m := m.(object); m["type"] == "Group" {
					return m["value"].(string), nil
				}
			}
			return "", nil
		},
		Duplicate: func(key entity.Key) error {
			return h.post("Groups", object{"externalId": key.ID, "displayName": "another"})
		},
		Down:   h.setDown,
		Refuse: h.setRefuse,
	}
}

// patch changes the resource of an entity as another writer would.
func (h *handle) patch(path string, key entity.Key, ops ...object) error {
	h.tb.Helper()
	r := h.one(path, key)
	uri := path + "/" + r["id"].(string)
	status := h.do("PATCH", uri, patchOp(ops...), nil)
	if status == 501 {
		for _, op := range ops {
			apply(r, op)
		}
		status = h.do("PUT", uri, r, nil)
	}
	if status >= 300 {
		return fmt.Errorf("status %d", status)
	}
	return nil
}

func (h *handle) post(path string, r object) error {
	h.tb.Helper()
	if status := h.do("POST", path, r, nil); status != 201 {
		return fmt.Errorf("status %d", status)
	}
	return nil
}
