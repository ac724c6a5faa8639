package scim_test

import (
	"context"
	"fmt"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/sink/scim"
)

func Example() {
	provider := (&fake{}).start(exampleTB{})
	defer provider.stop()
	ctx := context.Background()

	endpoint, err := scim.New[scim.User](provider.base, scim.Config{Auth: scim.Bearer("token")})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := endpoint.Check(ctx); err != nil {
		fmt.Println(err)
		return
	}
	users, err := sink.Ensure(endpoint, sink.EnsureConfig[scim.User]{Removal: scim.Deactivate()})
	if err != nil {
		fmt.Println(err)
		return
	}

	key := entity.Key{Type: "persons", ID: "1815"} // the externalId
	for _, title := range []string{"Countess", "Countess", "Lady"} {
		change, err := users.Apply(ctx, key, scim.User{
			UserName: sink.Set("ada"),
			Name:     scim.Name{GivenName: sink.Set("Ada")},
			Title:    sink.Set(title),
			Active:   sink.Set(true),
		})
		fmt.Println(change, err)
	}
	change, err := users.Remove(ctx, key)
	fmt.Println(change, err)
	// Output:
	// created <nil>
	// unchanged <nil>
	// updated(title) <nil>
	// disabled(active) <nil>
}

// Members of groups are named by the provider's ids, which the endpoint of users
// knows.
func ExampleEndpoint_ID() {
	provider := (&fake{}).start(exampleTB{})
	defer provider.stop()
	ctx := context.Background()

	users, err := scim.New[scim.User](provider.base, scim.Config{Auth: scim.Bearer("token")})
	if err != nil {
		fmt.Println(err)
		return
	}
	ada := entity.Key{Type: "persons", ID: "1815"}
	if err := users.Create(ctx, ada, scim.User{UserName: sink.Set("ada")}); err != nil {
		fmt.Println(err)
		return
	}
	id, found, err := users.ID(ctx, ada)
	fmt.Println(found, err)
	group := scim.Group{Members: sink.Set([]scim.Member{{Value: id}})}
	members, _ := group.Members.Get()
	fmt.Println(len(members))
	// Output:
	// true <nil>
	// 1
}
