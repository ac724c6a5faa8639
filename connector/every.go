package connector

import (
	"context"
	"time"
)

// every calls f at an interval, for the first time when it has passed, until ctx
// ends.
func every(ctx context.Context, interval time.Duration, f func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f()
		}
	}
}
