package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/rest"
)

// A learning platform gives its users ids of its own and finds them by the id
// that they have in the student system. Who leaves is disabled, and deleted
// after a year.
func Example() {
	platform := newCampus(exampleT{}) // http://127.0.0.1:…
	defer platform.Close()

	type account struct {
		Name     string                   `json:"name"`
		Email    sink.Optional[string]    `json:"email,omitzero"`
		Active   bool                     `json:"active"`
		Disabled sink.Optional[time.Time] `json:"disabled_since"`
	}
	accounts, err := rest.New[account](http.DefaultClient, platform.URL+"/api/v1", rest.Config{
		Item:   "users/{id}",
		Search: "users?sis_user_id={key}",
		Match:  "sis_user_id",
		Wrap:   "user",
		Update: rest.PutChanges,
		Header: http.Header{"Authorization": {"Bearer s3cret"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	users, err := sink.Ensure(accounts, sink.EnsureConfig[account]{Removal: sink.Removal[account]{
		Disable: func(a account, since time.Time) account {
			a.Active, a.Disabled = false, sink.Set(since)
			return a
		},
		Disabled: func(a account) (time.Time, bool) {
			since, ok := a.Disabled.Get()
			return since, ok && !a.Active
		},
		DeleteAfter: 365 * 24 * time.Hour,
	}})
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx, ada := context.Background(), entity.Key{Type: "students", ID: "123456"}
	show := func(change sink.Change, err error) { fmt.Println(change, err) }
	show(users.Apply(ctx, ada, account{Name: "Ada", Email: sink.Set("ada@example.org"), Active: true}))
	show(users.Apply(ctx, ada, account{Name: "Ada", Email: sink.Set("ada@example.org"), Active: true}))
	show(users.Apply(ctx, ada, account{Name: "Ada Lovelace", Active: true})) // the email is the platform's now
	show(users.Remove(ctx, ada))
	show(users.Apply(ctx, ada, account{Name: "Ada Lovelace", Active: true}))
	for _, body := range platform.writes {
		fmt.Println(body[:min(len(body), 42)])
	}
	// Output:
	// created <nil>
	// unchanged <nil>
	// updated(name) <nil>
	// disabled(active, disabled_since) <nil>
	// updated(active, disabled_since) <nil>
	// {"user":{"active":true,"disabled_since":nu
	// {"user":{"name":"Ada Lovelace"}}
	// {"user":{"active":false,"disabled_since":"
	// {"user":{"active":true,"disabled_since":nu
}

// A target of its own kind: the mapping names members of a map.
func ExampleNew() {
	people := newCampus(exampleT{})
	defer people.Close()
	target, err := rest.New[map[string]any](http.DefaultClient, people.URL+"/people", rest.Config{
		Create: rest.PutNew, // PUT /people/{key}, then PATCH and DELETE
		Header: http.Header{"Authorization": {"Bearer s3cret"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(target.Check(context.Background()))
	s, err := sink.Ensure(target, sink.EnsureConfig[map[string]any]{})
	if err != nil {
		fmt.Println(err)
		return
	}
	odd := entity.Key{ID: "a/b"}
	for _, want := range []map[string]any{
		{"name": "Ada", "office": map[string]any{"room": "1.2"}},
		{"name": "Ada", "office": map[string]any{"room": "3.4"}},
		{"name": "Ada", "office": map[string]any{"floor": nil}}, // the room is the target's own now
	} {
		fmt.Println(s.Apply(context.Background(), odd, want))
	}
	fmt.Println(people.requests[len(people.requests)-1])
	// Output:
	// <nil>
	// created <nil>
	// updated(office.room) <nil>
	// unchanged <nil>
	// GET /people/a%2Fb
}

// exampleT lets an example use what tests use.
type exampleT struct{ testing.TB }

func (exampleT) Cleanup(func()) {}
