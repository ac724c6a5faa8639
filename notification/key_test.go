package notification_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/notification"
)

func TestKeyOf(t *testing.T) {
	for _, tc := range []struct{ subject, kind, id string }{
		{"https://cerebrum-uio.uio.no/api/v2/accounts/123456", "accounts", "123456"},
		{"HTTPS://HOST/accounts/123456/", "accounts", "123456"},
		{"https://user:secret@host:8443/accounts/123456", "accounts", "123456"},
		{"https://host/5", "", "5"},
		{"personer/56154", "personer", "56154"},
		{"/personer/56154", "personer", "56154"},
		{"/5", "", "5"},
		{"5", "", "5"},
		{"accounts//5", "", "5"},
		{"urn:eksempeltjeneste:5", "eksempeltjeneste", "5"},
		{"URN:a:b:5", "a:b", "5"},
		{"urn:a:b%3A5", "a", "b:5"},
		{"urn:a:b/5", "a", "b/5"},
		{"accounts/ola%40uio.no", "accounts", "ola@uio.no"},
		{"accounts/ola@uio.no", "accounts", "ola@uio.no"},
		{"groups/a%2Fb", "groups", "a/b"},
		{"groups/a:b", "groups", "a:b"},
		{"groups/100%25", "groups", "100%"},
		{"groups/a+b", "groups", "a+b"},
		{" accounts/1 ", "accounts", "1"},
		{"https://other.example/%C3%A5/1", "å", "1"},
		{"links/http://x/5", "x", "5"},
		{"/urn:a:b", "", "urn:a:b"},
	} {
		t.Run(tc.subject, func(t *testing.T) {
			key, err := notification.KeyOf(tc.subject)
			require.NoError(t, err)
			require.Equal(t, entity.Key{Type: tc.kind, ID: tc.id}, key)
		})
	}
	for _, subject := range []string{
		"", " ", "/", "//", "https://host", "https://host/", "a/..", "a/.", "../5", "a/%2e%2E", "urn:", "urn:a:", "urn:a:..",
		"a/1?x=2", "a/1#x", "urn:a:1?+x", "a/%", "a/%zz", "%zz/1", "urn:a:%z", "a/1%00", "a/\xff", "a/" + strings.Repeat("1", 1025),
	} {
		t.Run("refuses "+subject, func(t *testing.T) {
			key, err := notification.KeyOf(subject)
			require.ErrorContains(t, err, "subject: ")
			require.Zero(t, key)
		})
	}
}

func TestTemplate(t *testing.T) {
	for _, tc := range []struct {
		pattern, subject string
		kind, id         string // no id: does not fit
	}{
		{"/api/v2/accounts/{id}", "https://host/api/v2/accounts/5", "accounts", "5"},
		{"/api/v2/accounts/{id}", "http://other:8080/api/v2/accounts/5/", "accounts", "5"},
		{"/api/v2/accounts/{id}", "/api/v2/accounts/5", "accounts", "5"},
		{"/api/v2/accounts/{id}", "api/v2/accounts/5", "accounts", "5"},
		{"/api/v2/accounts/{id}/", "api/v2/accounts/5", "accounts", "5"},
		{"/api/v2/accounts/{id}", "https://host/x/api/v2/accounts/5", "", ""},
		{"/api/v2/accounts/{id}", "https://host/api/v2/accounts/5/groups", "", ""},
		{"/api/v2/accounts/{id}", "https://host/api/v2/groups/5", "", ""},
		{"/api/v2/accounts/{id}", "accounts/5", "", ""},
		{"/api/v2/accounts/{id}", "/API/v2/accounts/5", "", ""},
		{"/api/v2/accounts/{id}", "urn:accounts:5", "", ""},
		{"personer/{id}", "personer/56154", "personer", "56154"},
		{"personer/{id}", "/personer/56154", "personer", "56154"},
		{"personer/{id}", "https://host/api/v1/personer/56154", "personer", "56154"},
		{"personer/{id}", "56154", "", ""},
		{"personer/{id}", "/personer/56154/roller", "", ""},
		{"{id}", "accounts/5", "accounts", "5"},
		{"/{id}", "/5", "", "5"},
		{"/{id}", "accounts/5", "", ""},
		{"{type}/{id}", "https://host/v1/accounts/5", "accounts", "5"},
		{"/v1/{type}/{id}", "https://host/v1/accounts/5", "accounts", "5"},
		{"/{type}/by-id/{id}", "/accounts/by-id/5", "accounts", "5"},
		{"/{id}/{type}", "/5/accounts", "accounts", "5"},
		{"accounts/{id}/changes", "/v1/accounts/5/changes", "accounts", "5"},
		{"/api/*/accounts/{id}", "/api/v3/accounts/5", "accounts", "5"},
		{"/api/*/{id}", "/api/groups/5", "groups", "5"},
		{"/accounts/acc-{id}.json", "/accounts/acc-5.json", "accounts", "5"},
		{"/accounts/acc-{id}.json", "/accounts/acc-.json", "", ""},
		{"/accounts/acc-{id}.json", "/accounts/5.json", "", ""},
		{"/accounts/{id}", "/accounts/a%2Fb%3Ac%40d", "accounts", "a/b:c@d"},
		{"/bygg/blå/{id}", "/bygg/bl%C3%A5/5", "blå", "5"},
		{"/bygg/bl%C3%A5/{id}", "/bygg/blå/5", "blå", "5"},
		{"/groups/{id...}", "/groups/uio/mn/ifi", "groups", "uio/mn/ifi"},
		{"/groups/{id...}", "/groups/ifi", "groups", "ifi"},
		{"/groups/{id...}", "/groups", "", ""},
		{"groups/{id...}", "https://host/v1/groups/uio/groups/ifi", "groups", "uio/groups/ifi"},
		{"{type}/{id...}", "groups/a/b", "groups", "a/b"},
		{"urn:eksempeltjeneste:{id}", "urn:eksempeltjeneste:5", "eksempeltjeneste", "5"},
		{"urn:eksempeltjeneste:{id}", "URN:EKSEMPELTJENESTE:5", "EKSEMPELTJENESTE", "5"},
		{"urn:eksempeltjeneste:{id}", "urn:eksempeltjeneste:persons:5", "", ""},
		{"urn:eksempeltjeneste:{id}", "eksempeltjeneste/5", "", ""},
		{"urn:eksempeltjeneste:{id...}", "urn:eksempeltjeneste:a:b", "eksempeltjeneste", "a:b"},
		{"urn:eksempeltjeneste:prod:{id}", "urn:eksempeltjeneste:prod:5", "eksempeltjeneste:prod", "5"},
		{"urn:eksempeltjeneste:prod:{id}", "urn:eksempeltjeneste:PROD:5", "", ""},
		{"urn:eksempeltjeneste:*:{type}:{id}", "urn:eksempeltjeneste:prod:persons:a%3Ab", "persons", "a:b"},
	} {
		t.Run(tc.pattern+" on "+tc.subject, func(t *testing.T) {
			template, err := notification.NewTemplate(tc.pattern)
			require.NoError(t, err)
			n := about(tc.subject)
			if tc.id == "" {
				require.False(t, template.Match(n))
				_, err := template.Keys(t.Context(), n)
				require.EqualError(t, err, "subject: does not fit the template")
				return
			}
			want := entity.Key{Type: tc.kind, ID: tc.id}
			require.True(t, template.Match(n))
			keys, err := template.Keys(t.Context(), n)
			require.NoError(t, err)
			require.Equal(t, []entity.Key{want}, keys)
			key, err := template.Key(tc.subject)
			require.NoError(t, err)
			require.Equal(t, want, key)
		})
	}
}

func about(subject string) notification.Notification {
	e := event.New()
	e.SetSubject(subject)
	return notification.Notification{Event: e}
}

func TestTemplateOfSeveralPatterns(t *testing.T) {
	template, err := notification.NewTemplate("urn:x:{id}", "/v2/accounts/{id}", "accounts/{id}")
	require.NoError(t, err)
	for _, subject := range []string{"urn:x:5", "/v2/accounts/5", "https://host/v1/accounts/5"} {
		key, err := template.Key(subject)
		require.NoError(t, err)
		require.Equal(t, "5", key.ID)
	}
}

func TestTemplateRejectsWhatItCannotRead(t *testing.T) {
	template, err := notification.NewTemplate("/accounts/{id}", "/groups/*/{id}", "/roles/{id...}")
	require.NoError(t, err)
	for _, tc := range []struct{ subject, want string }{
		{"", "subject: is empty"},
		{"/accounts/123456?x=1", "subject: has a query or a fragment"},
		{"/accounts/123456%z", "subject: is not percent-encoded correctly"},
		{"/groups/%z/123456", "subject: is not percent-encoded correctly"},
		{"/accounts/..", "subject: has a dot segment where the entity stands"},
		{"/groups/../123456", "subject: has a dot segment where the entity stands"},
		{"/accounts/1%00", "subject: ID: must not hold control characters"},
		{"/roles/" + strings.Repeat("a/", 600), "subject: ID: 1199 bytes, at most 1024 are allowed"},
	} {
		t.Run(tc.subject, func(t *testing.T) {
			_, err := template.Keys(t.Context(), about(tc.subject))
			require.EqualError(t, err, tc.want)
			require.True(t, template.Match(about(tc.subject)), "so that it is rejected, not dropped")
		})
	}
	_, err = template.Keys(t.Context(), notification.Notification{})
	require.EqualError(t, err, "subject: is empty")
}

func TestNewTemplateRefuses(t *testing.T) {
	for _, tc := range []struct{ pattern, want string }{
		{"", `must be a path such as "accounts/{id}"`},
		{"/accounts", "must say where the id stands"},
		{"https://host/accounts/{id}", "must not name a scheme or a host"},
		{"/accounts/{id}?x=1", "without a query or a fragment"},
		{"/accounts/{id}/{id}", "must hold {id} once only"},
		{"/{type}/{type}/{id}", "must hold {type} once only"},
		{"/accounts/{name}", "must not have other names in braces"},
		{"/accounts/{}", "must not have other names in braces"},
		{"/accounts/{id", "must close each { with a }"},
		{"/accounts/id}", "at most one pair of braces"},
		{"/{type}-{id}", "at most one pair of braces"},
		{"/accounts//{id}", "must not have an empty part"},
		{"/groups/{id...}/x", "must have {id...} as its last part only"},
		{"/groups/{id...}.json", "must have {id...} as its last part only"},
		{"/v*/{id}", "must have * as a whole part only"},
		{"/%zz/{id}", "must be percent-encoded correctly"},
		{"urn:", "must not have an empty part"},
		{"urn:x", "must say where the id stands"},
	} {
		t.Run(tc.pattern, func(t *testing.T) {
			template, err := notification.NewTemplate("ok/{id}", tc.pattern)
			require.ErrorContains(t, err, "patterns[1]: ")
			require.ErrorContains(t, err, tc.want)
			require.Nil(t, template)
		})
	}
	_, err := notification.NewTemplate()
	require.ErrorContains(t, err, "patterns: must be at least one")
}

func ExampleTemplate() {
	persons, err := notification.NewTemplate("/api/v2/persons/{id}", "urn:iga:person:{id}")
	if err != nil {
		fmt.Println(err)
		return
	}
	// A flow takes it as Match: persons, Keys: persons.Keys.
	for _, subject := range []string{"https://iga.uio.no/api/v2/persons/a%2F5", "urn:iga:person:5", "/api/v2/groups/5"} {
		n := about(subject)
		keys, err := persons.Keys(context.Background(), n)
		fmt.Println(persons.Match(n), keys, err)
	}
	// Output:
	// true [persons/***] <nil>
	// true [iga:person/***] <nil>
	// false [] subject: does not fit the template
}
