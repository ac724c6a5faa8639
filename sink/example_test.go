package sink_test

import (
	"context"
	"fmt"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/sink"
)

// A directory is a target with plain operations; a real one would call a
// system.
type directory map[string]person

func (d directory) Get(_ context.Context, key entity.Key) (sink.Found[person], bool, error) {
	p, ok := d[key.ID]
	return sink.Found[person]{Value: p}, ok, nil
}

func (d directory) Create(_ context.Context, key entity.Key, want person) error {
	if _, ok := d[key.ID]; ok {
		return sink.ErrExists
	}
	d[key.ID] = want
	return nil
}

func (d directory) Update(_ context.Context, key entity.Key, _ sink.Found[person], want person, _ []sink.Field) error {
	if _, ok := d[key.ID]; !ok {
		return sink.ErrNotFound
	}
	d[key.ID] = want
	return nil
}

func (d directory) Delete(_ context.Context, key entity.Key, _ sink.Found[person]) error {
	if _, ok := d[key.ID]; !ok {
		return sink.ErrNotFound
	}
	delete(d, key.ID)
	return nil
}

func ExampleEnsure() {
	people, err := sink.Ensure[person](directory{}, sink.EnsureConfig[person]{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, k := context.Background(), entity.Key{Type: "persons", ID: "123"}
	for _, want := range []person{
		{Name: "Ada", Email: "ada@example.org"},
		{Name: "Ada", Email: "ada@example.org"},
		{Name: "Ada", Email: "countess@example.org"},
	} {
		change, err := people.Apply(ctx, k, want)
		fmt.Println(change, err)
	}
	change, err := people.Remove(ctx, k)
	fmt.Println(change, err)
	// Output:
	// created <nil>
	// unchanged <nil>
	// updated(Email) <nil>
	// removed <nil>
}

func ExampleDiff() {
	have := person{Name: "Ada", Email: "old@example.org"}
	want := person{Name: "Ada", Email: "ada@example.org"}
	fmt.Println(sink.Diff(have, want))
	// Output: [Email]
}
