package scim_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/scim"
)

const base = "https://idm.example.no/scim/v2"

func TestNew(t *testing.T) {
	for _, url := range []string{base, base + "/", "https://idm.example.no", "http://127.0.0.1:1/scim", "http://localhost/scim"} {
		_, err := scim.New[scim.User](url, scim.Config{})
		require.NoError(t, err, url)
	}
	for url, want := range map[string]string{
		"":                             "baseURL: must begin with https:// and a host",
		"://":                          "baseURL: is not a URL",
		"ftp://idm.example.no":         "baseURL: must begin with https:// and a host",
		"https:///scim":                "baseURL: must begin with https:// and a host",
		"http://idm.example.no":        "baseURL: must begin with https://; http is for loopback addresses only, as credentials would travel in the clear",
		"https://ada:pw@idm.example":   "baseURL: must not hold a user or password; use Config.Auth",
		base + "?x=1":                  "baseURL: must not have a query or fragment",
		base + "#x":                    "baseURL: must not have a query or fragment",
		"https://idm.example.no//scim": "baseURL: path must be relative to the base URL, without a slash at the beginning",
		base + "/../x":                 `baseURL: path must not hold "." or ".." as a segment`,
	} {
		_, err := scim.New[scim.User](url, scim.Config{})
		require.EqualError(t, err, "scim: "+want, url)
	}
	for _, tt := range []struct {
		cfg  scim.Config
		want string
	}{
		{scim.Config{Path: "a/b"}, "Path: must be one segment without characters that need an escape, such as Users"},
		{scim.Config{Path: ".."}, "Path: must be one segment without characters that need an escape, such as Users"},
		{scim.Config{Path: "Üsers"}, "Path: must be one segment without characters that need an escape, such as Users"},
		{scim.Config{Schemas: []string{}}, "Schemas: must name one, as T is neither a User nor a Group"},
		{scim.Config{Schemas: []string{"User"}}, "Schemas: must be URNs, such as urn:ietf:params:scim:schemas:core:2.0:User"},
		{scim.Config{Key: "user name"}, "Key: must be the name of an attribute, such as externalId"},
		{scim.Config{Key: `a eq "b" or c`}, "Key: must be the name of an attribute, such as externalId"},
		{scim.Config{Write: 3}, "Write: must be Advertised, Patch or Put"},
		{scim.Config{Types: map[string][]string{"a.b": nil}}, `Types: "a.b" must be the name of an attribute, such as emails`},
		{scim.Config{PageSize: -1}, "PageSize: must not be negative; 0 means the default"},
		{scim.Config{PatchSize: -1}, "PatchSize: must not be negative; 0 means the default"},
		{scim.Config{Timeout: -time.Second}, "Timeout: must not be negative; 0 means the default"},
		{scim.Config{MaxBody: -1}, "MaxBody: must not be negative; 0 means the default"},
	} {
		_, err := scim.New[scim.User](base, tt.cfg)
		require.EqualError(t, err, "scim: "+tt.want)
	}
	_, err := scim.New[map[string]any](base, scim.Config{})
	require.EqualError(t, err, "scim: Path: must be set, as T is neither a User nor a Group")
	_, err = scim.New[struct{ Name string }](base, scim.Config{Path: "Rooms"})
	require.EqualError(t, err, "scim: Schemas: must name one, as T is neither a User nor a Group")
}

// TestJSON holds that what is not set is not named.
func TestJSON(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want string
	}{
		{scim.User{}, `{}`},
		{scim.Group{}, `{}`},
		{scim.User{
			UserName: sink.Set(""), Title: sink.Null[string](), Active: sink.Set(false), Emails: sink.Set([]scim.Value{{Value: "a"}}),
			Name:       scim.Name{GivenName: sink.Null[string]()},
			Enterprise: scim.Enterprise{Manager: sink.Set(scim.Manager{Value: "1"})},
		}, `{"userName":"","name":{"givenName":null},"title":null,"active":false,"emails":[{"value":"a"}],"` + enterprise + `":{"manager":{"value":"1"}}}`},
	} {
		data, err := json.Marshal(tt.v)
		require.NoError(t, err)
		require.Equal(t, tt.want, string(data))
	}
}

// TestUpdateNeedsWhatWasRead holds that a write is about a resource that was read.
func TestUpdateNeedsWhatWasRead(t *testing.T) {
	h := (&fake{}).start(t)
	e := endpoint[scim.User](t, h, h.config())
	require.Error(t, e.Update(t.Context(), id("1"), sink.Found[scim.User]{}, ada(), nil))
	require.Error(t, e.Delete(t.Context(), id("1"), sink.Found[scim.User]{}))
	require.Empty(t, h.requests())

	require.NoError(t, h.post("Users", object{"externalId": "1", "userName": "ada"}))
	have, _, err := e.Get(t.Context(), id("1"))
	require.NoError(t, err)
	h.requests()
	want := ada()
	want.Title = sink.Set("Countess")
	for _, tt := range []struct {
		fields []sink.Field
		paths  []string
		err    string
	}{
		{[]sink.Field{{Name: "title"}}, []string{"title"}, ""},
		{[]sink.Field{{Name: "Title"}, {Name: "Name"}, {Name: "name"}}, []string{"name"}, ""},
		{[]sink.Field{{Name: "Enterprise"}}, []string{enterprise + ":department"}, ""},
		{[]sink.Field{{Name: "UserName"}}, nil, ""},
		{nil, nil, ""},
		{[]sink.Field{{Name: "no such"}}, nil, `scim: fields: "no such" is no attribute`},
	} {
		have.Ref, have.Value = must(e.Get(t.Context(), id("1"))).Ref, scim.User{}
		h.requests()
		err := e.Update(t.Context(), id("1"), have, want, tt.fields)
		if tt.err != "" {
			require.EqualError(t, err, tt.err)
			continue
		}
		require.NoError(t, err)
		requests := h.requests()
		if tt.paths == nil {
			require.Empty(t, requests)
			continue
		}
		var paths []string
		for _, op := range patched(t, requests[0]) {
			paths = append(paths, fmt.Sprint(op["path"]))
		}
		require.Equal(t, tt.paths, paths)
	}
}

func must(have sink.Found[scim.User], _ bool, err error) sink.Found[scim.User] {
	if err != nil {
		panic(err)
	}
	return have
}
