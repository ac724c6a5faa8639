package sqlstore

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/entity"
)

// What Forget deletes is not in the file any more once the store is closed.
func TestForgetOverwrites(t *testing.T) {
	// The length decides where rows are moved to other pages, of which copies stay.
	for _, length := range []int{0, 41, 102} {
		t.Run(fmt.Sprint(length), func(t *testing.T) { forgetOverwrites(t, strings.Repeat("x", length)) })
	}
}

func forgetOverwrites(t *testing.T, summary string) {
	dir := t.TempDir()
	s := newStore(t, filepath.Join(dir, "work.db"))
	const rows = 2000
	id := func(i int) entity.Key { return entity.Key{Type: "persons", ID: fmt.Sprintf("id-%06d-id", i)} }
	marks := make([]work.Mark, rows)
	for i := range marks {
		marks[i] = work.Mark{Flow: "f", Key: id(i * 7 % rows), Cause: work.Cause{EventID: "event of " + id(i*7%rows).ID}}
	}
	marked := func() {
		_, err := s.Mark(t.Context(), marks)
		require.NoError(t, err)
	}
	marked()
	for i := range marks {
		marks[i].Due = time.Now().Add(time.Hour)
	}
	marked()
	leases, err := s.Lease(t.Context(), work.LeaseRequest{Flow: "f", Owner: "me", N: rows, TTL: time.Hour})
	require.NoError(t, err)
	outcomes := make([]work.Outcome, len(leases))
	for i, l := range leases {
		outcomes[i] = work.Outcome{Lease: l, Result: work.Done, Summary: summary}
	}
	_, err = s.Finish(t.Context(), outcomes)
	require.NoError(t, err)
	for i := range rows / 2 {
		n, err := s.Forget(t.Context(), id(i))
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	require.NoError(t, s.Close())
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1)
	data, err := os.ReadFile(filepath.Join(dir, files[0].Name()))
	require.NoError(t, err)
	for i := range rows {
		require.Equal(t, i >= rows/2, bytes.Contains(data, []byte(id(i).ID)), i)
	}
}
