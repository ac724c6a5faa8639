package gateway

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWhatNeverArrivedIsNotCounted sends many requests that the gateway does not
// get, because the network is down, and hears then how many it has counted.
func TestWhatNeverArrivedIsNotCounted(t *testing.T) {
	now := time.Now()
	var w window
	var c clock
	told := func(left int64) {
		w.observe(policyAnswer{limit: 100, left: left, reset: now.Add(24 * time.Hour).UnixMilli(), period: 24 * time.Hour},
			limitAnswer{sent: now, received: now}, &c, 0)
	}
	told(99)
	for range 60 {
		w.take(now)
	}
	require.Equal(t, int64(39), w.left)
	w.take(now)
	told(98)
	require.Equal(t, int64(98), w.left)
}
