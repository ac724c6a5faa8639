package deadline

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLeft(t *testing.T) {
	now := time.Now()
	require.Equal(t, time.Minute, Left(now, now.Add(time.Minute)))
	require.Equal(t, -time.Minute, Left(now, now.Add(-time.Minute)))
	require.Equal(t, time.Minute, Left(now.Round(0), now.Add(time.Minute)), "with one clock only")
}
