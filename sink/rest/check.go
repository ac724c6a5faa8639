package rest

import (
	"context"
	"net/http"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/failure"
)

// Check reports what would stop the connector from using the target: it cannot
// be reached, does not accept the credentials, or does not answer as declared
// when it is asked for an entity that it has not, Config.Probe. It writes
// nothing, so that a missing right to write is not found.
func (t *Target[T]) Check(ctx context.Context) error {
	_, found, err := t.find(ctx, entity.Key{ID: t.cfg.Probe})
	if failure.Of(err) == failure.Rejected {
		return nil // it is no key for the target, which answers all the same
	}
	if err != nil {
		return err
	}
	if found {
		return failure.As(failure.Unavailable, t.failed(call{method: http.MethodGet, route: t.item.text}, 0,
			"an entity is found that should not be there: check Item and Match, or set Probe", nil))
	}
	return nil
}
