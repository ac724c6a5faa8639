package scim

import (
	"context"
	"crypto/rand"

	"github.com/konnektor-go/konnektor/entity"
)

// Check reports what would stop the connector from using the endpoint: the
// provider cannot be reached, does not accept the credentials, has no such
// endpoint, or cannot find resources by Config.Key. Whether the connector may
// write, SCIM has no way to ask. It writes nothing.
func (e *Endpoint[T]) Check(ctx context.Context) error {
	e.known.Store(nil) // the provider as it is now
	e.fixed.Store(nil)
	e.noPatch.Store(false)
	e.untagged.Store(false)
	p, err := e.provider(ctx)
	if err != nil {
		return err
	}
	if !p.patch {
		if _, err := e.readOnly(ctx); err != nil {
			return err
		}
	}
	_, err = e.find(ctx, entity.Key{ID: rand.Text()}) // nobody has it
	return err
}
