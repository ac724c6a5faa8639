package source

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/konnektor-go/konnektor/failure"
)

// Composite is a [Source] whose states are put together from several fetches:
// a person, then the person's employments. There is one verdict:
//   - Main alone says whether the entity exists. What it says of an error is
//     what the Composite says, and then no part is fetched.
//   - A part that is gone while the entity exists is failure.Failed, as the two
//     contradict each other: the entity may have been removed in between, which
//     the next fetch tells. If the part is Optional, it is left out instead.
//   - Any other error of a part is the Composite's. A state is complete, or it
//     is none.
//
// All fetches are for the same key, with the same transaction id and as fresh as
// the request asks, but without ChangedAt: it may be a part that changed, and
// then the others are rightly older. They are made one after the other, so a
// part may use what the earlier ones found. A Composite may be copied and used
// concurrently.
type Composite[S any] struct {
	// Main is required.
	Main Source[S]
	// Parts are fetched in their order.
	Parts []Part[S]
}

// Part is what a further fetch adds to a state. See [PartOf].
type Part[S any] struct {
	// Name stands in errors: "employments". It is required.
	Name string
	// Optional says that an entity may exist without the part.
	Optional bool
	// Fetch adds the part to the state, which holds Main's and the earlier
	// parts. It is required.
	Fetch func(ctx context.Context, req Request, state *S) error
}

// PartOf returns a Part that fetches from another source by the same key, and
// adds what it gets.
func PartOf[S, P any](name string, from Source[P], add func(into *S, part P)) Part[S] {
	return Part[S]{Name: name, Fetch: func(ctx context.Context, req Request, state *S) error {
		part, err := from.Fetch(ctx, req)
		if err != nil {
			return err
		}
		add(state, part)
		return nil
	}}
}

// Validate reports why the Composite cannot work. The error begins with the
// name of the field.
func (c Composite[S]) Validate() error {
	if c.Main == nil {
		return errors.New("Main: must be set")
	}
	if v, ok := c.Main.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return fmt.Errorf("Main: %w", err)
		}
	}
	for i, p := range c.Parts {
		switch {
		case p.Name == "":
			return fmt.Errorf("Parts: number %d has no Name", i+1)
		case p.Fetch == nil:
			return fmt.Errorf("Parts: %s has no Fetch", p.Name)
		}
	}
	return nil
}

// Fetch implements [Source].
func (c Composite[S]) Fetch(ctx context.Context, req Request) (S, error) {
	var none S
	if err := c.Validate(); err != nil {
		return none, failure.As(failure.Unavailable, err)
	}
	if req.TransactionID == "" {
		req.TransactionID = rand.Text()
	}
	req.ChangedAt = time.Time{}
	state, err := c.Main.Fetch(ctx, req)
	if err != nil {
		return none, err
	}
	for _, p := range c.Parts {
		err := p.Fetch(ctx, req, &state)
		switch {
		case err == nil:
		case failure.Of(err) != failure.Gone:
			return none, fmt.Errorf("%s: %w", p.Name, err)
		case !p.Optional:
			return none, failure.As(failure.Failed, fmt.Errorf("%s: gone, though the entity exists: %w", p.Name, err))
		}
	}
	return state, nil
}
