package sqlstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// FuzzRowsOf: a journal's entry is read as it was written, and whatever stands in
// one is either read or refused.
func FuzzRowsOf(f *testing.F) {
	r := newHotRow(work.Mark{Flow: "f", Key: entity.Key{Type: "t", ID: "1"}, Priority: work.Bulk})
	r.mark(work.Mark{Due: time.Now().Add(time.Hour), Cause: work.Cause{Kind: "k", EventID: "e", Time: time.Now(), Hops: 3}}, millisOf(time.Now()))
	r.lease("me", "token", millisOf(time.Now()), millisOf(time.Now()))
	next := newHotRow(work.Mark{Flow: "f", Key: entity.Key{Type: "t", ID: "2"}})
	f.Add(appendRows(nil, []*hotRow{r}))
	f.Add(appendRows(nil, []*hotRow{r, next, r}))
	f.Add([]byte{journalFormat})
	f.Add([]byte{journalFormat, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, entry []byte) {
		rows, err := rowsOf(entry)
		if err != nil {
			require.ErrorIs(t, err, errJournal)
			return
		}
		same, err := rowsOf(appendRows(nil, rows))
		require.NoError(t, err)
		require.Equal(t, rows, same)
	})
}
