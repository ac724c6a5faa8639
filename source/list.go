package source

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/konnektor-go/konnektor/entity"
)

// ErrIncomplete says that a listing ended, or would have gone on for ever,
// without having shown that it lists everything. It is in the errors of
// [Lister]; what was listed until then exists nevertheless.
var ErrIncomplete = errors.New("the listing is not complete")

// Lister lists the entities of a source, for full provisioning.
//
// For implementers:
//   - The pages come in an order that lets a listing be resumed. An error is the
//     last thing that is yielded, with an empty Page.
//   - A sequence that ends without an error has yielded all that was asked for.
//     Whatever speaks against that is an error, of [ErrIncomplete] if nothing
//     else went wrong: a total that was not reached, a page that comes twice,
//     a loop.
//   - Only the last page may be Complete, and only if an entity that was not
//     listed is likely not to exist: never with ModifiedSince, never after an
//     item that could not be read.
//   - Errors are classified as those of [Source], but never as failure.Gone: a
//     listing proves nothing about one entity. They hold no identifier.
//   - Caches are bypassed: pages of different ages do not fit together.
//   - List may be called concurrently, also with the same Resume.
type Lister[S any] interface {
	List(ctx context.Context, req ListRequest) iter.Seq2[Page[S], error]
}

// ListRequest asks for a listing.
type ListRequest struct {
	// Resume is that of a Page of an earlier listing, to go on after it. Empty:
	// from the beginning. ModifiedSince must be the same as it was there.
	Resume string
	// ModifiedSince asks only for what changed since then. A lister that cannot
	// do that yields failure.Rejected. Zero: everything.
	ModifiedSince time.Time
	// TransactionID goes with all requests of the listing, for the logs of the
	// systems on the way.
	TransactionID string
}

// Page is a part of a listing.
type Page[S any] struct {
	// Items may be empty: some sources filter their pages after they cut them.
	Items []Item[S]
	// Resume goes on after this page, also in another process. It is empty on
	// the last page. It can hold identifiers, and is not for logs.
	Resume string
	// Listed is how many items the listing had up to the end of this page, those
	// before a resumption too.
	Listed int
	// Total is how many items there are, as far as the source tells: -1 if it
	// does not.
	Total int
	// Skipped is how many items up to here could not be read.
	Skipped int
	// Complete says that this is the last page, and that what was not listed is
	// likely not to exist. It is a reason to look, and no proof.
	Complete bool
}

// Item is one entity of a listing.
type Item[S any] struct {
	Key entity.Key
	// State is the entity's full state, or nil if the listing does not have it.
	State *S
}

// ListerFunc is a Lister made of a function.
type ListerFunc[S any] func(ctx context.Context, req ListRequest) iter.Seq2[Page[S], error]

// List calls f.
func (f ListerFunc[S]) List(ctx context.Context, req ListRequest) iter.Seq2[Page[S], error] {
	return f(ctx, req)
}
